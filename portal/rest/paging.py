"""Paging, sorting and filtering of lists: parameters in every spelling, pages by keyset.

Owns the parameters' names, the bounds on a page and the cursor. What a list can be filtered and
sorted by is a `Listing`, a table of each resource's own; what a comparison means is
`query_fields.py`'s.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import QueryDict

from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.parameter_texts import PARAMETERS as TEXTS
from portal.rest.query_fields import Field, condition
from portal.rest.query_language import QueryInvalid, parse
from portal.rest.sort_keys import SortKey, ValueKind

M = TypeVar("M", bound=Model)

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
NEXT_CURSOR_HEADER = "X-Next-Cursor"
MOST_ROWS = 1000
DEFAULT_ROWS = 50
DEEPEST_INDEXED_ROW = 100_000
DEEPEST_ROW = 1000
_SHALLOW_ROW = 1000
_PREFIXES = ("pq.", "sq.", "query.")
_SORTED_BY = "sorted_by"
_NO_TEXT = "\ufffd"
"""What Django reads where bytes are no UTF-8."""
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Listing(Generic[M]):
    """What the rows of a resource can be filtered and sorted by, under the documented names."""

    fields: Mapping[str, Field]
    sort: Mapping[str, SortKey]
    default: str
    identity: ValueKind
    """What the primary key is: it makes every order a stable one."""
    default_descending: bool = False

    def key(self, name: str) -> SortKey | None:
        """Return what a sort field means, in any case; None if there is none of this name."""
        wanted = name.lower()
        for known, key in self.sort.items():
            if key.named is not None:
                if wanted.startswith(known.lower()):
                    return key.named(wanted[len(known) :])
            elif known.lower() == wanted:
                return key
        return None


@dataclass(frozen=True)
class PageRequest:
    """One page as it was asked for."""

    query: str
    limit: int
    skip: int
    sort: str
    descending: bool
    cursor: str


@dataclass(frozen=True)
class _Place:
    """Where a cursor stands: in which group of its order, at which value and row."""

    group: int
    value: Any
    pk: Any


class Given(dict[str, str]):
    """Query parameters under their lower-case names without prefix, each known to the view."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: dict[str, str] = {}

    def take(self, plain: str, value: str, *, sent: str) -> None:
        """Keep a parameter that was ``sent`` under this name."""
        self[plain] = value
        self._sent[plain] = sent

    def name(self, plain: str) -> str:
        """Return a parameter's name as the caller wrote it, for a sentence about it."""
        return self._sent.get(plain, plain)


def read_parameters(given: QueryDict, known: frozenset[str]) -> Given:
    """Return the parameters that a view knows. Raises ApiError."""
    found = Given()
    for name, values in given.lists():
        plain = plain_name(name)
        if plain not in known:
            # Not quoted: somebody may have put a secret into it.
            documented = ", ".join(sorted((TEXTS[each].name for each in known), key=str.lower))
            raise ApiError(
                ErrorCode.PARAMETER_UNKNOWN,
                f"A query parameter is not known; known are {documented or 'none'}.",
            )
        if plain in found or len(values) != 1:
            raise ApiError(ErrorCode.PARAMETER_REPEATED, f"{name} is given twice.")
        if _NO_TEXT in values[0]:
            raise ApiError(ErrorCode.PARAMETER_INVALID, f"{name} is not UTF-8.")
        found.take(plain, values[0], sent=name)
    return found


def plain_name(name: str) -> str:
    """Return a parameter's name without the prefix that generated clients put before it."""
    lowered = name.lower()
    for prefix in _PREFIXES:
        lowered = lowered.removeprefix(prefix)
    return lowered


def page_request(parameters: Given, listing: Listing[Any]) -> PageRequest:
    """Return the page that parameters ask for. Raises ApiError."""
    # Clients ask for “all” with a large number: they get the longest page, and its cursor.
    limit = min(number(parameters, "returnlimit", DEFAULT_ROWS, least=1, digits=19), MOST_ROWS)
    page = number(parameters, "pagereturned", 1, least=1)
    skip = number(parameters, "skipcount", 0, least=0) + (page - 1) * limit
    sort = parameters.get("sortfield", "").lower() or listing.default.lower()
    key = listing.key(sort)
    if key is None:
        raise ApiError(
            ErrorCode.PARAMETER_INVALID,
            f"{parameters.name('sortfield')} is one of {', '.join(listing.sort)}.",
        )
    _check_depth(key, skip, limit)
    order = parameters.get("sortascending", "").lower()
    if order not in ("", "0", "1", "ascending", "descending"):
        raise ApiError(
            ErrorCode.PARAMETER_INVALID,
            f"{parameters.name('sortascending')} is 0 (ascending) or 1 (descending).",
        )
    cursor = parameters.get("cursor", "")
    if cursor and skip:
        raise ApiError(
            ErrorCode.PARAMETER_INVALID, "A cursor names its page: leave out the page and the skip."
        )
    by_default = not order and not parameters.get("sortfield") and listing.default_descending
    return PageRequest(
        query=parameters.get("querystring", ""),
        limit=limit,
        skip=skip,
        sort=sort,
        descending=by_default or order in ("1", "descending"),
        cursor=cursor,
    )


def matching(rows: QuerySet[M], wanted: PageRequest, listing: Listing[M]) -> QuerySet[M]:
    """Return the rows that the query names. Raises ApiError."""
    try:
        return rows.filter(condition(parse(wanted.query), listing.fields))
    except QueryInvalid as invalid:
        raise ApiError(invalid.code, str(invalid)) from None


