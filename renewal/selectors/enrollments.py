"""The list of enrollments: narrowed, searched, a page at a time.

Owns which enrollments a search finds and in which order: what is open oldest first, what has ended
by its end, newest first; all of them by their number. Each filter has an index in that order
(`renewal/models/enrollments.py`). What is counted beside the list is `queue.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Left

from orchestrators.models import Orchestrator
from orchestrators.names import canonical
from orchestrators.reach import within
from orchestrators.records import parse_agent_id
from portal.access.reach import Reach
from portal.days import Days, days_of
from renewal.models import Certificate, CertificateAuthority, Enrollment, Template
from renewal.models.enrollments import CAUSE_LENGTH
from renewal.rules.lifecycle import FAILED_ENROLLMENT, EnrollmentState
from renewal.selectors.filters import FilterInvalid, member_of, text_of
from renewal.selectors.keyset import Segment, Slice, cut
from renewal.selectors.related import all_but

NAMES = ("q", "state", "ca", "template", "cause", "older", "ended", "fleet")
"""The parameters that say what is looked for."""
PAGE_SIZE = 50
MOST_FOUND = 200
"""So many orchestrators a search by name finds at most; more is told, and narrowed by typing on."""
MOST_LISTED = 2_000
"""And so many enrollments of these."""
NO_CAUSE = "none"
"""Of requests that were given up before any CA said anything."""
_UNITS = {"m": ("minute", 60), "h": ("hour", 3600), "d": ("day", 86400)}
_MOST_SECONDS = 3660 * 86400


class Stage(StrEnum):
    """How far enrollments are: one state, or several that an operator looks at together."""

    OPEN = "open"
    WAITING = "waiting"
    UNDER_WAY = "under-way"
    SUBMITTED = "submitted"
    PENDING = "pending"
    UNKNOWN = "unknown"
    FAILED = "failed"
    REFUSED = "refused"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DISCARDED = "discarded"
    ISSUED = "issued"


_S = EnrollmentState
_STATES: Mapping[Stage, tuple[EnrollmentState, ...]] = {
    # What a person must look after first: each state is a part of the list of its own.
    Stage.OPEN: (_S.UNKNOWN, _S.PENDING, _S.WAITING, _S.SUBMITTED),
    Stage.UNDER_WAY: (_S.UNKNOWN, _S.PENDING, _S.SUBMITTED),
}
_ENDED = (_S.EXPIRED, _S.REJECTED, _S.REFUSED, _S.DISCARDED, _S.ISSUED)
_OPEN_STAGES = frozenset(
    {Stage.OPEN, Stage.WAITING, Stage.UNDER_WAY, Stage.SUBMITTED, Stage.PENDING, Stage.UNKNOWN}
)


@dataclass(frozen=True)
class Span:
    """A length of time as a filter names it: ``15m``, ``24h``, ``7d``."""

    count: int
    unit: str

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @property
    def length(self) -> timedelta:
        return timedelta(seconds=self.count * _UNITS[self.unit][1])

    @property
    def words(self) -> str:
        word = _UNITS[self.unit][0]
        return f"{self.count:,} {word}{'' if self.count == 1 else 's'}"


@dataclass(frozen=True)
class Search:
    """What is looked for; every member comes from the URL."""

    query: str = ""
    stage: Stage | None = None
    ca: int | None = None
    template: int | None = None
    cause: str = ""
    """The beginning of the last error of what failed, or `NO_CAUSE`."""
    older: Span | None = None
    """Open, and asked for before so much time."""
    ended: Span | Days | None = None
    """Ended within so much time, or on named days."""
    demonstration: bool | None = None
    """Of the demonstration fleet, or of the orchestrators outside it."""

    @property
    def is_narrowed(self) -> bool:
        return self != Search()

    @property
    def is_open(self) -> bool:
        """Only what has not ended can match."""
        return self.stage in _OPEN_STAGES or (self.stage is None and self.older is not None)

    @property
    def is_of_failed(self) -> bool:
        """What is listed is all that failed."""
        asks_why = self.stage is None and bool(self.cause) and not self.is_open
        return self.stage is Stage.FAILED or asks_why


_FLEETS = {"real": False, "demonstration": True}


def search_from(given: Mapping[str, str]) -> Search:
    """Return the search of a query's parameters. Raises FilterInvalid for a value of no meaning."""
    fleet = text_of(given, "fleet", 20)
    if fleet and fleet not in _FLEETS:
        raise FilterInvalid("A fleet is real or demonstration.")
    return Search(
        query=text_of(given, "q", 200),
        stage=member_of(given, "state", Stage),
        ca=_number_in(given, "ca"),
        template=_number_in(given, "template"),
        cause=_cause_in(given),
        older=_span_in(given, "older"),
        ended=_end_in(given, "ended"),
        demonstration=_FLEETS.get(fleet),
    )


