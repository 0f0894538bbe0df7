"""How a job over many orchestrators looks in replies."""

from __future__ import annotations

from typing import TypedDict

from portal.rest.moments import zulu, zulu_or_none
from renewal.models import BulkJob


class BulkJobResponse(TypedDict):
    """One act on many orchestrators: its state, and how many items went which way."""

    Id: int
    Act: str
    State: str
    Total: int
    Changed: int
    Unchanged: int
    Skipped: int
    Failed: int
    Requested: str
    RequestedBy: str
    Finished: str | None


class BulkItemResponse(TypedDict):
    """What became of one orchestrator of a job."""

    AgentId: str
    State: str
    Reason: str | None
    Message: str | None


def bulk_job_response(job: BulkJob) -> BulkJobResponse:
    """Return a job as replies show it."""
    return {
        "Id": job.pk,
        "Act": job.act,
        "State": str(job.state),
        "Total": job.total,
        "Changed": job.changed,
        "Unchanged": job.unchanged,
        "Skipped": job.skipped,
        "Failed": job.failed,
        "Requested": zulu(job.created_at),
        "RequestedBy": job.requested_by_name,
        "Finished": zulu_or_none(job.finished_at),
    }
