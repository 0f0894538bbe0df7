"""``manage.py disapprove``: lets an orchestrator work no longer.

Owns the flags; the act is `renewal/identity/approvals.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    JSONCommand,
    add_orchestrator_flags,
    orchestrator_shown,
    the_orchestrator,
)
from renewal.identity import approvals


class Command(JSONCommand):
    help = "Disapprove an orchestrator, from its next request on."

    def add_arguments(self, parser: CommandParser) -> None:
        add_orchestrator_flags(parser)
        parser.add_argument("--message", default="", help="why, for the audit log")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        orchestrator = the_orchestrator(options)
        changed = approvals.disapprove(
            orchestrator.pk, message=options["message"], actor=actor, now=now
        )
        orchestrator.refresh_from_db()
        return {"changed": changed, **orchestrator_shown(orchestrator)}
