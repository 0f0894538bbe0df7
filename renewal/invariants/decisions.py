"""Decisions on orchestrators: C13 (nobody works without one, and nobody waits unseen).

Owns this predicate over records and their requests for approval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from orchestrators.models import Orchestrator, Status
from renewal.invariants.report import Violation, told
from renewal.models import ApprovalRequest, Claimant
from renewal.rules.approval import RequestState


def decided(now: datetime) -> Iterator[Violation]:
    """C13: a record that was Reset works only after a decision; whoever waits has a request."""
    requests = ApprovalRequest.objects.filter(orchestrator=OuterRef("pk"))
    is_open = requests.filter(state=RequestState.OPEN)
    granted = requests.filter(state=RequestState.APPROVED, generation=OuterRef("generation"))
    approved = Orchestrator.objects.filter(status=Status.APPROVED)
    yield from told(
        "C13",
        "orchestrator",
        _keys(approved.filter(reset_at__isnull=False).exclude(Exists(granted))),
        "This record was Reset and works without an approval of its return.",
    )
    yield from told(
        "C13",
        "orchestrator",
        _keys(approved.filter(Exists(is_open))),
        "This record is approved and still has an open request for approval.",
    )
    came = Claimant.objects.filter(orchestrator=OuterRef("pk"), generation=OuterRef("generation"))
    yield from told(
        "C13",
        "orchestrator",
        _keys(
            Orchestrator.objects.filter(Exists(came), status=Status.NEW).exclude(Exists(is_open))
        ),
        "Somebody came forward for this record, and no request for approval is open.",
    )
    stale = ApprovalRequest.objects.filter(state=RequestState.OPEN).exclude(
        generation=F("orchestrator__generation")
    )
    yield from told(
        "C13",
        "approval_request",
        _keys(stale),
        "This open request is of another generation than its record.",
    )
    voted = ApprovalRequest.objects.filter(
        Q(decided_by="") | Q(decided_at__lt=F("opened_at")), decided_at__isnull=False
    )
    yield from told(
        "C13",
        "approval_request",
        _keys(voted),
        "This request was decided by nobody, or before it was opened.",
    )


def _keys(rows: QuerySet[Any, Any]) -> Iterable[object]:
    return rows.order_by("pk").values_list("pk", flat=True)
