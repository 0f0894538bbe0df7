"""``manage.py configuration``: the configuration as one document, to keep beside one's code.

Owns the flags and the form of the answer; the document is `portal/configuration`'s.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.configuration import document
from portal.management.base import Answer, CommandFailed, JSONCommand

_MOST_BYTES = 256 * 1024 * 1024


class Command(JSONCommand):
    help = (
        "Export settings, roles, groups, templates and rules as one JSON document, tell what a "
        "document would change, or apply it. No secret stands in it. Exit status 2 of plan: the "
        "portal differs from the document."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("export", "plan", "apply"))
        parser.add_argument("file", metavar="FILE", nargs="?", help="plan, apply: the document; -")
        parser.add_argument(
            "--with-fleet", action="store_true", help="export: orchestrators and certificates too"
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="plan, apply: remove what a section of the document lacks",
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        what = options["what"]
        if (what == "export") is (options["file"] is not None):
            raise CommandFailed("usage", "plan and apply need a FILE, export takes none.")
        if what == "export":
            return document.export(with_fleet=options["with_fleet"])
        act = document.plan if what == "plan" else document.apply
        try:
            changes = act(_read(options["file"]), actor=actor, now=now, prune=options["prune"])
        except document.DocumentRefused as refused:
            raise CommandFailed(refused.code, str(refused)) from None
        return {
            "changed": what == "apply" and bool(changes),
            "planned": what == "plan",
            "changes": [asdict(change) for change in changes],
        }

    def has_findings(self, answer: Answer) -> bool:
        return bool(answer.get("planned") and answer["changes"])


def _read(path: str) -> Any:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_MOST_BYTES)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_MOST_BYTES)
    except OSError as error:
        raise CommandFailed("file", f"{path}: {error.strerror}.") from None
    try:
        return json.loads(data, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(
            "document_refused", f"The JSON cannot be read: {str(error)[:200]}."
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object. Raises ValueError: of two of a name one would be dropped."""
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:60]!r} stands twice in one object")
    return members


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
