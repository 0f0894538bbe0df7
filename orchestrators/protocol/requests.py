"""What agents send, as frozen values read from JSON. PURE.

Read leniently: member names in any case, first match wins; a member of the wrong JSON type counts
as absent, as existing agents themselves read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from orchestrators.protocol.terms import AgentPlatform, Capability

_PRIVATE_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
    re.IGNORECASE | re.DOTALL,
)


class MessageError(ValueError):
    """The body is not a JSON object, or a member is outside of its limits."""


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
