"""``manage.py group``: makes, changes or removes a group of orchestrators, and fills it.

Owns the flags; groups belong to `orchestrators/groups.py`, their CA and template to
`renewal/group_issuance.py`.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser
from django.db import transaction

from orchestrators import groups
from orchestrators.labels import GroupingRefused
from portal.access.reach import EVERYTHING
from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    JSONCommand,
    the_authority,
    the_orchestrator,
    the_template,
)
from renewal.group_issuance import issuance_of, set_issuance


class Command(JSONCommand):
    help = "Make, change or remove a group of orchestrators. What no flag says stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--description")
        parser.add_argument("--authority", help="CA of its orchestrators; empty: the settings' one")
        parser.add_argument("--template", help="template; empty: the settings' one")
        parser.add_argument(
            "--member", action="append", default=[], metavar="ORCHESTRATOR", help="name or GUID"
        )
        parser.add_argument("--remove", action="store_true", help="remove the (empty) group")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        if options["remove"]:
            return {"changed": _removed(options["name"], actor), "name": options["name"]}
        with transaction.atomic():
            group, changed = groups.save_group(
                options["name"], description=options["description"], actor=actor, now=now
            )
            issuance = issuance_of(group)
            authority = issuance.authority if issuance else None
            template = issuance.template if issuance else None
            if (name := options["authority"]) is not None:
                authority = the_authority(name) if name else None
            if (name := options["template"]) is not None:
                template = the_template(name) if name else None
            changed |= set_issuance(group, authority, template, actor=actor)
            members = [the_orchestrator(which(text)).pk for text in options["member"]]
            _, moved = groups.assign(members, group, actor=actor)
        return {
            "changed": changed or bool(moved),
            "name": group.name,
            "description": group.description,
            "authority": authority.name if authority else None,
            "template": template.name if template else None,
            "moved": len(moved),
        }


def which(text: str) -> Answer:
    """Return the flags that name an orchestrator by GUID or name."""
    is_guid = len(text) == 36 and text.count("-") == 4
    return {"id": text if is_guid else None, "name": None if is_guid else text}


def _removed(name: str, actor: Actor) -> bool:
    try:
        group = groups.named(name, EVERYTHING)
    except GroupingRefused:
        return False
    groups.delete_group(group.pk, actor=actor)
    return True
