"""Recording revocations and carrying them out.

Owns `Revocation` rows and a certificate's ``revoked_at``. Recording is part of the transaction
that causes it; the CA is called later, by a task with the row's id, outside of any transaction.
The portal refuses the certificate at once, whatever its CA says.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from orchestrators.models import Orchestrator
from orchestrators.reach import lacking_for
from portal.access.catalogue import Permission, entry_for
from portal.audit.models import Category
from portal.audit.trail import PORTAL, Actor, record
from renewal import dispatch, issuers, leases, room
from renewal.ca.base import (
    CAMisconfigured,
    CARejected,
    CAUnavailable,
    RevocationReason,
    RevokeRequest,
)
from renewal.models import Certificate, Revocation
from renewal.rules.lifecycle import RevocationEvent, RevocationState, next_revocation
from renewal.rules.retry import retry_delay

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
OVERDUE_AFTER = timedelta(minutes=15)
"""From then on an open revocation is shown as overdue."""


def request(
    certificate: Certificate,
    *,
    reason: str,
    cause: str,
    by_service_account: bool,
    actor: Actor,
    now: datetime,
) -> Revocation | None:
    """Record that a certificate is to be revoked; None if it is a foreign CA's or revoked.

    Of a certificate that no CA of this portal issued, the timeline says "revoke at its issuer";
    what a person asked for holds at this portal at once.
    """
    RevocationReason(reason)
    if certificate.revoked_at is not None:
        return None
    if certificate.authority_id is None:
        if not by_service_account:
            Certificate.objects.filter(pk=certificate.pk, revoked_at=None).update(
                revoked_at=now, revocation_reason=reason
            )
            certificate.revoked_at, certificate.revocation_reason = now, reason
        _audit(certificate, "revoke_at_its_issuer", actor, cause=cause)
        return None
    with transaction.atomic():
        row, created = Revocation.objects.get_or_create(
            certificate=certificate,
            defaults={
                "orchestrator_id": certificate.orchestrator_id,
                "reason": reason,
                "cause": cause,
                "requested_by": actor.name,
                "by_service_account": by_service_account,
                "next_attempt_at": now,
                "created_at": now,
            },
        )
        if not created:
            return row
        Certificate.objects.filter(pk=certificate.pk, revoked_at=None).update(
            revoked_at=now, revocation_reason=reason
        )
        certificate.revoked_at, certificate.revocation_reason = now, reason
        _audit(certificate, "revocation_requested", actor, cause=cause, reason=reason)
        transaction.on_commit(lambda: dispatch.revoke(row.pk))
    return row


def run(revocation_id: int, *, now: datetime) -> None:
    """Carry out one recorded revocation; safe to run twice and at once (C4)."""
    row = _claim(revocation_id, now)
    if row is None:
        return
    certificate = row.certificate
    if lacking := _missing_permission(row):
        _finish(row, RevocationEvent.FAIL, now=now, error=f"The service account lacks {lacking}.")
        return
    authority = certificate.authority
    if authority is None:
        _finish(row, RevocationEvent.FAIL, now=now, error="The issuer is no CA of this portal.")
        return
    try:
        issuers.backend(authority).revoke(
            RevokeRequest(
                certificate_der=bytes(certificate.der),
                serial_number=int(certificate.serial_number, 16),
                reason=RevocationReason(row.reason),
                revoked_at=certificate.revoked_at or now,
            )
        )
    except (CARejected, CAMisconfigured) as error:
        _finish(row, RevocationEvent.FAIL, now=now, error=str(error))
    except CAUnavailable as error:
        _defer(row, str(error), now=now, at_least=error.retry_after)
    except Exception as error:
        # A revocation may be repeated: "already revoked" is success.
        log.exception("revocation %s: unexpected error of the CA", row.pk)
        _defer(row, f"{type(error).__name__}", now=now, at_least=None)
    else:
        _finish(row, RevocationEvent.CONFIRM, now=now)
        dispatch.publish_crl(authority.pk)


def retry(row: Revocation, *, actor: Actor, now: datetime) -> bool:
    """Let a failed revocation be tried again."""
    with transaction.atomic():
        after = next_revocation(RevocationState(row.state), RevocationEvent.RETRY)
        changed = Revocation.objects.filter(pk=row.pk, state=row.state).update(
            state=after, next_attempt_at=now, finished_at=None
        )
        if changed:
            _audit(row.certificate, "revocation_retried", actor)
            transaction.on_commit(lambda: dispatch.revoke(row.pk))
    return bool(changed)


def sweep(*, now: datetime, limit: int = 200) -> list[int]:
    """Return the ids of revocations that are due: lost, deferred, or with an expired lease.

    Those whose certificate has expired lapse. A failed one is tried again after a day: a role may
    have been given its permission meanwhile.
    """
    open_rows = Revocation.objects.filter(next_attempt_at__lte=now)
    Revocation.objects.filter(leases.ended(), state=RevocationState.SUBMITTED).update(
        state=next_revocation(RevocationState.SUBMITTED, RevocationEvent.DEFER), lease_until=None
    )
    for row in open_rows.filter(
        state__in=[RevocationState.WAITING, RevocationState.FAILED],
        certificate__not_after__lt=now,
    ).select_related("certificate")[:limit]:
        _finish(row, RevocationEvent.LAPSE, now=now)
    for row in open_rows.filter(state=RevocationState.FAILED).select_related("certificate")[:limit]:
        retry(row, actor=PORTAL, now=now)
    return list(
        Revocation.objects.filter(state=RevocationState.WAITING, next_attempt_at__lte=now)
        .order_by("next_attempt_at", "id")
        .values_list("pk", flat=True)[:limit]
    )


def _claim(revocation_id: int, now: datetime) -> Revocation | None:
    due = Revocation.objects.filter(
        pk=revocation_id, state=RevocationState.WAITING, next_attempt_at__lte=now
    )
    with transaction.atomic():
        authority_id = due.values_list("certificate__authority", flat=True).first()
        if authority_id is not None and not room.has_room(authority_id):
            return None
        changed = due.update(
            state=next_revocation(RevocationState.WAITING, RevocationEvent.CLAIM),
            lease_until=leases.lasting(LEASE),
        )
    if not changed:
        return None
    return Revocation.objects.select_related("certificate__authority", "orchestrator").get(
        pk=revocation_id
    )


def _still(row: Revocation) -> QuerySet[Revocation]:
    """Select the row as it was read: in the same state, and under the same lease if it has one."""
    return Revocation.objects.filter(pk=row.pk, state=row.state, lease_until=row.lease_until)


def _missing_permission(row: Revocation) -> str:
    """Return the access string that the service account lacks for an automatic revocation."""
    if not row.by_service_account or row.orchestrator_id is None:
        return ""
    orchestrator = (
        Orchestrator.objects.select_related("service_account")
        .filter(pk=row.orchestrator_id)
        .first()
    )
    if orchestrator is None:
        return ""
    lacking = lacking_for(orchestrator, Permission.CERTIFICATES_REVOKE)
    return entry_for(lacking[0]).access_string if lacking else ""


def _finish(row: Revocation, event: RevocationEvent, *, now: datetime, error: str = "") -> None:
    after = next_revocation(RevocationState(row.state), event)
    failed = after is RevocationState.FAILED
    with transaction.atomic():
        changed = _still(row).update(
            state=after,
            attempts=row.attempts + 1,
            last_error=error[:1000],
            finished_at=now,
            lease_until=None,
            next_attempt_at=now + timedelta(days=1) if failed else row.next_attempt_at,
        )
        if changed:
            action = {
                RevocationState.DONE: "revoked",
                RevocationState.FAILED: "revocation_failed",
                RevocationState.LAPSED: "revocation_lapsed",
            }[after]
            _audit(row.certificate, action, PORTAL, cause=error or row.cause, reason=row.reason)


def _defer(row: Revocation, error: str, *, now: datetime, at_least: timedelta | None) -> None:
    attempts = row.attempts + 1
    _still(row).update(
        state=next_revocation(RevocationState(row.state), RevocationEvent.DEFER),
        attempts=attempts,
        last_error=error[:1000],
        lease_until=None,
        next_attempt_at=now + retry_delay(attempts, f"revocation:{row.pk}", at_least=at_least),
    )


def _audit(certificate: Certificate, action: str, actor: Actor, **after: str) -> None:
    record(
        actor,
        Category.CERTIFICATE,
        action,
        object_type="certificate",
        object_id=certificate.pk,
        object_name=certificate.common_name,
        orchestrator_id=certificate.orchestrator_id,
        after={
            "thumbprint": certificate.thumbprint,
            "serial": certificate.serial_number,
            **after,
        },
    )
