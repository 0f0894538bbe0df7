"""The agent protocol's messages, as frozen values with (de)serialization.

PURE. Requests are read leniently (member names in any case, first match wins; a member of the
wrong JSON type counts as absent, as existing agents themselves read), replies are written with
exactly the PascalCase names and JSON types that existing agents need.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from orchestrators.protocol.codes import TEXTS, Code, code_number

_PRIVATE_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
    re.IGNORECASE | re.DOTALL,
)
MESSAGE_LIMIT_BYTES = 900
"""Existing agents copy Error.Message into a buffer of 1,024 bytes."""


class ResultStatus(IntEnum):
    """AgentApiResultStatus."""

    UNKNOWN = 0
    SUCCESS = 1
    WARNING = 2
    ERROR = 3


class AgentPlatform(IntEnum):
    """AgentPlatform as sent on the wire and shown by the REST API."""

    UNKNOWN = 0
    DOTNET = 1
    JAVA = 2
    MAC = 3
    ANDROID = 4
    NATIVE = 5
    BASH = 6
    UNIVERSAL = 7


class Capability:
    """Names and GUIDs of capabilities; agents register by either and dispatch on GUIDs."""

    FETCH_LOGS = "Custom.FetchLogs"
    GUIDS: dict[str, str] = {
        "CertStores.PEM.Inventory": "a809ce1f-1eea-4738-a38e-15708c89c981",
        "CertStores.PEM.Management": "1d411b36-ae72-433f-9f3f-8593e836a1af",
        "CertStores.PEM.Reenrollment": "aa015d10-cffc-41f7-a9a4-c9615f6f3bdf",
        FETCH_LOGS: "0D8CF0C8-56CA-4B8A-B16A-C062018E170D",
        "CertStores.PEM.Discovery": "e98151de-53ad-4b99-b52a-f37118ec0c5c",
        "CertStores.AWS.Inventory": "afb8c78d-1436-4c93-a8e7-0218c2cb6955",
        "CertStores.AWS.Management": "56c1e4f9-366c-44b3-8cae-1b8f39e2026c",
        "CertStores.F5.Inventory": "9b04e8de-e2ce-4a50-bd3f-31037d3ee751",
        "CertStores.F5.Management": "e9a34338-c99f-46da-94d2-4f97dc6943af",
        "CertStores.FTP.Inventory": "76f99194-c129-4954-b76e-11c80816643e",
        "CertStores.FTP.Management": "4ae72d54-7f91-4359-9da5-e1f633031070",
        "CertStores.IIS.Inventory": "5b9cf048-e95f-4331-a510-0cdfabac1703",
        "CertStores.IIS.Management": "ce2325e3-801c-4576-9b0a-5fdcaf66aa88",
        "CertStores.IIS.Reenrollment": "b80019d6-df3d-4a8c-9e60-1977b806f545",
        "CertStores.JKS.Discovery": "74d9f7c5-b2ac-4f21-a72b-29b5adc90651",
        "CertStores.JKS.Inventory": "67b63010-d738-47c3-87a2-9f289466c881",
        "CertStores.JKS.Management": "b614f9e2-c56b-421c-b548-03d42eb32f8a",
        "CertStores.JKS.Reenrollment": "48743e90-108e-4dc3-b81c-7fb830215d1f",
        "CertStores.NS.Inventory": "78ff1c19-893f-4e5e-90a5-0459f1823778",
        "CertStores.NS.Management": "b7c94ad1-8a33-45ea-98b3-d77ca14e7830",
    }
    _BY_GUID = {guid.lower(): name for name, guid in GUIDS.items()}

    @classmethod
    def name_of(cls, value: str) -> str:
        """Return the capability's name for a name or a known GUID; unknown values unchanged."""
        return cls._BY_GUID.get(value.strip().lower(), value.strip())


class MessageError(ValueError):
    """The body is not a JSON object, or a member is outside of its limits."""


# --- reading ------------------------------------------------------------------------------


class _Members:
    """Case-insensitive access to a JSON object; a wrong type reads as absent."""

    def __init__(self, body: object) -> None:
        if not isinstance(body, Mapping):
            raise MessageError("the body must be a JSON object")
        self._members: dict[str, Any] = {}
        for name, value in body.items():
            self._members.setdefault(str(name).lower(), value)

    def text(self, name: str, limit: int) -> str:
        value = self._members.get(name.lower())
        if not isinstance(value, str):
            return ""
        if len(value) > limit:
            raise MessageError(f"{name} is longer than {limit} characters")
        return value

    def clean_text(self, name: str, limit: int) -> str:
        return checked_text(self.text(name, limit), name)

    def number(self, name: str) -> int:
        value = self._members.get(name.lower())
        if isinstance(value, bool) or not isinstance(value, int | float):
            return 0
        if value != value or abs(value) >= 2**63:
            raise MessageError(f"{name} is out of range")
        return int(value)

    def texts(self, name: str, *, count: int, limit: int) -> tuple[str, ...]:
        value = self._members.get(name.lower())
        if not isinstance(value, list):
            return ()
        if len(value) > count:
            raise MessageError(f"{name} has more than {count} entries")
        found = [entry for entry in value if isinstance(entry, str)]
        if any(len(entry) > limit for entry in found):
            raise MessageError(f"an entry of {name} is longer than {limit} characters")
        return tuple(checked_text(entry, name) for entry in found)

    def text_map(self, name: str, *, count: int, limit: int) -> dict[str, str]:
        value = self._members.get(name.lower())
        if not isinstance(value, Mapping):
            return {}
        if len(value) > count:
            raise MessageError(f"{name} has more than {count} entries")
        found = {str(k): v for k, v in value.items() if isinstance(v, str)}
        if any(len(k) > limit or len(v) > limit for k, v in found.items()):
            raise MessageError(f"an entry of {name} is longer than {limit} characters")
        return {checked_text(k, name): checked_text(v, name) for k, v in found.items()}


