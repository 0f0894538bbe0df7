"""``manage.py auto_registration_rule``: the rules of auto-registration by script.

Owns the flags; what a rule may be is `orchestrators/registration/contents.py`'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from orchestrators.models import AutoRegistrationRule, OrchestratorGroup
from orchestrators.names import canonical
from orchestrators.registration import editing
from orchestrators.registration.contents import Contents
from orchestrators.registration.rules import Outcome
from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand, number

_LISTS = ("name_patterns", "networks")
_PAIRS = ("parameters", "assign_labels")
_TEXTS = ("outcome", "description", "service_account", "role", "credential")


class Command(JSONCommand):
    help = (
        "List the rules of auto-registration in their order, or make, change, move or delete one. "
        "What no flag says stays as it is, or is the default."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", help="the rule; without it all are listed")
        parser.add_argument("--outcome", choices=[o.value for o in Outcome])
        parser.add_argument("--description")
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--enable", dest="enabled", action="store_const", const=True)
        state.add_argument("--disable", dest="enabled", action="store_const", const=False)
        state.add_argument("--delete", action="store_true")
        parser.add_argument(
            "--position", type=number(1, editing.MOST_RULES), help="its place in the order, from 1"
        )
        for flag, field, example in (
            ("--name-pattern", "name_patterns", "web*"),
            ("--network", "networks", "10.0.0.0/8"),
            ("--parameter", "parameters", "site=v*"),
            ("--assign-label", "assign_labels", "tier=web"),
        ):
            parser.add_argument(
                flag,
                action="append",
                dest=field,
                help=f"such as {example}; repeatable; an empty one alone removes all",
            )
        for flag, what in (
            ("--service-account", "condition: the service account"),
            ("--role", "condition: a role of the service account"),
            ("--credential", "condition: the bootstrap credential"),
            ("--assign-service-account", "what an approved one gets"),
            ("--assign-group", "what an approved one gets: the group's name"),
        ):
            parser.add_argument(flag, help=f"{what}; empty: none")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        if options["name"] is None:
            return {"changed": False, "rules": [_shown(row) for row in editing.ordered()]}
        row = AutoRegistrationRule.objects.filter(name=options["name"].strip()).first()
        if options["delete"]:
            changed = row is not None and editing.delete(row.pk, expected=None, actor=actor)
            return {"changed": changed, "name": options["name"], "deleted": True}
        contents = editing.contents_of(row) if row is not None else Contents()
        row, changed = editing.save(
            options["name"],
            replace(contents, **_given(options)),
            actor=actor,
            now=now,
            pk=row.pk if row is not None else None,
        )
        if options["position"] is not None:
            changed |= editing.move(
                row.pk, options["position"], expected=None, actor=actor, now=now
            )
        return {"changed": changed, **_shown(row)}


def _given(options: Answer) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in (*_TEXTS, "assign_service_account", "enabled"):
        if options[name] is not None:
            given[name] = options[name]
    for name in _LISTS:
        if options[name] is not None:
            given[name] = tuple(value for value in options[name] if value)
    for name in _PAIRS:
        if options[name] is not None:
            given[name] = tuple(_pair(text) for text in options[name] if text)
    if options["assign_group"] is not None:
        given["assign_group"] = _group(options["assign_group"])
    return given


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise CommandFailed("usage", f"{text!r} is not key=value.")
    return key, value


def _group(name: str) -> int | None:
    if not name:
        return None
    found = OrchestratorGroup.objects.filter(name_key=canonical(name)).first()
    if found is None:
        raise CommandFailed("unknown_group", f"There is no group {name!r}.")
    return found.pk


def _shown(row: AutoRegistrationRule) -> Answer:
    rows = editing.ordered()
    position = next(n for n, r in enumerate(rows, start=1) if r.pk == row.pk)
    said = editing.shown(row)
    group = None
    if row.assign_group is not None:
        group = OrchestratorGroup.objects.filter(pk=row.assign_group).first()
    return {
        **said,
        "parameters": [f"{key}={pattern}" for key, pattern in row.parameters],
        "assign_group": group.name if group is not None else "",
        "position": position,
        "hits": row.hits,
        "last_hit_at": row.last_hit_at.isoformat() if row.last_hit_at else None,
    }