def query_of(search: Search) -> str:
    """Return the canonical query of a search."""
    belongs = {value: name for name, value in _FLEETS.items()}
    parts = (
        ("q", search.query),
        ("state", search.stage),
        ("ca", search.ca),
        ("template", search.template),
        ("cause", search.cause),
        ("older", search.older),
        ("ended", search.ended),
        ("fleet", belongs.get(search.demonstration) if search.demonstration is not None else ""),
    )
    return urlencode([(name, str(value)) for name, value in parts if value not in (None, "")])


@dataclass(frozen=True)
class Found:
    """One page of what a search found."""

    slice: Slice[Enrollment]
    is_cut: bool
    """More than `MOST_FOUND` orchestrators begin like this; the rest is not shown."""


_UNREAD = (
    *("csr_der", "subject_der", "sans", "extended_key_usages"),
    *all_but("orchestrator", Orchestrator, "client_machine"),
    *all_but("authority", CertificateAuthority, "name", "enabled", "resume_at"),
    *all_but("template", Template, "name"),
    *all_but("certificate", Certificate, "thumbprint"),
)


def page(search: Search, *, reach: Reach, now: datetime, cursor: str = "") -> Found:
    """Return one page of the enrollments within the reach that a search finds."""
    rows = within(
        Enrollment.objects.select_related("orchestrator", "authority", "template", "certificate"),
        reach,
        by="orchestrator",
    ).defer(*_UNREAD)
    is_cut = False
    if search.query:
        ids, is_cut = _found_by(search.query, reach)
        # Looked up by whose they are, and first: in the list's order the planner would walk it.
        own = Enrollment.objects.filter(orchestrator__in=ids).order_by("orchestrator", "-id")
        keys = list(own.values_list("pk", flat=True)[: MOST_LISTED + 1])
        is_cut = is_cut or len(keys) > MOST_LISTED
        rows = rows.filter(pk__in=keys[:MOST_LISTED])
    rows = _narrowed(rows, search, now)
    return Found(cut(_segments(rows, search), cursor=cursor, size=PAGE_SIZE), is_cut)


def one(pk: int, *reaches: Reach) -> Enrollment | None:
    """Return an enrollment within the reaches, with what its page shows around it."""
    rows = Enrollment.objects.select_related(
        "orchestrator", "authority", "template", "certificate"
    ).defer("csr_der", "subject_der", "certificate__der")
    return within(rows.filter(pk=pk), *reaches, by="orchestrator").first() if pk < 2**63 else None


