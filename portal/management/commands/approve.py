"""``manage.py approve``: lets an orchestrator work.

Owns the flags, and the translation of a certificate or credential into the one who came forward;
the act is `renewal/identity/approvals.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

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
from renewal.identity import approvals, claimants
from renewal.identity.approvals import Shown


class Command(JSONCommand):
    help = "Approve an orchestrator: whoever came forward for it, or the one that is named."

    def add_arguments(self, parser: CommandParser) -> None:
        add_orchestrator_flags(parser)
        who = parser.add_mutually_exclusive_group()
        who.add_argument("--fingerprint", help="SHA-256 of the certificate that is approved")
        who.add_argument("--credential", help="the bootstrap credential that is approved")
        parser.add_argument("--message", default="", help="why, for the audit log")
        parser.add_argument(
            "--override",
            action="store_true",
            help="against the policies of approval, in an emergency; needs --message",
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        orchestrator = the_orchestrator(options)
        changed = approvals.approve(
            orchestrator.pk,
            shown=_shown(orchestrator, options, now),
            message=options["message"],
            is_override=options["override"],
            actor=actor,
            now=now,
        )
        orchestrator.refresh_from_db()
        return {"changed": bool(changed), **orchestrator_shown(orchestrator)}


def _shown(orchestrator: Orchestrator, options: Answer, now: datetime) -> Shown | None:
    """Return the one who is meant. Whoever is approved already is not looked for again."""
    fingerprint = (options["fingerprint"] or "").replace(":", "").strip().lower()
    credential = options["credential"]
    if not (fingerprint or credential) or orchestrator.status == Status.APPROVED:
        return None
    for row in claimants.usable(orchestrator, now=now):
        if row.certificate is not None and row.certificate.fingerprint_sha256 == fingerprint:
            return Shown(claimant=row.pk, fingerprint=fingerprint)
        if row.credential is not None and row.credential.name == credential:
            return Shown(claimant=row.pk)
    raise CommandFailed(
        "not_seen", "Nobody came forward for this orchestrator with that certificate or credential."
    )
