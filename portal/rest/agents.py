"""The endpoints under /Agents.

Owns the way from a request to a service and back. What an act means is `renewal`'s and
`orchestrators`'; formats are in `agent_response.py` and `bodies.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NotRequired, TypedDict
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators import jobs
from orchestrators.models import Orchestrator, Reenrollment
from orchestrators.reach import act_reaches, reachable, within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.rest import bodies, listed_acts, paging
from portal.rest.agent_listing import agent_listing
from portal.rest.agent_response import AgentResponse, agent_response, agents, renewals
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode, act_code
from portal.rest.errors import ApiError
from portal.rest.listed_acts import ListedAct
from portal.rest.refusals import actor_of, note_target_unknown
from renewal import log_requests
from renewal.identity import approvals, deletion
from renewal.identity.approvals import ActRefused
from renewal.rules.acts import Act

_ACTS = {
    Reenrollment.NONE: Act.CLEAR,
    Reenrollment.REQUESTED: Act.REQUEST,
    Reenrollment.REQUIRED: Act.REQUIRE,
}


class AgentIds(TypedDict):
    """The ids in an object, as some existing clients send them."""

    AgentIds: list[str]


class ReenrollmentRequest(TypedDict):
    """Whose flag is set, and to what: 0 to 2, or None, Requested, Required. ``AtOnce`` ends the
    present session; it goes with a renewal alone.
    """

    OrchestratorIds: list[str]
    Status: int | str
    AtOnce: NotRequired[bool]


class ReenrollmentResponse(TypedDict):
    """Whose flag was not set, and what the others' is now."""

    FailedOrchestratorIds: list[str]
    Status: int


class AgentView(ApiView):
    """A view of orchestrators: whoever acts on one must be allowed to see it."""

    sees = (Permission.AGENTS_READ,)

    # With the last contact every tag would be an old one within minutes.
    unversioned = frozenset({"LastSeen", "Renewal"})

    def version(self, agent_id: str) -> object:
        found = found_agent(self.request, agent_id)
        Orchestrator.objects.select_for_update().filter(pk=found.pk).first()
        return agent_response(agents().get(pk=found.pk), None)

    def behind(self, agent_id: str) -> object:
        """Who came forward, and what an approval or a Reset in between would have moved."""
        rows = Orchestrator.objects.filter(pk=_id(agent_id)).values_list(
            "generation",
            "flag_counter",
            "claimants__certificate_id",
            "claimants__credential_id",
            "claimants__client_machine",
        )
        return list(rows.order_by("claimants__pk"))

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """The one that a path names."""
        named = bodies.guid(kwargs.get("agent_id", ""))
        return [("orchestrator", str(named))] if named else []


