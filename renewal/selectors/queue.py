"""What waits for each CA, what it answered within the last hour, and what failed within a day.

Owns the numbers above the list of enrollments. Each looks at so many rows at most
(`counting.CAP`), of each CA the oldest open ones: where more are there, a number is the least that
there is. Three statements, however many CAs and rows there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import (
    Count as Aggregated,
)
from django.db.models import (
    JSONField,
    Min,
    OuterRef,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Left

from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.models import CertificateAuthority, Enrollment
from renewal.models.enrollments import CAUSE_LENGTH
from renewal.rules.lifecycle import FAILED_ENROLLMENT, OPEN_ENROLLMENT, EnrollmentState
from renewal.selectors.counting import CAP, Count
from renewal.selectors.marks import FAILED_WITHIN

ANSWERED_WITHIN = timedelta(hours=1)
MOST_AUTHORITIES = 50
MOST_CAUSES = 5
"""Of each CA; what else failed is told as a number."""


@dataclass(frozen=True)
class Cause:
    """Enrollments of one CA that failed within a day for one cause: state and last error."""

    state: EnrollmentState
    text: str
    count: int

    @property
    def is_cut(self) -> bool:
        """The error has more to say than what it is counted by."""
        return len(self.text) == CAUSE_LENGTH


@dataclass(frozen=True)
class Rate:
    """Certificates that a CA issued within the last hour, or at what rate it does."""

    count: int
    is_estimate: bool = False
    """From the newest ones alone: more were issued than are counted."""

    def __str__(self) -> str:
        return f"{'≈' if self.is_estimate else ''}{self.count:,}"


@dataclass(frozen=True)
class Queue:
    """What one CA has to do, and did."""

    authority: CertificateAuthority
    waiting: Count
    under_way: Count
    oldest: datetime | None
    """When the CSR of the oldest open one came."""
    next_try: datetime | None
    """When the first of those that wait is due; in the past: it waits for a worker or for room."""
    has_later: bool
    """Some wait for a later moment."""
    failed: Count
    causes: list[Cause] = field(default_factory=list)
    """The most frequent ones."""
    issued: Rate = Rate(0)

    @property
    def others_failed(self) -> int:
        """How many failed for another cause than those named."""
        return self.failed.value - sum(cause.count for cause in self.causes)

    @property
    def is_empty(self) -> bool:
        return self.waiting.is_zero and self.under_way.is_zero


@dataclass(frozen=True)
class Board:
    """The queues of all CAs."""

    queues: list[Queue]

    @property
    def is_running(self) -> bool:
        """Something is open: the numbers change by themselves."""
        return any(not queue.is_empty for queue in self.queues)


def board(*, reach: Reach, now: datetime) -> Board:
    """Return what waits, runs, failed and was issued within a reach, by CA."""
    rows = within(Enrollment.objects.order_by(), reach, by="orchestrator")
    failures = _failures(rows, now)
    rates = _rates(rows, now)
    return Board([_queue(ca, seen, failures, rates, now) for ca, seen in _authorities(rows)])


@dataclass(frozen=True)
class _Open:
    """The oldest enrollments of one CA that are open, at most one more than are counted."""

    looked_at: int
    waiting: int
    oldest: datetime | None
    last_try: datetime | None
    next_try: datetime | None


def _authorities(rows: QuerySet[Enrollment]) -> Iterator[tuple[CertificateAuthority, _Open]]:
    of_this = rows.filter(authority=OuterRef("pk"), state__in=sorted(OPEN_ENROLLMENT))
    looked_at = of_this.order_by("created_at").values("state", "created_at", "next_attempt_at")
    known = CertificateAuthority.objects.annotate(open=_ToldOf(looked_at[: CAP + 1]))
    for ca in known.order_by("name")[:MOST_AUTHORITIES]:
        counted, waiting, *moments = ca.open
        yield ca, _Open(counted, waiting, *(_moment(text) for text in moments))


class _ToldOf(Subquery):
    """What `_Open` says of the rows of a subquery, which has a limit: a list, so that these rows
    are read once.
    """

    output_field = JSONField()
    _told = (
        "COUNT(*), COUNT({waits}1 END), MIN(created_at),"
        " MAX({waits}next_attempt_at END), MIN({waits}next_attempt_at END)"
    ).format(waits=f"CASE WHEN state = '{EnrollmentState.WAITING}' THEN ")
    template = f"(SELECT json_array({_told}) FROM (%(subquery)s) looked_at)"  # noqa: S608 - constants

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = self.template.replace("json_array", "jsonb_build_array")
        return self.as_sql(compiler, connection, template=template, **context)


def _moment(text: str | None) -> datetime | None:
    """Read a moment from JSON, where SQLite writes it without the zone, which is UTC."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _failures(rows: QuerySet[Enrollment], now: datetime) -> tuple[Mapping[int, list[Cause]], bool]:
    """Return the causes of each CA, the most frequent first, and whether there are more."""
    since = rows.filter(state__in=sorted(FAILED_ENROLLMENT), finished_at__gt=now - FAILED_WITHIN)
    said = Left("last_error", CAUSE_LENGTH)
    newest = Counter(
        since.order_by("-finished_at").values_list("authority", "state", said)[: CAP + 1]
    )
    causes: dict[int, list[Cause]] = {}
    for (ca, state, text), number in sorted(newest.items(), key=lambda each: (-each[1], each[0])):
        causes.setdefault(ca, []).append(Cause(EnrollmentState(state), text, number))
    return causes, newest.total() > CAP


def _rates(rows: QuerySet[Enrollment], now: datetime) -> Mapping[int, Rate]:
    """Return what each CA issued within the last hour: where the newest are not all, their rate."""
    since = rows.filter(state=EnrollmentState.ISSUED, finished_at__gt=now - ANSWERED_WITHIN)
    newest = since.order_by("-finished_at").values("pk")[: CAP + 1]
    found = list(
        Enrollment.objects.filter(pk__in=newest)
        .values_list("authority")
        .annotate(number=Aggregated("pk"), first=Min("finished_at"))
        .order_by()
    )
    if sum(number for _, number, _ in found) <= CAP:
        return {ca: Rate(number) for ca, number, _ in found}
    span = max(now - min(first for _, _, first in found), timedelta(seconds=1))
    return {ca: Rate(round(number * (ANSWERED_WITHIN / span)), True) for ca, number, _ in found}


def _queue(
    ca: CertificateAuthority,
    seen: _Open,
    failures: tuple[Mapping[int, list[Cause]], bool],
    rates: Mapping[int, Rate],
    now: datetime,
) -> Queue:
    causes, is_cut = failures
    is_capped = seen.looked_at > CAP
    waiting = min(seen.waiting, CAP)
    own = causes.get(ca.pk, [])
    resume = ca.resume_at if ca.resume_at is not None and ca.resume_at > now else None
    return Queue(
        authority=ca,
        waiting=Count(waiting, is_capped),
        under_way=Count(min(seen.looked_at - seen.waiting, CAP), is_capped),
        oldest=seen.oldest,
        next_try=max(seen.next_try, resume) if seen.next_try and resume else seen.next_try,
        has_later=seen.last_try is not None and seen.last_try > now,
        failed=Count(sum(cause.count for cause in own), is_cut),
        causes=own[:MOST_CAUSES],
        issued=rates.get(ca.pk, Rate(0)),
    )
