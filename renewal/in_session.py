"""Gathering the facts of a call inside a session: Heartbeat and the job calls, the hottest of all.

Owns their one query and the write that a contact leaves. Both are compiled once in a thread
(`portal/statements.py`), and no row becomes an instance.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import (
    CharField,
    DateField,
    DateTimeField,
    F,
    FilteredRelation,
    Q,
    QuerySet,
    Subquery,
    UUIDField,
)

from orchestrators.contact_day import day_of
from orchestrators.models import Orchestrator, Status
from orchestrators.sessions import token_digest
from portal.preferences.models import Setting
from portal.statements import Parameter, Select, Update
from renewal.models import Certificate
from renewal.rules.periods import is_valid
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing


class SessionFacts(NamedTuple):
    """What a call inside a session is judged on; the columns of its query, in their order."""

    certificate_id: int
    orchestrator_id: UUID
    standing: str
    revoked_at: datetime | None
    not_before: datetime
    not_after: datetime
    intent_flag_counter: int | None
    thumbprint: str
    status: int
    flag: int
    flag_counter: int
    last_seen: datetime | None
    last_thumbprint_used: str
    session_expires_at: datetime | None
    session_ended_at: datetime | None
    heartbeat_minutes: int | None
    trust_revision_text: str | None

    @property
    def trust_revision(self) -> int:
        return int(self.trust_revision_text or 0)

    def is_authentic(self, now: datetime) -> bool:
        """Say whether the certificate authenticates its approved orchestrator now."""
        return (
            self.status == Status.APPROVED.value
            and self.standing in ACCEPTED
            and self.revoked_at is None
            and is_valid(not_before=self.not_before, not_after=self.not_after, now=now)
        )

    def is_live(self, now: datetime) -> bool:
        """Say whether the token is that of a session which goes on."""
        return (
            self.session_expires_at is not None
            and self.session_ended_at is None
            and self.session_expires_at > now
        )

    def clears_flag(self) -> bool:
        """A heartbeat with the new certificate clears the flag, and nothing else (S41, S44)."""
        counter = self.intent_flag_counter
        return (
            self.flag != 0
            and counter is not None
            and counter >= self.flag_counter
            and self.standing in (*UNPROVEN, Standing.CURRENT)
        )


def query(fingerprint: object, token: object) -> QuerySet[Certificate, tuple[object, ...]]:
    """Return the query for the certificate of an orchestrator with one of its sessions."""
    return (
        Certificate.objects.filter(fingerprint_sha256=fingerprint, orchestrator__isnull=False)
        .annotate(
            called=FilteredRelation(
                "orchestrator__agent_sessions",
                condition=Q(orchestrator__agent_sessions__token_digest=token),
            ),
        )
        .values_list(
            "pk",
            "orchestrator_id",
            "standing",
            "revoked_at",
            "not_before",
            "not_after",
            "intent_flag_counter",
            "thumbprint",
            "orchestrator__status",
            "orchestrator__flag",
            "orchestrator__flag_counter",
            "orchestrator__last_seen",
            "orchestrator__last_thumbprint_used",
            F("called__expires_at"),
            F("called__ended_at"),
            F("called__heartbeat_minutes"),
            Subquery(Setting.objects.filter(name="TrustAnchorsRevision").values("value")[:1]),
        )
    )


_IN_SESSION = Select(
    lambda: query(Parameter("fingerprint", CharField()), Parameter("token", CharField())),
    SessionFacts,
)
_CONTACT = Update(
    lambda: Orchestrator.objects.filter(pk=Parameter("pk", UUIDField())),
    last_seen=Parameter("now", DateTimeField()),
    seen_on=Parameter("today", DateField()),
    last_address=Parameter("address", CharField()),
    last_thumbprint_used=Parameter("thumbprint", CharField()),
)


def for_session(fingerprint: str, token: str) -> SessionFacts | None:
    """Gather for a call inside a session, in one query; None for a certificate of nobody."""
    return _IN_SESSION.one(fingerprint=fingerprint, token=token_digest(token))


def note_contact(facts: SessionFacts, *, address: str, now: datetime) -> None:
    """Write when an orchestrator was heard of last, from where and with which certificate."""
    _CONTACT.run(
        pk=facts.orchestrator_id,
        now=now,
        today=day_of(now),
        address=address[:64],
        thumbprint=facts.thumbprint,
    )
