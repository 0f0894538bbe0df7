"""What an operator's act does to a record, said before it is done. PURE.

Owns the verdict on one record: the preview of a bulk action and its run ask the same function.
How the act is carried out is `renewal/identity/approvals.py`'s.
"""

from __future__ import annotations

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
    """Why an approval is not possible: ``nobody_seen``, ``conflict``, or ``policy``."""
    is_asked: bool = False
    """A request for its approval is open."""
    is_name_taken: bool = False
    """Another approved record has the name that it would have."""


@dataclass(frozen=True)
class Verdict:
    """An outcome; ``reason`` is a stable code, empty unless the record is skipped."""

    outcome: Outcome
    reason: str = ""


CHANGE, UNCHANGED = Verdict(Outcome.CHANGE), Verdict(Outcome.UNCHANGED)


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
        case _:
            return False


def foresee(act: Act, facts: ActFacts) -> Verdict:
    """Return what the act does to a record."""
    if changes_nothing(act, facts):
        return UNCHANGED
    if act is not Act.APPROVE:
        return CHANGE
    is_restored = facts.status == _DISAPPROVED and facts.holds_accepted
    if facts.refusal and (facts.refusal == "policy" or not is_restored):
        return Verdict(Outcome.SKIP, facts.refusal)
    return Verdict(Outcome.SKIP, "name_taken") if facts.is_name_taken else CHANGE
