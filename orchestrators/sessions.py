"""Sessions of orchestrators: granted, found, ended.

Owns `AgentSession` rows. Whether one may be granted is the decision's; how long it lasts is
`renewal/rules/periods.py`'s.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime, timedelta

from django.db.models import CharField, DateTimeField, UUIDField

from orchestrators.models import AgentSession, Orchestrator
from portal.statements import Insert, Parameter, Update

_OPEN = Insert(lambda: AgentSession)
_END = Update(
    lambda: AgentSession.objects.filter(
        orchestrator_id=Parameter("orchestrator", UUIDField()), ended_at=None
    ),
    ended_at=Parameter("now", DateTimeField()),
    end_reason=Parameter("reason", CharField()),
)


def token_digest(token: str) -> str:
    """Return the stored form of a session token; 122 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(
    orchestrator: Orchestrator,
    *,
    lasts: timedelta,
    heartbeat_minutes: int,
    thumbprint: str,
    address: str,
    now: datetime,
) -> str:
    """Grant a session and end the earlier ones; return its token (a GUID, as agents need it)."""
    end_sessions(orchestrator, reason="a new session", now=now)
    token = str(uuid.uuid4())
    _OPEN.run(
        orchestrator_id=orchestrator.pk,
        token_digest=token_digest(token),
        started_at=now,
        expires_at=now + lasts,
        ended_at=None,
        end_reason="",
        heartbeat_minutes=heartbeat_minutes,
        thumbprint=thumbprint,
        address=address[:64],
    )
    return token


def end_sessions(orchestrator: Orchestrator, *, reason: str, now: datetime) -> int:
    """End every session of a record; its next heartbeat says so. Return how many ended."""
    return _END.run(orchestrator=orchestrator.pk, reason=reason, now=now)
