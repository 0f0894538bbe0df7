"""Approve, Disapprove and Reset of one orchestrator, each with its reason; the dry run and the
override of an approval.

Owns the way from a request to `renewal/identity/approvals.py` and back. What an approval comes to
is told by the function that decides it (`renewal/rules/acts.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NotRequired, TypedDict

from django.db import IntegrityError
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import reachable
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.rest import bodies
from portal.rest.agents import AgentView, found_agent, unknown_agent
from portal.rest.codes import ErrorCode, act_code
from portal.rest.errors import ApiError
from portal.rest.refusals import actor_of
from renewal.identity import approvals, prospects
from renewal.identity.approvals import ActRefused, Approval
from renewal.identity.prospects import Approver, Prospect
from renewal.rules.acts import CHANGE, SENTENCES, UNCHANGED, VOTE, VOTED, Outcome

_WORDS = {CHANGE: "Approved", VOTE: "Voted", VOTED: "Unchanged", UNCHANGED: "Unchanged"}
_ANSWERS = {
    Approval.APPROVED: "Approved",
    Approval.VOTED: "Voted",
    Approval.UNCHANGED: "Unchanged",
}


class ApproveRequest(TypedDict):
    """``Override`` approves against the policies and needs a reason; ``DryRun`` changes nothing."""

    Reason: NotRequired[str]
    Override: NotRequired[bool]
    DryRun: NotRequired[bool]


class ReasonRequest(TypedDict):
    """Why; the request for approval and the audit log keep it. The body may be left out."""

    Reason: NotRequired[str]


class ApproveResponse(TypedDict):
    """What an approval came to, or would: Approved, Voted, Unchanged, or Refused with its code.

    The others are told of a dry run alone.
    """

    Outcome: str
    Code: NotRequired[str | None]
    Message: NotRequired[str | None]
    Named: NotRequired[str | None]
    Lacking: NotRequired[int]
    LackingRoles: NotRequired[list[str]]


class AgentApprove(AgentView):
    """POST /Agents/{id}/Approve: approves one orchestrator, and says what that came to."""

    needs = {"POST": Permission.AGENTS_APPROVE}
    in_database = True
    takes = {"POST": ApproveRequest}
    returns = {"POST": ApproveResponse}
    versioned = frozenset({"POST"})

    def post(self, request: Request, agent_id: str) -> Response:
        body = bodies.members(
            request.data or {}, known=(), optional=("Reason", "Override", "DryRun")
        )
        reason = bodies.reason(body)
        is_override, is_dry = bodies.flag(body, "Override"), bodies.flag(body, "DryRun")
        found = found_agent(request, agent_id, Permission.AGENTS_APPROVE)
        if is_override:
            self.demand(Permission.APPROVALS_OVERRIDE)
            if not reachable([found.pk], reach(request.user, Permission.APPROVALS_OVERRIDE)):
                raise unknown_agent()
        actor, now = actor_of(request), timezone.now()
        if is_dry:
            approver = Approver() if is_override else prospects.under_policies(actor)
            (prospect,) = prospects.of([found], approver, now=now)
            return Response(_foretold(prospect))
        try:
            answer = approvals.approve(
                found.pk, actor=actor, now=now, message=reason, is_override=is_override
            )
        except ActRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        except IntegrityError:
            raise ApiError(
                ErrorCode.CHANGED, "The orchestrator changed meanwhile: try again."
            ) from None
        told: ApproveResponse = {"Outcome": _ANSWERS[answer]}
        return Response(told)


class _ActOnOne(AgentView):
    """An act on one orchestrator with a reason, if there is one."""

    in_database = True
    takes = {"POST": ReasonRequest}
    versioned = frozenset({"POST"})
    act: ClassVar[Callable[..., object]]

    def post(self, request: Request, agent_id: str) -> Response:
        reason = _reason_alone(request)
        pk = found_agent(request, agent_id, *self.needed("POST")).pk
        try:
            self.act(pk, actor=actor_of(request), now=timezone.now(), message=reason)
        except ActRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        return Response(status=204)


class AgentDisapprove(_ActOnOne):
    """POST /Agents/{id}/Disapprove: disapproves one orchestrator and its open request."""

    needs = {"POST": Permission.AGENTS_APPROVE}
    act = staticmethod(approvals.disapprove)


class AgentReset(_ActOnOne):
    """POST /Agents/{id}/Reset: Resets one orchestrator."""

    needs = {"POST": Permission.AGENTS_RESET}
    act = staticmethod(approvals.reset)


def _reason_alone(request: Request) -> str:
    """Return the reason of a body that has nothing else; existing clients send none or null."""
    if request.data is None:
        return ""
    return bodies.reason(bodies.members(request.data, known=(), optional=("Reason",)))


def _foretold(prospect: Prospect) -> ApproveResponse:
    verdict = prospect.verdict
    is_refused = verdict.outcome is Outcome.SKIP
    return {
        "Outcome": "Refused" if is_refused else _WORDS[verdict],
        "Code": act_code(verdict.reason) if is_refused else verdict.reason or None,
        "Message": SENTENCES.get(verdict.reason),
        "Named": prospect.named.text if prospect.named is not None else None,
        "Lacking": prospect.lacking,
        "LackingRoles": list(prospect.lacking_roles),
    }
