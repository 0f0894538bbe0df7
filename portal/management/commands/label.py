"""``manage.py label``: puts labels on an orchestrator, or removes them.

Owns the flags; labels belong to `orchestrators/labels.py`.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from orchestrators import labels
from portal.audit.trail import Actor
from portal.management.base import Answer, JSONCommand, add_orchestrator_flags, the_orchestrator


class Command(JSONCommand):
    help = "Put labels on an orchestrator, or remove them. Other labels stay."

    def add_arguments(self, parser: CommandParser) -> None:
        add_orchestrator_flags(parser)
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="put")
        parser.add_argument("--remove", action="append", default=[], metavar="KEY")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        orchestrator = the_orchestrator(options)
        _, changed = labels.set_labels(
            [orchestrator.pk],
            put=dict(labels.parse(text) for text in options["put"]),
            remove=options["remove"],
            actor=actor,
        )
        return {
            "changed": bool(changed),
            "id": str(orchestrator.pk),
            "name": orchestrator.client_machine,
            "labels": labels.labels_of(orchestrator),
        }
