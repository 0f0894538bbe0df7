"""``manage.py find_duplicates``: clones and duplicates in the fleet.

Owns the form of the answer; what is looked for is `renewal/selectors/duplicates.py`'s. Changes
nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from portal.audit.trail import Actor
from portal.management.base import Answer, JSONCommand
from renewal.selectors import duplicates


class Command(JSONCommand):
    help = (
        "Look for one certificate at two hosts, and for one name of several records; exit status 2 "
        "if there are any."
    )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        return {
            "same_names": [asdict(found) for found in duplicates.same_names()],
            "two_hosts": [asdict(found) for found in duplicates.two_hosts(now=now)],
        }

    def has_findings(self, answer: Answer) -> bool:
        return bool(answer["same_names"] or answer["two_hosts"])
