"""Reading a JSON body within bounds: its size and depth are judged before it is parsed.

Owns strictness about JSON itself: no repeated members, no NaN, no numbers beyond 64 bits. What a
body must contain is `bodies.py`'s.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from rest_framework.parsers import BaseParser

from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError

MOST_BYTES = 1024 * 1024
DEEPEST = 20

# Strings are skipped whole, an unfinished one up to the end of the text, so that the scan is
# linear whatever is sent.
# Clients that put PEM text together send its line ends as they are (RFC 8259 §7 would have them
# escaped). No other control character stands anywhere in JSON.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*+\\?(?:"|\Z)|[\[\]{}]', re.DOTALL)


class BoundedJSONParser(BaseParser):
    """The parser of all calls."""

    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> object:
        return decode(_bounded(stream, parser_context))


class CSVText(str):
    """A body that was sent as text/csv."""


class BoundedCSVParser(BaseParser):
    """For calls that take a list as CSV too (RFC 4180, UTF-8)."""

    media_type = "text/csv"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> CSVText:
        try:
            return CSVText(_bounded(stream, parser_context).decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ApiError(ErrorCode.BODY_WRONG_SHAPE, "The body is not UTF-8.") from None


def _bounded(stream: Any, parser_context: Any) -> bytes:
    """Return the bytes of a body. Raises ApiError."""
    request = (parser_context or {}).get("request")
    meta = request.META if request is not None else {}
    if meta.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
        raise ApiError(
            ErrorCode.CONTENT_ENCODING_UNKNOWN, "Send the body without Content-Encoding."
        )
    announced = meta.get("CONTENT_LENGTH") or "0"
    raw: bytes = b"" if int(announced) > MOST_BYTES else stream.read(MOST_BYTES + 1)
    if int(announced) > MOST_BYTES or len(raw) > MOST_BYTES:
        raise too_large()
    return raw


def too_large() -> ApiError:
    """Return the refusal of a body beyond the bound."""
    return ApiError(ErrorCode.BODY_TOO_LARGE, f"A body has at most {MOST_BYTES} bytes.")


def decode(raw: bytes) -> object:
    """Return the value that a body is; None for an empty one. Raises ApiError."""
    try:
        # .NET clients may send a byte order mark.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ApiError(ErrorCode.BODY_NOT_JSON, "The body is not UTF-8.") from None
    if not text.strip():
        return None
    _check_depth(text)
    if found := _CONTROL.search(text):
        raise _not_json(f" at character {found.start() + 1}")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_fraction,
            strict=False,
        )
    except ValueError as error:
        place = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise _not_json(place) from None


def _not_json(place: str) -> ApiError:
    return ApiError(ErrorCode.BODY_NOT_JSON, f"The body is not JSON{place}.")


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        found = match[0]
        if found in ("[", "{"):
            depth += 1
            if depth > DEEPEST:
                raise ApiError(
                    ErrorCode.BODY_TOO_DEEP, f"A body is nested at most {DEEPEST} levels deep."
                )
        elif found in ("]", "}"):
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        # Existing servers read names in any case, so names that differ only in case are one.
        if name.lower() in members:
            raise ApiError(ErrorCode.MEMBER_REPEATED, "An object has the same member twice.")
        members[name.lower()] = (name, value)
    return dict(members.values())


def _integer(text: str) -> int:
    if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**63:
        return number
    raise ApiError(ErrorCode.VALUE_INVALID, "A number is beyond 64 bits.")


def _fraction(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ApiError(ErrorCode.VALUE_INVALID, "A number is beyond 64 bits.")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ApiError(ErrorCode.BODY_NOT_JSON, f"{name} is not JSON.")
