"""Preview, submit, cancel and retry of bulk actions: the interface for pages, REST and commands.

    seen = preview(order, user=user, now=now)       # a dry run: changes nothing
    job = submit(order, seen.frozen, user=user, actor=actor, now=now)  # a worker runs it
    job = submit_ticked(order, shown, user=user, actor=actor, now=now)  # the same, of ticked ones
    cancel(job.pk, actor=actor, now=now)            # when it returns, nothing more is done
    retry(job.pk, user=user, actor=actor, now=now)  # what was skipped, failed or left

Owns what is checked before a job exists, and the job's states but for START and FINISH, which are
`work.py`'s. Every refusal is a BulkRefused with a stable reason, and nothing has changed then.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from orchestrators.reach import act_reaches
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.permissions import require
from portal.audit.trail import Actor
from portal.audit.wording import LONGEST_REASON, one_line
from portal.days import zone_name
from portal.preferences import store
from renewal import dispatch
from renewal.bulk import trail
from renewal.bulk.selection import Foreseen, Selection, chosen, digest, foreseen
from renewal.configuration import periods
from renewal.models import BulkItem, BulkJob
from renewal.rules.acts import Act, Outcome, Verdict
from renewal.rules.bulk_lifecycle import RETRIED, BulkEvent, BulkState, ItemState, next_bulk
from renewal.rules.lifecycle import InvalidTransition
from renewal.selectors import fleet

PERMISSIONS = {
    Act.APPROVE: Permission.AGENTS_APPROVE,
    Act.DISAPPROVE: Permission.AGENTS_APPROVE,
    Act.REQUEST: Permission.AGENTS_RENEW,
    Act.REQUIRE: Permission.AGENTS_RENEW,
    Act.CLEAR: Permission.AGENTS_RENEW,
    Act.RESET: Permission.AGENTS_RESET,
    Act.LOGS: Permission.AGENTS_LOGS,
}
MOST_COMPARED = 1000
"""Of a larger selection that changed, the numbers are told and no names."""
MOST_NAMED = 20


class BulkRefused(ValueError):
    """The job cannot be made or moved; ``reason`` is stable, the message for a person."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Order:
    """What somebody wants done to a selection."""

    act: Act
    selection: Selection
    reason: str = ""
    at_once: bool = False
    """With REQUEST or REQUIRE: the present session ends."""

    @property
    def meaning(self) -> str:
        """All but the records and the reason, as one text."""
        when = "now" if self.at_once else "next session"
        return f"{self.act} {when} {self.selection.query}"


@dataclass(frozen=True)
class Frozen:
    """What a preview froze; a submit sends it back."""

    count: int
    digest: str
    """Of the selection and `once`: one preview makes one job."""
    once: str = ""
    """Of this preview alone (`new_once`)."""
    keys: frozenset[UUID] = field(default=frozenset(), compare=False)
    """The records, of a selection of at most `MOST_COMPARED`: a refusal names what changed."""

    @property
    def packed(self) -> str:
        """The records as a form carries them."""
        raw = b"".join(key.bytes for key in sorted(self.keys))
        return base64.b64encode(raw).decode()


def new_once() -> str:
    """Return what tells one preview from another one of the same selection."""
    return uuid4().hex


