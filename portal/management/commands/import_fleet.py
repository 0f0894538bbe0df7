"""``manage.py import_fleet``: takes in the orchestrators that another system knows.

Owns the flags and the form of the answer; what each row leads to is
`renewal/identity/importing.py`'s.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

from django.core.management.base import CommandParser

from orchestrators.fleet_file import MOST_BYTES, FleetFileInvalid, read
from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand
from renewal.identity.importing import Outcome, take_in

_MOST_REFUSALS = 1000


class Command(JSONCommand):
    help = (
        "Take in orchestrators from JSON (as GET /Agents answers) or CSV. Running it again "
        "changes nothing. Exit status 2: some rows were refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="JSON or CSV; - is standard input")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would happen and leave all as it is"
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        data = _content(options["file"])
        try:
            results = take_in(read(data), actor=actor, now=now, dry_run=options["dry_run"])
        except FleetFileInvalid as problem:
            raise CommandFailed("fleet_file_invalid", str(problem)) from None
        counted = Counter(result.outcome for result in results)
        refused = [result for result in results if result.outcome is Outcome.REFUSED]
        return {
            "changed": not options["dry_run"]
            and bool(counted[Outcome.ENTERED] or counted[Outcome.ANNOUNCED]),
            "dry_run": options["dry_run"],
            **{outcome.name.lower(): counted[outcome] for outcome in Outcome},
            "refusals": [
                {
                    "row": result.place.removeprefix("row "),
                    "name": result.name,
                    "reason": result.reason,
                    "message": result.message,
                }
                for result in refused[:_MOST_REFUSALS]
            ],
        }

    def has_findings(self, answer: Answer) -> bool:
        return bool(answer["refused"])


def _content(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read(MOST_BYTES + 1)
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CommandFailed("file", f"{path}: {error.strerror}.") from None
