"""``manage.py setting``: reads or changes an application setting.

Owns the flags; what a setting may be is `portal/preferences`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand
from portal.preferences import store
from portal.preferences.definitions import BY_NAME, EDITABLE
from portal.preferences.models import Setting
from portal.preferences.typed import Definition


class Command(JSONCommand):
    help = "Show or change an application setting, or list all."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--name", help="the setting's ShortName")
        which.add_argument("--list", action="store_true")
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--value")
        change.add_argument("--default", action="store_true", help="set it to its default")
        parser.add_argument(
            "--if-unset",
            action="store_true",
            help="with --value: leave a value that somebody has set",
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        if options["list"]:
            stored = _stored()
            return {"changed": False, "settings": [_shown(d, stored) for d in EDITABLE]}
        definition = BY_NAME.get(options["name"])
        if definition is None or definition.internal:
            raise CommandFailed("unknown_setting", f"There is no setting {options['name']!r}.")
        value = definition.default if options["default"] else options["value"]
        changed = False
        is_left = options["if_unset"] and definition.name in _stored()
        if value is not None and not is_left:
            changed = store.change(definition.name, value, actor=actor, now=now)
        return {"changed": changed, **_shown(definition, _stored())}


def _stored() -> dict[str, str]:
    return dict(Setting.objects.values_list("name", "value"))


def _shown(definition: Definition, stored: dict[str, str]) -> Answer:
    return {
        "name": definition.name,
        "value": stored.get(definition.name, definition.default),
        "default": definition.default,
        "label": definition.label,
    }
