"""How a request for approval looks in replies: in a list, and whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from portal.rest.moments import zulu, zulu_or_none
from renewal.identity.risks import Assessed
from renewal.models import ApprovalComment, ApprovalRequest, ApprovalVote, Claimant
from renewal.rules.approval import Policies, Question


class ApprovalRequestResponse(TypedDict):
    """One request for approval. ``Approvals`` is how many count of those that are ``Needed``;
    ``Reason`` is why the orchestrator was Reset.
    """

    Id: int
    AgentId: str
    ClientMachine: str
    Kind: str
    State: str
    Opened: str
    CausedBy: str
    Address: str | None
    Reason: str | None
    Approvals: int
    Needed: int
    Decided: str | None
    DecidedBy: str | None
    DecisionReason: str | None
    Override: bool
    Rule: str | None


class SeenIdentity(TypedDict):
    """What an orchestrator was, or was decided with: the certificate or the credential."""

    ClientMachine: str | None
    Thumbprint: str | None
    Credential: str | None
    Address: str | None


class ApprovalCandidate(TypedDict):
    """One who came forward. ``HeldBefore``: with a certificate from before the Reset."""

    ClientMachine: str
    Thumbprint: str | None
    Subject: str | None
    Issuer: str | None
    NotAfter: str | None
    Credential: str | None
    Address: str | None
    LastSeen: str
    HeldBefore: bool


class ApprovalHint(TypedDict):
    """What is odd, and what to check; it bars nothing."""

    Risk: str
    Sentence: str
    Check: str


class ApprovalVoteResponse(TypedDict):
    """One approval. ``Void``: it named something else than what is there."""

    By: str
    At: str
    Named: str
    Reason: str | None
    Void: bool


class ApprovalCommentResponse(TypedDict):
    """What somebody said to a request."""

    Id: int
    By: str
    At: str
    Text: str


class WholeApprovalRequest(ApprovalRequestResponse):
    """One request with who came forward, the hints, the approvals and the comments.

    ``NeededRoles``: somebody of each must approve.
    """

    NeededRoles: list[str]
    Before: SeenIdentity
    DecidedWith: SeenIdentity
    Candidates: list[ApprovalCandidate]
    Hints: list[ApprovalHint]
    Votes: list[ApprovalVoteResponse]
    Comments: list[ApprovalCommentResponse]


def request_response(
    row: ApprovalRequest, count: int, rules: Policies, question: Question
) -> ApprovalRequestResponse:
    """Return a request as a list shows it. ``count``: how many approvals count."""
    return {
        "Id": row.pk,
        "AgentId": str(row.orchestrator_id),
        "ClientMachine": row.orchestrator.client_machine,
        "Kind": str(row.kind),
        "State": str(row.state),
        "Opened": zulu(row.opened_at),
        "CausedBy": row.caused_by,
        "Address": row.address or None,
        "Reason": row.reason or None,
        "Approvals": count,
        "Needed": rules.needed(question),
        "Decided": zulu_or_none(row.decided_at),
        "DecidedBy": row.decided_by or None,
        "DecisionReason": row.decision_reason or None,
        "Override": row.is_override,
        "Rule": row.rule or None,
    }


def whole_response(
    row: ApprovalRequest,
    rules: Policies,
    question: Question,
    assessed: Assessed | None,
    votes: Sequence[ApprovalVote],
    comments: Sequence[ApprovalComment],
) -> WholeApprovalRequest:
    """Return a request with all that its page shows. ``assessed``: of an open one."""
    counted = sum(vote.voided_at is None for vote in votes)
    return {
        **request_response(row, counted, rules, question),
        "NeededRoles": sorted(rules.roles(question)),
        "Before": {
            "ClientMachine": row.old_client_machine or None,
            "Thumbprint": row.old_thumbprint or None,
            "Credential": None,
            "Address": row.old_address or None,
        },
        "DecidedWith": {
            "ClientMachine": row.new_client_machine or None,
            "Thumbprint": row.new_thumbprint or None,
            "Credential": row.new_credential.name if row.new_credential else None,
            "Address": row.new_address or None,
        },
        "Candidates": [_candidate(each) for each in assessed.candidates] if assessed else [],
        "Hints": [
            {"Risk": str(hint.risk), "Sentence": hint.sentence, "Check": hint.check}
            for hint in (assessed.hints if assessed else ())
        ],
        "Votes": [
            {
                "By": vote.voter_name,
                "At": zulu(vote.voted_at),
                "Named": vote.named_text,
                "Reason": vote.reason or None,
                "Void": vote.voided_at is not None,
            }
            for vote in votes
        ],
        "Comments": [comment_response(said) for said in comments],
    }


def comment_response(said: ApprovalComment) -> ApprovalCommentResponse:
    """Return a comment as replies show it."""
    return {
        "Id": said.pk,
        "By": said.author_name,
        "At": zulu(said.written_at),
        "Text": said.text,
    }


def _candidate(claimant: Claimant) -> ApprovalCandidate:
    certificate = claimant.certificate
    return {
        "ClientMachine": claimant.client_machine,
        "Thumbprint": certificate.thumbprint if certificate else None,
        "Subject": certificate.subject_name if certificate else None,
        "Issuer": certificate.issuer_name if certificate else None,
        "NotAfter": zulu(certificate.not_after) if certificate else None,
        "Credential": claimant.credential.name if claimant.credential else None,
        "Address": claimant.address or None,
        "LastSeen": zulu(claimant.last_seen),
        "HeldBefore": claimant.held_before,
    }
