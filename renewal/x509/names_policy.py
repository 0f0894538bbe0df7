"""Which names a CSR is granted.

PURE. Owns the three modes of a template's names policy, an orchestrator's own names and the
pattern language. The record behind the own names, and the template, are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography import x509

from renewal.x509.certificates import CertificateFacts
from renewal.x509.csr_door import ParsedCSR
from renewal.x509.names import San


class NamesMode(StrEnum):
    MATCH = "match"
    PORTAL = "portal"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class OwnNames:
    """The names that an orchestrator may have; ``machines`` first of all its ClientMachine."""

    machines: tuple[str, ...] = ()
    agent_id: str = ""
    ips: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


def own_names_of(
    machines: Iterable[str], agent_id: str = "", presented: CertificateFacts | None = None
) -> OwnNames:
    """Sort names by what they look like; add those of the certificate presented now."""
    raise NotImplementedError


class PatternInvalid(ValueError):
    """The text is not a pattern; the message says why."""


def check_pattern(text: str) -> None:
    """Raise ``PatternInvalid`` unless the text is a pattern: what forms and commands call."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class NamesPolicy:
    mode: NamesMode = NamesMode.MATCH
    own: OwnNames = field(default_factory=OwnNames)
    patterns: tuple[str, ...] = ()
    domain_suffixes: tuple[str, ...] = ()
    record_subject: str = ""
    record_sans: tuple[San, ...] = ()


@dataclass(frozen=True, slots=True)
class GrantedNames:
    subject: x509.Name
    sans: tuple[San, ...]

    @property
    def subject_der(self) -> bytes:
        return self.subject.public_bytes()


def check_names(parsed: ParsedCSR, policy: NamesPolicy) -> GrantedNames:
    """Return the names to be certified, or raise ``CSRRefused`` with CSR_NAMES and which one."""
    raise NotImplementedError
