"""What an operator's act does to a record, said before it is done. PURE.

Owns the verdict on one record and its sentence: previews, jobs and the act itself ask the same
function. How the act is carried out is `renewal/identity/approvals.py`'s, of a log
`renewal/log_requests.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Act(StrEnum):
    """An act that can be done to many records at once."""

    APPROVE = "approve"
    DISAPPROVE = "disapprove"
    REQUEST = "request"
    REQUIRE = "require"
    CLEAR = "clear"
    RESET = "reset"
    LOGS = "logs"


FLAGS = {Act.CLEAR: 0, Act.REQUEST: 1, Act.REQUIRE: 2}
"""The flag that an act sets."""
_APPROVED, _DISAPPROVED = 2, 3


class Outcome(StrEnum):
    """What becomes of one record."""

    CHANGE = "change"
    UNCHANGED = "unchanged"
    SKIP = "skip"


@dataclass(frozen=True)
class ActFacts:
    """What the verdict depends on. ``status`` and ``flag`` have Keyfactor's numbers."""

    status: int
    flag: int = 0
    holds_accepted: bool = False
    """It has a certificate that would be accepted again (of a Disapproved record)."""
    refusal: str = ""
    """Why an approval names nobody: ``nobody_seen``, ``conflict`` or ``changed``."""
    is_barred: bool = False
    """A policy forbids this approver."""
    is_asked: bool = False
    """What the act is about was asked for: a request for its approval, a job for its log."""
    offers_logs: bool = True
    """It can send its log, as far as is known."""
    is_name_taken: bool = False
    """Another approved record has the name that it would have."""
    has_voted: bool = False
    """This approver's vote for what is named counts already."""
    is_enough: bool = True
    """With this approver's vote, no further one is needed."""

    @property
    def is_restored(self) -> bool:
        """An approval lets it work with what it held; nobody has to come forward."""
        return self.status == _DISAPPROVED and self.holds_accepted


@dataclass(frozen=True)
class Verdict:
    """An outcome; ``reason`` is a stable code, and says why a record is skipped, or that the
    change is a vote.
    """

    outcome: Outcome
    reason: str = ""


CHANGE, UNCHANGED = Verdict(Outcome.CHANGE), Verdict(Outcome.UNCHANGED)
VOTE = Verdict(Outcome.CHANGE, "vote")
"""The approval counts, and others must follow."""
VOTED = Verdict(Outcome.UNCHANGED, "voted")
"""This approver's vote counts already, and others must follow."""

SENTENCES: Mapping[str, str] = {
    "nobody_seen": "No valid certificate or bootstrap credential has been seen from this "
    "orchestrator yet: let it register first.",
    "conflict": "Several strangers came forward for this orchestrator: choose one on its page.",
    "changed": "Somebody else came forward since the page was shown: look again before approving.",
    "policy": "You Reset this orchestrator: by policy, somebody else approves its return.",
    "name_taken": "Another approved orchestrator has the name that this one would have.",
    "vote": "The approval counts; others must follow.",
    "voted": "You approved it before; others must follow.",
    "logs_not_offered": "It cannot send its log: it does not offer it.",
}
"""The reason of a verdict, for a person."""


def changes_nothing(act: Act, facts: ActFacts) -> bool:
    """Say whether the record is already as the act would make it.

    Setting a flag again is a new request (S18 to S21 in docs/promises.md), so is a Reset.
    """
    match act:
        case Act.APPROVE:
            return facts.status == _APPROVED
        case Act.DISAPPROVE:
            return facts.status == _DISAPPROVED and not facts.is_asked
        case Act.CLEAR:
            return facts.flag == FLAGS[Act.CLEAR]
        case Act.LOGS:
            return facts.offers_logs and facts.is_asked
        case _:
            return False


def foresee(act: Act, facts: ActFacts) -> Verdict:
    """Return what the act does to a record."""
    if changes_nothing(act, facts):
        return UNCHANGED
    if act is Act.LOGS and not facts.offers_logs:
        return Verdict(Outcome.SKIP, "logs_not_offered")
    if act is not Act.APPROVE:
        return CHANGE
    if facts.is_barred:
        return Verdict(Outcome.SKIP, "policy")
    if facts.refusal and not facts.is_restored:
        return Verdict(Outcome.SKIP, facts.refusal)
    if facts.is_name_taken:
        return Verdict(Outcome.SKIP, "name_taken")
    if facts.is_enough:
        return CHANGE
    return VOTED if facts.has_voted else VOTE
