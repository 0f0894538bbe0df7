"""The list of orchestrators: filtered, searched, sorted, a page at a time.

Owns which rows a list shows and what each row says. A constant number of queries, whatever the
fleet's size: keyset paging over orders that indexes have, and one query for each thing that rows
say of other tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from orchestrators.labels import bearers
from orchestrators.models import AgentSession, Orchestrator, Status
from orchestrators.names import canonical
from orchestrators.reach import within
from orchestrators.records import parse_agent_id
from portal.access.reach import Reach
from renewal.models import Certificate
from renewal.rules.periods import Periods, days_left
from renewal.selectors.keyset import Segment, Slice, cut
from renewal.selectors.marks import (
    MARKS,
    Around,
    Mark,
    claims_over,
    failed_enrollments,
    marked,
    marks_of,
    overdue_revocations,
)
from renewal.selectors.states import LABELS, Label, RenewalState, having, state_of

PAGE_SIZE = 50
_BAR_DAYS = 365
"""The bar of the days left has one scale for all rows: a year is full."""
_LEAST_HEX = 6


@dataclass(frozen=True)
class Filters:
    """What a list shows; every member comes from the URL."""

    state: RenewalState | None = None
    mark: Mark | None = None
    query: str = ""
    by_name: bool = False
    demonstration: bool | None = None
    group: str = ""
    label: str = ""
    """``key=value``, or ``key`` alone for any value."""

    @property
    def is_narrowed(self) -> bool:
        return bool(
            self.state
            or self.mark
            or self.query
            or self.group
            or self.label
            or self.demonstration is not None
        )


@dataclass(frozen=True)
class FleetRow:
    """One line of the list."""

    orchestrator: Orchestrator
    state: RenewalState
    days_left: int | None
    share: int
    """Per cent of the bar."""
    marks: tuple[Mark, ...]
    in_session: bool

    @property
    def label(self) -> Label:
        return LABELS[self.state]

    @property
    def mark_labels(self) -> list[Label]:
        return [MARKS[mark] for mark in self.marks]


@dataclass(frozen=True)
class FleetPage:
    rows: list[FleetRow]
    following: str
    preceding: str


def page(
    filters: Filters,
    periods: Periods,
    *,
    reach: Reach,
    now: datetime,
    cursor: str = "",
    size: int = PAGE_SIZE,
) -> FleetPage:
    """Return one page of the list."""
    segments = _segments(filters, periods, reach, now=now)
    found: Slice[Orchestrator] = cut(segments, cursor=cursor, size=size)
    return FleetPage(rows_of(found.rows, periods, now=now), found.following, found.preceding)


def rows_of(
    orchestrators: Iterable[Orchestrator], periods: Periods, *, now: datetime
) -> list[FleetRow]:
    """Return what the list says of each record: four queries."""
    records = list(orchestrators)
    ids = [o.pk for o in records]
    overdue = set(
        overdue_revocations(now)
        .filter(orchestrator__in=ids)
        .values_list("orchestrator_id", flat=True)
    )
    failed = set(
        failed_enrollments(now)
        .filter(orchestrator__in=ids)
        .values_list("orchestrator_id", flat=True)
    )
    late = set(
        claims_over(now).filter(orchestrator__in=ids).values_list("orchestrator_id", flat=True)
    )
    live = set(
        AgentSession.objects.live(now)
        .filter(orchestrator__in=ids)
        .values_list("orchestrator_id", flat=True)
    )
    return [
        _row(
            o,
            periods,
            Around(o.pk in overdue, o.pk in failed, o.pk in live, o.pk in late),
            now=now,
        )
        for o in records
    ]


def matching(
    filters: Filters, periods: Periods, *, reach: Reach, now: datetime
) -> QuerySet[Orchestrator]:
    """Return the records within the reach that the filters name, in no order."""
    rows = within(Orchestrator.objects.select_related("group"), reach)
    if filters.group:
        rows = rows.filter(group__name_key=canonical(filters.group))
    if filters.label:
        rows = rows.filter(pk__in=bearers(filters.label))
    if filters.state is not None:
        rows = rows.filter(having(filters.state, periods, now=now))
    if filters.mark is not None:
        rows = rows.filter(marked(filters.mark, now=now))
    if filters.demonstration is not None:
        rows = rows.filter(demonstration=filters.demonstration)
    if filters.query:
        rows = rows.filter(_found_by(filters.query))
    return rows


def hex_of(text: str) -> str:
    """Return a thumbprint or serial number in lower-case hex, whatever it was copied from.

    Colons, spaces, dashes and the invisible mark that Windows' certificate dialog puts first are
    left out; empty if anything else is in it.
    """
    plain = re.sub(r"[\s:\-\u200e\u200f\u202a-\u202e\ufeff]", "", text.strip()).lower()
    plain = plain.removeprefix("0x")
    return plain if re.fullmatch(r"[0-9a-f]+", plain) else ""


def _segments(
    filters: Filters, periods: Periods, reach: Reach, *, now: datetime
) -> list[Segment[Orchestrator]]:
    rows = matching(filters, periods, reach=reach, now=now)
    if filters.by_name:
        return [Segment(rows, ("name_key", "id"))]
    with_certificate = rows.filter(status=Status.APPROVED, certificate_not_after__isnull=False)
    by_state: dict[RenewalState, Segment[Orchestrator]] = {
        RenewalState.WAITING: Segment(rows.filter(status=Status.NEW), ("name_key", "id")),
        RenewalState.ENROLLING: Segment(
            rows.filter(status=Status.APPROVED, certificate_not_after__isnull=True),
            ("name_key", "id"),
        ),
        RenewalState.OK: Segment(with_certificate, ("certificate_not_after", "id")),
        RenewalState.DISAPPROVED: Segment(
            rows.filter(status=Status.DISAPPROVED), ("name_key", "id")
        ),
    }
    if filters.state is None or filters.state is RenewalState.UNUSED:
        return list(by_state.values())
    return [by_state.get(filters.state, by_state[RenewalState.OK])]


def _found_by(query: str) -> Q:
    """By id, beginning of the name, or beginning of a thumbprint that it has or ever had."""
    condition = Q(name_key__startswith=canonical(query))
    if (agent_id := parse_agent_id(query.strip())) is not None:
        condition |= Q(pk=agent_id)
    if len(digits := hex_of(query)) >= _LEAST_HEX:
        held = Certificate.objects.filter(orchestrator__isnull=False)
        if len(digits) == 64:
            held = held.filter(fingerprint_sha256=digits)
        else:
            held = held.filter(thumbprint__startswith=digits.upper())
        condition |= Q(pk__in=held.values("orchestrator_id"))
    return condition


def _row(
    orchestrator: Orchestrator, periods: Periods, around: Around, *, now: datetime
) -> FleetRow:
    not_after = orchestrator.certificate_not_after
    left = days_left(not_after, now) if not_after else None
    share = 0 if left is None else min(max(round(100 * left / _BAR_DAYS), 0), 100)
    state = state_of(orchestrator, periods, now=now)
    return FleetRow(
        orchestrator=orchestrator,
        state=state,
        days_left=left,
        share=share,
        marks=tuple(marks_of(orchestrator, state, around)),
        in_session=around.is_live,
    )


def chosen(ids: Iterable[UUID], periods: Periods, *reaches: Reach, now: datetime) -> list[FleetRow]:
    """Return the rows of a selection within the reaches, in the order of their names."""
    records = within(
        Orchestrator.objects.filter(pk__in=list(ids)).order_by("name_key", "id"), *reaches
    )
    return rows_of(records, periods, now=now)


def names_of(ids: Iterable[UUID], *reaches: Reach) -> Mapping[UUID, str]:
    """Return the names of the records within the reaches, by id."""
    rows = within(Orchestrator.objects.filter(pk__in=list(ids)), *reaches)
    return dict(rows.values_list("pk", "client_machine"))
