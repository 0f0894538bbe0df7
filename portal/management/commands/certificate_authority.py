"""``manage.py certificate_authority``: creates or changes a certificate authority.

Owns the flags and how option texts become values of the type's schema. Rows and folders are
`renewal/authorities.py`'s.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    CommandFailed,
    JSONCommand,
    number,
    read_secrets,
    the_user,
)
from renewal import issuers
from renewal.authorities import Wanted, create_local, save
from renewal.authority_trust import trust_authority, write_ca_file
from renewal.ca.base import Option
from renewal.x509.keys import DEFAULT_KEY_TYPE, KEY_TYPES


class Command(JSONCommand):
    help = "Create or change a certificate authority. What no flag says stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--type", default="local", help="a CA type of this deployment")
        parser.add_argument(
            "--create",
            action="store_true",
            help="local only: make root and issuing CA with new keys in the data folder",
        )
        parser.add_argument("--key-type", choices=KEY_TYPES, default=DEFAULT_KEY_TYPE)
        parser.add_argument(
            "--hold-seconds", type=number(0, 300), help="how long a Register may wait for it"
        )
        parser.add_argument(
            "--option", action="append", default=[], dest="options", metavar="NAME=VALUE"
        )
        parser.add_argument(
            "--secrets-stdin",
            action="store_true",
            help="secret options, a JSON object on standard input; never shown again",
        )
        parser.add_argument(
            "--allowed-requester",
            action="append",
            dest="requesters",
            metavar="USER",
            help="who may ask it; repeatable; 'everybody' lifts the restriction",
        )
        parser.add_argument(
            "--trust",
            action="store_true",
            help="its certificates may prove who an orchestrator is",
        )
        enabled = parser.add_mutually_exclusive_group()
        enabled.add_argument("--disable", action="store_false", default=None, dest="is_enabled")
        enabled.add_argument("--enable", action="store_true", default=None, dest="is_enabled")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        cls = issuers.type_class(options["type"])
        given = _options(cls.options_schema, options["options"])
        if options["secrets_stdin"]:
            given |= _secrets(cls.secret_options)
        requesters = None
        if options["requesters"] is not None:
            names = [name for name in options["requesters"] if name != "everybody"]
            requesters = [the_user(name) for name in names]
        wanted = Wanted(
            options["name"],
            options["type"],
            given,
            options["hold_seconds"],
            options["is_enabled"],
            requesters,
        )
        if options["create"]:
            if options["type"] != "local":
                raise CommandFailed("usage", "Only a CA of type local can be created here.")
            row, changed = create_local(wanted, key_type=options["key_type"], actor=actor, now=now)
        else:
            row, changed = save(wanted, actor=actor, now=now)
        if options["trust"]:
            changed |= trust_authority(row, actor=actor, now=now)
            changed |= write_ca_file(row, replaces=False)
        return {
            "changed": changed,
            "name": row.name,
            "type": row.type,
            "options": row.options,
            "hold_seconds": row.hold_seconds,
            "enabled": row.enabled,
            "allowed_requesters": sorted(row.allowed_requesters.values_list("username", flat=True)),
            "ca_file": str(settings.CONFIG.ca_file),
        }


def _options(schema: tuple[Option, ...], entries: list[str]) -> dict[str, Any]:
    """Return ``NAME=VALUE`` texts as values of the types that the schema says."""
    known = {option.name: option for option in schema}
    given: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        option = known.get(name)
        if not equals or option is None:
            raise CommandFailed(
                "option_invalid",
                f"{name!r} is no option written as NAME=VALUE; there are {', '.join(known)}.",
            )
        if option.is_secret:
            raise CommandFailed(
                "option_invalid", f"{name!r} is a secret: give it with --secrets-stdin."
            )
        given[name] = _value(option, text)
    return given


def _value(option: Option, text: str) -> str | int | bool:
    if option.kind is bool:
        if text.lower() not in ("true", "false"):
            raise CommandFailed("option_invalid", f"{option.name!r} is true or false.")
        return text.lower() == "true"
    if option.kind is int:
        try:
            return int(text)
        except ValueError:
            raise CommandFailed("option_invalid", f"{option.name!r} is a number.") from None
    return text


def _secrets(names: frozenset[str]) -> dict[str, Any]:
    secrets = read_secrets()
    for name in secrets:
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise CommandFailed("option_invalid", f"{name!r} is no secret; there are {known}.")
    return secrets
