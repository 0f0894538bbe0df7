"""What happens next with an orchestrator, in a few words for a row of the list.

PURE. Owns the words and the moment; the whole explanation is `renewal/explain.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrators.models import Orchestrator
from renewal.rules.periods import Periods
from renewal.selectors.states import RenewalState


@dataclass(frozen=True)
class Next:
    """What comes, and from or until when."""

    words: str
    at: datetime | None = None


_WORDS = {
    RenewalState.WAITING: "Waits for approval",
    RenewalState.ENROLLING: "Enrolls its first certificate",
    RenewalState.EXPIRED: "Locked out until it is Reset",
    RenewalState.UNUSED: "Proves its new certificate",
    RenewalState.DISAPPROVED: "Stays out until it is approved",
}


def next_of(
    orchestrator: Orchestrator, state: RenewalState, periods: Periods, *, cannot_enroll: bool
) -> Next:
    """Return what happens next; ``cannot_enroll``: it bears that mark."""
    if cannot_enroll:
        return Next("Cannot enrol until it is Reset")
    if state is RenewalState.WAITING and orchestrator.reset_at is not None:
        return Next("Its return waits for approval")
    if state is RenewalState.WAITING and orchestrator.last_seen is None:
        return Next("Registers for the first time")
    if state is RenewalState.EXPIRED and orchestrator.awaiting_first_use_since is not None:
        # Whether the delivered one is valid still, its own row says and the list does not read.
        return Next("Locked out until it uses its new certificate, or is Reset")
    not_after = orchestrator.certificate_not_after
    if state in _WORDS or not_after is None:
        return Next(_WORDS[state])
    counted_from = orchestrator.certificate_counted_from or not_after
    if state is RenewalState.REQUIRED:
        return Next("Must renew; locked out after", not_after)
    if state is RenewalState.WARNING:
        return Next("Should renew; must from", periods.expiry_from(counted_from, not_after))
    return Next("Is told to renew from", periods.warning_from(counted_from, not_after))
