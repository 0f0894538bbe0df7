"""The intent: the row that is committed before any CA is asked.

Owns the insertion of `Enrollment` rows, the joining of an open one with the same key, and the
bounds on how often a CA is asked. Runs in the caller's transaction with the orchestrator locked.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from orchestrators.models import Orchestrator
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences.store import Preferences
from renewal import dispatch, issuers
from renewal.enrollment.door import Admitted
from renewal.models import Certificate, CertificateAuthority, Enrollment
from renewal.rules.lifecycle import IN_FLIGHT, EnrollmentEvent, EnrollmentState, next_enrollment
from renewal.rules.limits import History, Limited, limit
from renewal.rules.periods import whole_second
from renewal.rules.standing import UNPROVEN

_LATE_LOOKED_AT = 12
"""Rows of an orchestrator that are looked at for late deliveries in a row."""


def new_serial() -> str:
    """Return a serial number: 127 random bits, positive, lower-case hex (RFC 5280 §4.1.2.2)."""
    return f"{secrets.randbits(127) | 1 << 126:032x}"


@dataclass(frozen=True)
class Submission:
    """An intent to wait for, or why there is none."""

    enrollment: Enrollment | None = None
    limited: Limited | None = None


@dataclass(frozen=True)
class Validity:
    """Dates that an operator asks for, to the second."""

    not_before: datetime
    not_after: datetime


def submit(
    orchestrator: Orchestrator,
    admitted: Admitted,
    *,
    serial_number: str,
    preferences: Preferences,
    actor: Actor,
    now: datetime,
) -> Submission:
    """Commit to enrolling an admitted CSR, or say why not now.

    The same key joins its open intent. Another key replaces one that no CA has been asked for.
    """
    open_row = (
        Enrollment.objects.filter(
            orchestrator=orchestrator,
            generation=orchestrator.generation,
            state__in=[EnrollmentState.WAITING, *sorted(IN_FLIGHT)],
        )
        .order_by("-pk")
        .first()
    )
    if open_row is not None and open_row.spki_sha256 == admitted.csr.spki_sha256:
        return Submission(enrollment=open_row)
    unknown = Enrollment.objects.filter(
        orchestrator=orchestrator,
        generation=orchestrator.generation,
        spki_sha256=admitted.csr.spki_sha256,
        state=EnrollmentState.UNKNOWN,
    ).first()
    if unknown is not None:
        # The outcome of the call is not known: never sent again blindly (F1).
        return Submission(enrollment=unknown)
    limited = limit(
        history(orchestrator, now=now),
        now=now,
        unused_grace=timedelta(minutes=preferences.number("UnusedCertificateGraceMinutes")),
    )
    if limited is not None:
        # What waits goes on waiting: it is the only request that may still be served.
        return Submission(limited=limited)
    if open_row is not None:
        _discard(open_row, actor=actor, now=now)
    return Submission(
        enrollment=insert(
            admitted,
            orchestrator=orchestrator,
            serial_number=serial_number,
            actor=actor,
            now=now,
        )
    )


def insert(
    admitted: Admitted,
    *,
    orchestrator: Orchestrator | None,
    serial_number: str,
    actor: Actor,
    now: datetime,
    validity: Validity | None = None,
) -> Enrollment:
    """Insert the row; serial number and dates are fixed here (the template's, unless given)."""
    template = admitted.chosen.template
    validity = validity or Validity(
        whole_second(now) - timedelta(seconds=template.backdate_seconds),
        whole_second(now) + timedelta(seconds=template.validity_seconds),
    )
    row = Enrollment.objects.create(
        orchestrator=orchestrator,
        for_operator=orchestrator is None,
        generation=orchestrator.generation if orchestrator else 0,
        flag_counter=orchestrator.flag_counter if orchestrator else 0,
        spki_sha256=admitted.csr.spki_sha256,
        csr_der=admitted.csr.der,
        subject_der=admitted.names.subject_der,
        sans=[[str(kind), value] for kind, value in admitted.names.sans],
        authority=admitted.chosen.authority,
        template=template,
        chosen_by=admitted.chosen.chosen_by,
        requested_by=actor.name,
        service_account=orchestrator.service_account.username if orchestrator else "",
        extended_key_usages=template.extended_key_usages,
        serial_number=serial_number,
        not_before=validity.not_before,
        not_after=validity.not_after,
        next_attempt_at=now,
        created_at=now,
    )
    record(
        actor,
        Category.ENROLLMENT,
        "enrollment_requested",
        object_type="enrollment",
        object_id=row.pk,
        object_name=orchestrator.client_machine if orchestrator else "",
        orchestrator_id=orchestrator.pk if orchestrator else None,
        after={
            "authority": row.authority.name,
            "template": template.name,
            "chosen_by": row.chosen_by,
            "key": admitted.csr.key_type,
        },
    )
    pk, at_once = row.pk, issuers.answers_at_once(row.authority)
    transaction.on_commit(dispatch.drain if at_once else lambda: dispatch.enroll(pk))
    return row


def history(orchestrator: Orchestrator, *, now: datetime) -> History:
    """Gather what has been asked and delivered for a record."""
    rows = list(
        Enrollment.objects.filter(orchestrator=orchestrator, generation=orchestrator.generation)
        .exclude(called_at=None)
        .select_related("certificate")
        .order_by("-pk")[:_LATE_LOOKED_AT]
    )
    late: list[Enrollment] = []
    for row in rows:
        if row.certificate is None or row.certificate.proven_at is not None or not row.late:
            break
        late.append(row)
    unproven = Certificate.objects.filter(
        orchestrator=orchestrator, standing__in=sorted(UNPROVEN), delivered_at__isnull=False
    ).values_list("delivered_at", flat=True)
    return History(
        in_flight=any(EnrollmentState(row.state) in IN_FLIGHT for row in rows),
        calls=tuple(sorted(row.called_at for row in rows if row.called_at is not None)),
        unproven_deliveries=tuple(sorted(d for d in unproven if d is not None)),
        late_in_a_row=len(late),
        last_late_at=late[0].finished_at if late else None,
    )


def is_broken(authority: CertificateAuthority, *, now: datetime) -> bool:
    """Say whether a CA is left alone for now: a wait for it would be in vain."""
    return authority.resume_at is not None and authority.resume_at > now


def give_up_waiting(enrollment: Enrollment) -> None:
    """Note that the Register stopped waiting, so that a later delivery counts as late."""
    Enrollment.objects.filter(
        pk=enrollment.pk, state__in=[EnrollmentState.WAITING, *sorted(IN_FLIGHT)]
    ).update(late=True)


def handed_over(certificate: Certificate) -> None:
    """Note that the certificate went out in a reply after all."""
    Enrollment.objects.filter(certificate=certificate, late=True).update(late=False)


def _discard(row: Enrollment, *, actor: Actor, now: datetime) -> None:
    reason = "replaced by a newer request"
    changed = Enrollment.objects.filter(pk=row.pk, state=row.state).update(
        state=next_enrollment(EnrollmentState(row.state), EnrollmentEvent.DISCARD),
        finished_at=now,
        last_error=reason,
    )
    if changed:
        record(
            actor,
            Category.ENROLLMENT,
            "enrollment_replaced",
            object_type="enrollment",
            object_id=row.pk,
            orchestrator_id=row.orchestrator_id,
            message=reason,
        )
