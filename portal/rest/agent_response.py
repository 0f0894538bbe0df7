"""How an orchestrator looks in replies: the fields that existing clients know, and no other.

Owns the mapping from a record to ``AgentResponse`` and the columns that it takes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from orchestrators.models import Orchestrator, Reenrollment
from orchestrators.protocol.codes import Code, code_number


def agents() -> QuerySet[Orchestrator]:
    """Return the orchestrators, with what a reply takes of them."""
    return Orchestrator.objects.select_related("service_account").only(
        "client_machine",
        "name_key",
        "service_account__username",
        "platform",
        "version",
        "status",
        "last_seen",
        "capabilities",
        "thumbprint",
        "legacy_thumbprint",
        "flag",
        "last_thumbprint_used",
        "last_error_code",
        "last_error_message",
    )


def agent_response(orchestrator: Orchestrator) -> dict[str, Any]:
    """Return an AgentResponse. LastSeen is left out, not null, where there was no contact:
    existing clients parse whatever stands there.
    """
    code = orchestrator.last_error_code
    response = {
        "AgentId": str(orchestrator.pk),
        "ClientMachine": orchestrator.client_machine,
        "Username": orchestrator.service_account.username,
        "AgentPlatform": orchestrator.platform,
        "Version": orchestrator.version or None,
        "Status": orchestrator.status,
        "LastSeen": _zulu(orchestrator.last_seen) if orchestrator.last_seen else None,
        "Capabilities": orchestrator.capabilities,
        "Blueprint": None,
        "Thumbprint": orchestrator.thumbprint or None,
        "LegacyThumbprint": orchestrator.legacy_thumbprint or None,
        "AuthCertificateReenrollment": Reenrollment(orchestrator.flag).label,
        "LastThumbprintUsed": orchestrator.last_thumbprint_used or None,
        "LastErrorCode": code_number(Code(code)) if code else None,
        "LastErrorMessage": orchestrator.last_error_message or None,
    }
    if response["LastSeen"] is None:
        del response["LastSeen"]
    return response


def _zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
