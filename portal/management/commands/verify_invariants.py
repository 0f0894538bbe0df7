"""``manage.py verify_invariants``: whether what must hold over all rows does hold.

Owns the form of the answer; the invariants are `renewal/invariants`'s. Exit status 2 if any is
violated. Changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import Answer, JSONCommand
from renewal.invariants.verify import INVARIANTS, verify


class Command(JSONCommand):
    help = "Look for rows that break an invariant; exit status 2 if there are any."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as always")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        violations = verify(now=now)
        return {
            "verified": list(INVARIANTS),
            "holds": not violations,
            "violations": [asdict(violation) for violation in violations],
        }

    def has_findings(self, answer: Answer) -> bool:
        return not answer["holds"]
