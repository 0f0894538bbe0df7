"""When a certificate is in its warning or expiry period. PURE.

Owns the comparison of a certificate's dates with the two periods, and the clamp that keeps
short-lived certificates from renewing at every session. Does not know who presents it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum


class Level(IntEnum):
    """How urgent a renewal is; the flag (0 none, 1 Request, 2 Require) has the same scale."""

    NONE = 0
    WARNING = 1
    EXPIRY = 2


@dataclass(frozen=True)
class Periods:
    """The two periods and their clamp (at most lifetime / divisor), and when silence counts."""

    warning: timedelta = timedelta(days=180)
    expiry: timedelta = timedelta(days=30)
    warning_divisor: int = 2
    expiry_divisor: int = 12
    offline_after: timedelta = timedelta(days=2)
    """Without contact (`contact.py`)."""

    def warning_for(self, lifetime: timedelta) -> timedelta:
        """Return the warning period of a certificate that lives ``lifetime``."""
        return min(self.warning, lifetime / self.warning_divisor)

    def expiry_for(self, lifetime: timedelta) -> timedelta:
        """Return the expiry period; never longer than the warning period."""
        return min(self.expiry, lifetime / self.expiry_divisor, self.warning_for(lifetime))

    def warning_from(self, counted_from: datetime, not_after: datetime) -> datetime:
        """Return when the warning period of such a certificate begins; the moment belongs to it."""
        return not_after - self.warning_for(not_after - counted_from)

    def expiry_from(self, counted_from: datetime, not_after: datetime) -> datetime:
        """Return when the expiry period begins, likewise."""
        return not_after - self.expiry_for(not_after - counted_from)


def whole_second(moment: datetime) -> datetime:
    """Return ``moment`` without its fraction: X.509 dates have none (RFC 5280 §4.1.2.5)."""
    return moment.replace(microsecond=0)


def window(
    periods: Periods, *, counted_from: datetime, not_after: datetime, now: datetime
) -> Level:
    """Return the period that a certificate is in (S11, S12, S13 in docs/promises.md).

    ``counted_from`` begins the lifetime: the moment of issue for a certificate enrolled through
    this portal (CAs backdate notBefore), else notBefore. Bounds are inclusive.
    """
    moment = whole_second(now)
    if not_after <= counted_from or moment >= periods.expiry_from(counted_from, not_after):
        return Level.EXPIRY
    if moment >= periods.warning_from(counted_from, not_after):
        return Level.WARNING
    return Level.NONE


def is_valid(*, not_before: datetime, not_after: datetime, now: datetime) -> bool:
    """Say whether ``now`` lies in the validity; notAfter itself is still valid."""
    return not_before <= whole_second(now) <= not_after


def days_left(not_after: datetime, now: datetime) -> int:
    """Return the whole days left, rounded down; negative once expired."""
    return (not_after - now) // timedelta(days=1)


def session_length(
    *, setting: timedelta, heartbeat: timedelta, not_after: datetime, now: datetime
) -> timedelta:
    """Return how long a session granted now lasts.

    At most a quarter of what the presented certificate has left, so that a short-lived one is
    looked at again in time, and at least two heartbeats.
    """
    return max(min(setting, (not_after - now) / 4), 2 * heartbeat)


def stuck_after(setting: timedelta) -> timedelta:
    """Return after how long an orchestrator that has not come by is stuck.

    It registers at least once in a session's length (``setting``): by the second one it should
    have.
    """
    return 2 * setting
