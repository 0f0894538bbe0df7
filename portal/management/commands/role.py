"""``manage.py role``: makes, changes, limits, restores or removes a role.

Owns the flags; what a valid role is belongs to `portal/access/role_changes.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import Group
from django.core.management.base import CommandParser

from orchestrators import groups, labels
from orchestrators.models import OrchestratorGroup
from portal.access.catalogue import CATALOGUE, Permission, entry_for
from portal.access.reach import EVERYTHING, Reach
from portal.access.role_changes import (
    content_of,
    delete_role,
    description_of,
    restore_role,
    save_role,
)
from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand


class Command(JSONCommand):
    help = "Make, change, limit, restore or remove a role. What no flag says stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--description", help="what it is for; empty removes it")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--permission",
            action="append",
            metavar="ACCESS_STRING",
            help="an access string or its older name; repeatable. Those given are all that it has",
        )
        what.add_argument("--restore", action="store_true", help="as it was shipped")
        what.add_argument("--remove", action="store_true")
        parser.add_argument(
            "--only-group", action="append", default=[], metavar="GROUP", help="limit to a group"
        )
        parser.add_argument(
            "--only-label", action="append", default=[], metavar="KEY=VALUE", help="or to a label"
        )
        parser.add_argument("--unlimited", action="store_true", help="remove every limit")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        name = options["name"]
        role = Group.objects.filter(name=name).first()
        if options["remove"]:
            if role is not None:
                delete_role(role.pk, giver=None, actor=actor)
            return {"changed": role is not None, "name": name}
        if options["restore"]:
            if role is None:
                raise CommandFailed("unknown_role", f"There is no role {name!r}.")
            changed = restore_role(role.pk, giver=None, actor=actor)
        else:
            role, changed = save_role(
                name,
                permissions=_permissions(options["permission"]),
                limit=_limit(options),
                description=options["description"],
                giver=None,
                actor=actor,
            )
        content = content_of(role)
        known = OrchestratorGroup.objects.filter(pk__in=content.limit.groups)
        return {
            "changed": changed,
            "name": role.name,
            "description": description_of(role),
            "permissions": sorted(entry_for(p).access_string for p in content.permissions),
            "limited": not content.limit.everything,
            "only_groups": sorted(known.values_list("name", flat=True)),
            "only_labels": [f"{key}={value}" for key, value in sorted(content.limit.labels)],
            "users": role.user_set.count(),
        }


def _permissions(given: Iterable[str] | None) -> list[Permission] | None:
    if given is None:
        return None
    names = {entry.access_string: entry.permission for entry in CATALOGUE}
    names |= {entry.older_name: entry.permission for entry in CATALOGUE if entry.older_name}
    found = []
    for text in given:
        plain = text.strip()
        # Keyfactor's own spelling has no space after the colon.
        plain = plain.replace(":", ": ").replace(":  ", ": ") if ":" in plain else plain
        if plain not in names:
            raise CommandFailed("unknown_permission", f"There is no permission {text!r}.")
        found.append(names[plain])
    return found


def _limit(options: Answer) -> Reach | None:
    if options["unlimited"]:
        if options["only_group"] or options["only_label"]:
            raise CommandFailed("usage", "A role is limited or unlimited, not both.")
        return EVERYTHING
    if not (options["only_group"] or options["only_label"]):
        return None
    return Reach(
        groups=frozenset(groups.named(name, EVERYTHING).pk for name in options["only_group"]),
        labels=frozenset(labels.parse(text) for text in options["only_label"]),
    )
