"""``manage.py template``: creates, changes or removes a template of certificates.

Owns the flags; which values a template may have is `renewal/templates.py`'s.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import Answer, JSONCommand, number, the_user
from renewal.models import Template
from renewal.models.authorities import NamesPolicy
from renewal.templates import (
    MOST_BACKDATE_SECONDS,
    MOST_VALIDITY_SECONDS,
    Contents,
    contents_of,
    remove,
    save_template,
)

_DAY = 86400


class Command(JSONCommand):
    help = (
        "Create, change or remove a template. What no flag says stays as it is, or is the default."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument(
            "--key-type",
            action="append",
            dest="key_types",
            metavar="TYPE",
            help="such as EC-P256 or RSA-3072; repeatable; default: all",
        )
        validity = parser.add_mutually_exclusive_group()
        validity.add_argument("--validity-days", type=number(1, MOST_VALIDITY_SECONDS // _DAY))
        validity.add_argument("--validity-seconds", type=number(1, MOST_VALIDITY_SECONDS))
        parser.add_argument("--backdate-seconds", type=number(0, MOST_BACKDATE_SECONDS))
        parser.add_argument("--names-policy", choices=NamesPolicy.values)
        parser.add_argument(
            "--name-pattern",
            action="append",
            dest="name_patterns",
            metavar="PATTERN",
            help="such as dns:*.agents.example.com; repeatable; an empty one alone removes all",
        )
        parser.add_argument(
            "--eku",
            action="append",
            dest="extended_key_usages",
            metavar="EKU",
            help="clientAuth, serverAuth, emailProtection or a dotted OID; repeatable",
        )
        parser.add_argument(
            "--allowed-requester",
            action="append",
            dest="requesters",
            metavar="USER",
            help="who may use it; repeatable; 'everybody' lifts the restriction",
        )

        parser.add_argument("--remove", action="store_true", help="only if nothing ever used it")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        if options["remove"]:
            row = Template.objects.filter(name=options["name"]).first()
            if row is not None:
                remove(row, actor=actor)
            return {"changed": row is not None, "name": options["name"]}
        requesters = None
        if options["requesters"] is not None:
            names = [name for name in options["requesters"] if name != "everybody"]
            requesters = [the_user(name) for name in names]
        known = Template.objects.filter(name=options["name"]).first()
        contents = contents_of(known) if known is not None else Contents()
        row, changed = save_template(
            options["name"],
            replace(contents, **_given(options)),
            allowed_requesters=requesters,
            actor=actor,
            now=now,
        )
        return {
            "changed": changed,
            "name": row.name,
            **asdict(contents_of(row)),
            "allowed_requesters": sorted(row.allowed_requesters.values_list("username", flat=True)),
        }


def _given(options: Answer) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in ("key_types", "name_patterns", "extended_key_usages"):
        if options[name] is not None:
            given[name] = tuple(value for value in options[name] if value)
    for name in ("validity_seconds", "backdate_seconds", "names_policy"):
        if options[name] is not None:
            given[name] = options[name]
    if options["validity_days"] is not None:
        given["validity_seconds"] = options["validity_days"] * _DAY
    return given
