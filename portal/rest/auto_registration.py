"""The endpoints under /AutoRegistration: the rules in their order, and trying them.

Owns the way from a request to `orchestrators/registration/editing.py` and back. The form of a rule
is in `auto_registration_rule.py`; what a rule may be and what it decides is
`orchestrators/registration`'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NotRequired, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.models import AutoRegistrationRule, Orchestrator, Status
from orchestrators.protocol.requests import MessageError
from orchestrators.reach import within
from orchestrators.registration import editing
from orchestrators.registration.contents import Contents, RuleRefused
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.rest import bodies
from portal.rest.auto_registration_rule import (
    CONTENTS,
    SEEN,
    NewRule,
    RuleChange,
    RuleResponse,
    check_seen,
    given,
    group_names,
    pairs,
    shown,
)
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.refusals import actor_of
from renewal.identity import attempt as attempts

_CODES = {
    "unknown_rule": ErrorCode.RULE_UNKNOWN,
    "name_taken": ErrorCode.NAME_TAKEN,
    "rule_changed": ErrorCode.RULE_CHANGED,
    "rules_changed": ErrorCode.RULE_CHANGED,
    "would_widen_reach": ErrorCode.BEYOND_OWN_PERMISSIONS,
}


class TryRequest(TypedDict):
    """A Register as somebody describes it; ``Credential`` empty is a client certificate.

    ``AgentId`` names the New record that it is, if there is one.
    """

    ClientMachine: str
    Address: NotRequired[str]
    Credential: NotRequired[str]
    Parameters: NotRequired[dict[str, str]]
    AgentId: NotRequired[str]


class TryStep(TypedDict):
    """One rule that was asked; it applies if nothing is told against it."""

    RuleId: int
    Name: str
    Applies: bool
    Mismatches: list[str]


class TryResponse(TypedDict):
    """What would become of it: ``Outcome`` counts the obstacle, ``Ruling`` does not."""

    Outcome: str
    Ruling: str
    Rule: str | None
    Obstacle: str | None
    Steps: list[TryStep]
    RulesNotAsked: int


class RuleList(ApiView):
    """GET and POST /AutoRegistration/Rules."""

    needs = {
        "GET": Permission.AUTO_REGISTRATION_READ,
        "POST": Permission.AUTO_REGISTRATION_MODIFY,
    }
    in_database = True
    summaries = {"GET": "The rules in their order", "POST": "A new rule, asked after all others"}
    takes = {"POST": NewRule}
    returns = {"GET": list[RuleResponse], "POST": RuleResponse}

    def get(self, request: Request) -> Response:
        rows = editing.ordered()
        names = group_names(rows)
        return Response([shown(row, at, names) for at, row in enumerate(rows, start=1)])

    def post(self, request: Request) -> Response:
        body = bodies.members(request.data, known=("Name",), optional=tuple(CONTENTS))
        name = bodies.text(body.pop("Name"), "Name")
        try:
            row, _ = editing.save(
                name,
                replace(Contents(), **given(body)),
                actor=actor_of(request),
                author=request.user,
                now=timezone.now(),
            )
        except RuleRefused as refused:
            raise _error(refused) from None
        return Response(_one(row.pk))


class RuleDetail(ApiView):
    """GET, PUT and DELETE /AutoRegistration/Rules/{id}."""

    needs = {
        "GET": Permission.AUTO_REGISTRATION_READ,
        "PUT": Permission.AUTO_REGISTRATION_MODIFY,
        "DELETE": Permission.AUTO_REGISTRATION_MODIFY,
    }
    in_database = True
    summaries = {
        "GET": "One rule",
        "PUT": "Changes a rule, or moves it",
        "DELETE": "Removes a rule",
    }
    takes = {"PUT": RuleChange}
    returns = {"GET": RuleResponse, "PUT": RuleResponse}
    versioned = frozenset({"GET", "PUT", "DELETE"})
    unversioned = frozenset(SEEN)

    def version(self, rule_id: str) -> object:
        editing.locked()
        return _one(_found(rule_id).pk)

    def get(self, request: Request, rule_id: str) -> Response:
        return Response(_one(_number(rule_id)))

    def put(self, request: Request, rule_id: str) -> Response:
        row = _found(rule_id)
        body = bodies.members(
            request.data, known=(), optional=("Id", "Name", "Position", "Version", *CONTENTS, *SEEN)
        )
        if body.get("Id") not in (None, row.pk) or isinstance(body.get("Id"), bool):
            raise ApiError(ErrorCode.VALUE_INVALID, "Id is that of the path, or left out.")
        check_seen(body, row)
        position, version = _whole(body, "Position"), _whole(body, "Version")
        name = bodies.text(body.pop("Name", None) or row.name, "Name")
        actor, now = actor_of(request), timezone.now()
        try:
            editing.save_at(
                name,
                replace(editing.contents_of(row), **given(body)),
                position=position,
                actor=actor,
                author=request.user,
                now=now,
                pk=row.pk,
                version=row.version if version is None else version,
            )
        except RuleRefused as refused:
            raise _error(refused) from None
        return Response(_one(row.pk))

    def delete(self, request: Request, rule_id: str) -> Response:
        self.no_body()
        if not editing.delete(_found(rule_id).pk, expected=None, actor=actor_of(request)):
            raise _unknown()
        return Response(status=204)


class TryRules(ApiView):
    """POST /AutoRegistration/Try: which rule would decide a Register. Changes nothing."""

    needs = {"POST": Permission.AUTO_REGISTRATION_READ}
    takes = {"POST": TryRequest}
    returns = {"POST": TryResponse}

    def post(self, request: Request) -> Response:
        body = bodies.members(
            request.data,
            known=("ClientMachine",),
            optional=("Address", "Credential", "Parameters", "AgentId"),
        )
        seen = reach(request.user, Permission.AGENTS_READ)
        besides = None
        if body.get("AgentId"):
            pk = bodies.guid(bodies.text(body["AgentId"], "AgentId"))
            rows = within(Orchestrator.objects.filter(status=Status.NEW, reset_at=None), seen)
            besides = rows.filter(pk=pk).first() if pk is not None else None
            if besides is None:
                raise ApiError(ErrorCode.ORCHESTRATOR_UNKNOWN, "There is no such New orchestrator.")
        credential = None
        if body.get("Credential"):
            name = bodies.text(body["Credential"], "Credential")
            credential = attempts.credential_named(name)
            if credential is None:
                raise ApiError(ErrorCode.VALUE_INVALID, "There is no usable credential so named.")
        try:
            caller = attempts.caller_of(
                bodies.text(body["ClientMachine"], "ClientMachine"),
                address=bodies.text(body.get("Address") or "", "Address"),
                credential=credential,
                parameters=pairs(body.get("Parameters") or {}, "Parameters"),
            )
        except MessageError as problem:
            raise ApiError(
                ErrorCode.VALUE_INVALID, f"An orchestrator could not say this: {problem}."
            ) from None
        found = attempts.attempt(caller, besides=besides, sees_all=seen.everything)
        told: TryResponse = {
            "Outcome": found.outcome.value.title(),
            "Ruling": found.ruling.outcome.value.title(),
            "Rule": found.ruling.rule.name if found.ruling.rule is not None else None,
            "Obstacle": found.obstacle or None,
            "Steps": [
                {
                    "RuleId": step.rule.id,
                    "Name": step.rule.name,
                    "Applies": step.applies,
                    "Mismatches": list(step.mismatches),
                }
                for step in found.ruling.steps
            ],
            "RulesNotAsked": found.rules_not_asked,
        }
        return Response(told)


def _whole(body: dict[str, Any], name: str) -> int | None:
    value = body.pop(name, None)
    if value is not None and (type(value) is not int or not 0 < value < 2**31):
        raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is a whole number from 1 on.")
    return value


# --- rules --------------------------------------------------------------------------------------


def _number(text: str) -> int:
    number = bodies.row_number(text)
    if number is None:
        raise _unknown()
    return number


def _found(text: str) -> AutoRegistrationRule:
    row = AutoRegistrationRule.objects.filter(pk=_number(text)).first()
    if row is None:
        raise _unknown()
    return row


def _unknown() -> ApiError:
    return ApiError(ErrorCode.RULE_UNKNOWN, "There is no such rule.")


def _error(refused: RuleRefused) -> ApiError:
    return ApiError(_CODES.get(refused.reason, ErrorCode.VALUE_INVALID), str(refused))


def _one(pk: int) -> RuleResponse:
    """Return a rule with its place among all."""
    rows = editing.ordered()
    for at, row in enumerate(rows, start=1):
        if row.pk == pk:
            return shown(row, at, group_names([row]))
    raise _unknown()
