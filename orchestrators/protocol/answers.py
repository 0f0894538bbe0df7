"""What agents are answered, with exactly the PascalCase names and JSON types that they need.

PURE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrators.protocol.codes import TEXTS, Code, code_number
from orchestrators.protocol.terms import Capability, ResultStatus

MESSAGE_LIMIT_BYTES = 900
"""Existing agents copy Error.Message into a buffer of 1,024 bytes."""


def success() -> dict[str, Any]:
    """Return ``Result`` of an answer without remarks."""
    return {"Status": int(ResultStatus.SUCCESS), "Error": None}


def problem(status: ResultStatus, code: Code, detail: str = "") -> dict[str, Any]:
    """Return ``Result`` with an error: the code's own sentence, then ``detail``.

    Cut to MESSAGE_LIMIT_BYTES of UTF-8.
    """
    return {
        "Status": int(status),
        "Error": {
            "Code": code_number(code),
            "CodeString": code.value,
            "HResult": code.value,
            "Message": message_text(code, detail),
        },
    }


def message_text(code: Code, detail: str = "") -> str:
    """Return the sentence of ``code`` and ``detail``, cut to what existing agents can hold."""
    text = f"{TEXTS[code].sentence} {detail}".strip()
    return text.encode()[:MESSAGE_LIMIT_BYTES].decode(errors="ignore")


@dataclass(frozen=True)
class JobTicket:
    """One entry of Session.Jobs; dispatch is by the GUID of its capability."""

    job_id: str
    capability: str
    configuration_endpoint: str
    completion_endpoint: str
    schedule: str | None = None
    priority: int = 5

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "JobId": self.job_id,
            "JobTypeId": Capability.GUIDS[self.capability],
            "ConfigurationEndpoint": self.configuration_endpoint,
            "CompletionEndpoint": self.completion_endpoint,
            "Cron": None,
            "Schedule": self.schedule,
            "Priority": self.priority,
        }


@dataclass(frozen=True)
class SessionGrant:
    """``Session`` of a Register reply. An AgentId without a token would break a first enrolment."""

    token: str
    agent_id: str
    heartbeat_minutes: int
    client_machine: str
    certificate: str | None = None
    client_parameters: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[JobTicket, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object. ``certificate`` is base64 DER of the leaf, without armour."""
        return {
            "Token": self.token,
            "AgentId": self.agent_id,
            "HeartbeatInterval": self.heartbeat_minutes,
            "ClientMachine": self.client_machine,
            "Certificate": self.certificate,
            "ClientParameters": dict(self.client_parameters),
            "Jobs": [job.to_json() for job in self.jobs],
        }


def register_reply(result: dict[str, Any], session: SessionGrant | None) -> dict[str, Any]:
    """Return the body of a Register reply; no session means ``Session`` null."""
    return {"Result": result, "Session": session.to_json() if session else None}


def heartbeat_reply(
    result: dict[str, Any], *, heartbeat_minutes: int, session_valid: bool
) -> dict[str, Any]:
    """Return the body of a Heartbeat reply."""
    return {
        "Result": result,
        "HeartbeatInterval": heartbeat_minutes,
        "SessionValid": session_valid,
    }
