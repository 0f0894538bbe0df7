"""Requests that a CA owes an answer for: looked for where the outcome is unknown, polled where it
answers later.

Owns these questions to a CA. What comes of an answer is `delivery`'s; every other state change is
`work`'s.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import F, Q

from renewal import issuers, room
from renewal.ca.base import (
    CAError,
    CARejected,
    FindsIssued,
    Pending,
    PollsPending,
    RepeatsIdentically,
)
from renewal.enrollment import delivery
from renewal.enrollment.sweeping import one_by_one
from renewal.enrollment.work import end_row, open_rows, request_of
from renewal.models import Enrollment
from renewal.rules.lifecycle import IN_FLIGHT, EnrollmentEvent, EnrollmentState
from renewal.rules.retry import retry_delay

log = logging.getLogger(__name__)


def to_be_asked(*, now: datetime) -> list[int]:
    """Return the CAs that have to be asked about unknown or pending requests.

    A disabled one is asked for nothing (docs/ca-backends.md).
    """
    due = Q(state__in=[EnrollmentState.UNKNOWN, EnrollmentState.PENDING], next_attempt_at__lte=now)
    rows = Enrollment.objects.filter(due, authority__enabled=True).filter(
        Q(authority__resume_at=None) | Q(authority__resume_at__lte=now)
    )
    return sorted(set(rows.order_by().values_list("authority", flat=True).distinct()))


def ask(authority_id: int, *, now: datetime, limit: int = 500) -> None:
    """Look for a CA's unknown requests, if it can, and poll its pending ones.

    One after the other and by one worker at a time: a CA that hangs holds one thread.
    """
    with room.asking(authority_id) as is_mine:
        if not is_mine:
            return
        for state, act in ((EnrollmentState.UNKNOWN, _look_for), (EnrollmentState.PENDING, _poll)):
            rows = open_rows(state, now=now).filter(authority=authority_id)
            one_by_one(act, rows[:limit], now)


def _look_for(row: Enrollment, now: datetime) -> None:
    """Ask a CA that can what became of a lost request; adopt, ask again, or leave it visible."""
    try:
        backend = issuers.backend(row.authority)
        request = request_of(row)
        if isinstance(backend, RepeatsIdentically):
            found = None
        elif isinstance(backend, FindsIssued):
            found = backend.find(request)
        else:
            _later(row, now=now)
            return
    except Exception as error:
        log.warning("enrollment %s: cannot be looked for: %s", row.pk, error)
        _later(row, now=now)
        return
    if found is not None:
        delivery.accept(row, request, found, now=now)
    elif _has_open_sibling(row):
        # One open enrollment for a record: the lost one is asked again when the newer has ended.
        _later(row, now=now)
    else:
        end_row(row, EnrollmentEvent.RESUBMIT, now=now, error="the CA is asked again")
        Enrollment.objects.filter(pk=row.pk, state=EnrollmentState.WAITING).update(
            next_attempt_at=now
        )


def _has_open_sibling(row: Enrollment) -> bool:
    return (
        row.orchestrator_id is not None
        and Enrollment.objects.filter(
            orchestrator=row.orchestrator_id,
            generation=row.generation,
            state__in=[EnrollmentState.WAITING, *IN_FLIGHT],
        ).exists()
    )


def _poll(row: Enrollment, now: datetime) -> None:
    try:
        backend = issuers.backend(row.authority)
        if not isinstance(backend, PollsPending):
            _later(row, now=now)
            return
        request = request_of(row)
        result = backend.poll(row.ca_reference)
    except CARejected as error:
        end_row(row, EnrollmentEvent.REFUSE, now=now, error=error.reason)
        return
    except CAError as error:
        log.info("enrollment %s: cannot be polled: %s", row.pk, error)
        _later(row, now=now)
        return
    except Exception as error:
        log.warning("enrollment %s: cannot be polled: %s", row.pk, error)
        _later(row, now=now)
        return
    if isinstance(result, Pending):
        _later(row, now=now, at_least=result.retry_after)
    else:
        delivery.accept(row, request, result, now=now)


def _later(row: Enrollment, *, now: datetime, at_least: timedelta | None = None) -> None:
    Enrollment.objects.filter(pk=row.pk, state=row.state).update(
        attempts=F("attempts") + 1,
        next_attempt_at=now
        + retry_delay(row.attempts + 1, f"enrollment:{row.pk}", at_least=at_least),
    )
