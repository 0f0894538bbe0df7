"""The life cycles of an enrollment and of a revocation, as tables. PURE.

Everything else (open and terminal states, database constraints, the diagram in
docs/architecture.md) is derived from the two tables; nobody writes a second list.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class InvalidTransition(ValueError):
    """The table has no edge for this state and event."""

    def __init__(self, state: StrEnum, event: StrEnum) -> None:
        self.state = state
        self.event = event
        super().__init__(f"{event} is not possible in state {state}")


class EnrollmentState(StrEnum):
    """Where a CSR is on its way to a certificate."""

    WAITING = "waiting"
    """The intent is committed; no CA has been asked, or it may be asked again."""
    SUBMITTED = "submitted"
    """A worker holds the lease and asks the CA."""
    PENDING = "pending"
    """The CA took the request and answers later."""
    UNKNOWN = "unknown"
    """Bytes were sent and no answer came: never sent again blindly."""
    ISSUED = "issued"
    """The certificate is verified and deliverable."""
    REFUSED = "refused"
    """The CA refused for good, or nothing is configured that could issue."""
    REJECTED = "rejected"
    """The CA's answer did not match the request; it is never delivered."""
    DISCARDED = "discarded"
    """Overtaken: by Reset, Disapprove or a newer request."""
    EXPIRED = "expired"
    """Gave up after the time limit."""


class EnrollmentEvent(StrEnum):
    """What moves an enrollment."""

    CLAIM = "claim"
    ISSUE = "issue"
    DEFER = "defer"
    PEND = "pend"
    LOSE = "lose"
    REFUSE = "refuse"
    REJECT = "reject"
    DISCARD = "discard"
    EXPIRE = "expire"
    RESUBMIT = "resubmit"


class RevocationState(StrEnum):
    """Where a recorded revocation is."""

    WAITING = "waiting"
    SUBMITTED = "submitted"
    DONE = "done"
    FAILED = "failed"
    """The CA refuses, or the service account lacks the permission: an operator must act."""
    LAPSED = "lapsed"
    """The certificate expired before its CA could be told."""


class RevocationEvent(StrEnum):
    """What moves a revocation."""

    CLAIM = "claim"
    CONFIRM = "confirm"
    DEFER = "defer"
    FAIL = "fail"
    RETRY = "retry"
    LAPSE = "lapse"


_S, _E = EnrollmentState, EnrollmentEvent
ENROLLMENT: Mapping[tuple[EnrollmentState, EnrollmentEvent], EnrollmentState] = {
    (_S.WAITING, _E.CLAIM): _S.SUBMITTED,
    (_S.WAITING, _E.REFUSE): _S.REFUSED,
    (_S.WAITING, _E.DISCARD): _S.DISCARDED,
    (_S.WAITING, _E.EXPIRE): _S.EXPIRED,
    (_S.SUBMITTED, _E.ISSUE): _S.ISSUED,
    (_S.SUBMITTED, _E.DEFER): _S.WAITING,
    (_S.SUBMITTED, _E.PEND): _S.PENDING,
    (_S.SUBMITTED, _E.LOSE): _S.UNKNOWN,
    (_S.SUBMITTED, _E.REFUSE): _S.REFUSED,
    (_S.SUBMITTED, _E.REJECT): _S.REJECTED,
    (_S.SUBMITTED, _E.DISCARD): _S.DISCARDED,
    (_S.PENDING, _E.ISSUE): _S.ISSUED,
    (_S.PENDING, _E.REFUSE): _S.REFUSED,
    (_S.PENDING, _E.REJECT): _S.REJECTED,
    (_S.PENDING, _E.DISCARD): _S.DISCARDED,
    (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
    (_S.UNKNOWN, _E.ISSUE): _S.ISSUED,
    (_S.UNKNOWN, _E.REJECT): _S.REJECTED,
    (_S.UNKNOWN, _E.RESUBMIT): _S.WAITING,
    (_S.UNKNOWN, _E.DISCARD): _S.DISCARDED,
    (_S.UNKNOWN, _E.EXPIRE): _S.EXPIRED,
}

_R, _V = RevocationState, RevocationEvent
REVOCATION: Mapping[tuple[RevocationState, RevocationEvent], RevocationState] = {
    (_R.WAITING, _V.CLAIM): _R.SUBMITTED,
    (_R.WAITING, _V.LAPSE): _R.LAPSED,
    (_R.WAITING, _V.FAIL): _R.FAILED,
    (_R.SUBMITTED, _V.CONFIRM): _R.DONE,
    (_R.SUBMITTED, _V.DEFER): _R.WAITING,
    (_R.SUBMITTED, _V.FAIL): _R.FAILED,
    (_R.FAILED, _V.RETRY): _R.WAITING,
    (_R.FAILED, _V.LAPSE): _R.LAPSED,
}

TERMINAL_ENROLLMENT = frozenset(_S) - {source for source, _ in ENROLLMENT}
OPEN_ENROLLMENT = frozenset(_S) - TERMINAL_ENROLLMENT
TERMINAL_REVOCATION = frozenset(_R) - {source for source, _ in REVOCATION}
OPEN_REVOCATION = frozenset(_R) - TERMINAL_REVOCATION
FAILED_ENROLLMENT = frozenset({_S.REFUSED, _S.REJECTED, _S.EXPIRED})
"""Ended without a certificate, though nothing newer took its place."""
IN_FLIGHT = frozenset({_S.SUBMITTED, _S.PENDING})
"""A CA may be working on it: no second request for the same orchestrator."""


def next_enrollment(state: EnrollmentState, event: EnrollmentEvent) -> EnrollmentState:
    """Return the state after ``event``. Raises InvalidTransition."""
    try:
        return ENROLLMENT[state, event]
    except KeyError:
        raise InvalidTransition(state, event) from None


def next_revocation(state: RevocationState, event: RevocationEvent) -> RevocationState:
    """Return the state after ``event``. Raises InvalidTransition."""
    try:
        return REVOCATION[state, event]
    except KeyError:
        raise InvalidTransition(state, event) from None


def diagram(table: Mapping[tuple[StrEnum, StrEnum], StrEnum]) -> str:
    """Return the table as a Mermaid state diagram (kept equal to docs/architecture.md by a
    test).
    """
    lines = ["stateDiagram-v2"]
    sources = {source for source, _ in table}
    first = next(iter(table))[0]
    lines.append(f"    [*] --> {first}")
    lines += [f"    {source} --> {target}: {event}" for (source, event), target in table.items()]
    ends = dict.fromkeys(target for target in table.values() if target not in sources)
    lines += [f"    {end} --> [*]" for end in ends]
    return "\n".join(lines)
