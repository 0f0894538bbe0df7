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
from django.db.models import Q
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.audit.acts import BULK_JOB
from portal.audit.models import AuditEntry, Category
from portal.edge.request_id import current_request_id
from portal.rest import listed_acts
from portal.rest.codes import act_code
from portal.rest.listed_acts import ListedAct
from renewal.rules.acts import Outcome, Verdict


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


def foreseen(listed: ListedAct, request: Request) -> Response:
    """Say what would become of each record, without locking one. Raises ApiError."""
    entries = listed_acts.foreseen(listed, user=request.user, now=timezone.now())
    verdicts = [(str(entry.pk), entry.verdict) for entry in entries]
    verdicts += [(text, listed_acts.UNKNOWN) for text in listed.no_ids]
    return told([_change(pk, verdict, str(listed.act)) for pk, verdict in verdicts])


def _change(pk: str, verdict: Verdict, action: str) -> Change:
    is_refused = verdict.outcome is Outcome.SKIP
    return {
        "Kind": "orchestrator",
        "Id": pk,
        "Outcome": str(verdict.outcome),
        "Reason": str(act_code(verdict.reason)) if is_refused else verdict.reason or None,
        "Action": action,
        "Before": {},
        "After": {},
    }


def told(changes: list[Change]) -> Response:
    """Say what would change, where nobody would be asked."""
    return Response(DryRunResponse(DryRun=True, Changes=changes, Asks=[]))


def tried(
    rehearse: Callable[[], list[Ask]], concerned: Callable[[], list[tuple[str, str]]]
) -> Response:
    """Do it, read what the audit log says of it, and take it back.

    What it is ``concerned`` with and did nothing to is told too.
    """
    with transaction.atomic():
        newest = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        asks = rehearse()
        about = concerned()
        mine = Q(request_id=current_request_id())
        for kind, pk in about:
            if kind == BULK_JOB:
                # What moves a job carries the job's id in place of the request's.
                mine |= Q(object_type=kind, object_id=pk)
        rows = AuditEntry.objects.filter(mine, pk__gt=newest)
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
        moved = {(change["Kind"], change["Id"]) for change in changes}
        changes += [
            {
                "Kind": kind,
                "Id": pk,
                "Outcome": str(Outcome.UNCHANGED),
                "Reason": None,
                "Action": None,
                "Before": {},
                "After": {},
            }
            for kind, pk in about
            if (kind, pk) not in moved
        ]
        transaction.set_rollback(True)
    return Response(DryRunResponse(DryRun=True, Changes=changes, Asks=asks))
