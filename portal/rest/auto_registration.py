"""The endpoints under /AutoRegistration: the rules in their order, and trying them.

Owns the way from a request to `orchestrators/registration/editing.py` and back, and the form of a
rule. What a rule may be and what it decides is `orchestrators/registration`'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NotRequired, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators import groups
from orchestrators.labels import GroupingRefused
from orchestrators.models import AutoRegistrationRule, Orchestrator, OrchestratorGroup, Status
from orchestrators.protocol.messages import MessageError
from orchestrators.reach import within
from orchestrators.registration import editing
from orchestrators.registration.editing import Contents, RuleRefused
from portal.access.catalogue import Permission
from portal.access.reach import EVERYTHING, reach
from portal.rest import bodies
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu_or_none
from portal.rest.refusals import actor_of
from renewal.identity import attempt as attempts

_CODES = {
    "unknown_rule": ErrorCode.RULE_UNKNOWN,
    "name_taken": ErrorCode.NAME_TAKEN,
    "rule_changed": ErrorCode.RULE_CHANGED,
    "rules_changed": ErrorCode.RULE_CHANGED,
    "would_widen_reach": ErrorCode.BEYOND_OWN_PERMISSIONS,
}
_CONTENTS = {
    "Outcome": "outcome",
    "Description": "description",
    "Enabled": "enabled",
    "NamePatterns": "name_patterns",
    "Networks": "networks",
    "ServiceAccount": "service_account",
    "Role": "role",
    "Credential": "credential",
    "Parameters": "parameters",
    "AssignServiceAccount": "assign_service_account",
    "AssignGroup": "assign_group",
    "AssignLabels": "assign_labels",
}


class RuleContents(TypedDict):
    """What a rule says; what is left out stays as it is, or is empty in a new one."""

    Outcome: NotRequired[str]
    Description: NotRequired[str]
    Enabled: NotRequired[bool]
    NamePatterns: NotRequired[list[str]]
    Networks: NotRequired[list[str]]
    ServiceAccount: NotRequired[str]
    Role: NotRequired[str]
    Credential: NotRequired[str]
    Parameters: NotRequired[dict[str, str]]
    AssignServiceAccount: NotRequired[str]
    AssignGroup: NotRequired[str]
    AssignLabels: NotRequired[dict[str, str]]


class NewRule(RuleContents):
    """A new rule, asked after all others."""

    Name: str


class RuleChange(RuleContents):
    """A change; ``Version`` is the one that was read, and another one since is refused."""

    Name: NotRequired[str]
    Position: NotRequired[int]
    Version: NotRequired[int]


class RuleResponse(TypedDict):
    """One rule. ``Position`` counts from 1; the first that applies decides."""

    Id: int
    Position: int
    Version: int
    Name: str
    Outcome: str
    Description: str
    Enabled: bool
    NamePatterns: list[str]
    Networks: list[str]
    ServiceAccount: str
    Role: str
    Credential: str
    Parameters: dict[str, str]
    AssignServiceAccount: str
    AssignGroup: str
    AssignLabels: dict[str, str]
    Hits: int
    LastHit: str | None


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
    takes = {"POST": NewRule}
    returns = {"GET": list[RuleResponse], "POST": RuleResponse}

    def get(self, request: Request) -> Response:
        rows = editing.ordered()
        names = _group_names(rows)
        return Response([_shown(row, at, names) for at, row in enumerate(rows, start=1)])

    def post(self, request: Request) -> Response:
        body = bodies.members(request.data, known=("Name",), optional=tuple(_CONTENTS))
        name = bodies.text(body.pop("Name"), "Name")
        try:
            row, _ = editing.save(
                name,
                replace(Contents(), **_given(body)),
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
    takes = {"PUT": RuleChange}
    returns = {"GET": RuleResponse, "PUT": RuleResponse}

    def get(self, request: Request, rule_id: str) -> Response:
        return Response(_one(_number(rule_id)))

    def put(self, request: Request, rule_id: str) -> Response:
        row = _found(rule_id)
        body = bodies.members(
            request.data, known=(), optional=("Name", "Position", "Version", *_CONTENTS)
        )
        position, version = _whole(body, "Position"), _whole(body, "Version")
        name = bodies.text(body.pop("Name", None) or row.name, "Name")
        actor, now = actor_of(request), timezone.now()
        try:
            editing.save_at(
                name,
                replace(editing.contents_of(row), **_given(body)),
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
                parameters=_pairs(body.get("Parameters") or {}, "Parameters"),
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


# --- reading ------------------------------------------------------------------------------------


def _given(body: dict[str, Any]) -> dict[str, Any]:
    """Return the contents that a body names, as a rule keeps them."""
    return {
        _CONTENTS[name]: _value(name, value)
        for name, value in body.items()
        if name in _CONTENTS and value is not None
    }


def _value(name: str, value: object) -> object:
    match name:
        case "Enabled":
            if not isinstance(value, bool):
                raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is true or false.")
            return value
        case "NamePatterns" | "Networks":
            return tuple(bodies.texts(value, name, may_be_empty=True))
        case "Parameters" | "AssignLabels":
            return tuple(_pairs(value, name).items())
        case "AssignGroup":
            return _group(bodies.text(value, name))
        case "Outcome":
            return bodies.text(value, name).lower()
        case _:
            return bodies.text(value, name)


def _pairs(value: object, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > editing.MOST_VALUES:
        raise ApiError(
            ErrorCode.VALUE_INVALID,
            f"{name} is an object of at most {editing.MOST_VALUES} strings.",
        )
    return {
        bodies.text(key, f"A key of {name}"): bodies.text(entry, f"A value of {name}")
        for key, entry in value.items()
    }


def _group(name: str) -> int | None:
    if not name:
        return None
    try:
        return groups.named(name, EVERYTHING).pk
    except GroupingRefused as refused:
        raise ApiError(ErrorCode.VALUE_INVALID, str(refused)) from None


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
            return _shown(row, at, _group_names([row]))
    raise _unknown()


def _group_names(rows: list[AutoRegistrationRule]) -> dict[int, str]:
    wanted = {row.assign_group for row in rows if row.assign_group is not None}
    found = OrchestratorGroup.objects.filter(pk__in=wanted)
    return dict(found.values_list("pk", "name"))


def _shown(row: AutoRegistrationRule, at: int, names: dict[int, str]) -> RuleResponse:
    return {
        "Id": row.pk,
        "Position": at,
        "Version": row.version,
        "Name": row.name,
        "Outcome": row.outcome.title(),
        "Description": row.description,
        "Enabled": row.enabled,
        "NamePatterns": row.name_patterns,
        "Networks": row.networks,
        "ServiceAccount": row.service_account,
        "Role": row.role,
        "Credential": row.credential,
        "Parameters": dict(row.parameters),
        "AssignServiceAccount": row.assign_service_account,
        "AssignGroup": names.get(row.assign_group or 0, ""),
        "AssignLabels": dict(row.assign_labels),
        "Hits": row.hits,
        "LastHit": zulu_or_none(row.last_hit_at),
    }
