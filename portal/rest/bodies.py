"""What request bodies must contain: lists of ids, objects with known members, enumerations.

Owns the limits on lists. PURE but for its errors; JSON itself is `parsers.py`'s, the meaning of
the values is the services'.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from orchestrators.models import Reenrollment
from orchestrators.reenrollment import flag_of
from portal.audit.wording import LONGEST_REASON, one_line
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError

MOST_IDS = 1000
_LONGEST_ID = 64
_LONGEST_ECHO = 40
_MOST_DIGITS = 18


def nothing(body: object) -> None:
    """Accept no body: empty, ``null`` as existing clients send it, or ``{}``."""
    if body in (None, {}):
        return
    raise ApiError(ErrorCode.BODY_WRONG_SHAPE, "This endpoint takes no body.")


def members(
    body: object,
    *,
    known: Collection[str],
    optional: Collection[str] = (),
) -> dict[str, Any]:
    """Return the members of an object under their documented names, those of ``known`` required.

    Only those of ``optional`` may be null. Names are read in any case. A member
    that is not known, or that is only ever written by the portal, is refused and never dropped
    (T12 in docs/promises.md).
    """
    if not isinstance(body, dict):
        raise ApiError(ErrorCode.BODY_WRONG_SHAPE, "The body must be a JSON object.")
    by_lowered = {name.lower(): name for name in (*known, *optional)}
    all_known = ", ".join(by_lowered.values())
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name.lower() not in by_lowered:
            raise ApiError(
                ErrorCode.MEMBER_UNKNOWN,
                f"The member {shown(name)} is not known; known are {all_known}.",
            )
        found[by_lowered[name.lower()]] = value
    if absent := [name for name in known if found.get(name) is None]:
        raise ApiError(ErrorCode.MEMBER_MISSING, f"The member {absent[0]} is missing.")
    return found


def text(value: object, name: str) -> str:
    """Return a member that is a string that can be stored. Raises ApiError."""
    if not isinstance(value, str):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is a string.")
    if any(ch == "\0" or "\ud800" <= ch <= "\udfff" for ch in value):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} has a character that no text has.")
    return value


def flag(body: Mapping[str, Any], name: str) -> bool:
    """Return a member that is true or false; left out is false. Raises ApiError."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is true or false.")
    return bool(value)


def reason(body: Mapping[str, Any]) -> str:
    """Return the member Reason as one line; left out is empty. Raises ApiError."""
    found = one_line(text(body.get("Reason") or "", "Reason"))
    if len(found) > LONGEST_REASON:
        raise ApiError(ErrorCode.VALUE_INVALID, f"Reason has at most {LONGEST_REASON} characters.")
    return found


def texts(value: object, name: str, *, may_be_empty: bool = False) -> list[str]:
    """Return a member that is a list of strings. Raises ApiError."""
    if not isinstance(value, list):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is a list of strings.")
    if not value and not may_be_empty:
        raise ApiError(ErrorCode.LIST_EMPTY, f"{name} is empty.")
    if len(value) > MOST_IDS:
        raise ApiError(ErrorCode.LIST_TOO_LONG, f"{name} has at most {MOST_IDS} entries.")
    return [text(entry, f"An entry of {name}") for entry in value]


def id_texts(value: object, name: str = "The body") -> list[str]:
    """Return a list of ids as they were sent, each once, in their order."""
    if not isinstance(value, list):
        raise ApiError(ErrorCode.BODY_WRONG_SHAPE, f"{name} must be a JSON array of ids.")
    if not value:
        raise ApiError(ErrorCode.LIST_EMPTY, f"{name} names no orchestrator.")
    if len(value) > MOST_IDS:
        raise ApiError(ErrorCode.LIST_TOO_LONG, f"{name} has at most {MOST_IDS} ids.")
    for entry in value:
        if not isinstance(entry, str) or len(entry) > _LONGEST_ID or not entry.isprintable():
            raise ApiError(ErrorCode.VALUE_INVALID, f"{name} has an entry that is no id.")
    return list(dict.fromkeys(value))


def agent_ids(body: object) -> list[UUID]:
    """Return the ids of a bare array, each once.

    Some existing clients wrap the array as ``{"agentIds": […]}``.
    """
    if isinstance(body, dict) and body:
        body = members(body, known=("AgentIds",))["AgentIds"]
    found: dict[UUID, None] = {}
    for text in id_texts(body):
        parsed = guid(text)
        if parsed is None:
            raise ApiError(ErrorCode.VALUE_INVALID, f"{shown(text)} is not a GUID.")
        found[parsed] = None
    return list(found)


def guid(text: str) -> UUID | None:
    """Return the GUID that a text is, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


def row_number(text: str) -> int | None:
    """Return the number of a row that a path names, or None: no database has a longer one."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else None


def reenrollment(value: object) -> Reenrollment:
    """Return the flag for 0 to 2, "0" to "2" or a name."""
    flag = flag_of(value)
    if flag is not None:
        return Reenrollment(flag)
    raise ApiError(ErrorCode.VALUE_INVALID, 'Status is 0, 1, 2 or "None", "Requested", "Required".')


def shown(text: str) -> str:
    """Return a piece of a request as it may stand in a reply."""
    clean = "".join(ch if ch.isprintable() else "?" for ch in text[:_LONGEST_ECHO])
    return f"“{clean}{'…' if len(text) > _LONGEST_ECHO else ''}”"
