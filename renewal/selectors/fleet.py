"""The list of orchestrators: filtered, searched, sorted, a page at a time.

Owns which rows a list shows and what each row says. A constant number of queries, whatever the
fleet's size: keyset paging over orders that indexes have, and one query for each thing that rows
say of other tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import (
    Case,
    DateTimeField,
    F,
    IntegerField,
    Prefetch,
    Q,
    QuerySet,
    Value,
    When,
    prefetch_related_objects,
)
from django.db.models import Count as Aggregated

from orchestrators.models import AgentSession, Orchestrator, OrchestratorLabel, Status
from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.readiness import unable_among
from renewal.rules.periods import Periods, days_left
from renewal.selectors.counting import CAP, Count
from renewal.selectors.filters import Filters, Sort, narrowed
from renewal.selectors.keyset import Segment, Slice, cut
from renewal.selectors.marks import (
    MARKS,
    TOLD_ELSEWHERE,
    Around,
    Mark,
    claims_over,
    failed_enrollments,
    marks_of,
    overdue_revocations,
    was_refused,
)
from renewal.selectors.outlook import Next, next_of
from renewal.selectors.states import LABELS, Label, RenewalState, having, parts, state_of

PAGE_SIZE = 50
_BY_NAME = ("name_key", "id")
_BY_END = ("certificate_not_after", "id")
_WITHOUT_END = frozenset({RenewalState.WAITING, RenewalState.ENROLLING, RenewalState.DISAPPROVED})
_BAR_DAYS = 365
"""The bar of the days left has one scale for all rows: a year is full."""


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
    next: Next

    @property
    def labels(self) -> list[OrchestratorLabel]:
        """The words that operators put on it, by key (read beforehand by `page`)."""
        return list(self.orchestrator.labels.all())

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
    found: Slice[Orchestrator] = cut(
        segments(filters, periods, reach=reach, now=now), cursor=cursor, size=size
    )
    labels = OrchestratorLabel.objects.order_by("key")
    prefetch_related_objects(found.rows, Prefetch("labels", labels))
    return FleetPage(rows_of(found.rows, periods, now=now), found.following, found.preceding)


@dataclass(frozen=True)
class Tally:
    """How many records of each state a list has, and in all."""

    total: Count
    by_state: Mapping[RenewalState, Count]

    def with_census(self, states: Mapping[RenewalState, int]) -> Tally:
        """Return the same tally; what it could not count to the end, the last census has."""
        return Tally(
            self.total.with_census(sum(states.values())),
            {s: count.with_census(states.get(s)) for s, count in self.by_state.items()},
        )


def tally(filters: Filters, periods: Periods, *, reach: Reach, now: datetime) -> Tally:
    """Count the records of each state that pass the other filters: one query.

    At most `CAP` records are looked at, whichever come first: where more pass, the numbers are
    the least that there are. A count for each state would walk the fleet for those that few
    records are in.
    """
    rows = narrowed(filters, reach=reach, now=now).select_related(None).order_by()
    conditions = {s.value: having(s, periods, now=now) for s in RenewalState}
    counts = {name: Aggregated("pk", filter=each) for name, each in conditions.items()}
    found = rows[: CAP + 1].aggregate(**counts)
    total = sum(found.values())
    is_capped = total > CAP
    return Tally(
        Count(min(total, CAP), is_capped),
        {s: Count(min(found[s.value], CAP), is_capped) for s in RenewalState},
    )


def every(
    filters: Filters, periods: Periods, *, reach: Reach, now: datetime, run: int = 1000
) -> Iterator[FleetRow]:
    """Yield all rows of a list in its order, in runs: a fleet of any size can be exported."""
    cursor = ""
    while True:
        found = page(filters, periods, reach=reach, now=now, cursor=cursor, size=run)
        yield from found.rows
        cursor = found.following
        if not cursor:
            return


def first_end_after(moment: datetime, *, reach: Reach) -> Orchestrator | None:
    """Return the approved record whose certificate in use ends first after ``moment``."""
    rows = Orchestrator.objects.filter(
        status=Status.APPROVED, demonstration=False, certificate_not_after__gt=moment
    )
    return within(rows, reach).order_by("certificate_not_after", "id").first()


def rows_of(
    orchestrators: Iterable[Orchestrator], periods: Periods, *, now: datetime
) -> list[FleetRow]:
    """Return what the list says of each record: five queries, and one for each limit that the
    roles of their service accounts have.
    """
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
    ) | {o.pk for o in records if was_refused(o, now)}
    late = set(
        claims_over(now).filter(orchestrator__in=ids).values_list("orchestrator_id", flat=True)
    )
    unable = unable_among(records)
    live = set(
        AgentSession.objects.live(now)
        .filter(orchestrator__in=ids)
        .values_list("orchestrator_id", flat=True)
    )
    return [
        _row(
            o,
            periods,
            Around(o.pk in overdue, o.pk in failed, o.pk in live, o.pk in late, o.pk in unable),
            now=now,
        )
        for o in records
    ]


def segments(
    filters: Filters, periods: Periods, *, reach: Reach, now: datetime
) -> list[Segment[Orchestrator]]:
    """Return the rows of a list in its order: first who waits for somebody, then by expiry."""
    rows = narrowed(filters, reach=reach, now=now)
    if filters.sort in (Sort.NAME, Sort.NAME_DOWN):
        if filters.state is not None:
            rows = rows.filter(having(filters.state, periods, now=now))
        found = [Segment(rows, _BY_NAME)]
    elif filters.state is not None:
        order = _BY_NAME if filters.state in _WITHOUT_END else _BY_END
        found = [
            Segment(rows.filter(part), order) for part in parts(filters.state, periods, now=now)
        ]
        if filters.state is RenewalState.UNUSED:
            has_end = Q(certificate_not_after__isnull=False)
            found = [
                Segment(each.rows.filter(condition), wanted)
                for each in found
                for condition, wanted in ((~has_end, _BY_NAME), (has_end, _BY_END))
            ]
    elif filters.ends is not None:
        # Only approved ones with an end pass: the other parts would be walked for nobody.
        found = [Segment(rows, _BY_END)]
    elif filters.mark in TOLD_ELSEWHERE:
        found = [Segment(_ranked(rows), ("list_rank", "list_end", "name_key", "id"))]
    else:
        approved = rows.filter(status=Status.APPROVED)
        found = [
            Segment(rows.filter(status=Status.NEW), _BY_NAME),
            Segment(approved.filter(certificate_not_after__isnull=True), _BY_NAME),
            Segment(approved.filter(certificate_not_after__isnull=False), _BY_END),
            Segment(rows.filter(status=Status.DISAPPROVED), _BY_NAME),
        ]
    if filters.sort in (Sort.LATEST, Sort.NAME_DOWN):
        found = [each.turned for each in reversed(found)]
    return found


def _ranked(rows: QuerySet[Orchestrator]) -> QuerySet[Orchestrator]:
    """Return rows with the order of the segments in two columns.

    For records that another table names, and no index of their own has in order: each segment would
    look all of them up again.
    """
    has_end = Q(status=Status.APPROVED, certificate_not_after__isnull=False)
    return rows.annotate(
        list_rank=Case(
            When(status=Status.NEW, then=0),
            When(has_end, then=2),
            When(status=Status.APPROVED, then=1),
            default=3,
            output_field=IntegerField(),
        ),
        list_end=Case(
            When(has_end, then=F("certificate_not_after")),
            default=Value(datetime(1970, 1, 1, tzinfo=UTC)),
            output_field=DateTimeField(),
        ),
    )


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
        next=next_of(orchestrator, state, periods),
    )


def chosen(ids: Iterable[UUID], periods: Periods, *reaches: Reach, now: datetime) -> list[FleetRow]:
    """Return the rows of a selection within the reaches, in the order of their names."""
    records = within(
        Orchestrator.objects.select_related("service_account")
        .filter(pk__in=list(ids))
        .order_by("name_key", "id"),
        *reaches,
    )
    return rows_of(records, periods, now=now)


def names_of(ids: Iterable[UUID], *reaches: Reach) -> Mapping[UUID, str]:
    """Return the names of the records within the reaches, by id."""
    rows = within(Orchestrator.objects.filter(pk__in=list(ids)), *reaches)
    return dict(rows.values_list("pk", "client_machine"))
