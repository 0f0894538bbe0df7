"""What an operator does about an enrollment: have it tried now, or give it up.

Owns both acts, of one and of all that wait for a CA. Each is a compare-and-swap with its audit row
in the same transaction. Who may act is checked by the faces; what a CA may have is never given up:
its answer would be nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Q, QuerySet

from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal import dispatch, issuers, room
from renewal.identity.acting import ActRefused
from renewal.models import CertificateAuthority, Enrollment
from renewal.rules.lifecycle import (
    OPEN_ENROLLMENT,
    EnrollmentEvent,
    EnrollmentState,
    next_enrollment,
)

MOST_AT_ONCE = 10_000
"""Of a longer queue the oldest are tried now; the rest keeps its own times."""
_GONE_ON = "It has gone on meanwhile: look again."


def why_no_retry(row: Enrollment, *, now: datetime) -> str:
    """Return why an enrollment (read with its CA) cannot be tried now; empty if it can."""
    state = EnrollmentState(row.state)
    if state not in OPEN_ENROLLMENT:
        return "It has ended; only a new request of the orchestrator leads on."
    if state is EnrollmentState.SUBMITTED:
        return "A worker asks the CA at this moment."
    if not row.authority.enabled:
        return f"The CA {row.authority.name} is disabled."
    if row.next_attempt_at <= now:
        return "It is due already, and waits for a worker or for room at its CA."
    return ""


def why_not_given_up(row: Enrollment) -> str:
    """Return why an enrollment cannot be given up; empty if it can."""
    state = EnrollmentState(row.state)
    if state not in OPEN_ENROLLMENT:
        return "It has ended."
    if state is not EnrollmentState.WAITING:
        return "The CA may have it: what comes of it is for the CA to say."
    return ""


def retry_now(pk: int, *, actor: Actor, now: datetime, message: str = "") -> Enrollment:
    """Have an open enrollment tried, polled or looked for now instead of at its next time.

    A CA that is left alone after failures stays so until its own time. Raises ActRefused.
    """
    with transaction.atomic():
        row = _locked(pk)
        if why := why_no_retry(row, now=now):
            raise ActRefused("not_retried", why)
        state, before = EnrollmentState(row.state), row.next_attempt_at
        swapped = Enrollment.objects.filter(pk=pk, state=state, next_attempt_at=before).update(
            next_attempt_at=now
        )
        if not swapped:
            raise ActRefused("moved_on", _GONE_ON)
        row.next_attempt_at = now
        told = {"state": str(state), "next_attempt_at": before.isoformat()}
        _record(row, "enrollment_retried", actor, before=told, message=message)
        _tell(row.authority, state, pk)
    return row


def give_up(pk: int, *, actor: Actor, now: datetime, message: str = "") -> Enrollment:
    """Discard an enrollment that no CA has: the orchestrator's next CSR makes a new one, with the
    CA and template that are chosen then. Raises ActRefused.
    """
    with transaction.atomic():
        row = _locked(pk)
        if why := why_not_given_up(row):
            raise ActRefused("not_given_up", why)
        state, said = EnrollmentState(row.state), row.last_error
        row.state = next_enrollment(state, EnrollmentEvent.DISCARD)
        row.finished_at = now
        row.last_error = f"given up by {actor.name}{f': {message}' if message else ''}"[:1000]
        swapped = Enrollment.objects.filter(pk=pk, state=state).update(
            state=row.state, finished_at=now, last_error=row.last_error
        )
        if not swapped:
            raise ActRefused("moved_on", _GONE_ON)
        told = {"state": str(state), "error": said[:500]}
        _record(row, "enrollment_given_up", actor, before=told, message=message)
        transaction.on_commit(partial(dispatch.announce, row.serial_number))
    return row


def retry_queue(
    rows: QuerySet[Enrollment], authority: CertificateAuthority, *, actor: Actor, now: datetime
) -> int:
    """Have what waits for a CA, of these rows, tried now; return how many. Raises ActRefused."""
    if not authority.enabled:
        raise ActRefused("not_retried", f"The CA {authority.name} is disabled.")
    later = Q(authority=authority, state=EnrollmentState.WAITING, next_attempt_at__gt=now)
    with transaction.atomic():
        soonest = rows.filter(later).order_by("next_attempt_at", "pk")
        keys = list(soonest.values_list("pk", flat=True)[:MOST_AT_ONCE])
        number = Enrollment.objects.filter(later, pk__in=keys).update(next_attempt_at=now)
        if number:
            record(
                actor,
                Category.ENROLLMENT,
                "enrollments_retried",
                object_type="authority",
                object_id=authority.pk,
                object_name=authority.name,
                after={"number": number},
            )
            # A CA that takes its time goes on by itself from there.
            for pk in keys[: room.CALLS_AT_ONCE]:
                _tell(authority, EnrollmentState.WAITING, pk)
    return number


def _locked(pk: int) -> Enrollment:
    rows = Enrollment.objects.select_related("authority", "template", "orchestrator")
    row = rows.select_for_update(of=("self",)).filter(pk=pk).first()
    if row is None:
        raise ActRefused("moved_on", _GONE_ON)
    return row


def _tell(authority: CertificateAuthority, state: EnrollmentState, pk: int) -> None:
    """Wake a worker after the commit; where the message is lost, the sweep finds the row."""
    if state is not EnrollmentState.WAITING:
        transaction.on_commit(partial(dispatch.ask, authority.pk))
    elif issuers.answers_at_once(authority):
        transaction.on_commit(dispatch.drain)
    else:
        transaction.on_commit(partial(dispatch.enroll, pk))


def _record(
    row: Enrollment, action: str, actor: Actor, *, before: Mapping[str, str], message: str
) -> None:
    record(
        actor,
        Category.ENROLLMENT,
        action,
        object_type="enrollment",
        object_id=row.pk,
        object_name=row.orchestrator.client_machine if row.orchestrator else "",
        orchestrator_id=row.orchestrator_id,
        before=before,
        after={"authority": row.authority.name, "state": str(EnrollmentState(row.state))},
        message=message,
    )
