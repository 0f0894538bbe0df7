"""What the audit log tells of a bulk job as a whole: submitted, taken up again, canceled, finished.

Owns those rows; what was done to each orchestrator is told by the act itself. Each row stands for
itself: a job is deleted one day, and its rows are read without it.
"""

from __future__ import annotations

from portal.audit.acts import BULK_JOB
from portal.audit.models import Category
from portal.audit.trail import PORTAL, Actor, record
from renewal.models import BulkJob
from renewal.rules.bulk_lifecycle import BulkEvent

_ACTIONS = {
    BulkEvent.CANCEL: "bulk_action_canceled",
    BulkEvent.RETRY: "bulk_action_retried",
    BulkEvent.FINISH: "bulk_action_finished",
}


def tell_submitted(job: BulkJob, actor: Actor) -> None:
    """Note that a job was made."""
    _tell(job, "bulk_action_submitted", actor)


def tell(job: BulkJob, event: BulkEvent, actor: Actor = PORTAL) -> None:
    """Note an event with what was done up to it. In the transaction of the job's new state."""
    _tell(
        job,
        _ACTIONS[event],
        actor,
        submitted_by=job.requested_by_name,
        changed=job.changed,
        unchanged=job.unchanged,
        skipped=job.skipped,
        failed=job.failed,
        left=job.left,
    )


def _tell(job: BulkJob, action: str, actor: Actor, **counts: object) -> None:
    record(
        Actor(actor.name, actor.user_id, actor.source_address, job.audit_group),
        Category.ORCHESTRATOR,
        action,
        object_type=BULK_JOB,
        object_id=job.pk,
        object_name=job.act,
        after={
            "act": job.act,
            "total": job.total,
            "query": job.query,
            "time_zone": job.time_zone,
            "state": job.state,
            **counts,
        },
        message=job.reason,
    )