def _narrowed(rows: QuerySet[Enrollment], search: Search, now: datetime) -> QuerySet[Enrollment]:
    if search.ca is not None:
        rows = rows.filter(authority=search.ca)
    if search.template is not None:
        rows = rows.filter(template=search.template)
    if search.cause:
        said = "" if search.cause == NO_CAUSE else search.cause
        rows = rows.annotate(said=Left("last_error", CAUSE_LENGTH)).filter(said=said)
        if not search.is_of_failed:
            rows = rows.filter(state__in=sorted(FAILED_ENROLLMENT))
    if search.older is not None:
        rows = rows.filter(created_at__lte=now - search.older.length)
    if isinstance(search.ended, Days):
        rows = rows.filter(finished_at__gte=search.ended.begin, finished_at__lt=search.ended.end)
    elif search.ended is not None:
        rows = rows.filter(finished_at__gt=now - search.ended.length)
    if search.demonstration is not None:
        rows = rows.filter(orchestrator__demonstration=search.demonstration)
    return rows


_BY_AGE, _BY_END, _BY_NUMBER = ("created_at", "id"), ("-finished_at", "-id"), ("-id",)


def _segments(rows: QuerySet[Enrollment], search: Search) -> list[Segment[Enrollment]]:
    """Return the rows in an order that an index has, in parts that follow one another."""
    stage = search.stage
    if search.is_open:
        stage = stage or Stage.OPEN
        states = _STATES.get(stage) or (EnrollmentState(stage.value),)
        return [Segment(rows.filter(state=each), _BY_AGE) for each in states]
    ended = rows.filter(finished_at__isnull=False)
    if search.is_of_failed:
        # The only place where these say so: of a condition that is there twice the planner expects
        # so few rows that it reads all that failed for one cause.
        return [Segment(ended.filter(state__in=sorted(FAILED_ENROLLMENT)), _BY_END)]
    if stage is not None:
        return [Segment(ended.filter(state=stage.value), _BY_END)]
    if search.ended is not None:
        return [Segment(ended.filter(state=each), _BY_END) for each in _ENDED]
    return [Segment(rows, _BY_NUMBER)]


def _found_by(query: str, reach: Reach) -> tuple[set[UUID], bool]:
    """Return the orchestrators whose name begins so, or with this id, within the reach."""
    known = within(Orchestrator.objects.all(), reach)
    begins = known.filter(name_key__startswith=canonical(query)).order_by("name_key")
    found = set(begins.values_list("pk", flat=True)[: MOST_FOUND + 1])
    is_cut = len(found) > MOST_FOUND
    if (agent_id := parse_agent_id(query.strip())) is not None:
        found |= set(known.filter(Q(pk=agent_id)).values_list("pk", flat=True))
    return found, is_cut


def _cause_in(given: Mapping[str, str]) -> str:
    """Return the text as it was sent: what it is compared with may end in a space."""
    text_of(given, "cause", CAUSE_LENGTH)
    return given.get("cause", "")[:CAUSE_LENGTH].replace("\x00", "")


def _number_in(given: Mapping[str, str], name: str) -> int | None:
    text = text_of(given, name, 19)
    if text and not (text.isascii() and text.isdigit()):
        raise FilterInvalid(f"{name!r} is a number.")
    return min(int(text), 2**63 - 1) if text else None


def _span_in(given: Mapping[str, str], name: str) -> Span | None:
    text = text_of(given, name, 8)
    if text and (span := _span_of(text)) is None:
        raise FilterInvalid(f"{name!r} is written as 15m, 24h or 7d.")
    return span if text else None


def _end_in(given: Mapping[str, str], name: str) -> Span | Days | None:
    text = text_of(given, name, 24)
    if not text or (span := _span_of(text)) is None:
        try:
            return days_of(text) if text else None
        except ValueError:
            raise FilterInvalid(
                f"{name!r} is written as 15m, 24h, 7d, 2026-12-01 or 2026-12-01..2026-12-07."
            ) from None
    return span


def _span_of(text: str) -> Span | None:
    found = re.fullmatch(r"(\d{1,5})([mhd])", text, re.ASCII)
    if found is None:
        return None
    span = Span(int(found[1]), found[2])
    return span if 0 < span.length.total_seconds() <= _MOST_SECONDS else None
