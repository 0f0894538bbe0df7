"""POST /Agents/{id}/Approve: one approval with its reason, a dry run of it, or an override.

Owns the way from a request to `renewal/identity/approvals.py` and back. What an approval comes to
is told by the function that decides it (`renewal/rules/acts.py`).
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from django.db import IntegrityError
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import reachable
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.audit.wording import one_line
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
_LONGEST_REASON = 500


class ApproveRequest(TypedDict):
    """``Override`` approves against the policies and needs a reason; ``DryRun`` changes nothing."""

    Reason: NotRequired[str]
    Override: NotRequired[bool]
    DryRun: NotRequired[bool]


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
        reason = one_line(bodies.text(body.get("Reason") or "", "Reason"))
        if len(reason) > _LONGEST_REASON:
            raise ApiError(
                ErrorCode.VALUE_INVALID, f"Reason has at most {_LONGEST_REASON} characters."
            )
        is_override, is_dry = _flag(body, "Override"), _flag(body, "DryRun")
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


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is true or false.")
    return bool(value)
