"""Approvals: the life cycle of a request, and who may decide it how. PURE.

Owns the table of states, the policies, and when votes are enough. Which rows there are, and what
an approval does to a record, is `renewal/identity/`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from renewal.rules.lifecycle import InvalidTransition


class RequestState(StrEnum):
    """Where a request for approval is."""

    OPEN = "open"
    """It waits for a decision, or for somebody to come forward."""
    APPROVED = "approved"
    DISAPPROVED = "disapproved"
    WITHDRAWN = "withdrawn"
    """A Reset took its place: the newer request asks for the return."""
    EXPIRED = "expired"
    """Nobody came forward or decided for too long; the next Register opens a new one."""


class RequestEvent(StrEnum):
    """What moves a request."""

    VOTE = "vote"
    APPROVE = "approve"
    DISAPPROVE = "disapprove"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"


_S, _E = RequestState, RequestEvent
APPROVAL: Mapping[tuple[RequestState, RequestEvent], RequestState] = {
    (_S.OPEN, _E.VOTE): _S.OPEN,
    (_S.OPEN, _E.APPROVE): _S.APPROVED,
    (_S.OPEN, _E.DISAPPROVE): _S.DISAPPROVED,
    (_S.OPEN, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.OPEN, _E.EXPIRE): _S.EXPIRED,
}


def next_request(state: RequestState, event: RequestEvent) -> RequestState:
    """Return the state after ``event``. Raises InvalidTransition."""
    try:
        return APPROVAL[state, event]
    except KeyError:
        raise InvalidTransition(state, event) from None


class RequestKind(StrEnum):
    """What is asked for."""

    FIRST = "first"
    AFTER_RESET = "after_reset"
    AFTER_DISAPPROVE = "after_disapprove"


@dataclass(frozen=True)
class Asked:
    """One request of a record, as a later one sees it."""

    kind: RequestKind
    state: RequestState
    caused_by: str = ""
    """Who Reset the record, comparable; empty for an orchestrator that registered."""


@dataclass(frozen=True)
class Question:
    """What an approval of a record decides now."""

    kind: RequestKind
    resetters: frozenset[str] = frozenset()
    """Everybody who Reset the record since it was last approved."""
    is_also_first: bool = False
    """A return of a record that registered and was never approved: it would work for the first
    time, though it was Reset."""


def question_of(
    history: Sequence[Asked], *, was_reset: bool = False, is_disapproved: bool = False
) -> Question:
    """Return what is asked of a record, or would be by a request that is opened now.

    ``history``: its requests, oldest first; none of one that was entered by hand, as Approved.
    What was asked and never granted is asked again, so that neither a Disapprove nor an expiry
    turns the return of a Reset record into something else, nor does a Reset by somebody else free
    those who Reset it before. A record that registered and was never approved is let work for the
    first time, though it was Reset.
    """
    since: list[Asked] = []
    for asked in history:
        since = [] if asked.state is RequestState.APPROVED else [*since, asked]
    if since:
        kind = since[-1].kind
    elif was_reset and not history:
        kind = RequestKind.AFTER_RESET
    elif history or is_disapproved:
        kind = RequestKind.AFTER_DISAPPROVE
    else:
        kind = RequestKind.FIRST
    resets = (asked for asked in since if asked.kind is RequestKind.AFTER_RESET)
    is_also_first = (
        kind is not RequestKind.FIRST
        and any(asked.kind is RequestKind.FIRST for asked in history)
        and all(asked.state is not RequestState.APPROVED for asked in history)
    )
    resetters = frozenset(asked.caused_by for asked in resets if asked.caused_by)
    return Question(kind, resetters, is_also_first)


FIRST_QUESTION = Question(RequestKind.FIRST)
"""What is asked of a record that registers, or is taken in, for the first time."""


class Approval(IntEnum):
    """What an Approve came to; false if it changed nothing."""

    UNCHANGED = 0
    APPROVED = 1
    VOTED = 2
    """The approver's own vote counts; others must follow."""


@dataclass(frozen=True)
class Policies:
    """The settings that say how a request is decided."""

    differs_from_resetter: bool = False
    needed_first: int = 1
    needed_again: int = 1
    roles_first: tuple[str, ...] = ()
    roles_again: tuple[str, ...] = ()
    """Each of these roles must be spoken for by a person of its own."""

    def needed(self, question: Question) -> int:
        """Return how many people must approve."""
        number = self.needed_first if question.kind is RequestKind.FIRST else self.needed_again
        if question.is_also_first:
            number = max(number, self.needed_first)
        return max(number, len(self.roles(question)))

    def roles(self, question: Question) -> tuple[str, ...]:
        """Return the roles from each of which somebody must approve."""
        if question.kind is RequestKind.FIRST:
            return self.roles_first
        first = self.roles_first if question.is_also_first else ()
        return tuple(dict.fromkeys((*first, *self.roles_again)))

    def bars(self, question: Question, *, approver: str) -> bool:
        """Say whether this approver may not approve: whoever Reset a record, its return."""
        return (
            self.differs_from_resetter
            and question.kind is RequestKind.AFTER_RESET
            and approver in question.resetters
        )

    def is_eased_by_deletion(self, question: Question) -> bool:
        """Say whether a host whose return these policies judge would come back under milder ones
        if its record were deleted: as somebody unknown, it asks for a first registration.
        """
        return question.kind is not RequestKind.FIRST and (
            self.differs_from_resetter
            or self.needed(question) > self.needed(FIRST_QUESTION)
            or not set(self.roles(question)) <= set(self.roles(FIRST_QUESTION))
        )


@dataclass(frozen=True)
class Vote:
    """One approval by one person: who, what they were shown, and the roles that they have."""

    voter: str
    named: str
    roles: frozenset[str] = frozenset()


def counted(
    votes: Iterable[Vote], *, named: str, question: Question, policies: Policies
) -> Mapping[str, frozenset[str]]:
    """Return who approves what is named now, with their roles: each person once, nobody whom a
    policy bars.

    A vote that named another certificate, credential or name does not count.
    """
    return {
        vote.voter: vote.roles
        for vote in votes
        if vote.named == named and not policies.bars(question, approver=vote.voter)
    }


def lacking(
    voters: Mapping[str, frozenset[str]], *, question: Question, policies: Policies
) -> tuple[int, tuple[str, ...]]:
    """Return how many more people must approve, and the roles that nobody speaks for yet.

    A person speaks for one role, so that two roles are two people (C13 in docs/promises.md).
    """
    speakers: dict[str, str] = {}
    missing = tuple(
        role
        for role in policies.roles(question)
        if not _finds_speaker(role, voters, speakers, set())
    )
    return max(policies.needed(question) - len(voters), len(missing)), missing


def _finds_speaker(
    role: str,
    voters: Mapping[str, frozenset[str]],
    speakers: dict[str, str],
    asked: set[str],
) -> bool:
    """Find a voter who speaks for ``role``, moving others to another role where that frees one
    (an augmenting path of a bipartite matching).
    """
    for voter, roles in sorted(voters.items()):
        if role not in roles or voter in asked:
            continue
        asked.add(voter)
        other = speakers.get(voter)
        if other is None or _finds_speaker(other, voters, speakers, asked):
            speakers[voter] = role
            return True
    return False
