"""What is asked of records: read from their requests for approval, open and past ones.

Owns the queries, as many for a page of records as for one. What follows from them is
`renewal/rules/approval.py`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from orchestrators.models import Orchestrator, Status
from renewal.models import ApprovalRequest
from renewal.rules.approval import Asked, Question, RequestKind, RequestState, question_of


def requests_of(ids: Iterable[UUID]) -> Mapping[UUID, Sequence[ApprovalRequest]]:
    """Return the requests of records, oldest first; an open one is always the newest."""
    rows = ApprovalRequest.objects.filter(orchestrator__in=list(ids)).only(
        "orchestrator_id", "kind", "state", "caused_by_key"
    )
    found: dict[UUID, list[ApprovalRequest]] = defaultdict(list)
    for row in rows.order_by("opened_at", "pk"):
        found[row.orchestrator_id].append(row)
    return found


def asked_of(record: Orchestrator, requests: Sequence[ApprovalRequest]) -> Question:
    """Return what an approval of the record decides, by its requests (`requests_of`)."""
    history = [
        Asked(RequestKind(row.kind), RequestState(row.state), row.caused_by_key) for row in requests
    ]
    return question_of(
        history,
        was_reset=record.reset_at is not None,
        is_disapproved=record.status == Status.DISAPPROVED,
    )


def of_each(records: Sequence[Orchestrator]) -> Mapping[UUID, Question]:
    """Return what an approval of each record decides."""
    requests = requests_of(record.pk for record in records)
    return {record.pk: asked_of(record, requests.get(record.pk, ())) for record in records}


def of(record: Orchestrator) -> Question:
    """Return what an approval of the record decides."""
    return of_each([record])[record.pk]
