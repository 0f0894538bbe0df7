"""What other tables say of the records that a list shows.

Owns the one statement that reads it, which is prepared: every page of a list asks for it. What
makes a record overdue, failed or late is `marks.py`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import CharField, DateTimeField, QuerySet, UUIDField, Value

from orchestrators.models import AgentSession, Orchestrator
from portal.statements import Among, Parameter, Select
from renewal.readiness import unable_among
from renewal.selectors.marks import (
    Around,
    claims_over,
    failed_enrollments,
    overdue_revocations,
    was_refused,
)

_OVERDUE, _FAILED, _LATE, _LIVE = "overdue", "failed", "late", "live"


def around(records: Sequence[Orchestrator], *, now: datetime) -> list[Around]:
    """Return what is said of each, in their order: two queries, and one for each limit that the
    roles of their service accounts have; of none, no query.
    """
    if not records:
        return []
    said: dict[UUID, set[str]] = defaultdict(set)
    for pk, what in _SAID.all(ids=[record.pk for record in records], now=now):
        said[pk].add(what)
    unable = unable_among(records)
    return [
        Around(
            is_overdue=_OVERDUE in said[record.pk],
            has_failed=_FAILED in said[record.pk] or was_refused(record, now),
            is_live=_LIVE in said[record.pk],
            cannot_enroll=_LATE in said[record.pk],
            cannot_renew=record.pk in unable,
        )
        for record in records
    ]


def _query() -> QuerySet[Any, Any]:
    now = Parameter("now", DateTimeField())
    rows: list[tuple[str, QuerySet[Any, Any]]] = [
        (_OVERDUE, overdue_revocations(now)),
        (_FAILED, failed_enrollments(now)),
        (_LATE, claims_over(now)),
        (_LIVE, AgentSession.objects.live(now)),
    ]
    first, *others = (
        each.filter(Among("orchestrator_id", "ids", UUIDField()))
        .order_by()
        .values_list("orchestrator_id", Value(what, CharField()))
        for what, each in rows
    )
    return first.union(*others, all=True)


_SAID: Select[tuple[UUID, str]] = Select(_query, lambda pk, what: (pk, what))
