"""The audit log among the invariants: I15 (it is what was sealed).

Owns the words only; the proof is `portal/audit/verification.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings

from portal.audit import verification
from renewal.invariants.report import Violation


def sealed(now: datetime) -> Iterator[Violation]:
    """I15: every sealed audit row, link, signature and checkpoint is what it was."""
    config = settings.CONFIG
    report = verification.verify(
        keys_in=config.audit_folder, checkpoints_file=config.audit_checkpoints, now=now
    )
    for found in report.findings:
        place = found.entry or found.sequence or found.block
        yield Violation("I15", "audit_entry", (str(place),), found.sentence)
