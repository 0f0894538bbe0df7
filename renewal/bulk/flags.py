"""Setting or clearing the flag of a batch: records, sessions, audit rows and items together.

Owns how a batch of flags is written, on PostgreSQL all at once and elsewhere row by row; the
verdict of each record is `renewal/rules/acts.py`'s in both. Runs in the transaction of the batch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from orchestrators.models import AgentSession, Orchestrator, Reenrollment, Status
from portal.audit import mac
from portal.audit.models import AuditEntry, Category
from renewal.models import BulkItem, BulkJob
from renewal.rules.acts import FLAGS, Act, ActFacts, Outcome, foresee
from renewal.rules.bulk_lifecycle import ItemState

OUT_OF_REACH = ("unknown", "There is no such orchestrator within your reach.")
END_REASON = "renewal requested now"
_STATES = {Outcome.CHANGE: ItemState.CHANGED, Outcome.UNCHANGED: ItemState.UNCHANGED}


def set_flags(
    job: BulkJob, items: Mapping[int, UUID], reached: Collection[UUID], *, now: datetime
) -> Counter[str]:
    """Do the job's act to ``items`` (number: orchestrator); return how many have which state.

    What is not in ``reached`` is skipped as what does not exist.
    """
    if connection.vendor == "postgresql":
        return _all_at_once(job, items, reached, now=now)
    return _row_by_row(job, items, reached, now=now)


def _state(act: Act, status: int, flag: int) -> ItemState:
    """Return what becomes of an item; a flag's verdict depends on nothing but these two."""
    return _STATES[foresee(act, ActFacts(status=status, flag=flag)).outcome]


def _words(job: BulkJob) -> dict[str, Any]:
    """Return the columns that all audit rows of a job share."""
    return {
        "actor_id": job.requested_by_id,
        "actor_name": job.requested_by_name,
        "source_address": job.source_address,
        "request_id": job.audit_group,
        "category": str(Category.ORCHESTRATOR),
        "action": "renewal_requested" if FLAGS[Act(job.act)] else "renewal_request_cleared",
        "object_type": "orchestrator",
        "message": job.reason,
    }


def _after(job: BulkJob) -> dict[str, Any]:
    return {"flag": int(FLAGS[Act(job.act)]), "at_once": job.at_once}


_STATEMENT = """
WITH verdict (status, flag, state) AS (SELECT * FROM unnest(
    %(statuses)s::int[], %(flags)s::int[], %(states)s::text[])),
item (number, orchestrator) AS (SELECT * FROM unnest(%(items)s::bigint[], %(keys)s::uuid[])),
-- In the order of the ids, so that two jobs on one set never wait for each other crosswise.
held AS MATERIALIZED (
    SELECT id, client_machine, status, flag FROM {orchestrators}
    WHERE id = ANY(%(reached)s::uuid[]) ORDER BY id FOR UPDATE),
judged AS MATERIALIZED (
    SELECT item.number, held.id, held.client_machine, held.flag,
        coalesce(verdict.state, %(skipped)s) AS state
    FROM item
    LEFT JOIN held ON held.id = item.orchestrator
    LEFT JOIN verdict ON verdict.status = held.status AND verdict.flag = held.flag),
changed AS MATERIALIZED (SELECT * FROM judged WHERE state = %(changed)s),
flagged AS (
    UPDATE {orchestrators} AS row SET flag = %(flag)s, flag_counter = row.flag_counter + 1
    FROM changed WHERE row.id = changed.id),
ended AS (
    UPDATE {sessions} AS row SET ended_at = %(now)s, end_reason = %(end_reason)s
    FROM changed
    WHERE %(ends)s AND row.orchestrator_id = changed.id AND row.ended_at IS NULL),
noted AS (
    UPDATE {item_table} AS row SET state = judged.state,
        reason = CASE judged.state WHEN %(skipped)s THEN %(gone)s ELSE '' END,
        message = CASE judged.state WHEN %(skipped)s THEN %(gone_words)s ELSE '' END
    -- The list of numbers says to the planner how few they are.
    FROM judged WHERE row.id = judged.number AND row.id = ANY(%(items)s::bigint[])
    RETURNING judged.*)
SELECT state, id, client_machine, flag FROM noted ORDER BY number
"""
_TOLD = """
INSERT INTO {audit} ({columns}, at, object_id, object_name, orchestrator_id, before, after, mac)
SELECT {values}, %(now)s, told.id::text, told.name, told.id,
    jsonb_build_object('flag', told.flag), %(after)s::jsonb, told.mac
FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(flags)s::int[], %(macs)s::text[])
    WITH ORDINALITY AS told (id, name, flag, mac, place)
ORDER BY place
"""


