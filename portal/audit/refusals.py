"""Refused calls in the audit log, bounded: the same refusal within ten minutes is one row.

Owns the bound, so that nobody fills the log by being refused. What is refused, the faces say.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record

_WINDOW = timedelta(minutes=10)


def note(
    actor: Actor, action: str, *, object_type: str, object_id: str, message: str, now: datetime
) -> None:
    """Write one row for a refusal, unless the same one was written a moment ago."""
    known = AuditEntry.objects.filter(
        object_type=object_type, object_id=object_id[:64], at__gt=now - _WINDOW
    )
    if not known.exists():
        record(
            actor,
            Category.REFUSAL,
            action,
            object_type=object_type,
            object_id=object_id,
            message=message,
        )
