"""``manage.py verify_audit``: whether the audit log is what was sealed and signed.

Owns the form of the answer; what tampering is, is `portal/audit/verification.py`'s. Exit status 2
if anything is found. Changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandParser

from portal.audit import verification
from portal.audit.signing import SigningKeyUnusable
from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand


class Command(JSONCommand):
    help = "Verify the audit log: chain, signatures, checkpoints; exit status 2 if it was changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as always")
        parser.add_argument(
            "--checkpoints", metavar="FILE", help="another copy of the checkpoints' file"
        )
        parser.add_argument(
            "--keys", metavar="FOLDER", help="another copy of the folder of public keys"
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        config = settings.CONFIG
        file = Path(options["checkpoints"] or config.audit_checkpoints)
        if options["checkpoints"] and not file.is_file():
            raise CommandFailed("file_missing", f"There is no file {file}.")
        try:
            report = verification.verify(
                keys_in=Path(options["keys"] or config.audit_folder),
                checkpoints_file=file,
                now=now,
                is_copy=bool(options["checkpoints"]),
            )
        except SigningKeyUnusable as error:
            raise CommandFailed("key_unusable", f"{error}.") from None
        return {
            "holds": report.holds,
            "rows": report.rows,
            "blocks": report.blocks,
            "not_yet_sealed": report.unsealed,
            "findings": report.told(),
            "more_findings": report.more_findings,
        }

    def has_findings(self, answer: Answer) -> bool:
        return not answer["holds"]