def _all_at_once(
    job: BulkJob, items: Mapping[int, UUID], reached: Collection[UUID], *, now: datetime
) -> Counter[str]:
    act = Act(job.act)
    table = list(product(Status.values, Reenrollment.values))
    statement = _STATEMENT.format(
        orchestrators=Orchestrator._meta.db_table,
        sessions=AgentSession._meta.db_table,
        item_table=BulkItem._meta.db_table,
    )
    given: dict[str, Any] = {
        "statuses": [status for status, _ in table],
        "flags": [flag for _, flag in table],
        "states": [str(_state(act, status, flag)) for status, flag in table],
        "items": list(items),
        "keys": list(items.values()),
        "reached": list(reached),
        "skipped": str(ItemState.SKIPPED),
        "changed": str(ItemState.CHANGED),
        "flag": FLAGS[act],
        "ends": job.at_once and bool(FLAGS[act]),
        "end_reason": END_REASON,
        "gone": OUT_OF_REACH[0],
        "gone_words": OUT_OF_REACH[1],
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        rows = cursor.fetchall()
    _tell(job, [row[1:] for row in rows if row[0] == ItemState.CHANGED], now=now)
    return Counter(str(row[0]) for row in rows)


def _tell(job: BulkJob, changed: Sequence[tuple[UUID, str, int]], *, now: datetime) -> None:
    """Write the audit rows of a batch (id, name and flag before) in one statement. The key of their
    MACs is not for the database to see, so they are made here.
    """
    if not changed:
        return
    words, after = _words(job), _after(job)
    macs = [
        mac.made(
            {
                **words,
                "at": now,
                "object_id": str(pk),
                "object_name": name,
                "orchestrator_id": pk,
                "before": {"flag": flag},
                "after": after,
            }
        )
        for pk, name, flag in changed
    ]
    ids, names, flags = zip(*changed, strict=True)
    statement = _TOLD.format(
        audit=AuditEntry._meta.db_table,
        columns=", ".join(words),
        values=", ".join(f"%({name})s" for name in words),
    )
    given = {
        **words,
        "now": now,
        "after": json.dumps(after),
        "ids": list(ids),
        "names": list(names),
        "flags": list(flags),
        "macs": macs,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, given)


def _row_by_row(
    job: BulkJob, items: Mapping[int, UUID], reached: Collection[UUID], *, now: datetime
) -> Counter[str]:
    act, flag_after = Act(job.act), FLAGS[Act(job.act)]
    numbers = {key: number for number, key in items.items() if key in reached}
    rows = list(
        Orchestrator.objects.select_for_update(of=("self",))
        .filter(pk__in=list(numbers))
        .order_by("pk")
        .values_list("pk", "client_machine", "status", "flag")
    )
    states = {numbers[pk]: _state(act, status, flag) for pk, _, status, flag in rows}
    changed = [row for row in rows if states[numbers[row[0]]] is ItemState.CHANGED]
    keys = [row[0] for row in changed]
    Orchestrator.objects.filter(pk__in=keys).update(
        flag=flag_after, flag_counter=F("flag_counter") + 1
    )
    if job.at_once and flag_after:
        AgentSession.objects.filter(orchestrator__in=keys, ended_at=None).update(
            ended_at=now, end_reason=END_REASON
        )
    AuditEntry.objects.bulk_create(
        AuditEntry(
            **_words(job),
            at=now,
            object_id=str(pk),
            object_name=name,
            orchestrator_id=pk,
            before={"flag": flag},
            after=_after(job),
        )
        for pk, name, _, flag in sorted(changed, key=lambda row: numbers[row[0]])
    )
    gone = [number for number in items if number not in states]
    _note(gone, ItemState.SKIPPED, *OUT_OF_REACH)
    for state in _STATES.values():
        _note([number for number, found in states.items() if found is state], state, "", "")
    return Counter({str(ItemState.SKIPPED): len(gone)}) + Counter(map(str, states.values()))


def _note(numbers: Sequence[int], state: ItemState, reason: str, message: str) -> None:
    if numbers:
        BulkItem.objects.filter(pk__in=numbers).update(state=state, reason=reason, message=message)
