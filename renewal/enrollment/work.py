"""What workers do: claim intents by lease, ask the CA, verify, write.

Owns the state changes of an `Enrollment` that a worker makes; what no worker came back for is
`sweeping.py`'s. No transaction is open during a CA
call; each write is a compare-and-swap on state and lease holder, so two workers on one row, a
message delivered twice and a worker that died are all harmless.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q

from orchestrators.models import Orchestrator
from portal.audit.models import Category
from portal.audit.trail import PORTAL, record
from renewal import dispatch, issuers, leases, room
from renewal.ca.base import (
    CABackend,
    CAMisconfigured,
    CARejected,
    CAUnavailable,
    Issued,
    IssueRequest,
    Pending,
)
from renewal.enrollment import delivery
from renewal.models import CertificateAuthority, Enrollment
from renewal.rules.lifecycle import (
    OPEN_ENROLLMENT,
    EnrollmentEvent,
    EnrollmentState,
    next_enrollment,
)
from renewal.rules.retry import retry_delay
from renewal.x509.names import SanKind

log = logging.getLogger(__name__)

BATCH = 64
BATCH_LEASE = timedelta(seconds=15)
"""Longer than a batch of a CA that answers at once takes."""
CALL_LEASE = timedelta(minutes=5)
"""Longer than the longest CA call (its time limit)."""
_PATIENCE_SECONDS = 60.0
"""For a database that fails over; well within the lease of a call."""
_PAUSE_SECONDS = 0.5
_TOLD = {
    EnrollmentState.REFUSED: "enrollment_refused",
    EnrollmentState.UNKNOWN: "enrollment_unknown",
    EnrollmentState.DISCARDED: "enrollment_dropped",
}
"""What an end without a certificate is in the audit log; a deferred call is no event."""
_BREAKER_AFTER = 3
_BREAKER_PAUSE = timedelta(minutes=1)


def drain(*, now: datetime) -> int:
    """Enrol everything that waits for CAs that answer at once; return how many rows were worked.

    The body of the drain task.
    """
    dispatch.drain_started()
    worked = 0
    prompt = [
        authority.pk
        for authority in CertificateAuthority.objects.all()
        if issuers.answers_at_once(authority)
    ]
    while rows := claim(Q(authority__in=prompt), now=now, limit=BATCH, lease=BATCH_LEASE):
        for row in rows:
            run(row, now=now)
        worked += len(rows)
    return worked


def enroll_one(enrollment_id: int, *, now: datetime) -> bool:
    """Enrol one row with its CA; False if it is not there to be claimed (done, leased, later) or
    its CA has as many calls in flight as it may: then the end of one of them leads to the next.
    """
    authority_id = (
        Enrollment.objects.filter(pk=enrollment_id).values_list("authority", flat=True).first()
    )
    if authority_id is None:
        return False
    with transaction.atomic():
        if not room.has_room(authority_id):
            return False
        rows = claim(Q(pk=enrollment_id), now=now, limit=1, lease=CALL_LEASE)
    for row in rows:
        run(row, now=now)
        _next_of(row.authority, now=now)
    return bool(rows)


def _next_of(authority: CertificateAuthority, *, now: datetime) -> None:
    """Go on with what waited for room at a CA that takes its time."""
    if issuers.answers_at_once(authority):
        return
    waiting = open_rows(EnrollmentState.WAITING, now=now).filter(authority=authority)
    if following := waiting.values_list("pk", flat=True).first():
        dispatch.enroll(following)


def claim(which: Q, *, now: datetime, limit: int, lease: timedelta) -> list[Enrollment]:
    """Claim waiting rows that are due, oldest first, and commit the lease (database's clock)."""
    holder = uuid.uuid4().hex
    with transaction.atomic():
        due = Enrollment.objects.filter(
            which,
            Q(authority__resume_at=None) | Q(authority__resume_at__lte=now),
            state=EnrollmentState.WAITING,
            next_attempt_at__lte=now,
            authority__enabled=True,
        ).order_by("next_attempt_at", "pk")
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True, of=("self",))
        keys = list(due.values_list("pk", flat=True)[:limit])
        if not keys:
            return []
        Enrollment.objects.filter(pk__in=keys, state=EnrollmentState.WAITING).update(
            state=next_enrollment(EnrollmentState.WAITING, EnrollmentEvent.CLAIM),
            lease_until=leases.lasting(lease),
            lease_holder=holder,
            called_at=now,
            attempts=F("attempts") + 1,
        )
    return list(
        Enrollment.objects.filter(lease_holder=holder, state=EnrollmentState.SUBMITTED)
        .select_related("authority", "template")
        .order_by("pk")
    )


def request_of(row: Enrollment) -> IssueRequest:
    """Return the CA's request; the same for every attempt of the row."""
    from cryptography.x509 import load_der_x509_csr

    spki = delivery.spki_der(load_der_x509_csr(bytes(row.csr_der)).public_key())
    return IssueRequest(
        request_id=f"enrollment-{row.pk}-{row.serial_number}",
        csr_der=bytes(row.csr_der),
        spki_der=spki,
        subject_der=bytes(row.subject_der),
        sans=tuple((SanKind(kind), value) for kind, value in row.sans),
        serial_number=int(row.serial_number, 16),
        not_before=row.not_before,
        not_after=row.not_after,
        eku=tuple(row.extended_key_usages),
        template=row.template.name,
    )