_FORBIDDEN = frozenset(
    [chr(c) for c in range(0x20)]
    + [chr(c) for c in range(0x7F, 0xA0)]
    # Bidirectional controls make one name look like another.
    + [chr(c) for c in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
    + ["\u2028", "\u2029", "\ufeff", "\u200b"]
)


class PrivateKeySent(MessageError):
    """A private key stands in a text; it is neither kept nor repeated."""


def checked_text(value: str, name: str) -> str:
    """Return ``value``; raise MessageError for control, bidi and unpaired surrogate characters,
    and PrivateKeySent for a private key.
    """
    if holds_private_key(value):
        raise PrivateKeySent(f"{name} holds a private key")
    if any(ch in _FORBIDDEN or 0xD800 <= ord(ch) <= 0xDFFF for ch in value):
        raise MessageError(f"{name} contains a control or direction character")
    return value


def holds_private_key(text: str) -> bool:
    """Say whether a PEM block of a private key begins in a text (RFC 7468 §10, §11)."""
    return _PRIVATE_KEY_BLOCK.search(text) is not None


def version_text(packed: int) -> str:
    """Return a packed AgentVersion (major<<48 | minor<<32 | micro<<16 | build) as a dotted quad."""
    if packed <= 0:
        return ""
    return ".".join(str(packed >> shift & 0xFFFF) for shift in (48, 32, 16, 0))


@dataclass(frozen=True)
class RegisterRequest:
    """Body of POST /Session/Register."""

    agent_platform: int
    agent_version: str
    client_machine: str
    agent_id: str
    csr: str
    capabilities: tuple[str, ...] = ()
    client_parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: object) -> RegisterRequest:
        """Read a decoded JSON body. Raises MessageError."""
        members = _Members(body)
        platform = members.number("AgentPlatform")
        return cls(
            agent_platform=platform if platform in set(AgentPlatform) else 0,
            agent_version=version_text(members.number("AgentVersion"))
            or members.clean_text("AgentVersion", 64),
            client_machine=members.clean_text("ClientMachine", 255).strip(),
            agent_id=members.clean_text("AgentId", 64).strip(),
            csr=members.text("CSR", 64 * 1024),
            capabilities=tuple(
                dict.fromkeys(
                    Capability.name_of(entry)
                    for entry in members.texts("Capabilities", count=200, limit=200)
                )
            ),
            client_parameters=members.text_map("ClientParameters", count=100, limit=2000),
        )


@dataclass(frozen=True)
class HeartbeatRequest:
    """Body of POST /Session/Heartbeat."""

    client_machine: str
    session_token: str

    @classmethod
    def parse(cls, body: object) -> HeartbeatRequest:
        """Read a decoded JSON body. Raises MessageError."""
        members = _Members(body)
        return cls(
            client_machine=members.clean_text("ClientMachine", 255).strip(),
            session_token=members.clean_text("SessionToken", 64),
        )


@dataclass(frozen=True)
class JobRequest:
    """Body of a job's configuration call."""

    session_token: str
    job_id: str

    @classmethod
    def parse(cls, body: object) -> JobRequest:
        """Read a decoded JSON body. Raises MessageError."""
        members = _Members(body)
        return cls(
            session_token=members.clean_text("SessionToken", 64),
            job_id=members.clean_text("JobId", 64),
        )


class JobCompleteStatus(IntEnum):
    """JobCompleteStatus of a completion call."""

    UNKNOWN = 0
    IN_PROCESS = 1
    SUCCESS = 2
    WARNING = 3
    ERROR = 4


@dataclass(frozen=True)
class JobCompletion:
    """Body of a job's completion call; ``log`` only for FetchLogs."""

    session_token: str
    job_id: str
    status: int
    audit_id: int
    message: str
    log: str

    @classmethod
    def parse(cls, body: object) -> JobCompletion:
        """Read a decoded JSON body. Raises MessageError.

        Message and Log are free text of the agent's host: stored as they are but for private keys,
        escaped where shown.
        """
        members = _Members(body)
        return cls(
            session_token=members.clean_text("SessionToken", 64),
            job_id=members.clean_text("JobId", 64),
            status=members.number("Status"),
            audit_id=members.number("AuditId"),
            message=_storable(members.text("Message", 8000)),
            log=_storable(members.text("Log", 2_000_000)),
        )


def _storable(value: str) -> str:
    """Replace what no database column takes (NUL, unpaired surrogates), and private keys."""
    value = _PRIVATE_KEY_BLOCK.sub("(a private key stood here)", value)
    return "".join("\ufffd" if ch == "\0" or 0xD800 <= ord(ch) <= 0xDFFF else ch for ch in value)


# --- writing ------------------------------------------------------------------------------


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
