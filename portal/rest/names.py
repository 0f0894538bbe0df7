"""The endpoints under /Agents/{id}/Names: which names the certificates of one may carry.

Owns the way from a request to `orchestrators/own_names.py` and back.
"""

from __future__ import annotations

from typing import TypedDict

from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators import own_names
from orchestrators.models import Orchestrator
from portal.access.catalogue import Permission
from portal.rest import bodies
from portal.rest.agents import AgentView, found_agent
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.refusals import actor_of


class NamesResponse(TypedDict):
    """The name of an orchestrator, the other one that it now calls itself, if any, and the names
    that its certificates may carry besides.
    """

    ClientMachine: str
    Seen: str | None
    ExtraNames: list[str]


class NamesRequest(TypedDict):
    """The names that certificates may carry besides; an empty list is none."""

    ExtraNames: list[str]


class AcceptNameRequest(TypedDict):
    """The name that was seen: refused if it calls itself otherwise by now."""

    Name: str


class _NamesView(AgentView):
    in_database = True

    def version(self, agent_id: str) -> object:
        pk = found_agent(self.request, agent_id).pk
        return _shown(Orchestrator.objects.select_for_update().get(pk=pk))


class AgentNames(_NamesView):
    """GET and POST /Agents/{id}/Names."""

    needs = {"GET": Permission.AGENTS_READ, "POST": Permission.AGENTS_APPROVE}
    takes = {"POST": NamesRequest}
    returns = {"GET": NamesResponse, "POST": NamesResponse}
    summaries = {
        "GET": "The names of one orchestrator",
        "POST": "Sets the names that certificates may carry beside the orchestrator's own",
    }
    versioned = frozenset({"GET", "POST"})

    def get(self, request: Request, agent_id: str) -> Response:
        return Response(_shown(Orchestrator.objects.get(pk=found_agent(request, agent_id).pk)))

    def post(self, request: Request, agent_id: str) -> Response:
        body = bodies.members(request.data, known=("ExtraNames",))
        names = bodies.texts(body["ExtraNames"], "ExtraNames", may_be_empty=True)
        pk = found_agent(request, agent_id, Permission.AGENTS_APPROVE).pk
        try:
            own_names.set_extra_names(pk, names, actor=actor_of(request))
        except own_names.NameRefused as refused:
            raise ApiError(ErrorCode.VALUE_INVALID, str(refused)) from None
        return Response(_shown(Orchestrator.objects.get(pk=pk)))


class AgentAcceptName(_NamesView):
    """POST /Agents/{id}/Names/Accept: makes the name that it now calls itself its own."""

    needs = {"POST": Permission.AGENTS_APPROVE}
    takes = {"POST": AcceptNameRequest}
    returns = {"POST": NamesResponse}
    versioned = frozenset({"POST"})

    def post(self, request: Request, agent_id: str) -> Response:
        name = bodies.text(bodies.members(request.data, known=("Name",))["Name"], "Name")
        pk = found_agent(request, agent_id, Permission.AGENTS_APPROVE).pk
        try:
            own_names.accept_seen_name(pk, name, actor=actor_of(request))
        except own_names.NameRefused as refused:
            raise ApiError(ErrorCode.ACT_REFUSED, str(refused)) from None
        return Response(_shown(Orchestrator.objects.get(pk=pk)))


def _shown(orchestrator: Orchestrator) -> NamesResponse:
    return {
        "ClientMachine": orchestrator.client_machine,
        "Seen": orchestrator.client_machine_seen or None,
        "ExtraNames": list(orchestrator.extra_names),
    }
