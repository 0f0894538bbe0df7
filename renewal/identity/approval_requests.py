"""Requests for approval: opened, voted on, decided, withdrawn, expired.

Owns the rows and their compare-and-swap. Each function runs in the transaction that creates,
Resets or decides the record, with the record's row locked; what a decision does to the record is
`approvals.py`'s.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from orchestrators.models import Orchestrator
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal.identity import questions
from renewal.identity.acting import ActRefused
from renewal.models import (
    ApprovalRequest,
    ApprovalVote,
    Certificate,
    Claimant,
)
from renewal.rules.approval import (
    RequestEvent,
    RequestKind,
    RequestState,
    next_request,
)
from renewal.rules.standing import ACCEPTED, UNPROVEN


@dataclass(frozen=True)
class Cause:
    """Who caused a request: an operator who Reset, or an orchestrator that registered."""

    name: str
    key: str = ""
    user_id: int | None = None
    address: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Named:
    """What an approval names: comparable, and in words."""

    digest: str
    text: str
    claimant: Claimant | None = None


def key_of(actor: Actor) -> str:
    """Return who somebody is, comparable: a user by number, anybody else by name."""
    return f"user:{actor.user_id}" if actor.user_id is not None else f"name:{actor.name}"[:220]


def cause_of(actor: Actor, reason: str = "") -> Cause:
    """Return an operator as the cause of a request."""
    return Cause(actor.name, key_of(actor), actor.user_id, actor.source_address, reason)


def network_of(address: str) -> str:
    """Return the network that an address is taken to belong to: /24, of IPv6 /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    length = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))


# --- opening ----------------------------------------------------------------------------------


def open_of(orchestrator: Orchestrator) -> ApprovalRequest | None:
    """Return the open request of a record."""
    return ApprovalRequest.objects.filter(
        orchestrator=orchestrator, state=RequestState.OPEN
    ).first()


def ensure_open(orchestrator: Orchestrator, cause: Cause, *, now: datetime) -> ApprovalRequest:
    """Return the open request of a record that may not work, opening one if there is none.

    A request whose predecessor was never granted asks for the same: its kind, its old identity and,
    for the return of a Reset record, whoever Reset it.
    """
    found = open_of(orchestrator)
    if found is not None:
        return found
    previous = (
        ApprovalRequest.objects.filter(orchestrator=orchestrator)
        .order_by("-opened_at", "-pk")
        .first()
    )
    kind = questions.of(orchestrator).kind
    made = _asked(orchestrator, kind, cause, now)
    if previous is not None and previous.state != RequestState.APPROVED:
        for field in (
            "caused_by",
            "caused_by_key",
            "caused_by_user_id",
            "address",
            "reason",
            "old_client_machine",
            "old_certificate_id",
            "old_thumbprint",
            "old_address",
        ):
            setattr(made, field, getattr(previous, field))
    elif kind is not RequestKind.FIRST:
        _keep_old_identity(made, orchestrator)
    made.save(force_insert=True)
    if previous is not None:
        audit(made, "approval_request_opened_again", Actor(cause.name, cause.user_id))
    return made


def first_of(orchestrator: Orchestrator, cause: Cause, *, now: datetime) -> ApprovalRequest:
    """Return the request of a record that is made now, not stored yet."""
    return _asked(orchestrator, questions.asked_of(orchestrator, ()).kind, cause, now)


def _asked(
    orchestrator: Orchestrator, kind: RequestKind, cause: Cause, now: datetime
) -> ApprovalRequest:
    return ApprovalRequest(
        orchestrator=orchestrator,
        generation=orchestrator.generation,
        kind=kind,
        opened_at=now,
        caused_by=cause.name[:200],
        caused_by_key=cause.key,
        caused_by_user_id=cause.user_id,
        address=cause.address[:64],
        reason=cause.reason[:1000],
    )


def open_for_reset(
    orchestrator: Orchestrator, actor: Actor, *, reason: str, now: datetime
) -> ApprovalRequest:
    """Open the request for the return of a record that is being Reset, before it forgets who it
    was. An open request gives way.
    """
    before = open_of(orchestrator)
    if before is not None:
        close(before, RequestEvent.WITHDRAW, actor, reason="It was Reset.", now=now)
    cause = cause_of(actor, reason)
    made = ApprovalRequest(
        orchestrator=orchestrator,
        generation=orchestrator.generation + 1,
        kind=RequestKind.AFTER_RESET,
        opened_at=now,
        caused_by=cause.name[:200],
        caused_by_key=cause.key,
        caused_by_user_id=cause.user_id,
        address=cause.address[:64],
        reason=reason[:1000],
    )
    _keep_old_identity(made, orchestrator)
    if not made.old_thumbprint and before is not None:
        # Reset again before it came back: it still is who it was before the first one.
        for field in ("old_client_machine", "old_certificate_id", "old_thumbprint", "old_address"):
            setattr(made, field, getattr(before, field))
    made.save(force_insert=True)
    return made


