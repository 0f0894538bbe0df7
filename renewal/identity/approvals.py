"""Operators' acts on a record: approve, disapprove, reset, request a renewal.

Owns these state changes whole: the record, its certificates and its claims change in one
transaction, with the audit row. Who may act is checked by the faces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from orchestrators import credentials, jobs, sessions
from orchestrators.models import Orchestrator, Reenrollment, Status
from orchestrators.records import rename
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences import store
from renewal import revocations
from renewal.identity import claimants, standings
from renewal.models import Certificate
from renewal.rules.lifecycle import EnrollmentState
from renewal.rules.standing import ACCEPTED, Standing


class ActRefused(ValueError):
    """The act is not possible; ``reason`` is stable, the message is for a person."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Shown:
    """What a page showed to the approver: the claimant's row and the certificate."""

    claimant: int | None = None
    fingerprint: str | None = None


def approve(
    orchestrator_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    shown: Shown | None = None,
    message: str = "",
) -> bool:
    """Let an orchestrator work; return False if it may already. Raises ActRefused.

    New: what was seen is named (a certificate) or gets a claim (a credential). Disapproved with
    thumbprints: current, legacy and newest issued hold again as they were.
    """
    with transaction.atomic():
        orchestrator = _locked(orchestrator_id)
        if orchestrator.status == Status.APPROVED:
            return False
        before = _state(orchestrator)
        held = Certificate.objects.filter(
            orchestrator=orchestrator, standing__in=sorted(ACCEPTED)
        ).exists()
        if orchestrator.status == Status.DISAPPROVED and held:
            _name_free(orchestrator)
            orchestrator.status = Status.APPROVED
            orchestrator.save(update_fields=["status"])
        else:
            _approve_claimant(orchestrator, shown or Shown(), now=now)
        _audit(orchestrator, "approved", actor, before=before, message=message)
    return True


def disapprove(orchestrator_id: UUID, *, actor: Actor, now: datetime, message: str = "") -> bool:
    """Let an orchestrator work no longer, from the next request on; False if it was so already.

    Certificates stay what they are: approving again restores them.
    """
    with transaction.atomic():
        orchestrator = _locked(orchestrator_id)
        if orchestrator.status == Status.DISAPPROVED:
            return False
        before = _state(orchestrator)
        orchestrator.status = Status.DISAPPROVED
        orchestrator.generation += 1
        orchestrator.save(update_fields=["status", "generation"])
        # Approving it again needs no new contact, nor does a claim that was open.
        claimants.follow(orchestrator, generation=orchestrator.generation - 1)
        credentials.follow(orchestrator, generation=orchestrator.generation - 1)
        sessions.end_sessions(orchestrator, reason="disapproved", now=now)
        _discard_open_enrollments(orchestrator, now=now)
        _audit(orchestrator, "disapproved", actor, before=before, message=message)
    return True


def reset(
    orchestrator_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    message: str = "",
    also_revoke: Iterable[int] = (),
) -> None:
    """Make a record New again: thumbprints, flag, last error, sessions and jobs leave it.

    Its certificates stay readable as history and may come back; ``also_revoke`` names those (by
    row) that are revoked at once (S28 to S32 in docs/promises.md). Raises ActRefused.
    """
    with transaction.atomic():
        orchestrator = _locked(orchestrator_id)
        before = _state(orchestrator)
        wanted = set(also_revoke)
        to_revoke = list(
            Certificate.objects.filter(orchestrator=orchestrator, pk__in=wanted, revoked_at=None)
        )
        if len(to_revoke) != len(wanted):
            raise ActRefused(
                "certificate_unknown", "A certificate to revoke is not this orchestrator's."
            )
        orchestrator.status = Status.NEW
        orchestrator.generation += 1
        orchestrator.flag = Reenrollment.NONE
        orchestrator.flag_counter += 1
        orchestrator.thumbprint = orchestrator.legacy_thumbprint = ""
        orchestrator.last_thumbprint_used = ""
        orchestrator.certificate_not_after = orchestrator.certificate_counted_from = None
        orchestrator.awaiting_first_use_since = None
        orchestrator.last_error_code = orchestrator.last_error_message = ""
        orchestrator.last_error_at = None
        orchestrator.had_session = False
        orchestrator.reset_at = now
        orchestrator.save()
        sessions.end_sessions(orchestrator, reason="reset", now=now)
        jobs.cancel_all(orchestrator, now=now)
        standings.close_claims(orchestrator, now=now)
        _discard_open_enrollments(orchestrator, now=now)
        _audit(orchestrator, "reset", actor, before=before, message=message)
        standings.archive_all(orchestrator, now=now)
        for certificate in to_revoke:
            revocations.request(
                certificate,
                reason="cessationOfOperation",
                cause="revoked with the Reset of its orchestrator",
                by_service_account=False,
                actor=actor,
                now=now,
            )


