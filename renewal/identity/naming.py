"""What an approval names, and what becomes of a record that is let work with it.

Owns the translation of what was seen into one certificate, one credential or what the record held.
Who may approve, and when votes are enough, is `approvals.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrators import credentials
from orchestrators.models import Orchestrator, Status
from orchestrators.records import rename
from portal.preferences import store
from renewal.identity import claimants
from renewal.identity.approval_requests import Named
from renewal.models import Certificate, Claimant
from renewal.rules.standing import Standing


@dataclass(frozen=True)
class Shown:
    """What a page showed to the approver: the claimant's row, certificate and name, the request."""

    claimant: int | None = None
    fingerprint: str | None = None
    mark: str | None = None
    """`claimants.mark_of` the one who was shown: certificate or credential, and name."""
    request: int | None = None
    generation: int | None = None
    """The record's: what was Reset or disapproved since is not approved."""
    nobody: bool = False
    """It showed nobody: whoever came forward since is not approved unseen."""


def held_by(orchestrator: Orchestrator) -> tuple[Named, str]:
    """Return what an approval of a Disapproved record names that holds accepted certificates."""
    text = f"what it held: {orchestrator.thumbprint}"
    return Named(hashlib.sha256(text.encode()).hexdigest(), text), ""


def named(candidates: Sequence[Claimant], shown: Shown) -> tuple[Named | None, str]:
    """Return whom an approval names now, or why nobody (a reason of `rules/acts.py`)."""
    try:
        chosen = claimants.choose(
            candidates, expected=shown.claimant, fingerprint=shown.fingerprint, mark=shown.mark
        )
    except claimants.NobodyCameForward:
        return None, "nobody_seen"
    except claimants.ClaimantConflict:
        return None, "conflict"
    except claimants.ClaimantChanged:
        return None, "changed"
    return (None, "changed") if shown.nobody else (of(chosen), "")


def of(claimant: Claimant) -> Named:
    return Named(claimants.mark_of(claimant), claimants.words_of(claimant), claimant)


def let_work(orchestrator: Orchestrator, approved: Named, *, now: datetime) -> None:
    """Make a record Approved: with what it holds, a certificate that is named, or a claim."""
    orchestrator.status = Status.APPROVED
    chosen = approved.claimant
    if chosen is None:
        orchestrator.save(update_fields=["status"])
        return
    if chosen.client_machine and orchestrator.reset_at is None:
        rename(orchestrator, chosen.client_machine)
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
