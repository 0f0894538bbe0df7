"""Requests for approval that nobody touched for too long are closed.

Owns the sweep. What a request is, and how it is closed, is `approval_requests.py`'s.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from orchestrators.models import Orchestrator, Status
from portal.audit.trail import PORTAL
from portal.preferences.store import Preferences
from renewal.identity.approval_requests import audit, close
from renewal.models import ApprovalComment, ApprovalRequest, ApprovalVote, Claimant
from renewal.rules.approval import RequestEvent, RequestState

_BATCH = 500


def expire(preferences: Preferences, *, now: datetime) -> int:
    """Close the requests that nobody touched for too long; return how many.

    Touched: the orchestrator called, somebody voted or commented. Whoever came forward so long ago
    is forgotten with it: an approval needs a new contact.
    """
    days = preferences.number("ApprovalRequestDays")
    if not days:
        return 0
    before = now - timedelta(days=days)
    gone = 0
    while keys := list(_stale(before).values_list("pk", flat=True)[:_BATCH]):
        gone += sum(_expire_one(key, before, now=now) for key in keys)
    return gone


def _stale(before: datetime) -> QuerySet[ApprovalRequest]:
    recent_vote = ApprovalVote.objects.filter(request=OuterRef("pk"), voted_at__gte=before)
    recent_comment = ApprovalComment.objects.filter(request=OuterRef("pk"), written_at__gte=before)
    return ApprovalRequest.objects.filter(
        ~Exists(recent_vote),
        ~Exists(recent_comment),
        Q(orchestrator__last_seen__isnull=True) | Q(orchestrator__last_seen__lt=before),
        state=RequestState.OPEN,
        opened_at__lt=before,
    ).order_by("opened_at", "pk")


@transaction.atomic
def _expire_one(key: int, before: datetime, *, now: datetime) -> bool:
    """Expire one request, decided again under its record's lock."""
    request = ApprovalRequest.objects.get(pk=key)
    Orchestrator.objects.select_for_update().get(pk=request.orchestrator_id)
    if not _stale(before).filter(pk=key).exists():
        return False
    close(request, RequestEvent.EXPIRE, PORTAL, reason="Nobody touched it.", now=now)
    if request.orchestrator.status == Status.NEW:
        Claimant.objects.filter(orchestrator=request.orchestrator).delete()
    audit(request, "approval_request_expired", PORTAL)
    return True