class AgentList(AgentView):
    """GET /Agents: orchestrators, filtered, sorted and paged."""

    needs = {"GET": Permission.AGENTS_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS | {"includerenewal"}
    returns = {"GET": list[AgentResponse]}

    def get(self, request: Request) -> Response:
        now = timezone.now()
        is_full = paging.flag(self.given, "includerenewal")
        seen = within(agents(), reach(request.user, Permission.AGENTS_READ))
        rows, headers = self.listed(seen, agent_listing(now))
        known = renewals(rows, now=now) if is_full else {}
        return Response([agent_response(row, known.get(row.pk)) for row in rows], headers=headers)


class AgentDetail(AgentView):
    """GET and DELETE /Agents/{id}."""

    needs = {"GET": Permission.AGENTS_READ, "DELETE": Permission.AGENTS_MODIFY}
    parameters: ClassVar[frozenset[str]] = frozenset({"includerenewal", "force"})
    parameters_of = {"includerenewal": "GET", "force": "DELETE"}
    returns = {"GET": AgentResponse}
    summaries = {"GET": "One orchestrator", "DELETE": "Removes a disapproved orchestrator"}
    versioned = frozenset({"GET", "DELETE"})
    in_database = True

    def get(self, request: Request, agent_id: str) -> Response:
        is_full = paging.flag(self.given, "includerenewal")
        found = found_agent(request, agent_id)
        known = renewals([found], now=timezone.now()) if is_full else {}
        return Response(agent_response(found, known.get(found.pk)))

    def delete(self, request: Request, agent_id: str) -> Response:
        self.no_body()
        pk = found_agent(request, agent_id, Permission.AGENTS_MODIFY).pk
        force = paging.flag(self.given, "force")
        above = act_reaches(request.user, Permission.APPROVALS_OVERRIDE)
        try:
            deletion.delete(
                pk,
                actor=actor_of(request),
                now=timezone.now(),
                force=force,
                may_override=bool(reachable([pk], *above)),
            )
        except ActRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        return Response(status=204)


class AgentsApprove(AgentView):
    """POST /Agents/Approve."""

    needs = {"POST": Permission.AGENTS_APPROVE}
    takes = {"POST": list[str] | AgentIds}
    summaries = {"POST": "Approves orchestrators, all of them or none"}
    in_database = True
    has_order = True

    def listed_act(self, request: Request) -> ListedAct:
        return ListedAct(Act.APPROVE, tuple(bodies.agent_ids(request.data)))

    def post(self, request: Request) -> Response:
        actor, now = actor_of(request), timezone.now()
        listed_acts.all_or_none(
            bodies.agent_ids(request.data),
            act_reaches(request.user, Permission.AGENTS_APPROVE),
            lambda pk: approvals.approve(pk, actor=actor, now=now),
        )
        return Response(status=204)


class AgentsDisapprove(AgentView):
    """POST /Agents/Disapprove."""

    needs = {"POST": Permission.AGENTS_APPROVE}
    takes = {"POST": list[str] | AgentIds}
    summaries = {"POST": "Disapproves orchestrators, all of them or none"}
    in_database = True
    has_order = True

    def listed_act(self, request: Request) -> ListedAct:
        return ListedAct(Act.DISAPPROVE, tuple(bodies.agent_ids(request.data)))

    def post(self, request: Request) -> Response:
        actor, now = actor_of(request), timezone.now()
        listed_acts.all_or_none(
            bodies.agent_ids(request.data),
            act_reaches(request.user, Permission.AGENTS_APPROVE),
            lambda pk: approvals.disapprove(pk, actor=actor, now=now),
        )
        return Response(status=204)


class AgentsReset(AgentView):
    """POST /Agents/Reset."""

    needs = {"POST": Permission.AGENTS_RESET}
    takes = {"POST": list[str] | AgentIds}
    summaries = {"POST": "Resets orchestrators, all of them or none"}
    in_database = True
    has_order = True

    def listed_act(self, request: Request) -> ListedAct:
        return ListedAct(Act.RESET, tuple(bodies.agent_ids(request.data)))

    def post(self, request: Request) -> Response:
        actor, now = actor_of(request), timezone.now()
        listed_acts.all_or_none(
            bodies.agent_ids(request.data),
            act_reaches(request.user, Permission.AGENTS_RESET),
            lambda pk: approvals.reset(pk, actor=actor, now=now),
        )
        return Response(status=204)


class AgentFetchLogs(AgentView):
    """POST /Agents/{id}/FetchLogs."""

    needs = {"POST": Permission.AGENTS_LOGS}
    summaries = {"POST": "Asks one orchestrator for its log"}
    versioned = frozenset({"POST"})
    in_database = True

    def post(self, request: Request, agent_id: str) -> Response:
        self.no_body()
        found = found_agent(request, agent_id, Permission.AGENTS_LOGS)
        try:
            log_requests.ask(found.pk, actor=actor_of(request), now=timezone.now())
        except ActRefused as refused:
            raise ApiError(ErrorCode.ACT_REFUSED, str(refused)) from None
        return Response(status=204)

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """The job that waits: of the orchestrator itself nothing changes."""
        asked = found_agent(request, kwargs["agent_id"], Permission.AGENTS_LOGS)
        return [("job", str(job.job_id)) for job in jobs.waiting_for_logs(asked)]


class AgentsSetReenrollment(AgentView):
    """POST /Agents/SetAuthCertificateReenrollment: ids that cannot be set are listed."""

    needs = {"POST": Permission.AGENTS_RENEW}
    takes = {"POST": ReenrollmentRequest}
    returns = {"POST": ReenrollmentResponse}
    summaries = {"POST": "Requests or requires renewals, or takes that back"}
    in_database = True
    has_order = True

    def listed_act(self, request: Request) -> ListedAct:
        flag, asked, at_once = _asked(request)
        ids = tuple(dict.fromkeys(pk for pk in asked.values() if pk))
        no_ids = tuple(text for text, pk in asked.items() if pk is None)
        return ListedAct(_ACTS[flag], ids, no_ids, is_whole=False, at_once=at_once)

    def post(self, request: Request) -> Response:
        flag, asked, at_once = _asked(request)
        actor, now = actor_of(request), timezone.now()
        refused = listed_acts.refusals(
            {pk for pk in asked.values() if pk},
            act_reaches(request.user, Permission.AGENTS_RENEW),
            lambda pk: approvals.request_renewal(pk, flag, actor=actor, now=now, at_once=at_once),
        )
        unknown = (why for why in refused.values() if why.reason == "unknown")
        if (why := next(unknown, None)) is not None:
            note_target_unknown(request, act_code(why.reason), str(why))
        return Response(
            {
                "FailedOrchestratorIds": [
                    text for text, pk in asked.items() if pk is None or pk in refused
                ],
                "Status": int(flag),
            }
        )


def _asked(request: Request) -> tuple[Reenrollment, dict[str, UUID | None], bool]:
    """Return the flag, each id as it was sent with the GUID that it is, and whether the present
    session ends. Raises ApiError.
    """
    body = bodies.members(request.data, known=("OrchestratorIds", "Status"), optional=("AtOnce",))
    flag = bodies.reenrollment(body["Status"])
    texts = bodies.id_texts(body["OrchestratorIds"], "OrchestratorIds")
    at_once = bodies.flag(body, "AtOnce")
    if at_once and flag is Reenrollment.NONE:
        raise ApiError(ErrorCode.VALUE_INVALID, "AtOnce: only a renewal is asked for at once.")
    return flag, {text: bodies.guid(text) for text in texts}, at_once


def _id(text: str) -> UUID:
    parsed = bodies.guid(text)
    if parsed is None:
        raise unknown_agent()
    return parsed


def found_agent(request: Request, text: str, *acts: Permission) -> Orchestrator:
    """Return the record within the caller's reach. Raises ApiError."""
    needed = (Permission.AGENTS_READ, *acts)
    rows = within(agents(), *(reach(request.user, each) for each in needed))
    found = rows.filter(pk=_id(text)).first()
    if found is None:
        raise unknown_agent()
    return found


def unknown_agent() -> ApiError:
    return ApiError(ErrorCode.ORCHESTRATOR_UNKNOWN, "There is no such orchestrator.")
