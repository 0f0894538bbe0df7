"""What comes on which day: certificates that end, and renewals that will be asked for. PURE.

Owns the arithmetic over lots of like certificates, so that a fleet of any size is foreseen from a
few thousand numbers, and with other periods than those in force. When a certificate is due is
`periods.py`'s. Days are those of UTC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum

from renewal.rules.periods import Level, Periods, window

_DAY = timedelta(days=1)


class Asked(IntEnum):
    """What a lot's orchestrators were asked for, whatever their certificates' age."""

    RENEWED = -1
    """A newer certificate is delivered already: no renewal is to come for this one."""
    NOTHING = 0
    REQUESTED = 1
    REQUIRED = 2


@dataclass(frozen=True)
class Lot:
    """So many certificates in use that end on one day, live equally long and have one issuer."""

    authority: int | None
    """The CA of this portal that issued them; None for any other."""
    ends_on: date
    lifetime: timedelta
    asked: Asked
    count: int


@dataclass(frozen=True)
class Due:
    """A lot, and the day from which the portal asks for its renewal."""

    lot: Lot
    day: date


@dataclass(frozen=True)
class Forecast:
    """What comes after today, by day, and what is due today already."""

    due_now: int
    must_now: int
    """Of those, the ones that get no session without a new certificate."""
    ends: Mapping[date, int]
    renewals: Mapping[date, int]

    def most(self, days: Iterable[date]) -> int:
        """Return the greatest number of renewals on one of the days."""
        return max((self.renewals.get(day, 0) for day in days), default=0)

    def days_above(self, days: Iterable[date], capacity: int) -> int:
        """Return on how many of the days more renewals fall due than can be made on one."""
        return sum(self.renewals.get(day, 0) > capacity for day in days)


def level_on(lot: Lot, periods: Periods, day: date) -> Level:
    """Return how urgent the lot's renewal is at the end of a day, as a Register is answered."""
    if lot.asked is Asked.RENEWED:
        return Level.NONE
    asked = Level(lot.asked)
    not_after = _end_of(lot.ends_on)
    found = window(
        periods, counted_from=not_after - lot.lifetime, not_after=not_after, now=_end_of(day)
    )
    return max(asked, found)


def due_on(lot: Lot, periods: Periods, today: date) -> date | None:
    """Return the first day, from today on, on which the portal asks for the lot's renewal."""
    if lot.asked is Asked.RENEWED:
        return None
    if lot.asked is not Asked.NOTHING or lot.lifetime <= timedelta(0):
        return today
    not_after = _end_of(lot.ends_on)
    return max(periods.warning_from(not_after - lot.lifetime, not_after).date(), today)


def forecast(lots: Iterable[Lot], periods: Periods, *, today: date) -> Forecast:
    """Return what comes."""
    ends: defaultdict[date, int] = defaultdict(int)
    renewals: defaultdict[date, int] = defaultdict(int)
    due_now = must_now = 0
    for lot in lots:
        ends[lot.ends_on] += lot.count
        day = due_on(lot, periods, today)
        if day is None:
            continue
        if day > today:
            renewals[day] += lot.count
            continue
        due_now += lot.count
        if level_on(lot, periods, today) is Level.EXPIRY:
            must_now += lot.count
    return Forecast(due_now, must_now, dict(ends), dict(renewals))


def dues(lots: Iterable[Lot], periods: Periods, *, day: date, today: date) -> list[Due]:
    """Return the lots whose renewal begins on a day, the greatest first."""
    found = [Due(lot, day) for lot in lots if due_on(lot, periods, today) == day]
    return sorted(found, key=lambda due: (-due.lot.count, due.lot.ends_on))


def days_from(first: date, count: int) -> list[date]:
    """Return so many days, one after the other."""
    return [first + number * _DAY for number in range(count)]


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), UTC)
