"""``manage.py timeline``: what happened to an orchestrator, oldest first, from the audit log.

Reads only. The flags are owned here; what is written into the log is its writers'.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    JSONCommand,
    add_orchestrator_flags,
    the_orchestrator,
)


class Command(JSONCommand):
    help = "Tell what happened to an orchestrator, oldest first."

    def add_arguments(self, parser: CommandParser) -> None:
        add_orchestrator_flags(parser)

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        orchestrator = the_orchestrator(options)
        entries = AuditEntry.objects.filter(orchestrator_id=orchestrator.pk).order_by("pk")
        return {
            "id": str(orchestrator.pk),
            "events": [
                {
                    "number": entry.pk,
                    "at": entry.at.isoformat(),
                    "action": entry.action,
                    "actor": entry.actor_name,
                    "before": entry.before,
                    "after": entry.after,
                    "message": entry.message,
                }
                for entry in entries
            ],
        }
