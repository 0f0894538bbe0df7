"""What is thrown away after a time, so that tables grow with the fleet and not with its age.

Owns the deletion of ended sessions and of enrollments that no CA was ever asked for. Never touches
certificates, audit rows or anything that a CA knows of.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrators.models import AgentSession
from renewal.models import Enrollment
from renewal.rules.lifecycle import EnrollmentState

SESSIONS_KEPT = timedelta(days=30)
NEVER_ASKED_KEPT = timedelta(days=7)
_BATCH = 5_000


def tidy(*, now: datetime) -> int:
    """Delete in bounded batches, one transaction each; return how many rows went."""
    gone = 0
    for rows in (
        AgentSession.objects.filter(expires_at__lt=now - SESSIONS_KEPT),
        Enrollment.objects.filter(
            state=EnrollmentState.DISCARDED,
            called_at=None,
            certificate=None,
            finished_at__lt=now - NEVER_ASKED_KEPT,
        ),
    ):
        while keys := list(rows.values_list("pk", flat=True)[:_BATCH]):
            rows.model._default_manager.filter(pk__in=keys).delete()
            gone += len(keys)
    return gone
