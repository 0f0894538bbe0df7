"""What a write would do, told and not done.

Owns the reply of a dry run. What an act on orchestrators would do is foreseen by the pure function
that the pages' preview and a job's run ask (`renewal/rules/acts.py`); of other writes a dry run is
the write itself, told by its audit rows and rolled back, up to where somebody outside would be
asked (`ApiView.rehearse`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.audit.models import AuditEntry, Category
from portal.edge.request_id import current_request_id
from renewal.bulk import service
from renewal.bulk.service import BulkRefused, Order
from renewal.rules.acts import Outcome


class Change(TypedDict):
    """What a call would do to one thing: ``change``, ``unchanged`` or ``skip``."""

    Kind: str
    Id: str
    Outcome: str
    Reason: str | None
    Action: str | None
    Before: dict[str, Any]
    After: dict[str, Any]


class Ask(TypedDict):
    """What a certificate authority would be asked: ``issue``, ``revoke``, ``publish_crl``,
    ``health`` or ``make_keys``.
    """

    Authority: str
    Call: str
    About: dict[str, Any]


class DryRunResponse(TypedDict):
    """What a call would do, and what it would ask of certificate authorities; nothing was changed
    and nobody asked.
    """

    DryRun: bool
    Changes: list[Change]
    Asks: list[Ask]


def foreseen(order: Order, request: Request) -> Response:
    """Say what would become of each record, without locking one."""
    asked = {str(pk) for pk in order.selection.ids}
    try:
        entries = service.preview(order, user=request.user, now=timezone.now()).entries
    except BulkRefused:
        entries = []
    found = {str(entry.pk): entry.verdict for entry in entries}
    changes: list[Change] = [
        {
            "Kind": "orchestrator",
            "Id": pk,
            "Outcome": str(found[pk].outcome) if pk in found else str(Outcome.SKIP),
            "Reason": (found[pk].reason or None) if pk in found else "unknown",
            "Action": str(order.act),
            "Before": {},
            "After": {},
        }
        for pk in sorted(asked)
    ]
    return told(changes)


def told(changes: list[Change]) -> Response:
    """Say what would change, where nobody would be asked."""
    return Response(DryRunResponse(DryRun=True, Changes=changes, Asks=[]))


def tried(rehearse: Callable[[], list[Ask]]) -> Response:
    """Do it, read what the audit log says of it, and take it back."""
    with transaction.atomic():
        newest = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        asks = rehearse()
        rows = AuditEntry.objects.filter(pk__gt=newest, request_id=current_request_id())
        changes: list[Change] = [
            {
                "Kind": row.object_type,
                "Id": row.object_id,
                "Outcome": str(Outcome.CHANGE),
                "Reason": None,
                "Action": row.action,
                "Before": row.before,
                "After": row.after,
            }
            for row in rows.exclude(category=Category.REFUSAL).order_by("pk")
        ]
        transaction.set_rollback(True)
    return Response(DryRunResponse(DryRun=True, Changes=changes, Asks=asks))
