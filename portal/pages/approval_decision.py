"""One decision on a request for approval, from a form to the act.

Owns what goes back with a form of what the page showed, so that nothing else is approved. Who may
decide, and what a decision does, is `renewal/identity/approvals.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages.gate import actor_of
from renewal.identity import approvals
from renewal.identity.approvals import Approval, Shown
from renewal.identity.claimants import mark_of
from renewal.identity.risks import Assessed, assess
from renewal.models import ApprovalRequest, Claimant


def decide_one(
    request: HttpRequest,
    row: ApprovalRequest,
    decision: str,
    shown: str,
    reason: str,
    *,
    is_override: bool,
) -> str:
    """Decide one request with what was shown of it; return what came of it. Raises ActRefused."""
    actor, now = actor_of(request), timezone.now()
    if decision == "disapprove":
        approvals.disapprove(
            row.orchestrator_id, actor=actor, now=now, message=reason, request=row.pk
        )
        return "disapproved"
    answer = approvals.approve(
        row.orchestrator_id,
        actor=actor,
        now=now,
        shown=_shown(row, shown),
        message=reason,
        is_override=is_override,
    )
    if answer is Approval.APPROVED:
        return "approved"
    if answer is Approval.VOTED:
        return "your approval counts, others must follow"
    return "you approved it before"


def _shown(row: ApprovalRequest, token: str) -> Shown:
    """Read what the page showed: ``claimant:mark``; nothing for what a record holds."""
    claimant, _, mark = token.partition(":")
    if not token:
        # It showed nobody: whoever came since is not approved unseen.
        return Shown(claimant=0, request=row.pk)
    if not (claimant.isascii() and claimant.isdigit() and len(claimant) < 19 and mark):
        raise BadRequest("What the page showed cannot be read.")
    return Shown(claimant=int(claimant), mark=mark, request=row.pk)


def token_of(claimant: Claimant) -> str:
    """Return what a page shows of a claimant, as it is sent back with the approval."""
    return f"{claimant.pk}:{mark_of(claimant)}"


def assessed_for(
    request: HttpRequest, rows: Sequence[ApprovalRequest], *, now: datetime
) -> list[Assessed]:
    """Return requests with their hints, as far as the caller may read orchestrators."""
    return assess(rows, seen=reach(request.user, Permission.AGENTS_READ), now=now)


def name_of(row: ApprovalRequest) -> str:
    """Return what a message calls the orchestrator of a request."""
    return row.orchestrator.client_machine or "without a name"