def _keep_old_identity(request: ApprovalRequest, orchestrator: Orchestrator) -> None:
    in_use = (
        Certificate.objects.filter(orchestrator=orchestrator, standing__in=sorted(ACCEPTED))
        .defer("der")
        .order_by("-pk")
    )
    rows = list(in_use)
    proven = [row for row in rows if row.standing not in UNPROVEN]
    certificate = next(iter(proven or rows), None)
    request.old_client_machine = orchestrator.client_machine
    request.old_certificate = certificate
    request.old_thumbprint = certificate.thumbprint if certificate else orchestrator.thumbprint
    request.old_address = orchestrator.last_address


# --- voting -----------------------------------------------------------------------------------


def vote(
    request: ApprovalRequest, named: Named, actor: Actor, *, message: str, now: datetime
) -> None:
    """Keep one person's approval. Votes that named something else are void from now on."""
    next_request(RequestState(request.state), RequestEvent.VOTE)
    votes = ApprovalVote.objects.filter(request=request, voided_at=None)
    _void(request, votes.exclude(named=named.digest), actor, now=now)
    mine = key_of(actor)
    if votes.filter(voter_key=mine).exists():
        return
    ApprovalVote.objects.create(
        request=request,
        voter_id=actor.user_id,
        voter_name=actor.name[:200],
        voter_key=mine,
        named=named.digest,
        named_text=named.text[:400],
        reason=message[:1000],
        voted_at=now,
    )


def void_votes(orchestrator: Orchestrator, actor: Actor, *, now: datetime) -> None:
    """Void what was voted: somebody else came forward, so that it was about something else."""
    request = open_of(orchestrator)
    if request is not None:
        votes = ApprovalVote.objects.filter(request=request, voided_at=None)
        _void(request, votes, actor, now=now)


def _void(
    request: ApprovalRequest, votes: QuerySet[ApprovalVote], actor: Actor, *, now: datetime
) -> None:
    gone = votes.update(voided_at=now)
    if gone:
        audit(request, "approval_votes_voided", actor, after={"votes": gone})


# --- deciding ---------------------------------------------------------------------------------


def approve(
    request: ApprovalRequest,
    named: Named,
    actor: Actor,
    *,
    message: str,
    now: datetime,
    is_override: bool = False,
    rule: str = "",
) -> None:
    """Close a request as approved, with what was approved."""
    claimant = named.claimant
    identity: dict[str, object] = {"new_client_machine": request.orchestrator.client_machine}
    if claimant is not None:
        certificate = claimant.certificate
        identity = {
            "new_client_machine": claimant.client_machine,
            "new_certificate": certificate,
            "new_credential": claimant.credential,
            "new_thumbprint": certificate.thumbprint if certificate else "",
            "new_address": claimant.address,
            "new_network": network_of(claimant.address),
        }
    close(
        request,
        RequestEvent.APPROVE,
        actor,
        reason=message,
        now=now,
        is_override=is_override,
        rule=rule[:200],
        **identity,
    )


def disapprove(request: ApprovalRequest, actor: Actor, *, message: str, now: datetime) -> None:
    """Close a request as disapproved."""
    close(request, RequestEvent.DISAPPROVE, actor, reason=message, now=now)


def close(
    request: ApprovalRequest,
    event: RequestEvent,
    actor: Actor,
    *,
    reason: str,
    now: datetime,
    **fields: object,
) -> None:
    """Compare-and-swap: an open request is closed once. Raises ActRefused."""
    state = next_request(RequestState(request.state), event)
    closed = ApprovalRequest.objects.filter(pk=request.pk, state=RequestState.OPEN).update(
        state=state,
        decided_at=now,
        decided_by=actor.name[:200],
        decided_by_user_id=actor.user_id,
        decision_reason=reason[:1000],
        **fields,
    )
    if not closed:
        raise ActRefused("decided", "This request was decided meanwhile: look again.")
    request.refresh_from_db()


def audit(
    request: ApprovalRequest,
    action: str,
    actor: Actor,
    *,
    after: dict[str, object] | None = None,
    message: str = "",
) -> None:
    record(
        actor,
        Category.ORCHESTRATOR,
        action,
        object_type="approval_request",
        object_id=request.pk,
        object_name=request.orchestrator.client_machine,
        orchestrator_id=request.orchestrator_id,
        after=after,
        message=message,
    )
