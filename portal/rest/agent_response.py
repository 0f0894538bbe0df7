"""How an orchestrator looks in replies: the fields that existing clients know, and no other.

Owns the mapping from a record to ``AgentResponse`` and the columns that it takes; and what a reply
says of the renewal besides, to those who ask for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import NotRequired, TypedDict
from uuid import UUID

from django.db.models import QuerySet

from orchestrators.models import Orchestrator, OrchestratorLabel, Reenrollment
from orchestrators.protocol.codes import code_number
from portal.rest.agent_listing import current_periods
from portal.rest.moments import zulu, zulu_or_none
from renewal.selectors.states import level_of, state_of


class Renewal(TypedDict):
    """What the portal knows of an orchestrator's renewal, and where it belongs."""

    CertificateNotAfter: str | None
    Level: int
    State: str
    Group: str | None
    Labels: dict[str, str]


class AgentResponse(TypedDict):
    """One orchestrator."""

    AgentId: str
    ClientMachine: str
    Username: str
    AgentPlatform: int
    Version: str | None
    Status: int
    LastSeen: NotRequired[str]
    Capabilities: list[str]
    Blueprint: str | None
    Thumbprint: str | None
    LegacyThumbprint: str | None
    AuthCertificateReenrollment: str
    LastThumbprintUsed: str | None
    LastErrorCode: int | None
    LastErrorMessage: str | None
    Renewal: NotRequired[Renewal]


def agents() -> QuerySet[Orchestrator]:
    """Return the orchestrators, with what a reply takes of them."""
    return Orchestrator.objects.select_related("service_account", "group").only(
        "client_machine",
        "name_key",
        "service_account__username",
        "group__name",
        "platform",
        "version",
        "status",
        "last_seen",
        "capabilities",
        "thumbprint",
        "legacy_thumbprint",
        "flag",
        "flag_counter",
        "had_session",
        "reset_at",
        "certificate_not_after",
        "certificate_counted_from",
        "awaiting_first_use_since",
        "last_thumbprint_used",
        "last_error_code",
        "last_error_message",
    )


def agent_response(orchestrator: Orchestrator, renewal: Renewal | None = None) -> AgentResponse:
    """Return an AgentResponse. LastSeen is left out, not null, where there was no contact:
    existing clients parse whatever stands there.
    """
    code = orchestrator.last_error_code
    response: AgentResponse = {
        "AgentId": str(orchestrator.pk),
        "ClientMachine": orchestrator.client_machine,
        "Username": orchestrator.service_account.username,
        "AgentPlatform": orchestrator.platform,
        "Version": orchestrator.version or None,
        "Status": orchestrator.status,
        "Capabilities": orchestrator.capabilities,
        "Blueprint": None,
        "Thumbprint": orchestrator.thumbprint or None,
        "LegacyThumbprint": orchestrator.legacy_thumbprint or None,
        "AuthCertificateReenrollment": Reenrollment(orchestrator.flag).label,
        "LastThumbprintUsed": orchestrator.last_thumbprint_used or None,
        "LastErrorCode": code_number(code) if code else None,
        "LastErrorMessage": orchestrator.last_error_message or None,
    }
    if orchestrator.last_seen:
        response["LastSeen"] = zulu(orchestrator.last_seen)
    if renewal is not None:
        response["Renewal"] = renewal
    return response


def renewals(orchestrators: Iterable[Orchestrator], *, now: datetime) -> dict[UUID, Renewal]:
    """Return what is known of the renewal of each record: two queries for all of them."""
    records = list(orchestrators)
    rules = current_periods()
    labels: dict[UUID, dict[str, str]] = defaultdict(dict)
    rows = OrchestratorLabel.objects.filter(orchestrator__in=[o.pk for o in records])
    for pk, key, value in rows.order_by("key").values_list("orchestrator_id", "key", "value"):
        labels[pk][key] = value
    return {
        o.pk: {
            "CertificateNotAfter": zulu_or_none(o.certificate_not_after),
            "Level": int(level_of(o, rules, now=now)),
            "State": state_of(o, rules, now=now).value,
            "Group": o.group.name if o.group else None,
            "Labels": labels[o.pk],
        }
        for o in records
    }
