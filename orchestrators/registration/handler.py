"""The base class of registration handlers: what a deployment writes, and what it is given. PURE.

Owns the contract, not the calling of it. Its inputs are frozen values without any secret; a handler
cannot change a record, it answers. Docs: docs/registration.md. Contract tests:
tests/contract/registration_handler.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True)
class PresentedCertificate:
    """The client certificate of the call; its chain is trusted and its key proven by TLS."""

    subject: str
    issuer: str
    serial_number: str
    """Lower-case hex."""
    thumbprint: str
    """SHA-1 of the DER, upper-case hex, as pages and API show it."""
    fingerprint_sha256: str
    not_before: datetime
    not_after: datetime
    der: bytes = field(repr=False)


@dataclass(frozen=True)
class RegistrationRequest:
    """A Register, as far as it is anybody's business. Times are aware UTC."""

    now: datetime
    client_machine: str
    agent_platform: int
    agent_version: str
    source_address: str
    service_account: str
    """Of the bootstrap credential or the record, else the shared one."""
    credential: str = ""
    """Name of the bootstrap credential; empty if a certificate was presented."""
    certificate: PresentedCertificate | None = None
    capabilities: tuple[str, ...] = ()
    client_parameters: Mapping[str, str] = field(default_factory=_nothing)
    """Read only. The C agent sends ``RegistrationRequest`` in its second Register."""
    has_csr: bool = False
    agent_id: str = ""
    """Of the record, once there is one; the body's own claim is not passed on."""
    group: str = ""
    labels: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True)
class EnrollmentRequest:
    """A CSR of an approved orchestrator that is about to be enrolled."""

    registration: RegistrationRequest
    csr_subject: str
    """RFC 4514; what is asked for, not yet what is granted."""
    csr_sans: tuple[tuple[str, str], ...]
    """Kind (dns, ip, uri, email …) and value."""
    key_type: str
    """Such as EC-P256 or RSA-3072."""
    csr_der: bytes = field(repr=False)
    is_first: bool = False
    """The orchestrator has never had a session with a certificate of this portal."""


@dataclass(frozen=True)
class Allow:
    """Approve a first registration at once. What is empty leaves what there is."""

    reason: str = ""
    group: str = ""
    """Name of an orchestrator group that exists."""
    labels: Mapping[str, str] = field(default_factory=_nothing)
    """Labels of the record: the place for metadata."""
    service_account: str = ""


@dataclass(frozen=True)
class Deny:
    """Disapprove a first registration at once."""

    reason: str = ""


@dataclass(frozen=True)
class Defer:
    """Leave it to the next handler, then to the rules, then to an operator."""

    reason: str = ""


@dataclass(frozen=True)
class Issuance:
    """CA and template by name; an empty one is left to group and settings."""

    certificate_authority: str = ""
    certificate_template: str = ""


class RegistrationHandler:
    """Subclass this, and name the class in PORTAL_REGISTRATION_HANDLERS.

    One object per process is made, without arguments; its methods are called in several threads at
    once, outside of any transaction, each within the setting RegistrationHandlerTimeoutSeconds.
    """

    name: str = ""
    """How audit log and pages call it; the class's name if empty."""

    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        """Judge a registration of a record that was never approved or disapproved.

        An exception, a time-out or another type of answer counts as Defer.
        """
        return Defer()

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        """Choose CA and template (S33 in docs/promises.md); None leaves it to the next handler.

        An exception, a time-out, another type of answer or an unknown name refuses the CSR: no CA
        is asked.
        """
        return None

    def requested(self, request: RegistrationRequest, what: str) -> None:
        """Take note of the client parameter ``RegistrationRequest`` of an approved orchestrator.

        The C agent sends ``registration-enroll-stores`` in the Register after its first enrollment.
        The answer counts for nothing, and the Register goes on if this fails.
        """
