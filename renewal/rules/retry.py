"""When a failed CA call is tried again. PURE.

Owns back-off and jitter. Jitter is a hash of the row's identity, so that it is stable, testable
and spreads the fleet.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from renewal.rules.lifecycle import EnrollmentState

_FIRST = timedelta(seconds=10)
_MOST = timedelta(hours=1)

ENROLLMENT_TIME_LIMIT = timedelta(hours=24)
"""An enrollment that no CA answered by then is given up; the orchestrator asks anew."""

PENDING_TIME_LIMIT = timedelta(days=7)
"""A CA's own approval may take that long."""

TIME_LIMITS = {
    EnrollmentState.WAITING: ENROLLMENT_TIME_LIMIT,
    EnrollmentState.UNKNOWN: PENDING_TIME_LIMIT,
    EnrollmentState.PENDING: PENDING_TIME_LIMIT,
}
"""How old an open enrollment gets at most; a submitted one ends with its worker's lease."""


def jitter(identity: str) -> float:
    """Return a number in [0, 1) that is always the same for ``identity``."""
    digest = hashlib.sha256(identity.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def retry_delay(attempts: int, identity: str, *, at_least: timedelta | None = None) -> timedelta:
    """Return the wait after ``attempts`` failed attempts: 10 s doubling to 1 h, half of it jitter.

    ``at_least`` is the CA's own Retry-After.
    """
    full = min(_FIRST * (1 << min(max(attempts, 1) - 1, 20)), _MOST)
    delay = full / 2 + full / 2 * jitter(f"{identity}:{attempts}")
    return max(delay, at_least or timedelta(0))
