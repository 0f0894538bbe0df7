"""What is thrown away after a time, so that tables grow with the fleet and not with its age.

Owns the deletion of ended sessions, of enrollments that no CA was ever asked for, and of finished
bulk jobs. Never touches certificates, audit rows or anything that a CA knows of.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet

from orchestrators.models import AgentSession
from portal.preferences import store
from renewal.models import BulkItem, BulkJob, Enrollment
from renewal.rules.bulk_lifecycle import OPEN_BULK
from renewal.rules.lifecycle import EnrollmentState

SESSIONS_KEPT = timedelta(days=30)
NEVER_ASKED_KEPT = timedelta(days=7)
_BATCH = 5_000


def tidy(*, now: datetime) -> int:
    """Delete in bounded batches, one transaction each; return how many rows went."""
    gone = 0
    finished = _finished_jobs(now)
    for rows in (
        AgentSession.objects.filter(expires_at__lt=now - SESSIONS_KEPT),
        Enrollment.objects.filter(
            state=EnrollmentState.DISCARDED,
            called_at=None,
            certificate=None,
            finished_at__lt=now - NEVER_ASKED_KEPT,
        ),
        # Items before their jobs, so that no deletion is larger than a batch.
        BulkItem.objects.filter(job__in=finished),
        finished,
    ):
        while keys := list(rows.values_list("pk", flat=True)[:_BATCH]):
            rows.model._default_manager.filter(pk__in=keys).delete()
            gone += len(keys)
    return gone


def _finished_jobs(now: datetime) -> QuerySet[BulkJob]:
    days = store.load().number("BulkJobDays")
    if not days:
        return BulkJob.objects.none()
    ended = BulkJob.objects.filter(finished_at__lt=now - timedelta(days=days))
    return ended.exclude(state__in=sorted(OPEN_BULK))
