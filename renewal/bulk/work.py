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
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, Value
from django.db.models.functions import Now

from orchestrators.models import AgentSession, Orchestrator
from orchestrators.reach import act_reaches, reachable
from portal.access.models import User
from portal.access.permissions import holds
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor
from renewal.bulk.service import PERMISSIONS
from renewal.identity import approvals
from renewal.identity.approvals import ActRefused, Shown
from renewal.models import BulkItem, BulkJob
from renewal.rules.acts import FLAGS, Act, ActFacts, Outcome, foresee
from renewal.rules.approval import Approval
from renewal.rules.bulk_lifecycle import OPEN_BULK, BulkEvent, BulkState, ItemState, next_bulk

log = logging.getLogger(__name__)

SET_BATCH = 250
ITEM_BATCH = 25
"""Of acts that are a service call each: a lock on the job's row stays well below a second."""
LEASE = timedelta(seconds=60)
MOST_SECONDS = 150.0
"""Of one task; what is left is another task's."""

_OUT_OF_REACH = ("unknown", "There is no such orchestrator within your reach.")
_NOT_PERMITTED = ("permission_missing", "Who submitted the job may not do this any more.")
_VOTED = "The approval counts; others must follow."

Result = tuple[ItemState, str, str]
"""State, stable reason, sentence."""


def waiting() -> list[int]:
    """Return the jobs that no worker holds."""
    rows = BulkJob.objects.filter(_free(), state__in=sorted(OPEN_BULK)).order_by("pk")
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
        size = SET_BATCH if act in FLAGS else ITEM_BATCH
        rows = job.items.filter(state=ItemState.WAITING).order_by("pk")
        items = list(rows[:size])
        if not items:
            job.state = next_bulk(BulkState(job.state), BulkEvent.FINISH)
            job.finished_at, job.lease_until, job.lease_holder = now, None, ""
            job.save()
            return False
        permitted, refused = _permitted(job, act, items)
        results = dict.fromkeys((i.pk for i in items), (ItemState.SKIPPED, *refused))
        results |= (
            _set_flags(job, act, permitted, now)
            if act in FLAGS
            else _each(job, act, permitted, now)
        )
        _note(job, results)
    return True


def _claim(job_id: int, holder: str, *, now: datetime) -> bool:
    with transaction.atomic():
        rows = BulkJob.objects.filter(_free(), pk=job_id, state__in=sorted(OPEN_BULK))
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
            lease_until=_lease_end(),
            lease_holder=holder,
        )
    return True


def _free() -> Q:
    return Q(lease_until=None) | Q(lease_until__lt=Now())


def _lease_end() -> ExpressionWrapper[Any]:
    return ExpressionWrapper(
        Now() + Value(LEASE, output_field=DurationField()), output_field=DateTimeField()
    )


def _permitted(
    job: BulkJob, act: Act, items: Sequence[BulkItem]
) -> tuple[list[BulkItem], tuple[str, str]]:
    """Return the items that the actor may touch now, and why the others not."""
    user = User.objects.filter(pk=job.requested_by_id or 0).first()
    permission = PERMISSIONS[act]
    if user is None or not holds(user, permission):
        return [], _NOT_PERMITTED
    reached = reachable((i.orchestrator_id for i in items), *act_reaches(user, permission))
    return [i for i in items if i.orchestrator_id in reached], _OUT_OF_REACH


def _set_flags(
    job: BulkJob, act: Act, items: Sequence[BulkItem], now: datetime
) -> Mapping[int, Result]:
    """Set or clear the flag of a whole batch with one statement each."""
    by_id = {item.orchestrator_id: item.pk for item in items}
    # In the order of the ids, so that two jobs on one set never wait for each other crosswise.
    rows = list(
        Orchestrator.objects.select_for_update(of=("self",))
        .filter(pk__in=list(by_id))
        .order_by("pk")
        .values_list("pk", "client_machine", "status", "flag")
    )
    gone: Result = (ItemState.SKIPPED, *_OUT_OF_REACH)
    results: dict[int, Result] = dict.fromkeys(by_id.values(), gone)
    changed: list[tuple[UUID, str, int]] = []
    for pk, name, status, flag in rows:
        verdict = foresee(act, ActFacts(status=status, flag=flag))
        if verdict.outcome is Outcome.CHANGE:
            changed.append((pk, name, flag))
            results[by_id[pk]] = (ItemState.CHANGED, "", "")
        else:
            results[by_id[pk]] = (ItemState.UNCHANGED, "", "")
    keys = [pk for pk, _, _ in changed]
    flag_after = FLAGS[act]
    Orchestrator.objects.filter(pk__in=keys).update(
        flag=flag_after, flag_counter=F("flag_counter") + 1
    )
    if job.at_once and flag_after:
        AgentSession.objects.filter(orchestrator__in=keys, ended_at=None).update(
            ended_at=now, end_reason="renewal requested now"
        )
    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=now,
            actor_id=job.requested_by_id,
            actor_name=job.requested_by_name,
            source_address=job.source_address,
            request_id=job.audit_group,
            category=Category.ORCHESTRATOR,
            action="renewal_requested" if flag_after else "renewal_request_cleared",
            object_type="orchestrator",
            object_id=str(pk),
            object_name=name,
            orchestrator_id=pk,
            before={"flag": flag},
            after={"flag": flag_after, "at_once": job.at_once},
            message=job.reason,
        )
        for pk, name, flag in changed
    )
    return results


def _each(job: BulkJob, act: Act, items: Sequence[BulkItem], now: datetime) -> Mapping[int, Result]:
    """Call the act's own service for each item; one that is refused does not stop the others."""
    actor = Actor(job.requested_by_name, job.requested_by_id, job.source_address, job.audit_group)
    results: dict[int, Result] = {}
    for item in sorted(items, key=lambda i: i.orchestrator_id):
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
            results[item.pk] = (state, "vote", _VOTED) if is_vote else (state, "", "")
    return results


def _one(job: BulkJob, act: Act, item: BulkItem, actor: Actor, now: datetime) -> bool | Approval:
    pk = item.orchestrator_id
    if act is Act.APPROVE:
        shown = Shown(item.claimant, item.fingerprint or None) if item.claimant else None
        return approvals.approve(pk, actor=actor, now=now, shown=shown, message=job.reason)
    if act is Act.DISAPPROVE:
        return approvals.disapprove(pk, actor=actor, now=now, message=job.reason)
    approvals.reset(pk, actor=actor, now=now, message=job.reason)
    return True


def _note(job: BulkJob, results: Mapping[int, Result]) -> None:
    together: dict[Result, list[int]] = defaultdict(list)
    for key, result in results.items():
        together[result].append(key)
    counts: dict[str, int] = defaultdict(int)
    for (state, reason, message), keys in together.items():
        BulkItem.objects.filter(pk__in=keys).update(
            state=state, reason=reason[:40], message=message[:300]
        )
        counts[state] += len(keys)
    BulkJob.objects.filter(pk=job.pk).update(
        lease_until=_lease_end(), **{name: F(name) + count for name, count in counts.items()}
    )
