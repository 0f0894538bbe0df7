"""Writing a certificate's standing and the record's thumbprints: bind, deliver, promote, archive.

Owns the writes; who goes where is `renewal/rules/movement.py`'s. Every function runs in the
caller's transaction with the orchestrator's row locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from orchestrators.models import EnrollmentClaim, Orchestrator
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal import revocations
from renewal.models import Certificate
from renewal.rules.movement import Held, Movement, flag_after_proof, on_delivery, on_promotion
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing


def accepted_of(orchestrator: Orchestrator) -> list[Certificate]:
    """Return the certificates that authenticate the record (one query)."""
    return list(
        Certificate.objects.filter(orchestrator=orchestrator, standing__in=sorted(ACCEPTED))
    )


def bind(orchestrator: Orchestrator, certificate: Certificate, *, now: datetime) -> None:
    """Make the certificate that the approval named the current one (row 15)."""
    set_bound(orchestrator, certificate, now=now)
    certificate.save(update_fields=["standing", "standing_since"])
    orchestrator.save(
        update_fields=["thumbprint", "certificate_not_after", "certificate_counted_from"]
    )


def set_bound(orchestrator: Orchestrator, certificate: Certificate, *, now: datetime) -> None:
    """Let both rows say that the certificate is the current one; nothing is stored."""
    certificate.standing, certificate.standing_since = Standing.CURRENT, now
    _use(orchestrator, certificate)
    orchestrator.thumbprint = certificate.thumbprint


def resume(
    orchestrator: Orchestrator,
    newest: Certificate,
    others: Mapping[Standing, Certificate],
    *,
    now: datetime,
) -> None:
    """Let a record be in the middle of a renewal that began at another portal.

    ``newest``, bound a moment ago, becomes the issued one beside the ``others``. It counts as
    delivered when its validity began: what follows from that goes on as it would have there.
    """
    legacy = others.get(Standing.LEGACY)
    newest.predecessor = legacy
    for standing, certificate in {Standing.ISSUED: newest, **others}.items():
        certificate.standing, certificate.standing_since = standing, now
        if standing in UNPROVEN:
            certificate.delivered_at = min(certificate.not_before, now)
        certificate.save(
            update_fields=["standing", "standing_since", "delivered_at", "predecessor"]
        )
    orchestrator.legacy_thumbprint = legacy.thumbprint if legacy else ""
    orchestrator.awaiting_first_use_since = newest.delivered_at
    orchestrator.certificate_not_after = legacy.not_after if legacy else None
    orchestrator.certificate_counted_from = legacy.counted_from if legacy else None
    orchestrator.save(
        update_fields=[
            "legacy_thumbprint",
            "awaiting_first_use_since",
            "certificate_not_after",
            "certificate_counted_from",
        ]
    )


def deliver(orchestrator: Orchestrator, certificate: Certificate, *, now: datetime) -> None:
    """Make a new certificate the issued one; legacy = the one that was current (S3.2 movement).

    ``certificate`` is saved already, with standing DISCARDED, so that no two are issued at once.
    """
    held = {c.pk: c for c in accepted_of(orchestrator)}
    movement = on_delivery(Held(c.pk, Standing(c.standing)) for c in held.values())
    # After a lost reply the one in use is the legacy one already.
    in_use = (Standing.CURRENT, Standing.NAMED, Standing.LEGACY)
    certificate.predecessor = next((c for c in held.values() if c.standing in in_use), None)
    _apply(held, movement, now)
    certificate.standing = Standing.ISSUED
    certificate.standing_since = certificate.delivered_at = now
    certificate.save(update_fields=["standing", "standing_since", "delivered_at", "predecessor"])
    legacy = next((c for c in held.values() if c.standing == Standing.LEGACY), None)
    orchestrator.thumbprint = certificate.thumbprint
    orchestrator.legacy_thumbprint = legacy.thumbprint if legacy else ""
    orchestrator.awaiting_first_use_since = now
    orchestrator.save(update_fields=["thumbprint", "legacy_thumbprint", "awaiting_first_use_since"])
    _give_up(held, movement.given_up, orchestrator, actor=Actor("portal"), now=now)


def promote(
    orchestrator: Orchestrator,
    certificate: Certificate,
    *,
    revoke_old: bool,
    actor: Actor,
    now: datetime,
) -> None:
    """First use of a new certificate: flag, legacy thumbprint, revocations, in this order.

    One transaction, each step an audit row (S41 to S45 in docs/promises.md). ``revoke_old`` is the
    setting at this moment. The revocation carries its own reference to the old certificate, for
    its thumbprint is gone by then.
    """
    held = {c.pk: c for c in accepted_of(orchestrator)}
    if certificate.pk not in held:
        return
    movement = on_promotion(
        (Held(c.pk, Standing(c.standing)) for c in held.values()), certificate.pk
    )
    clear_flag(orchestrator, certificate, actor=actor)
    old_legacy = orchestrator.legacy_thumbprint
    _apply(held, movement, now)
    proven = held[certificate.pk]
    proven.proven_at = now
    proven.save(update_fields=["proven_at"])
    certificate.standing, certificate.proven_at = proven.standing, now
    issued = next((c for c in held.values() if c.standing == Standing.ISSUED), None)
    legacy = next((c for c in held.values() if c.standing == Standing.LEGACY), None)
    orchestrator.thumbprint = (issued or proven).thumbprint
    orchestrator.legacy_thumbprint = legacy.thumbprint if legacy else ""
    orchestrator.awaiting_first_use_since = issued.delivered_at if issued else None
    _use(orchestrator, proven)
    orchestrator.save(
        update_fields=[
            "thumbprint",
            "legacy_thumbprint",
            "awaiting_first_use_since",
            "certificate_not_after",
            "certificate_counted_from",
        ]
    )
    _audit(orchestrator, "certificate_proven", actor, certificate=proven)
    if movement.legacy_cleared:
        _audit(
            orchestrator,
            "legacy_thumbprint_cleared",
            actor,
            before={"legacy_thumbprint": old_legacy},
            after={"legacy_thumbprint": orchestrator.legacy_thumbprint},
        )
    _give_up(held, movement.given_up, orchestrator, actor=actor, now=now)
    if movement.replaced is not None and revoke_old:
        revocations.request(
            held[movement.replaced],
            reason="superseded",
            cause="replaced by a newer certificate",
            by_service_account=True,
            actor=actor,
            now=now,
        )


def clear_flag(orchestrator: Orchestrator, certificate: Certificate, *, actor: Actor) -> bool:
    """Clear the flag if the certificate's intent is newer than it; say whether it was cleared."""
    after = flag_after_proof(
        flag=orchestrator.flag,
        flag_counter=orchestrator.flag_counter,
        intent_flag_counter=certificate.intent_flag_counter,
    )
    if after == orchestrator.flag:
        return False
    changed = Orchestrator.objects.filter(
        pk=orchestrator.pk, flag=orchestrator.flag, flag_counter=orchestrator.flag_counter
    ).update(flag=after)
    if changed:
        _audit(
            orchestrator,
            "flag_cleared",
            actor,
            before={"flag": orchestrator.flag},
            after={"flag": after, "certificate": certificate.thumbprint},
        )
        orchestrator.flag = after
    return bool(changed)


