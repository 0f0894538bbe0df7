"""``manage.py reset``: makes an orchestrator New again.

Owns the flags and when a Reset has nothing left to do; the act is
`renewal/identity/approvals.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser
from django.db.models import Q

from orchestrators.models import Orchestrator, Status
from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    CommandFailed,
    JSONCommand,
    add_orchestrator_flags,
    orchestrator_shown,
    the_orchestrator,
)
from renewal.identity import approvals
from renewal.models import Certificate, Claimant


class Command(JSONCommand):
    help = "Reset an orchestrator: its thumbprints, flag, errors, sessions and jobs go."

    def add_arguments(self, parser: CommandParser) -> None:
        add_orchestrator_flags(parser)
        parser.add_argument(
            "--also-revoke",
            action="append",
            default=[],
            metavar="THUMBPRINT",
            help="revoke this certificate of it at once (SHA-1 or SHA-256); repeatable",
        )
        parser.add_argument("--message", default="", help="why, for the audit log")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        orchestrator = the_orchestrator(options)
        also_revoke = [
            row.pk
            for row in (_certificate(orchestrator, text) for text in options["also_revoke"])
            if row.revoked_at is None
        ]
        changed = bool(also_revoke) or not _has_nothing_to_remove(orchestrator)
        if changed:
            approvals.reset(
                orchestrator.pk,
                also_revoke=also_revoke,
                message=options["message"],
                actor=actor,
                now=now,
            )
            orchestrator.refresh_from_db()
        return {"changed": changed, **orchestrator_shown(orchestrator)}


def _has_nothing_to_remove(orchestrator: Orchestrator) -> bool:
    """Say whether it is New and nobody has come forward since."""
    return (
        orchestrator.status == Status.NEW
        and not Claimant.objects.filter(
            orchestrator=orchestrator, generation=orchestrator.generation
        ).exists()
    )


def _certificate(orchestrator: Orchestrator, text: str) -> Certificate:
    wanted = text.replace(":", "").strip()
    row = Certificate.objects.filter(
        Q(thumbprint=wanted.upper()) | Q(fingerprint_sha256=wanted.lower()),
        orchestrator=orchestrator,
    ).first()
    if row is None:
        raise CommandFailed("certificate_unknown", f"{text!r} is no certificate of it.")
    return row
