"""Reading a JSON object as the TypedDict that an endpoint says it takes.

Owns the checks of member types, so that what the documentation says of a body is what is read.
JSON itself is `parsers.py`'s, the meaning of the values is the services'. PURE but for its errors.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import (
    Any,
    NotRequired,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from portal.rest.bodies import MOST_IDS, shown
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError

T = TypeVar("T")

_LONGEST_TEXT = 100_000
_MOST_MEMBERS = 100
_WORDS: Mapping[Any, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    datetime: "a date or time such as 2026-06-01T12:00:00Z",
}


def read(body: object, shape: type[T]) -> T:
    """Return the members of an object under their documented names. Raises ApiError.

    Names are read in any case. A member that is not known is refused and never dropped (T12 in
    docs/promises.md); one that need not be there counts as left out if it is null.
    """
    found: T = _object(body, shape, "The body")
    return found


def read_list(body: object, shape: type[T], *, may_be_empty: bool = False) -> list[T]:
    """Return the objects of an array. Raises ApiError."""
    entries: list[T] = _value(body, list[shape], "The body")  # type: ignore[valid-type]
    if not entries and not may_be_empty:
        raise ApiError(ErrorCode.LIST_EMPTY, "The body names nothing.")
    return entries


def in_words(name: str) -> str:
    """Return how a value is called within a sentence."""
    return name[:1].lower() + name[1:] if name.startswith(("The ", "An ")) else name


def unchanged(body: Mapping[str, Any], known: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse members that are only read, unless they say what is so. Raises ApiError.

    Existing clients send back what they have read.
    """
    for name in names:
        if name in body and body[name] != known.get(name):
            raise ApiError(
                ErrorCode.VALUE_INVALID,
                f"{name} is not set here: leave it out, or send what GET answers.",
            )


def says_nothing(body: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse a value in members that mean nothing here. Raises ApiError.

    Existing clients send them at what they call nothing: null, false, 0, an empty text or list, or
    an object with nothing else in it.
    """
    for name in names:
        if not _is_nothing(body.get(name)):
            raise ApiError(
                ErrorCode.VALUE_INVALID, f"{name} is not known here: leave it out, or empty."
            )


def _is_nothing(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_nothing(member) for member in value.values())
    return not value


def not_later(name: str, sent: datetime | int | None, known: datetime | int | None) -> None:
    """Refuse what nobody can have read yet of a member that only grows. Raises ApiError.

    What grew since a client read it is taken as it was.
    """
    if sent is not None and (known is None or sent > known):  # type: ignore[operator]
        raise ApiError(
            ErrorCode.VALUE_INVALID,
            f"{name} is not set here: leave it out, or send what GET answered.",
        )


def _object(value: object, shape: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ApiError(ErrorCode.BODY_WRONG_SHAPE, f"{name} must be a JSON object.")
    hints = get_type_hints(shape, include_extras=True)
    by_lowered = {known.lower(): known for known in hints}
    found: dict[str, Any] = {}
    for given, member in value.items():
        known = by_lowered.get(given.lower())
        if known is None:
            raise ApiError(
                ErrorCode.MEMBER_UNKNOWN,
                f"The member {shown(given)} is not known; known are {', '.join(hints)}.",
            )
        hint, is_needed = _plain(hints[known])
        if member is None and not _takes_null(hint):
            if not is_needed:
                continue
            raise ApiError(ErrorCode.MEMBER_MISSING, f"The member {known} is missing.")
        found[known] = _value(member, hint, known)
    for known, hint in hints.items():
        if known not in found and _plain(hint)[1]:
            raise ApiError(ErrorCode.MEMBER_MISSING, f"The member {known} is missing.")
    return found


def _plain(hint: Any) -> tuple[Any, bool]:
    """Return a member's type, and whether it must be there."""
    if get_origin(hint) is NotRequired:
        return get_args(hint)[0], False
    return hint, True


def _takes_null(hint: Any) -> bool:
    return hint is type(None) or (_is_union(hint) and type(None) in get_args(hint))


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _value(value: object, hint: Any, name: str) -> Any:
    if _is_union(hint):
        return _one_of(value, get_args(hint), name)
    if is_typeddict(hint):
        return _object(value, hint, name)
    origin = get_origin(hint)
    if origin is list:
        if not isinstance(value, list):
            raise ApiError(ErrorCode.BODY_WRONG_SHAPE, f"{name} must be a JSON array.")
        if len(value) > MOST_IDS:
            raise ApiError(ErrorCode.LIST_TOO_LONG, f"{name} has at most {MOST_IDS} entries.")
        (inner,) = get_args(hint)
        return [_value(entry, inner, f"An entry of {in_words(name)}") for entry in value]
    if origin is dict:
        if not isinstance(value, dict) or len(value) > _MOST_MEMBERS:
            raise ApiError(
                ErrorCode.BODY_WRONG_SHAPE,
                f"{name} must be a JSON object of at most {_MOST_MEMBERS} members.",
            )
        inner = get_args(hint)[1]
        return {_text(key, name): _value(entry, inner, name) for key, entry in value.items()}
    return _scalar(value, hint, name)


def _one_of(value: object, hints: tuple[Any, ...], name: str) -> Any:
    if value is None and type(None) in hints:
        return None
    # A whole number is told from a flag and from a text by its exact type.
    for hint in hints:
        if hint is type(value):
            return _scalar(value, hint, name)
    if isinstance(value, dict):
        hints = tuple(hint for hint in hints if hint is not str)
    rest = [hint for hint in hints if hint not in (type(None), int, bool)]
    if len(rest) == 1:
        return _value(value, rest[0], name)
    words = [_WORDS.get(hint, "of another type") for hint in hints if hint is not type(None)]
    raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is {' or '.join(words)}.")


def _scalar(value: object, hint: Any, name: str) -> Any:
    if hint is Any:
        return value
    if hint is datetime:
        return _moment(value, name)
    if hint is str and isinstance(value, str):
        return _text(value, name)
    if type(value) is hint:
        return value
    raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is {_WORDS.get(hint, 'of another type')}.")


def _text(value: str, name: str) -> str:
    if len(value) > _LONGEST_TEXT:
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} has at most {_LONGEST_TEXT} characters.")
    # No database stores a NUL or half a surrogate pair.
    if any(ch == "\0" or "\ud800" <= ch <= "\udfff" for ch in value):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} has a character that no text has.")
    return value


def _moment(value: object, name: str) -> datetime:
    """Read a moment; without a zone it is UTC. Go's seven digits of a second are cut to six."""
    try:
        if not isinstance(value, str) or len(value) > 40:
            raise ValueError
        found = datetime.fromisoformat(value)
        aware = found if found.tzinfo else found.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is {_WORDS[datetime]}.") from None
