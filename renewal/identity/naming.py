"""What an approval names, and what becomes of a record that is let work with it.

Owns the translation of what was seen into one certificate, one credential or what the record held.
Who may approve, and when votes are enough, is `approvals.py`'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrators import credentials
from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical
from orchestrators.records import rename
from portal.preferences import store
from renewal.identity import claimants
from renewal.identity.acting import ActRefused
from renewal.identity.approval_requests import Named
from renewal.models import Certificate, Claimant
from renewal.rules.standing import ACCEPTED, Standing

_CHANGED = "Somebody else came forward since the page was shown: look again before approving."


@dataclass(frozen=True)
class Shown:
    """What a page showed to the approver: the claimant's row, certificate and name, the request."""

    claimant: int | None = None
    fingerprint: str | None = None
    mark: str | None = None
    """`claimants.mark_of` the one who was shown: certificate or credential, and name."""
    request: int | None = None
    nobody: bool = False
    """It showed nobody: whoever came forward since is not approved unseen."""


def named(orchestrator: Orchestrator, shown: Shown, *, now: datetime) -> Named:
    """Return what an approval names now. Raises ActRefused."""
    held = Certificate.objects.filter(orchestrator=orchestrator, standing__in=sorted(ACCEPTED))
    if orchestrator.status == Status.DISAPPROVED and held.exists():
        text = f"what it held: {orchestrator.thumbprint}"
        return Named(hashlib.sha256(text.encode()).hexdigest(), text)
    try:
        chosen = claimants.choose(
            claimants.usable(orchestrator, now=now),
            expected=shown.claimant,
            fingerprint=shown.fingerprint,
            mark=shown.mark,
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
        raise ActRefused("changed", _CHANGED) from None
    if shown.nobody:
        raise ActRefused("changed", _CHANGED)
    return of(chosen)


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


def check_name_is_free(orchestrator: Orchestrator, approved: Named) -> None:
    """Raise ActRefused if another approved record has the name that this one would have."""
    chosen, name = approved.claimant, orchestrator.client_machine
    if chosen is not None and chosen.client_machine and orchestrator.reset_at is None:
        name = chosen.client_machine
    key = canonical(name)
    taken = (
        key
        and Orchestrator.objects.filter(status=Status.APPROVED, name_key=key)
        .exclude(pk=orchestrator.pk)
        .exists()
    )
    if taken:
        raise ActRefused("name_taken", f"Another approved orchestrator has the name {name!r}.")
