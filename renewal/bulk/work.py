"""What workers do with a bulk job: claim it by lease, act in batches, note each item.

Owns START and FINISH of a job and every state of its items. A batch is one transaction in which
the job's row is locked: an act, its audit row and its item are committed together, so a batch
that runs twice or a worker that dies does nothing twice, and a cancel waits for at most one batch.
Permissions and reach are read again for each batch.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from orchestrators.reach import act_reaches, reachable
from portal.access.models import User
from portal.access.permissions import holds
from portal.audit.trail import Actor
from renewal import leases, log_requests
from renewal.bulk import flags, trail
from renewal.bulk.selection import Foreseen
from renewal.bulk.service import PERMISSIONS
from renewal.identity import approvals
from renewal.identity.approvals import ActRefused
from renewal.models import BulkItem, BulkJob
from renewal.rules.acts import CHANGE, FLAGS, SENTENCES, VOTE, Act
from renewal.rules.approval import Approval
from renewal.rules.bulk_lifecycle import OPEN_BULK, BulkEvent, BulkState, ItemState, next_bulk

log = logging.getLogger(__name__)

SET_BATCH = 500
ITEM_BATCH = 25
"""Of acts that are a service call each: a lock on the job's row stays well below a second."""
LEASE = timedelta(seconds=60)
MOST_SECONDS = 150.0
"""Of one task; what is left is another task's."""

_NOT_PERMITTED = ("permission_missing", "Who submitted the job may not do this any more.")

Result = tuple[ItemState, str, str]
"""State, stable reason, sentence."""


def waiting() -> list[int]:
    """Return the jobs that no worker holds."""
    rows = BulkJob.objects.filter(leases.free(), state__in=sorted(OPEN_BULK)).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:100])


def run(job_id: int, *, now: datetime) -> bool:
    """Work on a job until it is finished, canceled, taken away, or time is up.

    Return whether something is left to be done by another task.
    """
    holder = uuid.uuid4().hex
    if not _claim(job_id, holder, now=now):
        return False
    began = time.monotonic()
    while time.monotonic() - began < MOST_SECONDS:
        if not batch(job_id, holder, now=now + timedelta(seconds=time.monotonic() - began)):
            return False
    BulkJob.objects.filter(pk=job_id, lease_holder=holder).update(lease_until=None)
    return True


def batch(job_id: int, holder: str, *, now: datetime) -> bool:
    """Do one batch; return whether there may be another one for this holder."""
    with transaction.atomic():
        job = BulkJob.objects.select_for_update().filter(pk=job_id, lease_holder=holder).first()
        if job is None or job.state != BulkState.RUNNING:
            return False
        act = Act(job.act)
        rows = job.items.filter(state=ItemState.WAITING).order_by("pk")
        items = list(rows[: SET_BATCH if act in FLAGS else ITEM_BATCH])
        if not items:
            job.state = next_bulk(BulkState(job.state), BulkEvent.FINISH)
            job.finished_at, job.lease_until, job.lease_holder = now, None, ""
            job.save()
            trail.tell(job, BulkEvent.FINISH)
            return False
        reached = _reached(job, act, items)
        if reached is None:
            counts = _note({item.pk: (ItemState.SKIPPED, *_NOT_PERMITTED) for item in items})
        elif act in FLAGS:
            keys = {item.pk: item.orchestrator_id for item in items}
            counts = flags.set_flags(job, keys, reached, now=now)
        else:
            counts = _note(_each(job, act, items, reached, now))
        BulkJob.objects.filter(pk=job.pk).update(
            lease_until=leases.lasting(LEASE),
            **{name: F(name) + count for name, count in counts.items()},
        )
    return True


def _claim(job_id: int, holder: str, *, now: datetime) -> bool:
    with transaction.atomic():
        rows = BulkJob.objects.filter(leases.free(), pk=job_id, state__in=sorted(OPEN_BULK))
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        job = rows.first()
        if job is None:
            return False
        if job.state == BulkState.WAITING:
            job.state = next_bulk(BulkState.WAITING, BulkEvent.START)
        BulkJob.objects.filter(pk=job_id).update(
            state=job.state,
            started_at=job.started_at or now,
            lease_until=leases.lasting(LEASE),
            lease_holder=holder,
        )
    return True


def _reached(job: BulkJob, act: Act, items: Sequence[BulkItem]) -> set[UUID] | None:
    """Return the orchestrators that the actor may touch now; None if the act is not theirs."""
    user = User.objects.filter(pk=job.requested_by_id or 0).first()
    permission = PERMISSIONS[act]
    if user is None or not holds(user, permission):
        return None
    return reachable((i.orchestrator_id for i in items), *act_reaches(user, permission))


def _each(
    job: BulkJob, act: Act, items: Sequence[BulkItem], reached: set[UUID], now: datetime
) -> Mapping[int, Result]:
    """Call the act's own service for each item; one that is refused does not stop the others."""
    actor = Actor(job.requested_by_name, job.requested_by_id, job.source_address, job.audit_group)
    results: dict[int, Result] = {}
    for item in sorted(items, key=lambda i: i.orchestrator_id):
        if item.orchestrator_id not in reached:
            results[item.pk] = (ItemState.SKIPPED, *flags.OUT_OF_REACH)
            continue
        try:
            with transaction.atomic():
                answer = _one(job, act, item, actor, now)
        except ActRefused as refused:
            results[item.pk] = (ItemState.SKIPPED, refused.reason, str(refused))
        except Exception:
            log.exception("item %s of bulk job %s", item.pk, job.pk)
            sentence = "Something unexpected happened; the portal's log says what."
            results[item.pk] = (ItemState.FAILED, "internal", sentence)
        else:
            state = ItemState.CHANGED if answer else ItemState.UNCHANGED
            is_vote = answer is Approval.VOTED
            results[item.pk] = (
                (state, VOTE.reason, SENTENCES[VOTE.reason]) if is_vote else (state, "", "")
            )
    return results


def _one(job: BulkJob, act: Act, item: BulkItem, actor: Actor, now: datetime) -> bool | Approval:
    pk = item.orchestrator_id
    if act is Act.APPROVE:
        shown = Foreseen(
            pk, CHANGE, item.claimant, item.fingerprint, item.mark, item.generation
        ).as_shown
        return approvals.approve(pk, actor=actor, now=now, shown=shown, message=job.reason)
    if act is Act.DISAPPROVE:
        return approvals.disapprove(
            pk, actor=actor, now=now, message=job.reason, generation=item.generation
        )
    if act is Act.LOGS:
        return log_requests.ask(pk, actor=actor, now=now, message=job.reason)
    approvals.reset(pk, actor=actor, now=now, message=job.reason, generation=item.generation)
    return True


def _note(results: Mapping[int, Result]) -> Counter[str]:
    together: dict[Result, list[int]] = defaultdict(list)
    for key, result in results.items():
        together[result].append(key)
    for (state, reason, message), keys in together.items():
        BulkItem.objects.filter(pk__in=keys).update(
            state=state, reason=reason[:40], message=message[:300]
        )
    return Counter(str(state) for state, _, _ in results.values())