def run(row: Enrollment, *, now: datetime) -> None:
    """Ask the CA for a claimed row and write what came of it. Never raises for a CA's fault."""
    try:
        backend = issuers.backend(row.authority)
        request = request_of(row)
    except Exception as error:
        # Nothing was sent yet, whatever a CA type of the deployment raises.
        log.warning("enrollment %s: its CA cannot be used: %s", row.pk, error)
        end_row(row, EnrollmentEvent.DEFER, now=now, error=str(error), broken=True)
        return
    _written(_asked(row, request, backend, now=now))


def _asked(
    row: Enrollment, request: IssueRequest, backend: CABackend, *, now: datetime
) -> Callable[[], None]:
    """Ask the CA, once; return what writes its outcome."""
    end = partial(end_row, row, now=now)
    started = time.monotonic()
    try:
        result = backend.issue(request)
    except CAUnavailable as error:
        return partial(
            end,
            EnrollmentEvent.DEFER,
            error=str(error),
            broken=True,
            at_least=error.retry_after,
        )
    except CARejected as error:
        return partial(end, EnrollmentEvent.REFUSE, error=error.reason)
    except CAMisconfigured as error:
        return partial(end, EnrollmentEvent.DEFER, error=error.reason, broken=True)
    except (Exception, SystemExit) as error:
        # Bytes may have been sent: whether a certificate exists is not known (F1, F11).
        log.exception("enrollment %s: the CA's outcome is unknown", row.pk)
        return partial(end, EnrollmentEvent.LOSE, error=type(error).__name__)
    seconds = time.monotonic() - started
    return partial(_answered, row, request, result, seconds=seconds, now=now)


def _written(write: Callable[[], None]) -> None:
    """Write a CA's outcome, which may be a certificate's only trace, even if the database is away
    for a moment. Writing twice is harmless: each write looks at the row first.
    """
    patience_ends = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            write()
            return
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() > patience_ends:
                raise
            log.warning("the database does not take a CA's answer; trying again")
        connection.close()
        time.sleep(_PAUSE_SECONDS)


def _answered(
    row: Enrollment,
    request: IssueRequest,
    result: Issued | Pending,
    *,
    seconds: float,
    now: datetime,
) -> None:
    CertificateAuthority.objects.filter(pk=row.authority_id).update(
        failures_in_a_row=0, resume_at=None, last_error="", last_answer_seconds=round(seconds, 3)
    )
    if isinstance(result, Pending):
        end_row(
            row,
            EnrollmentEvent.PEND,
            now=now,
            error="the CA answers later",
            at_least=result.retry_after,
            reference=result.reference,
        )
        return
    delivery.accept(row, request, result, now=now)


def end_row(
    row: Enrollment,
    event: EnrollmentEvent,
    *,
    now: datetime,
    error: str,
    broken: bool = False,
    at_least: timedelta | None = None,
    reference: str = "",
) -> None:
    """Write a result that is no certificate, if the row is still this worker's."""
    after = next_enrollment(EnrollmentState(row.state), event)
    fields: dict[str, Any] = {
        "state": after,
        "lease_until": None,
        "last_error": error[:1000],
        "next_attempt_at": now
        + retry_delay(row.attempts, f"enrollment:{row.pk}", at_least=at_least),
    }
    if reference:
        fields["ca_reference"] = reference[:200]
    if after not in OPEN_ENROLLMENT:
        fields["finished_at"] = now
    if event is EnrollmentEvent.DEFER:
        # Certainly nothing was issued: it must not count against the orchestrator (I7, I18).
        fields["called_at"] = None
    with transaction.atomic():
        if event is EnrollmentEvent.DEFER and _is_fenced(row):
            # Certainly nothing was issued, and nobody wants it any more.
            after = next_enrollment(EnrollmentState(row.state), EnrollmentEvent.DISCARD)
            fields |= {"state": after, "finished_at": now}
        changed = Enrollment.objects.filter(
            pk=row.pk, state=row.state, lease_holder=row.lease_holder
        ).update(**fields)
        if not changed:
            return
        if broken:
            _note_failure(row.authority, error, now=now)
        if action := _TOLD.get(after):
            audit(row, action, error)
    dispatch.announce(row.serial_number)


def _is_fenced(row: Enrollment) -> bool:
    """Say whether the record was reset, disapproved or deleted since; locks it."""
    if row.orchestrator_id is None:
        return not row.for_operator
    generation = (
        Orchestrator.objects.select_for_update()
        .filter(pk=row.orchestrator_id)
        .values_list("generation", flat=True)
        .first()
    )
    return generation != row.generation


def _note_failure(authority: CertificateAuthority, error: str, *, now: datetime) -> None:
    """Count a CA's failures; after three in a row it is asked once a minute at most (I18)."""
    CertificateAuthority.objects.filter(pk=authority.pk).update(
        failures_in_a_row=F("failures_in_a_row") + 1, last_error=error[:500]
    )
    CertificateAuthority.objects.filter(
        pk=authority.pk, failures_in_a_row__gte=_BREAKER_AFTER
    ).update(resume_at=now + _BREAKER_PAUSE)


def open_rows(state: EnrollmentState, *, now: datetime) -> Any:
    return (
        Enrollment.objects.filter(state=state, next_attempt_at__lte=now, authority__enabled=True)
        .filter(Q(authority__resume_at=None) | Q(authority__resume_at__lte=now))
        .select_related("authority", "template")
        .order_by("next_attempt_at", "pk")
    )


def audit(row: Enrollment, action: str, error: str) -> None:
    """Tell the end of an enrollment without a certificate."""
    record(
        PORTAL,
        Category.ENROLLMENT,
        action,
        object_type="enrollment",
        object_id=row.pk,
        orchestrator_id=row.orchestrator_id,
        after={"authority": row.authority.name, "error": error[:500]},
    )
