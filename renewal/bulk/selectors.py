"""Reads of bulk jobs for pages and API: who sees which job, and its items; who cancels it.

A job is seen by who submitted it and by who reaches every orchestrator; of its items everybody sees
those within their own reach.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet

from orchestrators.models import Orchestrator
from orchestrators.reach import within
from portal.access.reach import Reach, reach
from portal.audit.acts import BULK_JOB
from portal.audit.models import AuditEntry
from renewal.bulk.service import PERMISSIONS
from renewal.bulk.since import Place, narrowed
from renewal.models import BulkItem, BulkJob
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import RETRIED, ItemState
from renewal.selectors.keyset import Segment, Slice, cut


def visible(user: Any, seen: Reach) -> QuerySet[BulkJob]:
    """Return the jobs that a user may see."""
    rows = BulkJob.objects.all()
    return rows if seen.everything else rows.filter(requested_by=user.pk)


def may_cancel(user: Any, job: BulkJob) -> bool:
    """Say whether a job is one's own, or no limit of one's reach leaves any of it outside."""
    return job.requested_by_id == user.pk or reach(user, PERMISSIONS[Act(job.act)]).everything


def rows_of_own(user: Any, job: BulkJob, seen: Reach) -> QuerySet[AuditEntry]:
    """Return the audit rows of a job for who submitted it, without the permission to read the log.

    The job's own, and those about orchestrators that they may see now; of a job of somebody else
    none. No request has such an id, so nothing else is among them.
    """
    if job.requested_by_id is None or job.requested_by_id != user.pk:
        return AuditEntry.objects.none()
    rows = AuditEntry.objects.filter(request_id=job.audit_group)
    if seen.everything:
        return rows
    agents = within(Orchestrator.objects.order_by(), seen).values("pk")
    return rows.filter(Q(object_type=BULK_JOB) | Q(orchestrator_id__in=agents))


def page_of(rows: QuerySet[BulkJob], *, cursor: str = "") -> Slice[BulkJob]:
    """Return one page of jobs, newest first."""
    return cut([Segment(rows, ("-id",))], cursor=cursor, size=50)


def items_of(
    job: BulkJob,
    seen: Reach,
    *,
    state: ItemState | None = None,
    reason: str = "",
    place: Place | None = None,
    now: datetime,
    cursor: str = "",
) -> Slice[BulkItem]:
    """Return one page of a job's items within a reach."""
    rows = within(BulkItem.objects.filter(job=job), seen, by="orchestrator_id")
    if state is not None:
        rows = rows.filter(state=state)
    if reason:
        rows = rows.filter(reason=reason)
    if place is not None:
        rows = narrowed(rows, job, seen, place, now=now)
    return cut([Segment(rows, ("id",))], cursor=cursor, size=50)


def reasons_of(job: BulkJob) -> Counter[tuple[str, str]]:
    """Return how many items were not done for which reason: (code, sentence)."""
    rows = BulkItem.objects.filter(job=job, state__in=sorted(RETRIED)).order_by()
    counted = rows.values("reason").annotate(number=Count("pk"))
    numbers = {row["reason"]: row["number"] for row in counted}
    sentences = {
        reason: rows.filter(reason=reason).values_list("message", flat=True).first() or reason
        for reason in numbers
    }
    return Counter({(reason, sentences[reason]): number for reason, number in numbers.items()})
