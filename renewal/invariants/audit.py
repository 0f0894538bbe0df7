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
    report = verification.verify(
        keys_in=settings.CONFIG.audit_folder, checkpoints_file=settings.CONFIG.audit_checkpoints
    )
    for found in report.findings:
        place = found.entry or found.sequence or found.block
        yield Violation("I15", "audit_entry", (str(place),), found.sentence)
