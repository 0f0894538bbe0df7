"""A rule of auto-registration as the API takes and shows it.

Owns the form: names and types of the members, read from a body and written into a reply. What a
rule may be is `orchestrators/registration/contents.py`'s.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NotRequired, TypedDict

from orchestrators import groups
from orchestrators.labels import GroupingRefused
from orchestrators.models import AutoRegistrationRule, OrchestratorGroup
from orchestrators.registration.contents import MOST_VALUES
from portal.access.reach import EVERYTHING
from portal.rest import bodies, shapes
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu_or_none

CONTENTS = {
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
    """A change; ``Version`` is the one that was read, and another one since is refused. ``Id`` is
    that of the path; ``Hits`` and ``LastHit`` may be those that were read.
    """

    Id: NotRequired[int]
    Name: NotRequired[str]
    Position: NotRequired[int]
    Version: NotRequired[int]
    Hits: NotRequired[int]
    LastHit: NotRequired[datetime | None]


class _Seen(TypedDict):
    Hits: NotRequired[int]
    LastHit: NotRequired[datetime | None]


SEEN = tuple(_Seen.__annotations__)
"""What changes by itself, also between a client's GET and its PUT."""


def check_seen(body: dict[str, Any], row: AutoRegistrationRule) -> None:
    """Refuse decisions that a rule has not made. Raises ApiError."""
    seen = shapes.read({name: body[name] for name in SEEN if name in body}, _Seen)
    shapes.not_later("Hits", seen.get("Hits"), row.hits)
    shapes.not_later("LastHit", seen.get("LastHit"), row.last_hit_at)


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


def given(body: dict[str, Any]) -> dict[str, Any]:
    """Return the contents that a body names, as a rule keeps them."""
    return {
        CONTENTS[name]: _value(name, value)
        for name, value in body.items()
        if name in CONTENTS and value is not None
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
            return tuple(pairs(value, name).items())
        case "AssignGroup":
            return _group(bodies.text(value, name))
        case "Outcome":
            return bodies.text(value, name).lower()
        case _:
            return bodies.text(value, name)


def pairs(value: object, name: str) -> dict[str, str]:
    """Return an object of strings. Raises ApiError."""
    if not isinstance(value, dict) or len(value) > MOST_VALUES:
        raise ApiError(
            ErrorCode.VALUE_INVALID,
            f"{name} is an object of at most {MOST_VALUES} strings.",
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


def group_names(rows: list[AutoRegistrationRule]) -> dict[int, str]:
    """Return the names of the groups that rules assign, in one query."""
    wanted = {row.assign_group for row in rows if row.assign_group is not None}
    found = OrchestratorGroup.objects.filter(pk__in=wanted)
    return dict(found.values_list("pk", "name"))


def shown(row: AutoRegistrationRule, at: int, names: dict[int, str]) -> RuleResponse:
    """Return a rule at its place; ``names``: see `group_names`."""
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