def request_renewal(
    orchestrator_id: UUID,
    flag: Reenrollment,
    *,
    actor: Actor,
    now: datetime,
    at_once: bool = False,
    message: str = "",
) -> bool:
    """Set or clear the flag (S18 to S21); ``at_once`` ends the session so that the next
    heartbeat leads to a Register. Works for any status; return whether anything changed.

    Setting the same flag again counts as a new request: a certificate whose intent is older does
    not clear it. Raises ActRefused.
    """
    with transaction.atomic():
        orchestrator = _locked(orchestrator_id)
        if flag == orchestrator.flag == Reenrollment.NONE:
            return False
        before = {"flag": orchestrator.flag}
        orchestrator.flag = flag
        orchestrator.flag_counter += 1
        orchestrator.save(update_fields=["flag", "flag_counter"])
        if at_once and flag != Reenrollment.NONE:
            sessions.end_sessions(orchestrator, reason="renewal requested now", now=now)
        record(
            actor,
            Category.ORCHESTRATOR,
            "renewal_request_cleared" if flag == Reenrollment.NONE else "renewal_requested",
            object_type="orchestrator",
            object_id=orchestrator.pk,
            object_name=orchestrator.client_machine,
            orchestrator_id=orchestrator.pk,
            before=before,
            after={"flag": int(flag), "at_once": at_once},
            message=message,
        )
    return True


def _locked(orchestrator_id: UUID) -> Orchestrator:
    found = (
        Orchestrator.objects.select_for_update(of=("self",))
        .select_related("service_account")
        .filter(pk=orchestrator_id)
        .first()
    )
    if found is None:
        raise ActRefused("unknown", "There is no such orchestrator.")
    return found


def _approve_claimant(orchestrator: Orchestrator, shown: Shown, *, now: datetime) -> None:
    try:
        chosen = claimants.choose(
            claimants.usable(orchestrator, now=now),
            expected=shown.claimant,
            fingerprint=shown.fingerprint,
        )
    except claimants.NobodyCameForward:
        raise ActRefused(
            "nobody_seen",
            "No valid certificate or bootstrap credential has been seen from this orchestrator "
            "yet: let it register first.",
        ) from None
    except claimants.ClaimantConflict:
        raise ActRefused(
            "conflict",
            "Several strangers came forward for this orchestrator: choose one on its page.",
        ) from None
    except claimants.ClaimantChanged:
        raise ActRefused(
            "changed",
            "Somebody else came forward since the page was shown: look again before approving.",
        ) from None
    if chosen.client_machine and orchestrator.reset_at is None:
        rename(orchestrator, chosen.client_machine)
    _name_free(orchestrator)
    orchestrator.status = Status.APPROVED
    if chosen.certificate is not None:
        certificate = chosen.certificate
        Certificate.objects.filter(pk=certificate.pk).update(
            standing=Standing.NAMED,
            standing_since=now,
            orchestrator=orchestrator,
            generation=orchestrator.generation,
        )
        orchestrator.thumbprint = certificate.thumbprint
        orchestrator.certificate_not_after = certificate.not_after
        orchestrator.certificate_counted_from = certificate.counted_from
    elif chosen.credential is not None:
        orchestrator.service_account = chosen.credential.service_account
        days = store.load().number("FirstEnrollmentClaimDays")
        credentials.open_claim(
            orchestrator,
            chosen.credential,
            chosen.client_machine,
            lasts=timedelta(days=days),
            now=now,
        )
    orchestrator.save()


def _name_free(orchestrator: Orchestrator) -> None:
    """Raise ActRefused if another approved record has this name."""
    taken = (
        orchestrator.name_key
        and Orchestrator.objects.filter(status=Status.APPROVED, name_key=orchestrator.name_key)
        .exclude(pk=orchestrator.pk)
        .exists()
    )
    if taken:
        raise ActRefused(
            "name_taken",
            f"Another approved orchestrator has the name {orchestrator.client_machine!r}.",
        )


def _discard_open_enrollments(orchestrator: Orchestrator, *, now: datetime) -> None:
    """Discard what no CA has been asked for; what is in flight is fenced by its generation."""
    orchestrator.enrollments.filter(state=EnrollmentState.WAITING).update(
        state=EnrollmentState.DISCARDED, finished_at=now
    )


def _state(orchestrator: Orchestrator) -> dict[str, object]:
    return {
        "status": Status(orchestrator.status).label,
        "thumbprint": orchestrator.thumbprint,
        "legacy_thumbprint": orchestrator.legacy_thumbprint,
        "flag": orchestrator.flag,
        "generation": orchestrator.generation,
    }


def _audit(
    orchestrator: Orchestrator,
    action: str,
    actor: Actor,
    *,
    before: dict[str, object],
    message: str,
) -> None:
    record(
        actor,
        Category.ORCHESTRATOR,
        action,
        object_type="orchestrator",
        object_id=orchestrator.pk,
        object_name=orchestrator.client_machine,
        orchestrator_id=orchestrator.pk,
        before=before,
        after=_state(orchestrator),
        message=message,
    )
