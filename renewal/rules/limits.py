"""How often a CA may be asked for one orchestrator. PURE.

Owns the bounds that keep a broken orchestrator from flooding a CA, and the back-off for clients
that drop their key while a CA is slower than the portal may hold a request. The same key again
is never limited: it gets the same certificate and costs no CA call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

CALLS_PER_DAY = 5
LONGEST_QUEUE = timedelta(seconds=10)
"""A request that stood in line for longer says that the portal has more than it can do."""
_DAY = timedelta(days=1)
_LATE_FIRST = timedelta(minutes=15)
_LATE_MOST = timedelta(hours=6)


@dataclass(frozen=True)
class History:
    """What has been asked and delivered for one orchestrator of one generation."""

    in_flight: bool = False
    """Another request of this orchestrator is with the CA."""
    calls: tuple[datetime, ...] = ()
    """Moments of the CA calls of the last 24 hours, oldest first."""
    unproven_deliveries: tuple[datetime, ...] = ()
    """Deliveries of the certificates that are issued or overtaken, oldest first."""
    late_in_a_row: int = 0
    """Certificates in a row that came too late to be handed over, none used since."""
    last_late_at: datetime | None = None


@dataclass(frozen=True)
class Limited:
    """Why no CA is asked now, and until when (None: until the one in flight ends)."""

    reason: str
    """A sentence without its full stop."""
    until: datetime | None

    @property
    def sentence(self) -> str:
        """The same to the orchestrator and on its page."""
        when = f"; ask again after {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        return f"{self.reason}{when}."


def limit(history: History, *, now: datetime, unused_grace: timedelta) -> Limited | None:
    """Return what forbids a CA call now, or None.

    At most one call in flight and five in 24 hours; a third unproven certificate not before
    ``unused_grace`` after the second was delivered; after late deliveries 15 minutes, doubling to
    6 hours.
    """
    if history.in_flight:
        return Limited("An earlier request of this orchestrator is still with the CA", None)
    calls = [c for c in history.calls if c > now - _DAY]
    if len(calls) >= CALLS_PER_DAY:
        return Limited(
            f"{len(calls)} certificates were asked for in 24 hours", calls[-CALLS_PER_DAY] + _DAY
        )
    if len(history.unproven_deliveries) >= 2:
        until = history.unproven_deliveries[-1] + unused_grace
        if now < until:
            return Limited("Two certificates were delivered and not used yet", until)
    if history.late_in_a_row and history.last_late_at is not None:
        until = history.last_late_at + late_delay(history.late_in_a_row)
        if now < until:
            return Limited("The CA is slower than the portal may hold a request", until)
    return None


def newcomers_of_one_source(limit_per_hour: int) -> int:
    """Return how many New records one credential, or one address without any, may make in an hour:
    half of what the portal takes, so that others still come in.
    """
    return max(1, limit_per_hour // 2)


def is_overloaded(queued: timedelta) -> bool:
    """Say whether a Register is to come again later, by how long it stood in line."""
    return queued > LONGEST_QUEUE


def late_delay(late_in_a_row: int) -> timedelta:
    """Return the wait after that many late deliveries in a row."""
    return min(_LATE_FIRST * (1 << min(late_in_a_row - 1, 10)), _LATE_MOST)
