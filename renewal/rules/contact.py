"""Who has not called for how long. PURE.

Owns the one rule behind "not seen for so many days" and "offline". It counts whole days of UTC: an
index can have the day of the last contact, as each contact of a day writes the same.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from orchestrators.contact_day import day_of

_LEAST_OFFLINE = timedelta(days=1)


def silent_before(after: timedelta, now: datetime) -> date:
    """Return the day before which the last contact of one lies that is silent for ``after``.

    Whole days count: who called on the day at which ``after`` reaches back is not silent yet.
    """
    return day_of(now - after)


def is_silent(seen_on: date | None, after: timedelta, now: datetime) -> bool:
    """Say whether the last contact lies so far back; who never called is not silent, but new."""
    return seen_on is not None and seen_on < silent_before(after, now)


def offline_after(session: timedelta) -> timedelta:
    """Return after how long an approved orchestrator is offline, if sessions last ``session``.

    It registers at least once in a session's length: by the second one it should have. At least a
    day, so that nobody who calls is offline at midnight.
    """
    return max(2 * session, _LEAST_OFFLINE)
