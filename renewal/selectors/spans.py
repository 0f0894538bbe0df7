"""Spans of time that a filter names: when certificates end, for how long nobody called.

Owns how they are written in a URL, their words, and the condition that each is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Q

from orchestrators.models import Status
from portal.days import Days, days_of
from renewal.rules.contact import silent_before
from renewal.rules.periods import whole_second

_LONGEST_DAYS = 3660
NEVER = "never"


@dataclass(frozen=True)
class Ends:
    """When the certificates in use end: within so many days from now, or on named days."""

    days: int = 0
    on: Days | None = None

    def __str__(self) -> str:
        return f"{self.days}d" if self.on is None else str(self.on)

    @property
    def words(self) -> str:
        if self.on is None:
            return f"within {self.days:,} day{'' if self.days == 1 else 's'}"
        return self.on.words

    @property
    def is_of_a_zone(self) -> bool:
        """Days were named, and not as those of UTC: they are of whoever named them."""
        return self.on is not None and not self.on.is_utc

    def condition(self, now: datetime) -> Q:
        """Return the filter: approved records whose certificate in use ends then."""
        return Q(status=Status.APPROVED) & self.of("certificate_not_after", now)

    def of(self, column: str, now: datetime) -> Q:
        """Return the filter for a column with the end."""
        if self.on is not None:
            return Q((f"{column}__gte", self.on.begin), (f"{column}__lt", self.on.end))
        begin = whole_second(now)
        end = begin + timedelta(days=self.days)
        return Q((f"{column}__gte", begin), (f"{column}__lte", end))


def ends_of(text: str) -> Ends | None:
    """Read ``30d`` or what `portal/days.py` reads; anything else is none."""
    if re.fullmatch(r"\d{1,4}d", text, re.ASCII):
        days = int(text[:-1])
        return Ends(days=days) if 0 < days <= _LONGEST_DAYS else None
    try:
        return Ends(on=days_of(text))
    except ValueError:
        return None


@dataclass(frozen=True)
class Silence:
    """For how many whole days (UTC) there was no contact; None: there never was one."""

    days: int | None = None

    def __str__(self) -> str:
        return NEVER if self.days is None else f"{self.days}d"

    @property
    def words(self) -> str:
        if self.days is None:
            return NEVER
        return f"not for {self.days:,} day{'' if self.days == 1 else 's'}"

    def begin(self, now: datetime) -> date | None:
        """Return the day before which the last contact lies (`rules/contact.py`)."""
        return None if self.days is None else silent_before(timedelta(days=self.days), now)

    def condition(self, now: datetime) -> Q:
        before = self.begin(now)
        return Q(seen_on__isnull=True) if before is None else Q(seen_on__lt=before)


def silence_of(text: str) -> Silence | None:
    """Read ``30d``, ``30``, ``30 days`` or ``never``; anything else is none."""
    if text.lower() == NEVER:
        return Silence()
    if found := re.fullmatch(r"(\d{1,4}) ?(d|days?)?", text, re.ASCII | re.IGNORECASE):
        days = int(found[1])
        return Silence(days) if 0 < days <= _LONGEST_DAYS else None
    return None
