"""A CA's answer: verified, stored, and made deliverable if it still may be.

Owns the last step of an enrollment. A wrong answer is never delivered; one that comes for a record
that was Reset or disapproved meanwhile, or after a newer one, is recorded for revocation.
"""

from __future__ import annotations

import logging
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import IntegrityError, transaction

from orchestrators.models import Orchestrator, Status
from portal.audit.models import Category
from portal.audit.trail import PORTAL, record
from renewal import certificates, dispatch, issuers, revocations
from renewal.ca.base import CAError, Issued, IssueRequest
from renewal.identity import standings
from renewal.models import Certificate, Enrollment
from renewal.rules.lifecycle import EnrollmentEvent, EnrollmentState, next_enrollment
from renewal.rules.periods import whole_second
from renewal.rules.standing import Standing
from renewal.x509.answer import AnswerRejected, check_answer
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate

log = logging.getLogger(__name__)


def spki_der(key: object) -> bytes:
    """Return a public key's SubjectPublicKeyInfo."""
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def accept(row: Enrollment, request: IssueRequest, issued: Issued, *, now: datetime) -> None:
    """Verify and store a CA's answer (I5), in one transaction of its own."""
    try:
        anchors = issuers.backend(row.authority).trust_anchors()
        facts = check_answer(request, issued, anchors=anchors, now=now)
    except AnswerRejected as problem:
        log.error("enrollment %s: the CA's answer was rejected: %s", row.pk, problem)
        _reject(row, issued, problem.reason, now=now)
        return
    except CAError as problem:
        # The lease runs out, the row is looked for again, and the same answer judged then.
        log.warning("enrollment %s: the CA's answer cannot be judged now: %s", row.pk, problem)
        return
    try:
        with transaction.atomic():
            _store(row, facts, now=now)
    except IntegrityError as error:
        # The serial number or the certificate itself is held already, for another request.
        log.error("enrollment %s: the CA's answer is not unique: %s", row.pk, error)
        _reject(row, issued, "the CA gave a certificate or serial number twice", now=now)
        return
    dispatch.announce(row.serial_number)


def _store(row: Enrollment, facts: CertificateFacts, *, now: datetime) -> None:
    orchestrator = None
    if row.orchestrator_id is not None:
        orchestrator = (
            Orchestrator.objects.select_for_update().filter(pk=row.orchestrator_id).first()
        )
    held_in = _held_in(row)
    if held_in is None:
        return
    # CAs backdate notBefore; an operator's certificate may have been made old on purpose.
    counts_from_issue = not row.for_operator and whole_second(now) < facts.not_after
    certificate = certificates.create(
        facts,
        standing=Standing.OWN if row.for_operator else Standing.DISCARDED,
        now=now,
        orchestrator=orchestrator,
        authority=row.authority,
        counted_from=whole_second(now) if counts_from_issue else None,
        intent_flag_counter=row.flag_counter,
    )
    certificate.generation = row.generation
    certificate.save(update_fields=["generation"])
    fence = _fence(row, orchestrator)
    event = EnrollmentEvent.DISCARD if fence else EnrollmentEvent.ISSUE
    Enrollment.objects.filter(pk=row.pk).update(
        state=next_enrollment(held_in, event),
        certificate=certificate,
        lease_until=None,
        last_error=fence,
        finished_at=now,
    )
    record(
        PORTAL,
        Category.ENROLLMENT,
        "enrollment_discarded" if fence else "certificate_issued",
        object_type="enrollment",
        object_id=row.pk,
        object_name=orchestrator.client_machine if orchestrator else certificate.common_name,
        orchestrator_id=row.orchestrator_id,
        after={
            "thumbprint": certificate.thumbprint,
            "serial": certificate.serial_number,
            "authority": row.authority.name,
            "not_after": facts.not_after.isoformat(),
            **({"reason": fence} if fence else {}),
        },
    )
    if fence:
        revocations.request(
            certificate,
            reason="superseded",
            cause=fence,
            by_service_account=False,
            actor=PORTAL,
            now=now,
        )
    elif orchestrator is not None:
        standings.deliver(orchestrator, certificate, now=now)


def _held_in(row: Enrollment) -> EnrollmentState | None:
    """Return the state in which a row, now locked, may take this answer; None if it may not.

    A lease that ran out has made it "outcome unknown". As long as nobody has taken it up since,
    this answer is the outcome, and perhaps the only trace of a certificate.
    """
    state = (
        Enrollment.objects.select_for_update(of=("self",))
        .filter(
            pk=row.pk,
            state__in=[row.state, EnrollmentState.UNKNOWN],
            lease_holder=row.lease_holder,
            certificate=None,
        )
        .values_list("state", flat=True)
        .first()
    )
    return None if state is None else EnrollmentState(state)


def _fence(row: Enrollment, orchestrator: Orchestrator | None) -> str:
    """Return why the certificate may not be delivered any more; empty if it may."""
    if row.for_operator:
        return ""
    if orchestrator is None:
        return "the orchestrator was deleted"
    if orchestrator.generation != row.generation:
        return "the orchestrator was reset or disapproved meanwhile"
    if orchestrator.status != Status.APPROVED:
        return "the orchestrator is not approved"
    newer = Enrollment.objects.filter(
        orchestrator=orchestrator, pk__gt=row.pk, state=EnrollmentState.ISSUED
    ).exists()
    if newer:
        return "a newer certificate was delivered first"
    return ""


def _reject(row: Enrollment, issued: Issued, reason: str, *, now: datetime) -> None:
    """Record a wrong answer: never delivered, and revoked if it is a certificate of this CA."""
    with transaction.atomic():
        held_in = _held_in(row)
        if held_in is None:
            return
        Enrollment.objects.filter(pk=row.pk).update(
            state=next_enrollment(held_in, EnrollmentEvent.REJECT),
            lease_until=None,
            last_error=reason[:1000],
            finished_at=now,
        )
        record(
            PORTAL,
            Category.ENROLLMENT,
            "enrollment_rejected",
            object_type="enrollment",
            object_id=row.pk,
            orchestrator_id=row.orchestrator_id,
            after={"authority": row.authority.name, "reason": reason[:500]},
        )
        try:
            facts = read_certificate(issued.certificate_der)
        except CertificateUnreadable:
            return
        if Certificate.objects.filter(fingerprint_sha256=facts.fingerprint_sha256).exists():
            # Somebody's certificate already: revoking it would cut off its holder.
            return
        try:
            with transaction.atomic():
                stored = certificates.create(
                    facts, standing=Standing.REJECTED, now=now, authority=row.authority
                )
        except IntegrityError:
            return
        revocations.request(
            stored,
            reason="unspecified",
            cause=f"wrong answer of the CA: {reason}",
            by_service_account=False,
            actor=PORTAL,
            now=now,
        )
    dispatch.announce(row.serial_number)
