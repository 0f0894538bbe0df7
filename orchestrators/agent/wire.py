"""The agent's half of the wire: bodies that it sends, replies as typed values.

PURE. Reads as existing agents do: names in any case, a member of the wrong type counts as absent,
unknown members are ignored. The portal's half is ``orchestrators.protocol`` (requests, answers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrators.agent.version import packed_version
from orchestrators.protocol.codes import Code
from orchestrators.protocol.requests import JobCompleteStatus
from orchestrators.protocol.terms import AgentPlatform, Capability, ResultStatus

REGISTER = "Session/Register"
HEARTBEAT = "Session/Heartbeat"
_TENANT = "00000000-0000-0000-0000-000000000000"
_DEFAULT_HEARTBEAT_MINUTES = 5.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True)
class Job:
    """One entry of ``Session.Jobs``."""

    job_id: str
    capability: str
    configuration_endpoint: str
    completion_endpoint: str


@dataclass(frozen=True)
class Result:
    """The envelope of every reply."""

    status: int
    code_text: str
    message: str

    @property
    def code(self) -> Code | None:
        """The code if this version knows it."""
        return Code(self.code_text) if self.code_text in set(Code) else None

    @property
    def is_ok(self) -> bool:
        """Whether the reply is without warning and error."""
        return self.status not in (ResultStatus.WARNING, ResultStatus.ERROR)


@dataclass(frozen=True)
class RegisterReply:
    """Reply to Register; an empty token means no session."""

    result: Result
    token: str = ""
    agent_id: str = ""
    heartbeat_minutes: float = _DEFAULT_HEARTBEAT_MINUTES
    certificate: str = ""
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True)
class HeartbeatReply:
    """Reply to Heartbeat."""

    result: Result
    session_valid: bool
    heartbeat_minutes: float


@dataclass(frozen=True)
class FetchLogsConfiguration:
    """Reply to the configuration call of a FetchLogs job."""

    result: Result
    audit_id: int
    characters: int


def register_body(
    *,
    client_machine: str,
    agent_id: str,
    csr: str,
    capabilities: Sequence[str],
    client_parameters: Mapping[str, str],
) -> dict[str, Any]:
    """Return the body of Register; every member is always there."""
    return {
        "AgentPlatform": int(AgentPlatform.UNIVERSAL),
        "AgentVersion": packed_version(),
        "TenantId": _TENANT,
        "ClientMachine": client_machine,
        "CSR": csr or None,
        "AgentId": agent_id,
        "Capabilities": list(capabilities),
        "ClientParameters": dict(client_parameters),
    }


def heartbeat_body(*, client_machine: str, token: str) -> dict[str, Any]:
    """Return the body of Heartbeat."""
    return {
        "AgentPlatform": int(AgentPlatform.UNIVERSAL),
        "TenantId": _TENANT,
        "ClientMachine": client_machine,
        "SessionToken": token,
    }


def job_body(job: Job, token: str) -> dict[str, Any]:
    """Return the body of a job's configuration call."""
    return {"SessionToken": token, "JobId": job.job_id}


def fetch_logs_completion_body(
    job: Job, token: str, configuration: FetchLogsConfiguration, text: str
) -> dict[str, Any]:
    """Return the body of a FetchLogs job's completion call."""
    return {
        **job_body(job, token),
        "Status": int(JobCompleteStatus.SUCCESS),
        "AuditId": configuration.audit_id,
        "Message": None,
        "Log": text,
    }


def read_register(body: object) -> RegisterReply:
    """Read the reply to Register."""
    members = _Reader(body)
    session = members.child("Session")
    return RegisterReply(
        result=read_result(body),
        token=session.text("Token"),
        agent_id=session.text("AgentId"),
        heartbeat_minutes=session.number("HeartbeatInterval", _DEFAULT_HEARTBEAT_MINUTES),
        certificate=session.text("Certificate"),
        jobs=tuple(
            Job(
                job_id=one_line(job.text("JobId")),
                capability=Capability.name_of(one_line(job.text("JobTypeId"))),
                configuration_endpoint=job.text("ConfigurationEndpoint"),
                completion_endpoint=job.text("CompletionEndpoint"),
            )
            for job in session.children("Jobs")
        ),
    )


def read_heartbeat(body: object) -> HeartbeatReply:
    """Read the reply to Heartbeat."""
    members = _Reader(body)
    return HeartbeatReply(
        result=read_result(body),
        session_valid=members.flag("SessionValid"),
        heartbeat_minutes=members.number("HeartbeatInterval", _DEFAULT_HEARTBEAT_MINUTES),
    )


def read_fetch_logs(body: object) -> FetchLogsConfiguration:
    """Read the reply to a FetchLogs configuration call."""
    members = _Reader(body)
    return FetchLogsConfiguration(
        result=read_result(body),
        audit_id=int(members.number("AuditId", 0)),
        characters=max(0, int(members.number("MaxCharactersToReturn", 0))),
    )


def read_result(body: object) -> Result:
    """Read the envelope; a missing one counts as success."""
    result = _Reader(body).child("Result")
    error = result.child("Error")
    return Result(
        status=int(result.number("Status", ResultStatus.UNKNOWN)),
        code_text=one_line(error.text("CodeString") or error.text("HResult")).upper(),
        message=one_line(error.text("Message")),
    )


def one_line(text: str) -> str:
    """Return ``text`` without line breaks: nobody else writes lines into this log."""
    return _CONTROL.sub(" ", text).strip()


class _Reader:
    def __init__(self, value: object) -> None:
        self._members: dict[str, Any] = {}
        if isinstance(value, Mapping):
            for name, member in value.items():
                self._members.setdefault(str(name).lower(), member)

    def text(self, name: str) -> str:
        value = self._members.get(name.lower())
        return value if isinstance(value, str) else ""

    def number(self, name: str, default: float) -> float:
        value = self._members.get(name.lower())
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        return value if abs(value) < 2**53 else default

    def flag(self, name: str) -> bool:
        return self._members.get(name.lower()) is True

    def child(self, name: str) -> _Reader:
        return _Reader(self._members.get(name.lower()))

    def children(self, name: str) -> list[_Reader]:
        value = self._members.get(name.lower())
        return [_Reader(entry) for entry in value] if isinstance(value, list) else []