def archive_all(orchestrator: Orchestrator, *, now: datetime) -> int:
    """Archive every certificate of a record at its Reset; return how many."""
    return (
        Certificate.objects.filter(orchestrator=orchestrator)
        .exclude(standing=Standing.ARCHIVED)
        .update(standing=Standing.ARCHIVED, standing_since=now)
    )


def close_claims(orchestrator: Orchestrator, *, now: datetime) -> None:
    """Close the open claim: the first session with an issued certificate has come, or a Reset."""
    EnrollmentClaim.objects.filter(orchestrator=orchestrator, closed_at=None).update(closed_at=now)


def _use(orchestrator: Orchestrator, certificate: Certificate) -> None:
    orchestrator.certificate_not_after = certificate.not_after
    orchestrator.certificate_counted_from = certificate.counted_from


def _move(certificate: Certificate, standing: Standing, now: datetime) -> None:
    certificate.standing, certificate.standing_since = standing, now
    certificate.save(update_fields=["standing", "standing_since"])


def _apply(held: dict[int, Certificate], movement: Movement, now: datetime) -> None:
    for key, standing in movement.moves:
        _move(held[key], standing, now)


def _give_up(
    held: dict[int, Certificate],
    keys: Iterable[int],
    orchestrator: Orchestrator,
    *,
    actor: Actor,
    now: datetime,
) -> None:
    for key in keys:
        revocations.request(
            held[key],
            reason="superseded",
            cause="never used; a newer certificate took its place",
            by_service_account=False,
            actor=actor,
            now=now,
        )


def _audit(
    orchestrator: Orchestrator,
    action: str,
    actor: Actor,
    *,
    before: dict[str, object] | None = None,
    after: dict[str, object] | None = None,
    certificate: Certificate | None = None,
) -> None:
    if certificate is not None:
        after = {"thumbprint": certificate.thumbprint, "serial": certificate.serial_number}
    record(
        actor,
        Category.ORCHESTRATOR,
        action,
        object_type="orchestrator",
        object_id=orchestrator.pk,
        object_name=orchestrator.client_machine,
        orchestrator_id=orchestrator.pk,
        before=before,
        after=after,
    )
