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

from orchestrators.models import Orchestrator, OrchestratorLabel, Status
from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.rules.periods import Periods, days_left
from renewal.selectors.counting import CAP
from renewal.selectors.filters import Filters, Sort, narrowed
from renewal.selectors.keyset import Segment, Slice, cut
from renewal.selectors.marks import (
    MARKS,
    TOLD_ELSEWHERE,
    Around,
    Mark,
    marks_of,
)
from renewal.selectors.outlook import Next, next_of
from renewal.selectors.state_counts import Tally, tally, tally_of
from renewal.selectors.states import (
    LABELS,
    Label,
    RenewalState,
    having,
    parts,
    state_expression,
    state_of,
)
from renewal.selectors.surroundings import around

PAGE_SIZE = 50
_BY_NAME = ("name_key", "id")
_BY_END = ("certificate_not_after", "id")
_BY_CONTACT = ("seen_on", "name_key", "id")
_BY_RANK = ("list_rank", "list_end", "name_key", "id")
"""Of `_ranked`."""
_OWN_ORDERS = frozenset({Sort.NAME, Sort.NAME_DOWN, Sort.SEEN, Sort.SEEN_DOWN})
"""Those that do not begin with who is most urgent."""
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
        """The words that operators put on it, by key (`page` reads them beforehand if told)."""
        return list(self.orchestrator.labels.all())

    @property
    def label(self) -> Label:
        return LABELS[self.state]

    @property
    def is_offline(self) -> bool:
        return Mark.OFFLINE in self.marks

    @property
    def cannot_enroll(self) -> bool:
        return Mark.CANNOT_ENROLL in self.marks

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
    with_labels: bool = True,
) -> FleetPage:
    """Return one page of the list; ``with_labels``: they are shown, so all are read at once."""
    found = cut(segments(filters, periods, reach=reach, now=now), cursor=cursor, size=size)
    return _page_of(found, periods, now=now, with_labels=with_labels)


def _page_of(
    found: Slice[Orchestrator], periods: Periods, *, now: datetime, with_labels: bool
) -> FleetPage:
    if with_labels:
        labels = OrchestratorLabel.objects.order_by("key")
        prefetch_related_objects(found.rows, Prefetch("labels", labels))
    return FleetPage(rows_of(found.rows, periods, now=now), found.following, found.preceding)


def page_and_tally(
    filters: Filters,
    periods: Periods,
    *,
    reach: Reach,
    now: datetime,
    cursor: str = "",
    size: int = PAGE_SIZE,
    with_labels: bool = True,
) -> tuple[FleetPage, Tally]:
    """Return what `page` and `tally` do.

    Records that another table names are looked up one by one, whether to order or to count them:
    for the first page once, for both.
    """
    if _is_ranked(filters) and filters.sort is Sort.URGENT and not cursor:
        marked = _ranked(narrowed(filters, periods, reach=reach, now=now)).order_by(*_BY_RANK)
        read = list(marked.values_list("pk", state_expression(periods, now=now))[: CAP + 1])
        rows = _ranked(_whole(reach)).filter(pk__in=[pk for pk, _ in read[: size + 1]])
        found = cut([Segment(rows, _BY_RANK)], size=size)
        return (
            _page_of(found, periods, now=now, with_labels=with_labels),
            tally_of(state for _, state in read),
        )
    return (
        page(
            filters,
            periods,
            reach=reach,
            now=now,
            cursor=cursor,
            size=size,
            with_labels=with_labels,
        ),
        tally(filters, periods, reach=reach, now=now),
    )


def every(
    filters: Filters,
    periods: Periods,
    *,
    reach: Reach,
    now: datetime,
    run: int = 1000,
    with_labels: bool = True,
) -> Iterator[FleetRow]:
    """Yield all rows of a list in its order, in runs: a fleet of any size can be exported."""
    cursor = ""
    while True:
        found = page(
            filters,
            periods,
            reach=reach,
            now=now,
            cursor=cursor,
            size=run,
            with_labels=with_labels,
        )
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
    """Return what the list says of each record, read with its service account."""
    records = list(orchestrators)
    return [
        _row(record, periods, said, now=now)
        for record, said in zip(records, around(records, now=now), strict=True)
    ]


def segments(
    filters: Filters, periods: Periods, *, reach: Reach, now: datetime
) -> list[Segment[Orchestrator]]:
    """Return the rows of a list in its order: first who waits for somebody, then by expiry."""
    rows = narrowed(filters, periods, reach=reach, now=now)
    if filters.sort in _OWN_ORDERS:
        if filters.state is not None:
            rows = rows.filter(having(filters.state, periods, now=now))
        found = [Segment(rows, _BY_NAME)]
        if filters.sort in (Sort.SEEN, Sort.SEEN_DOWN):
            found = [
                Segment(rows.filter(seen_on__isnull=True), _BY_NAME),
                Segment(rows.filter(seen_on__isnull=False), _BY_CONTACT),
            ]
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
    elif _is_ranked(filters):
        # Which ones, by a few columns; then these in full, with their group and account.
        found = [Segment(_ranked(rows), _BY_RANK, read_from=_ranked(_whole(reach)))]
    else:
        approved = rows.filter(status=Status.APPROVED)
        found = [
            Segment(rows.filter(status=Status.NEW), _BY_NAME),
            Segment(approved.filter(certificate_not_after__isnull=True), _BY_NAME),
            Segment(approved.filter(certificate_not_after__isnull=False), _BY_END),
            Segment(rows.filter(status=Status.DISAPPROVED), _BY_NAME),
        ]
    if filters.sort in (Sort.LATEST, Sort.NAME_DOWN, Sort.SEEN_DOWN):
        found = [each.turned for each in reversed(found)]
    return found


def _is_ranked(filters: Filters) -> bool:
    has_other_order = filters.state is not None or filters.ends is not None
    has_other_order |= filters.sort in _OWN_ORDERS
    return filters.mark in TOLD_ELSEWHERE and not has_other_order


def _whole(reach: Reach) -> QuerySet[Orchestrator]:
    return within(Orchestrator.objects.select_related("group", "service_account"), reach)


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


def _row(orchestrator: Orchestrator, periods: Periods, said: Around, *, now: datetime) -> FleetRow:
    not_after = orchestrator.certificate_not_after
    left = days_left(not_after, now) if not_after else None
    share = 0 if left is None else min(max(round(100 * left / _BAR_DAYS), 0), 100)
    state = state_of(orchestrator, periods, now=now)
    return FleetRow(
        orchestrator=orchestrator,
        state=state,
        days_left=left,
        share=share,
        marks=tuple(marks_of(orchestrator, state, said, periods, now=now)),
        in_session=said.is_live,
        next=next_of(orchestrator, state, periods, cannot_enroll=said.cannot_enroll),
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
