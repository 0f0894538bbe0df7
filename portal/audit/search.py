"""Which rows somebody asks for, and text found at a cost that the log's length does not change.

Owns the filters, the window of a text search (only so many rows are looked through at once, and
the answer says how far it looked; an export goes through window after window), and what a bulk job
shows of itself in a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from portal.audit.acts import BULK_GROUP, BULK_JOB
from portal.audit.models import AuditEntry, Category
from portal.days import Days, days_of

WINDOW_ROWS = 50_000
"""So many rows a text search looks through at once."""

_LONGEST_DAY = len("2026-01-31Z")
_TEXT = ("message", "object_name", "actor_name", "action", "object_id", "source_address")


class FilterInvalid(ValueError):
    """A filter's value cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Filters:
    """What is asked for; empty means everything."""

    q: str = ""
    category: str = ""
    action: str = ""
    who: str = ""
    object: str = ""
    orchestrator: str = ""
    request: str = ""
    since: str = ""
    until: str = ""
    before_row: str = ""
    """A text search goes on below this row."""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Filters:
        """Read the filters of a query string. Raises FilterInvalid for what nobody can type."""
        found = {field.name: given.get(field.name, "").strip() for field in fields(cls)}
        for name, value in found.items():
            if not value.isprintable() or len(value) > 200:
                raise FilterInvalid(f"{name!r} has at most 200 characters, all of them printable.")
        return cls(**found)

    def chosen(self) -> dict[str, str]:
        """Return the filters that are set, by name."""
        names = [field.name for field in fields(self) if field.name != "before_row"]
        return {name: value for name in names if (value := getattr(self, name))}


NAMES = tuple(field.name for field in fields(Filters))
"""The parameters that name a filter."""


@dataclass(frozen=True)
class Found:
    """The rows of a search. ``searched_to`` is the lowest row that a text search looked at."""

    rows: QuerySet[AuditEntry]
    searched_to: int | None = None


def everything(filters: Filters, rows: QuerySet[AuditEntry]) -> Iterator[QuerySet[AuditEntry]]:
    """Yield all that is asked for, newest first; of a text search one window after the other, so
    that no statement looks through the whole log. Raises FilterInvalid when called.
    """
    return _windows(filters, _narrowed(filters, rows))


def _windows(filters: Filters, rows: QuerySet[AuditEntry]) -> Iterator[QuerySet[AuditEntry]]:
    found = _searched(replace(filters, before_row=""), rows)
    yield found.rows
    while found.searched_to is not None:
        found = _searched(replace(filters, before_row=str(found.searched_to)), rows)
        yield found.rows


def folded(filters: Filters, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
    """Leave out what bulk jobs did row by row, where nothing but a time is asked for: each job is
    told by its own rows, which lead to the others.
    """
    if set(filters.chosen()) - {"since", "until"}:
        return rows
    return rows.filter(~Q(request_id__startswith=BULK_GROUP) | Q(object_type=BULK_JOB))


def find(filters: Filters, rows: QuerySet[AuditEntry]) -> Found:
    """Return the rows of ``rows`` that are asked for. Raises FilterInvalid."""
    return _searched(filters, _narrowed(filters, rows))


def _narrowed(filters: Filters, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
    """Return what all filters but the text's leave."""
    if filters.category:
        if filters.category not in Category.values:
            raise FilterInvalid(f"There is no category {filters.category!r}.")
        rows = rows.filter(category=filters.category)
    if filters.action:
        rows = rows.filter(action=filters.action)
    if filters.who:
        rows = rows.filter(actor_name=filters.who)
    if filters.request:
        rows = rows.filter(request_id=filters.request)
    if filters.object:
        kind, _, key = filters.object.partition(":")
        if not key:
            raise FilterInvalid("An object is written as type:id, for instance setting:7.")
        rows = rows.filter(object_type=kind, object_id=key)
    if filters.orchestrator:
        try:
            rows = rows.filter(orchestrator_id=UUID(filters.orchestrator))
        except ValueError:
            raise FilterInvalid("An orchestrator is given by its id.") from None
    if filters.since:
        since = _time(filters.since)
        rows = rows.filter(at__gte=since.begin if isinstance(since, Days) else since)
    if filters.until:
        until = _time(filters.until)
        # A day that is named is meant whole.
        ends = Q(at__lt=until.end) if isinstance(until, Days) else Q(at__lte=until)
        rows = rows.filter(ends)
    return rows


def _searched(filters: Filters, rows: QuerySet[AuditEntry]) -> Found:
    """Return what the text leaves of narrowed rows."""
    if not filters.q:
        return Found(rows)
    if filters.before_row:
        if not filters.before_row.isdecimal() or len(filters.before_row) > 18:
            raise FilterInvalid("before_row is a row's number.")
        top = int(filters.before_row)
    else:
        top = (AuditEntry.objects.aggregate(newest=Max("id"))["newest"] or 0) + 1
    floor = max(1, top - WINDOW_ROWS)
    matches = Q()
    for word in filters.q.split()[:8]:
        anywhere = Q()
        for column in _TEXT:
            anywhere |= Q(**{f"{column}__icontains": word})
        matches &= anywhere
    found = rows.filter(matches, id__gte=floor, id__lt=top)
    return Found(found, searched_to=floor if floor > 1 else None)


def _time(text: str) -> Days | datetime:
    """Read a day or a moment (ISO 8601); without a zone it is the visitor's."""
    try:
        if len(text) <= _LONGEST_DAY:
            return days_of(text)
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else timezone.make_aware(moment)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterInvalid(f"{text!r} is no time: write 2026-01-31 or 2026-01-31T12:00.") from None