def unpacked(text: str) -> frozenset[UUID]:
    """Return the records that a form carries; none if it makes no sense."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return frozenset()
    if len(raw) % 16 or len(raw) > 16 * MOST_COMPARED:
        return frozenset()
    return frozenset(UUID(bytes=raw[at : at + 16]) for at in range(0, len(raw), 16))


@dataclass(frozen=True)
class Preview:
    """What would be done, record by record."""

    order: Order
    entries: Sequence[Foreseen]
    frozen: Frozen

    @property
    def tally(self) -> Counter[Verdict]:
        """How many records have which verdict."""
        return Counter(entry.verdict for entry in self.entries)

    def of(self, outcome: Outcome) -> list[Foreseen]:
        return [entry for entry in self.entries if entry.verdict.outcome is outcome]


def preview(order: Order, *, user: Any, now: datetime, once: str = "") -> Preview:
    """Say what an act would do, without doing it. Raises PermissionMissing, BulkRefused.

    ``once``: of an earlier preview, to compare with what it froze.
    """
    permission = PERMISSIONS[order.act]
    require(user, permission)
    reaches = act_reaches(user, permission)
    rows = chosen(order.selection, periods(store.load()), *reaches, now=now)
    actor = Actor(user.get_username(), user.pk)
    entries = list(foreseen(order.act, rows, actor=actor, now=now))
    if not entries:
        raise BulkRefused("nothing_selected", "No orchestrator is selected.")
    keys = (
        frozenset(entry.pk for entry in entries) if len(entries) <= MOST_COMPARED else frozenset()
    )
    return Preview(order, entries, _frozen(order, entries, once or new_once(), keys))


def _frozen(
    order: Order, entries: Sequence[Foreseen], once: str, keys: frozenset[UUID] = frozenset()
) -> Frozen:
    return Frozen(len(entries), digest(f"{order.meaning}\n{once}", entries), once, keys)


def submit(order: Order, frozen: Frozen, *, user: Any, actor: Actor, now: datetime) -> BulkJob:
    """Commit a job for exactly what was previewed. Raises PermissionMissing, BulkRefused.

    ``selection_changed``: other records match now, or one of them moved on: somebody else came
    forward, or it was Reset or disapproved; a new preview shows which. What one preview froze is
    one job: sent twice, the job that there is is returned.
    """
    _check_order(order)
    require(user, PERMISSIONS[order.act])
    if (made := _made_of(frozen, user)) is not None:
        return made
    seen = preview(order, user=user, now=now, once=frozen.once)
    if seen.frozen != frozen:
        raise BulkRefused(
            "selection_changed",
            f"The selection has changed since it was shown: {frozen.count} then, "
            f"{seen.frozen.count} now{_same_number(frozen, seen.frozen)}. Nothing was done."
            f"{_came_and_went(order, frozen, seen.frozen, user)}",
        )
    return _committed(order, seen.entries, frozen, user=user, actor=actor, now=now)


def submit_ticked(
    order: Order,
    shown: Sequence[Foreseen],
    *,
    user: Any,
    actor: Actor,
    now: datetime,
    once: str = "",
) -> BulkJob:
    """Commit a job for records that somebody ticked. Raises PermissionMissing, BulkRefused.

    ``shown``: each with what its confirmation showed. An approval of anybody else is refused item
    by item, as is an act of `BY_GENERATION` on what was Reset or disapproved since, and what lies
    outside the actor's reach. ``once``: of the confirmation, which makes one job.
    """
    require(user, PERMISSIONS[order.act])
    _check_order(order)
    if not shown:
        raise BulkRefused("nothing_selected", "No orchestrator is selected.")
    entries = sorted(shown, key=lambda entry: entry.pk)
    frozen = _frozen(order, entries, once or new_once())
    return _committed(order, entries, frozen, user=user, actor=actor, now=now)


def _check_order(order: Order) -> None:
    if order.at_once and order.act not in (Act.REQUEST, Act.REQUIRE):
        raise BulkRefused("at_once_invalid", "Only a renewal is asked for at once.")
    if order.act is Act.RESET and not order.reason:
        raise BulkRefused("reason_missing", "Say why: the audit log keeps it.")
    if len(order.reason) > LONGEST_REASON:
        raise BulkRefused("reason_too_long", f"At most {LONGEST_REASON} characters.")


def _committed(
    order: Order,
    entries: Sequence[Foreseen],
    frozen: Frozen,
    *,
    user: Any,
    actor: Actor,
    now: datetime,
) -> BulkJob:
    reason = one_line(order.reason)
    with transaction.atomic():
        # Of two submits of one preview at once, the second one waits and finds the job.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if (made := _made_of(frozen, user)) is not None:
            return made
        job = BulkJob.objects.create(
            act=order.act,
            at_once=order.at_once,
            query=order.selection.query,
            time_zone=zone_name(),
            is_filtered=order.selection.filters is not None,
            total=frozen.count,
            digest=frozen.digest,
            reason=reason,
            requested_by=user,
            requested_by_name=actor.name[:200],
            source_address=actor.source_address[:64],
            created_at=now,
        )
        _freeze(job, entries)
        trail.tell_submitted(job, actor)
        transaction.on_commit(partial(dispatch.bulk, job.pk))
    return job


def _made_of(frozen: Frozen, user: Any) -> BulkJob | None:
    return BulkJob.objects.filter(requested_by=user.pk, digest=frozen.digest).first()


def cancel(job_id: int, *, actor: Actor, now: datetime) -> BulkJob:
    """Stop a job: when this returns, nothing more is done. Raises BulkRefused."""
    with transaction.atomic():
        job = _moved(job_id, BulkEvent.CANCEL)
        job.finished_at = now
        job.lease_until, job.lease_holder = None, ""
        job.save(update_fields=["state", "finished_at", "lease_until", "lease_holder"])
        trail.tell(job, BulkEvent.CANCEL, actor)
    return job


def retry(job_id: int, *, user: Any, actor: Actor, now: datetime) -> BulkJob:
    """Take up again what was skipped, failed or left by a cancel. Raises as submit does.

    Only who submitted a job may: it goes on in that user's name. Each item is held against what
    was shown when the job was submitted: whom an approval names, and the record's generation.
    What moved on since is skipped and has to be selected anew.
    """
    with transaction.atomic():
        job = _moved(job_id, BulkEvent.RETRY)
        if job.requested_by_id != user.pk:
            raise BulkRefused("not_yours", "Only who submitted this job can take it up again.")
        require(user, PERMISSIONS[Act(job.act)])
        job.items.filter(state__in=sorted(RETRIED)).update(
            state=ItemState.WAITING, reason="", message=""
        )
        if not job.items.filter(state=ItemState.WAITING).exists():
            raise BulkRefused("nothing_to_retry", "Every item of this job was done.")
        job.skipped = job.failed = 0
        job.finished_at = None
        job.save(update_fields=["state", "skipped", "failed", "finished_at"])
        trail.tell(job, BulkEvent.RETRY, actor)
        transaction.on_commit(partial(dispatch.bulk, job.pk))
    return job


def _moved(job_id: int, event: BulkEvent) -> BulkJob:
    """Return the job, locked, in its next state (not yet saved)."""
    job = BulkJob.objects.select_for_update().filter(pk=job_id).first()
    if job is None:
        raise BulkRefused("unknown", "There is no such job.")
    try:
        job.state = next_bulk(BulkState(job.state), event)
    except InvalidTransition:
        raise BulkRefused("wrong_state", f"This job is {job.state}: it cannot {event}.") from None
    return job


def _freeze(job: BulkJob, entries: Sequence[Foreseen]) -> None:
    if connection.vendor == "postgresql":
        table = BulkItem._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} "  # noqa: S608 - our own table's name
                "(job_id, orchestrator_id, claimant, fingerprint, mark, generation, state, reason, "
                "message) SELECT %s, item.pk, item.claimant, item.fingerprint, item.mark, "
                "item.generation, %s, '', '' "
                "FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::int[]) "
                "AS item (pk, claimant, fingerprint, mark, generation)",
                [
                    job.pk,
                    str(ItemState.WAITING),
                    [entry.pk for entry in entries],
                    [entry.claimant for entry in entries],
                    [entry.fingerprint for entry in entries],
                    [entry.mark for entry in entries],
                    [entry.generation for entry in entries],
                ],
            )
        return
    BulkItem.objects.bulk_create(
        (
            BulkItem(
                job=job,
                orchestrator_id=entry.pk,
                claimant=entry.claimant,
                fingerprint=entry.fingerprint,
                mark=entry.mark,
                generation=entry.generation,
            )
            for entry in entries
        ),
        batch_size=1000,
    )


def _came_and_went(order: Order, then: Frozen, now: Frozen, user: Any) -> str:
    """Say which records came and went, as far as both selections are known and within reach."""
    if not then.keys or not now.keys:
        return ""
    came, gone = now.keys - then.keys, then.keys - now.keys
    if not came and not gone:
        return (
            " At least one of them moved on: somebody else came forward, or it was Reset or "
            "disapproved."
        )
    told = ""
    for word, keys in (("Came", came), ("Gone", gone)):
        names = fleet.names_of(keys, *act_reaches(user, PERMISSIONS[order.act]))
        known = sorted(name or "without a name" for name in names.values())
        if known:
            more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
            told += f" {word}: {', '.join(known[:MOST_NAMED])}{more}."
    return told


def _same_number(then: Frozen, now: Frozen) -> str:
    return ", but not as they were shown" if then.count == now.count else ""
