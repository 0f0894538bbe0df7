"""Enrollments that nobody works on: lost messages, workers that did not come back, old age.

Owns finding them, and giving up what is older than its time limit. Asks no CA; what a worker writes
is `work.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from django.db import InterfaceError, OperationalError, transaction

from renewal import issuers, leases
from renewal.enrollment.work import audit, end_row, open_rows
from renewal.models import Enrollment
from renewal.rules.lifecycle import EnrollmentEvent, EnrollmentState, next_enrollment
from renewal.rules.retry import TIME_LIMITS

log = logging.getLogger(__name__)


def sweep(*, now: datetime, limit: int = 500) -> Sequence[tuple[int, bool]]:
    """Find what was lost; return (id, whether its CA answers at once) of the rows that are due.

    Leases that ran out become "outcome unknown"; old ones are given up. Asks no CA.
    """
    expired = Enrollment.objects.filter(leases.ended(), state=EnrollmentState.SUBMITTED)
    one_by_one(_lose, expired.select_related("authority")[:limit], now)
    _expire(now)
    return [
        (row.pk, issuers.answers_at_once(row.authority))
        for row in open_rows(EnrollmentState.WAITING, now=now)[:limit]
    ]


def one_by_one(
    act: Callable[[Enrollment, datetime], None], rows: Iterable[Enrollment], now: datetime
) -> None:
    """Act on each row; one that cannot be worked does not keep the others from their turn."""
    for row in rows:
        try:
            act(row, now)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("enrollment %s: the sweep failed", row.pk)


def _lose(row: Enrollment, now: datetime) -> None:
    end_row(row, EnrollmentEvent.LOSE, now=now, error="the worker did not come back")
    # A call that may be repeated need not wait for the next look.
    Enrollment.objects.filter(pk=row.pk, state=EnrollmentState.UNKNOWN).update(next_attempt_at=now)


def _expire(now: datetime, limit: int = 500) -> None:
    """Give up what is older than its time limit, each row with its audit row."""
    for state, longest in TIME_LIMITS.items():
        old = Enrollment.objects.filter(state=state, created_at__lt=now - longest)
        for row in old.select_related("authority")[:limit]:
            with transaction.atomic():
                ended = Enrollment.objects.filter(pk=row.pk, state=state).update(
                    state=next_enrollment(state, EnrollmentEvent.EXPIRE), finished_at=now
                )
                if ended:
                    audit(row, "enrollment_expired", row.last_error)
