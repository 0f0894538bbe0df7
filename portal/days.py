"""Days as a person names them: whose they are, and the moments between which they lie.

Owns the one rule of every filter by days. A day is one of the visitor, in the zone in which the
pages show times (Django's current zone, which `portal/pages/gate.py` sets; elsewhere UTC), and
``2026-12-01Z`` is a day of UTC, whoever reads it. A day begins with its first moment and ends
before the next one's first: where the clocks change it has 23 or 25 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from django.utils import timezone

_OF_UTC = "Z"


@dataclass(frozen=True)
class Days:
    """The days ``first`` to ``last`` of one zone; `days_of` reads them."""

    first: date
    last: date
    zone: tzinfo = UTC
    """Kept with them: who reads the filter late, as an export does, means the same moments."""
    is_utc: bool = False
    """UTC was asked for by name, not because the visitor lives by it."""

    @property
    def begin(self) -> datetime:
        """The first moment, in UTC."""
        return _midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after the last day, in UTC."""
        return _midnight(self.last + timedelta(days=1), self.zone)

    @property
    def words(self) -> str:
        zone = " UTC" if self.is_utc else ""
        if self.first == self.last:
            return f"on {self.first}{zone}"
        return f"{self.first} to {self.last}{zone}"

    def __str__(self) -> str:
        mark = _OF_UTC if self.is_utc else ""
        return f"{self.first}{'' if self.first == self.last else f'..{self.last}'}{mark}"


def days_of(text: str) -> Days:
    """Read ``2026-12-01`` or ``2026-12-01..2026-12-07``, with ``Z`` behind it for days of UTC.

    Raises ValueError.
    """
    is_utc = text.endswith(_OF_UTC)
    first, dots, last = text.removesuffix(_OF_UTC).partition("..")
    begin = date.fromisoformat(first)
    zone = UTC if is_utc else timezone.get_current_timezone()
    days = Days(begin, date.fromisoformat(last) if dots else begin, zone, is_utc)
    try:
        if days.begin >= days.end:
            raise ValueError(f"{text!r} ends before it begins.")
    except OverflowError:
        raise ValueError(f"{text!r} is out of the calendar.") from None
    return days


def zone_name() -> str:
    """Return the name of the zone in which a day is read now, to be stored beside a filter."""
    return timezone.get_current_timezone_name()


def utc_day(day: date, last: date | None = None) -> Days:
    """Return a day of UTC, or the days to another, as what counts the whole fleet knows them."""
    return Days(day, last or day, UTC, is_utc=True)


def _midnight(day: date, zone: tzinfo) -> datetime:
    # An hour that the clocks skip is read with the offset before (PEP 495, fold=0): the moment of
    # the change. Of one that comes twice it is the first.
    return datetime.combine(day, time(), zone).astimezone(UTC)
