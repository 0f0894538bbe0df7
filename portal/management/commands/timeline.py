"""Prints what happened to an orchestrator, oldest first, from the audit log."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrators.models import Orchestrator
from orchestrators.names import canonical
from portal.audit.models import AuditEntry


class Command(BaseCommand):
    help = "Print an orchestrator's timeline as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="the orchestrator's ClientMachine")

    def handle(self, *args: Any, **options: Any) -> None:
        found = Orchestrator.objects.filter(name_key=canonical(options["name"])).first()
        if found is None:
            raise CommandError(f"There is no orchestrator {options['name']!r}.")
        events = [
            {
                "number": entry.pk,
                "at": entry.at.isoformat(),
                "action": entry.action,
                "actor": entry.actor_name,
                "before": entry.before,
                "after": entry.after,
                "message": entry.message,
            }
            for entry in AuditEntry.objects.filter(orchestrator_id=found.pk).order_by("pk")
        ]
        self.stdout.write(json.dumps({"id": str(found.pk), "events": events}, indent=2))