def page_of(
    rows: QuerySet[M], wanted: PageRequest, listing: Listing[M]
) -> tuple[list[M], str | None]:
    """Return a page of these rows and the cursor of the next one, with one query. Raises ApiError.

    An order in groups (by level, for instance) takes one query for each group that the page
    touches.
    """
    key = listing.key(wanted.sort)
    assert key is not None
    if key.expression is not None:
        rows = rows.annotate(**{_SORTED_BY: key.expression})
    groups = key.groups() if key.groups is not None else [Q()]
    at = _read(wanted, key, listing.identity, len(groups)) if wanted.cursor else None
    needed = wanted.skip + wanted.limit + 1
    found: list[tuple[int, M]] = []
    for index, group in _in_order(rows, key, groups, wanted, at):
        if key.groups is None and wanted.skip:
            found += [(index, row) for row in _skipped(group, wanted)]
            needed -= wanted.skip
        else:
            found += [(index, row) for row in group[: needed - len(found)]]
        if len(found) >= needed:
            break
    if key.groups is not None:
        del found[: wanted.skip]
    page = [row for _, row in found[: wanted.limit]]
    if len(found) <= wanted.limit:
        return page, None
    return page, _cursor(key, listing.identity, wanted, *found[wanted.limit - 1])


def next_link(path: str, given: QueryDict, cursor: str) -> str:
    """Return the value of a Link header (RFC 8288) that leads to the next page."""
    following = given.copy()
    for name in list(following):
        if plain_name(name) in ("cursor", "pagereturned", "skipcount"):
            del following[name]
    following["cursor"] = cursor
    return f'<{path}?{following.urlencode()}>; rel="next"'


def _check_depth(key: SortKey, skip: int, limit: int) -> None:
    deepest = DEEPEST_INDEXED_ROW if key.is_indexed else DEEPEST_ROW
    if skip and skip + limit > deepest:
        raise ApiError(
            ErrorCode.PAGE_TOO_DEEP,
            f"Pages of this order reach {deepest} rows deep. Go on with the parameter cursor and "
            f"the value of the header {NEXT_CURSOR_HEADER}, which every page but the last has.",
        )


def _in_order(
    rows: QuerySet[M],
    key: SortKey,
    groups: Sequence[Q],
    wanted: PageRequest,
    at: _Place | None,
) -> Iterator[tuple[int, QuerySet[M]]]:
    """Yield the groups of an order from the cursor's on, each with its rows in order."""
    sign = "-" if wanted.descending else ""
    numbered = list(enumerate(groups))
    for index, group in reversed(numbered) if wanted.descending else numbered:
        if at is not None and (index > at.group if wanted.descending else index < at.group):
            continue
        columns = [_SORTED_BY] if _is_ordered(key, index) else []
        part = rows.filter(group).order_by(*(f"{sign}{each}" for each in (*columns, "pk")))
        if at is not None and index == at.group:
            part = part.filter(_beyond(at, bool(columns), descending=wanted.descending))
        yield index, part


def _is_ordered(key: SortKey, group: int) -> bool:
    """Say whether a group is ordered by a value: a group of its own may lack one."""
    return key.expression is not None and (key.groups is None or group == 0)


def _skipped(rows: QuerySet[M], wanted: PageRequest) -> list[M]:
    last = wanted.skip + wanted.limit + 1
    if wanted.skip > _SHALLOW_ROW:
        # Skipping over keys alone: whole rows are read for this page only.
        return list(rows.filter(pk__in=rows.values("pk")[wanted.skip : last]))
    return list(rows[wanted.skip : last])


def _beyond(at: _Place, by_value: bool, *, descending: bool) -> Q:
    """Return the condition for the rows after the cursor's."""
    side = "lt" if descending else "gt"
    if not by_value:
        return Q(**{f"pk__{side}": at.pk})
    # The first condition says nothing new, but an index can serve it.
    return Q(**{f"{_SORTED_BY}__{side}e": at.value}) & (
        Q(**{f"{_SORTED_BY}__{side}": at.value}) | Q(**{f"pk__{side}": at.pk})
    )


def _read(wanted: PageRequest, key: SortKey, identity: ValueKind, groups: int) -> _Place:
    try:
        digest, group, value, raw = json.loads(base64.urlsafe_b64decode(wanted.cursor + "=="))
        if type(group) is not int or not 0 <= group < groups:
            raise ValueError
        by_value = _is_ordered(key, group)
        place = _Place(group, key.kind.read(value) if by_value else None, identity.read(raw))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise _cursor_invalid() from None
    if digest != _digest(wanted):
        raise _cursor_invalid()
    return place


def _cursor(key: SortKey, identity: ValueKind, wanted: PageRequest, group: int, row: Model) -> str:
    value = key.kind.write(getattr(row, _SORTED_BY)) if _is_ordered(key, group) else None
    content = json.dumps(
        [_digest(wanted), group, value, identity.write(row.pk)], separators=(",", ":")
    )
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


def flag(parameters: Given, name: str, *, default: bool = False) -> bool:
    """Return a parameter that is true or false. Raises ApiError."""
    if name not in parameters:
        return default
    # An empty one is not left out: a script may have lost a value that it meant.
    if (text := parameters[name].lower()) in _FLAGS:
        return _FLAGS[text]
    raise ApiError(ErrorCode.PARAMETER_INVALID, f"{parameters.name(name)} is true or false.")


def number(
    parameters: Given,
    name: str,
    default: int,
    *,
    least: int,
    most: int | None = None,
    digits: int = 9,
) -> int:
    """Return a parameter that is a whole number of so many digits. Raises ApiError."""
    text = parameters.get(name, "")
    if not text:
        return default
    found = int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else -1
    if found < least or (most is not None and found > most):
        bound = f"between {least} and {most}" if most is not None else f"at least {least}"
        raise ApiError(
            ErrorCode.PARAMETER_INVALID, f"{parameters.name(name)} is a whole number, {bound}."
        )
    return found
