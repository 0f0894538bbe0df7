"""Counting the fleet behind the pages: which certificates end when, which keys, what was renewed.

Owns what is counted, who counts, and when again. A count reads every record, so no page waits for
one: a worker counts a reach at most a hundredth of the time (at least hourly), and pages read the
last result with its moment. Records of the demonstration fleet never count.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    JSONField,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import TruncDate

from orchestrators.models import Orchestrator, Status
from orchestrators.reach import within
from portal.access.reach import EVERYTHING, Reach
from portal.preferences import store
from renewal import dispatch
from renewal.configuration import periods
from renewal.models import Census, Certificate, Enrollment
from renewal.rules.forecast import Asked, Forecast, Lot, forecast
from renewal.rules.lifecycle import EnrollmentState
from renewal.rules.periods import Periods
from renewal.rules.standing import IN_USE
from renewal.selectors.certificate_counts import in_all
from renewal.selectors.certificates import Shown
from renewal.selectors.marks import Mark, marked
from renewal.selectors.spans import Ends
from renewal.selectors.states import RenewalState, having

EVERYTHING_KEY = "everything"
_OFFLINE = "offline"
UNABLE_WITHIN_DAYS = (30, 180)
DONE_DAYS = 30
"""How many days back finished renewals are counted."""
MOST_LOTS = 50_000
_SHORTEST = timedelta(seconds=45)
_GIVEN_UP_AFTER = timedelta(minutes=15)
"""A count that has not ended by then is begun again."""
_LONGEST = timedelta(hours=1)
_SHARE = 100
_WANTED_FOR = timedelta(days=1)
_KEPT_FOR = timedelta(days=30)
_HOUR = timedelta(hours=1)
_MOST_KEPT = 8


@dataclass(frozen=True)
class KeyKind:
    """So many certificates in use with keys of one kind."""

    algorithm: str
    size: int
    signature_hash: str
    count: int

    @property
    def name(self) -> str:
        return f"{self.algorithm} {self.size}" if self.size else self.algorithm or "unknown"


@dataclass(frozen=True)
class DoneOn:
    """Renewals of one day: certificates issued, and how many of them were used since."""

    day: date
    issued: int
    used: int


@dataclass(frozen=True)
class Picture:
    """What a census found."""

    counted_at: datetime
    lots: tuple[Lot, ...]
    keys: tuple[KeyKind, ...]
    done: tuple[DoneOn, ...]
    is_cut: bool
    """There are more kinds of certificates than are kept: the last days are left out."""
    states: Mapping[RenewalState, int]
    """Records of each state, with the periods that were in force."""
    unable: Mapping[int, int]
    """Days to the approved records whose certificate in use ends within them, and that cannot
    renew for want of a permission (`readiness.cannot_renew`)."""
    certificates: Mapping[Shown, int]
    """All certificates, by what their list shows."""
    offline: int | None
    """Approved records that bear the mark; None in a census of an earlier version."""
    _foreseen: dict[tuple[Periods, date], Forecast] = field(default_factory=dict, compare=False)

    def foreseen(self, known: Periods, *, today: date) -> Forecast:
        """Return what comes with these periods; the last answer is kept."""
        found = self._foreseen.get((known, today))
        if found is None:
            found = forecast(self.lots, known, today=today)
            self._foreseen.clear()
            self._foreseen[known, today] = found
        return found


class _Hours(Func):
    """A duration in whole hours."""

    output_field = IntegerField()
    template = "CAST(FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / 3600) AS integer)"

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # Durations are microseconds there.
        return super().as_sql(
            compiler, connection, template="(%(expressions)s / 3600000000)", **extra
        )


_KEPT: dict[tuple[str, datetime], Picture] = {}
"""The pictures that this process read last, by key and moment of their census."""


def latest(reach: Reach, *, now: datetime) -> Picture | None:
    """Return what the last census within the reach found; None before the first.

    Who asks for a reach that was never counted makes a worker count it.
    """
    key = key_of(reach)
    # What this process has read already does not come over again.
    # Taken at once: another thread may put in and drop pictures meanwhile.
    kept = {moment: one for (name, moment), one in list(_KEPT.items()) if name == key}
    wanted = Case(
        When(counted_at__in=list(kept), then=None), default=F("contents"), output_field=JSONField()
    )
    row = Census.objects.filter(key=key).defer("contents").annotate(wanted=wanted).first()
    if row is None:
        Census.objects.get_or_create(key=key, defaults={"limits": _limits(reach), "wanted_at": now})
        dispatch.census()
        return None
    if not reach.everything and row.wanted_at < now - _HOUR:
        Census.objects.filter(pk=row.pk).update(wanted_at=now)
    if row.counted_at is None:
        return None
    picture = kept.get(row.counted_at)
    if picture is None:
        picture = _KEPT[key, row.counted_at] = _picture(row.counted_at, row.wanted)
        for oldest in list(_KEPT)[:-_MOST_KEPT]:
            _KEPT.pop(oldest, None)
    return picture


@dataclass(frozen=True)
class Begun:
    """When a worker began to count everything last, and after what time it does so again."""

    at: datetime
    again_after: timedelta


def last_begun() -> Begun | None:
    """Return the last beginning; None before the first."""
    row = Census.objects.filter(key=EVERYTHING_KEY).defer("contents").first()
    if row is None or row.begun_at is None:
        return None
    return Begun(row.begun_at, _interval(row))


def take_due(*, now: datetime) -> int:
    """Count again what is due; return how many reaches were counted. Safe to run twice at once."""
    Census.objects.exclude(key=EVERYTHING_KEY).filter(wanted_at__lt=now - _KEPT_FOR).delete()
    Census.objects.get_or_create(key=EVERYTHING_KEY, defaults={"wanted_at": now})
    wanted = Q(key=EVERYTHING_KEY) | Q(wanted_at__gt=now - _WANTED_FOR)
    done = 0
    for row in Census.objects.filter(wanted).defer("contents").order_by("begun_at", "pk"):
        if row.begun_at is not None and row.begun_at + _interval(row) > now:
            continue
        claimed = Census.objects.filter(pk=row.pk, begun_at=row.begun_at).update(begun_at=now)
        if claimed:
            _take(row, now)
            done += 1
    return done


def _take(row: Census, now: datetime) -> None:
    clock = time.monotonic()
    contents = _count(_reach_of(row), now)
    Census.objects.filter(pk=row.pk, begun_at=now).update(
        contents=contents, counted_at=now, seconds=time.monotonic() - clock
    )


def _interval(row: Census) -> timedelta:
    if row.begun_at is not None and (row.counted_at is None or row.counted_at < row.begun_at):
        return _GIVEN_UP_AFTER
    return min(max(_SHORTEST, timedelta(seconds=_SHARE * row.seconds)), _LONGEST)


def _count(reach: Reach, now: datetime) -> dict[str, Any]:
    known = periods(store.load())
    real = Orchestrator.objects.filter(demonstration=False, status=Status.APPROVED)
    rows = within(real.filter(certificate_not_after__gte=now), reach).annotate(
        used=FilteredRelation(
            "certificates", condition=Q(certificates__standing__in=sorted(IN_USE))
        )
    )
    lots = list(_lots(rows)[: MOST_LOTS + 1])
    records = within(Orchestrator.objects.filter(demonstration=False), reach).aggregate(
        **{
            state.value: Count("pk", filter=having(state, known, now=now)) for state in RenewalState
        },
        **{_OFFLINE: Count("pk", filter=marked(Mark.OFFLINE, known, now=now))},
    )
    return {
        "lots": [[ca, str(day), hours, asked, n] for ca, day, hours, asked, n in lots[:MOST_LOTS]],
        "is_cut": len(lots) > MOST_LOTS,
        "keys": [list(kind) for kind in _keys(reach, now)],
        "done": [[str(day), issued, used] for day, issued, used in _done(reach, now)],
        "unable": _unable(reach, known, now),
        _OFFLINE: records.pop(_OFFLINE),
        "states": records,
        "certificates": in_all(reach=reach, now=now),
    }


def _lots(rows: QuerySet[Any]) -> Any:
    lifetime = ExpressionWrapper(
        F("certificate_not_after") - F("certificate_counted_from"), DurationField()
    )
    asked = Case(
        When(awaiting_first_use_since__isnull=False, then=Value(int(Asked.RENEWED))),
        default=F("flag"),
        output_field=IntegerField(),
    )
    return (
        rows.annotate(
            ends_on=TruncDate("certificate_not_after", tzinfo=UTC), hours=_Hours(lifetime), a=asked
        )
        .values_list("used__authority_id", "ends_on", "hours", "a")
        .annotate(number=Count("pk"))
        .order_by("ends_on", "hours", "a", "used__authority_id")
    )


def _keys(reach: Reach, now: datetime) -> Any:
    """What the list of the certificates in use shows, by kind: also those of a record that is not
    approved at present.
    """
    kinds = ("key_algorithm", "key_size", "signature_hash")
    in_use = Certificate.objects.filter(
        standing__in=sorted(IN_USE),
        not_after__gte=now,
        revoked_at=None,
        orchestrator__demonstration=False,
    )
    return (
        within(in_use, reach, by="orchestrator_id")
        .values_list(*kinds)
        .annotate(number=Count("pk"))
        .order_by("-number", *kinds)[:50]
    )


def _unable(reach: Reach, known: Periods, now: datetime) -> dict[str, int]:
    rows = within(Orchestrator.objects.filter(demonstration=False), reach)
    rows = rows.filter(marked(Mark.CANNOT_RENEW, known, now=now))
    # The names of columns begin with a letter.
    found = rows.aggregate(
        **{
            f"d{days}": Count("pk", filter=Ends(days=days).of("certificate_not_after", now))
            for days in UNABLE_WITHIN_DAYS
        }
    )
    return {name.removeprefix("d"): number for name, number in found.items()}


def _done(reach: Reach, now: datetime) -> Any:
    since = (now - timedelta(days=DONE_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    issued = Enrollment.objects.filter(
        state=EnrollmentState.ISSUED,
        finished_at__gte=since,
        orchestrator__isnull=False,
        orchestrator__demonstration=False,
    )
    return (
        within(issued, reach, by="orchestrator_id")
        .annotate(day=TruncDate("finished_at", tzinfo=UTC))
        .values_list("day")
        .annotate(
            issued=Count("pk"), used=Count("pk", filter=Q(certificate__proven_at__isnull=False))
        )
        .order_by("day")
    )


def _picture(counted_at: datetime, found: Mapping[str, Any]) -> Picture:
    return Picture(
        counted_at=counted_at,
        lots=tuple(
            Lot(ca, date.fromisoformat(day), timedelta(hours=hours or 0), Asked(asked), number)
            for ca, day, hours, asked, number in found["lots"]
        ),
        keys=tuple(KeyKind(*kind) for kind in found["keys"]),
        done=tuple(DoneOn(date.fromisoformat(day), *rest) for day, *rest in found["done"]),
        is_cut=found["is_cut"],
        unable={int(days): number for days, number in found.get("unable", {}).items()},
        states={RenewalState(name): number for name, number in found.get("states", {}).items()},
        offline=found.get(_OFFLINE),
        certificates={
            Shown(name): number for name, number in found.get("certificates", {}).items()
        },
    )


def key_of(reach: Reach) -> str:
    """Return the name of a reach's census."""
    if reach.everything:
        return EVERYTHING_KEY
    return hashlib.sha256(json.dumps(_limits(reach)).encode()).hexdigest()


def _limits(reach: Reach) -> dict[str, Any]:
    if reach.everything:
        return {}
    return {
        "groups": sorted(reach.groups),
        "labels": sorted([key, value] for key, value in reach.labels),
    }


def _reach_of(row: Census) -> Reach:
    if row.key == EVERYTHING_KEY:
        return EVERYTHING
    return Reach(
        groups=frozenset(row.limits["groups"]),
        labels=frozenset((key, value) for key, value in row.limits["labels"]),
    )
