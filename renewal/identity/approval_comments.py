"""What people say to an open request for approval.

Owns who may, how much it may be, and that it is kept with its audit row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from orchestrators.reach import act_reaches, reachable
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.audit.trail import Actor
from portal.audit.wording import lines
from renewal.identity.acting import ActRefused
from renewal.identity.approval_requests import audit
from renewal.models import (
    ApprovalComment,
    ApprovalRequest,
)
from renewal.models.approvals import MOST_COMMENT_CHARACTERS
from renewal.rules.approval import (
    RequestState,
)

MOST_COMMENTS = 100


def may_comment(user: Any, request: ApprovalRequest) -> bool:
    """Say whether somebody may approve or Reset the orchestrator of a request."""
    return any(
        holds(user, permission)
        and bool(reachable([request.orchestrator_id], *act_reaches(user, permission)))
        for permission in (Permission.AGENTS_APPROVE, Permission.AGENTS_RESET)
    )


def comment(request: ApprovalRequest, text: str, *, actor: Actor, now: datetime) -> ApprovalComment:
    """Keep what somebody says to an open request. Raises ActRefused.

    Control and direction characters are left out; lines stay.
    """
    cleaned = lines(text)
    if not cleaned or len(cleaned) > MOST_COMMENT_CHARACTERS:
        raise ActRefused(
            "comment_invalid", f"A comment has 1 to {MOST_COMMENT_CHARACTERS:,} characters."
        )
    with transaction.atomic():
        row = ApprovalRequest.objects.select_for_update(of=("self",)).get(pk=request.pk)
        if row.state != RequestState.OPEN:
            raise ActRefused("decided", "This request is decided: it takes no more comments.")
        if row.comments.count() >= MOST_COMMENTS:
            raise ActRefused("comments_full", f"A request has at most {MOST_COMMENTS} comments.")
        made = ApprovalComment.objects.create(
            request=row,
            author_id=actor.user_id,
            author_name=actor.name[:200],
            text=cleaned,
            written_at=now,
        )
        audit(row, "approval_comment", actor, message=cleaned)
    return made
