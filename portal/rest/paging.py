"""Paging, sorting and filtering of GET /Agents: parameters in every spelling, pages by keyset.

Owns the parameters' names, the bounds on a page and the cursor. The filter's meaning is
`query_fields.py`'s.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import QueryDict

from orchestrators.models import Orchestrator
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.query_fields import condition
from portal.rest.query_language import QueryInvalid, parse

PARAMETERS = frozenset(
    {
        "querystring",
        "pagereturned",
        "returnlimit",
        "sortfield",
        "sortascending",
        "skipcount",
        "cursor",
    }
)
MOST_ROWS = 1000
DEFAULT_ROWS = 50
DEEPEST_ROW = 100_000
_SHALLOW_ROW = 1000
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SortKey:
    """A column to sort by: never null, so that a cursor can stand on any row."""

    column: str
    read: Callable[[Orchestrator], Any]
    from_cursor: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    # Half a surrogate pair is no text to a database (UnicodeEncodeError is a ValueError).
    value.encode()
    return value


def _small(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**15:
        raise ValueError
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


_BY_ID = SortKey("pk", lambda o: str(o.pk), UUID)
_BY_NAME = SortKey("name_key", lambda o: o.name_key, _text)
_BY_ACCOUNT = SortKey("service_account__username", lambda o: o.service_account.username, _text)
_BY_PLATFORM = SortKey("platform", lambda o: o.platform, _small)
_BY_CONTACT = SortKey("contact", lambda o: (o.last_seen or _NEVER).isoformat(), _moment)
SORT_KEYS: dict[str, SortKey] = {
    "agentid": _BY_ID,
    "clientmachine": _BY_NAME,
    "identity": _BY_ACCOUNT,
    "username": _BY_ACCOUNT,
    "platform": _BY_PLATFORM,
    "agentplatform": _BY_PLATFORM,
    "version": SortKey("version", lambda o: o.version, _text),
    "status": SortKey("status", lambda o: o.status, _small),
    "lastseen": _BY_CONTACT,
}


@dataclass(frozen=True)
class PageRequest:
    """One page as it was asked for."""

    query: str
    limit: int
    skip: int
    sort: str
    descending: bool
    cursor: str


def read_parameters(given: QueryDict, known: frozenset[str]) -> dict[str, str]:
    """Return the parameters under their lower-case names without ``pq.``. Raises ApiError."""
    found: dict[str, str] = {}
    for name, values in given.lists():
        plain = name.lower().removeprefix("pq.")
        if plain not in known:
            # Not quoted: somebody may have put a secret into it.
            raise ApiError(
                ErrorCode.PARAMETER_UNKNOWN,
                f"A query parameter is not known; known are {', '.join(sorted(known)) or 'none'}.",
            )
        if plain in found or len(values) != 1:
            raise ApiError(ErrorCode.PARAMETER_REPEATED, f"{plain} is given twice.")
        found[plain] = values[0]
    return found


def page_request(parameters: dict[str, str]) -> PageRequest:
    """Return the page that parameters ask for. Raises ApiError."""
    limit = _number(parameters, "returnlimit", DEFAULT_ROWS, least=1, most=MOST_ROWS)
    page = _number(parameters, "pagereturned", 1, least=1)
    skip = _number(parameters, "skipcount", 0, least=0) + (page - 1) * limit
    if skip + limit > DEEPEST_ROW and skip:
        raise ApiError(
            ErrorCode.PAGE_TOO_DEEP,
            f"Pages reach {DEEPEST_ROW} rows deep. Go on with the parameter cursor and the value "
            "of the header X-Next-Cursor, which every page but the last has.",
        )
    sort = parameters.get("sortfield", "").lower() or "agentid"
    if sort not in SORT_KEYS:
        raise ApiError(ErrorCode.PARAMETER_INVALID, f"SortField is one of {', '.join(SORT_KEYS)}.")
    order = parameters.get("sortascending", "0").lower()
    if order not in ("0", "1", "ascending", "descending"):
        raise ApiError(
            ErrorCode.PARAMETER_INVALID, "SortAscending is 0 (ascending) or 1 (descending)."
        )
    cursor = parameters.get("cursor", "")
    if cursor and skip:
        raise ApiError(
            ErrorCode.PARAMETER_INVALID, "A cursor names its page: leave out the page and the skip."
        )
    return PageRequest(
        query=parameters.get("querystring", ""),
        limit=limit,
        skip=skip,
        sort=sort,
        descending=order in ("1", "descending"),
        cursor=cursor,
    )


def page_of(
    rows: QuerySet[Orchestrator], wanted: PageRequest
) -> tuple[list[Orchestrator], str | None]:
    """Return a page and the cursor of the next one, with one query. Raises ApiError."""
    try:
        rows = rows.filter(condition(parse(wanted.query)))
    except QueryInvalid as invalid:
        raise ApiError(invalid.code, str(invalid)) from None
    key = SORT_KEYS[wanted.sort]
    if key is _BY_CONTACT:
        never = Value(_NEVER, output_field=DateTimeField())
        rows = rows.annotate(contact=Coalesce("last_seen", never))
    sign = "-" if wanted.descending else ""
    rows = rows.order_by(*dict.fromkeys([f"{sign}{key.column}", f"{sign}pk"]))
    if wanted.cursor:
        rows = rows.filter(_beyond(key, wanted))
    last = wanted.skip + wanted.limit + 1
    if wanted.skip > _SHALLOW_ROW:
        # Skipping over keys alone: whole rows are read for this page only.
        found = list(rows.filter(pk__in=rows.values("pk")[wanted.skip : last]))
    else:
        found = list(rows[wanted.skip : last])
    if len(found) <= wanted.limit:
        return found, None
    del found[wanted.limit :]
    return found, _cursor(key, wanted, found[-1])


def _beyond(key: SortKey, wanted: PageRequest) -> Q:
    """Return the condition for the rows after the cursor's."""
    try:
        digest, value, identity = json.loads(base64.urlsafe_b64decode(wanted.cursor + "=="))
        pk = UUID(identity)
        value = key.from_cursor(value)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise _cursor_invalid() from None
    if digest != _digest(wanted):
        raise _cursor_invalid()
    side = "lt" if wanted.descending else "gt"
    if key is _BY_ID:
        return Q(**{f"pk__{side}": pk})
    # The first condition says nothing new, but an index can serve it.
    return Q(**{f"{key.column}__{side}e": value}) & (
        Q(**{f"{key.column}__{side}": value}) | Q(**{f"pk__{side}": pk})
    )


def _cursor(key: SortKey, wanted: PageRequest, row: Orchestrator) -> str:
    content = json.dumps([_digest(wanted), key.read(row), str(row.pk)], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _digest(wanted: PageRequest) -> str:
    """Return what ties a cursor to its query and order."""
    content = f"{wanted.sort}\0{wanted.descending}\0{wanted.query}"
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:8]


def _cursor_invalid() -> ApiError:
    return ApiError(
        ErrorCode.CURSOR_INVALID,
        "The cursor belongs to another query or order, or is none: begin with the first page.",
    )


def _number(
    parameters: dict[str, str], name: str, default: int, *, least: int, most: int | None = None
) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else -1
    if number < least or (most is not None and number > most):
        bound = f"between {least} and {most}" if most is not None else f"at least {least}"
        raise ApiError(ErrorCode.PARAMETER_INVALID, f"{name} is a whole number, {bound}.")
    return number
