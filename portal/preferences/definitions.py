"""Every application setting: its name, type, default, bounds and effect in a sentence. PURE.

ShortNames are the key of the REST API and stay stable. The values are `store.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

SINGULAR: Mapping[str, str] = {
    "characters": "character",
    "days": "day",
    "hours": "hour",
    "minutes": "minute",
    "people": "person",
    "records": "record",
    "seconds": "second",
}
"""Each unit, and what one of it is called."""


class Kind(StrEnum):
    """Type of a setting's value."""

    TEXT = "string"
    FLAG = "boolean"
    NUMBER = "integer"
    NAMES = "list"
    """Names separated by commas."""


class SettingInvalid(ValueError):
    """A value that a setting does not take; the message says what it takes."""


@dataclass(frozen=True)
class Definition:
    """One setting. ``id`` is the REST API's and never changes."""

    id: int
    name: str
    label: str
    group: str
    kind: Kind
    default: str
    effect: str
    least: int = 0
    most: int = 0
    unit: str = ""
    periods: bool = False
    """Needs the permission of the renewal periods."""
    internal: bool = False
    """Written by the portal itself; never shown or changed by hand."""

    def parse(self, text: str) -> str | bool | int | tuple[str, ...]:
        """Return the typed value. Raises SettingInvalid."""
        if self.kind is Kind.FLAG:
            lowered = text.strip().lower()
            if lowered not in ("true", "false"):
                raise SettingInvalid(f"{self.label} is true or false.")
            return lowered == "true"
        if self.kind is Kind.NUMBER:
            try:
                number = int(text.strip())
            except ValueError:
                raise SettingInvalid(f"{self.label} is a whole number.") from None
            if not self.least <= number <= self.most:
                raise SettingInvalid(
                    f"{self.label} is between {self.least} and {self.most} {self.unit}".rstrip()
                    + "."
                )
            return number
        if any(ord(ch) < 0x20 for ch in text) or len(text) > 2000:
            raise SettingInvalid(f"{self.label} is one line of at most 2,000 characters.")
        if self.kind is Kind.NAMES:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return text.strip()

    def amount(self, number: int) -> str:
        """Return a number of this setting's unit in words: ``1 person``, ``1,380 minutes``."""
        unit = SINGULAR[self.unit] if self.unit and number == 1 else self.unit
        return f"{number:,} {unit}".strip()

    def canonical(self, text: str) -> str:
        """Return the one spelling in which a value that `parse` takes is stored."""
        value = self.parse(text)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return ", ".join(value)
        return str(value)


_RENEWAL = "Client certificate renewal"
_SESSIONS = "Sessions"
_LIMITS = "Limits"
_APPROVALS = "Approvals"
_INTERNAL = "Internal"

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        1,
        "CertificateAuthorityForSubmittedCSRs",
        "Certificate Authority For Submitted CSRs",
        _RENEWAL,
        Kind.TEXT,
        "",
        "The CA that enrols the CSRs of orchestrators. Empty: no enrollment works.",
    ),
    Definition(
        2,
        "TemplateForSubmittedCSRs",
        "Template For Submitted CSRs",
        _RENEWAL,
        Kind.TEXT,
        "",
        "The template that says which keys, names and validity those certificates have.",
    ),
    Definition(
        3,
        "RevokeOldClientAuthCertificate",
        "Revoke old Client Auth Certificate",
        _RENEWAL,
        Kind.FLAG,
        "false",
        "The replaced certificate is revoked after the first session with the new one.",
    ),
    Definition(
        4,
        "ClientCertificateWarningDays",
        "Warning period",
        _RENEWAL,
        Kind.NUMBER,
        "180",
        "From then on an orchestrator is told that its certificate should be renewed.",
        1,
        3650,
        "days",
        periods=True,
    ),
    Definition(
        5,
        "ClientCertificateExpiryDays",
        "Expiry period",
        _RENEWAL,
        Kind.NUMBER,
        "30",
        "From then on an orchestrator gets no session without a new certificate.",
        0,
        3649,
        "days",
        periods=True,
    ),
    Definition(
        6,
        "ClientCertificateWarningLifetimeDivisor",
        "Warning period at most lifetime divided by",
        _RENEWAL,
        Kind.NUMBER,
        "2",
        "Keeps short-lived certificates from renewing at every session.",
        2,
        100,
        periods=True,
    ),
    Definition(
        7,
        "ClientCertificateExpiryLifetimeDivisor",
        "Expiry period at most lifetime divided by",
        _RENEWAL,
        Kind.NUMBER,
        "12",
        "Keeps short-lived certificates out of the expiry period when they are new.",
        3,
        1000,
        periods=True,
    ),
    Definition(
        8,
        "SessionLengthMinutes",
        "Session length",
        _SESSIONS,
        Kind.NUMBER,
        "1380",
        "How long a session lasts from its Register.",
        10,
        10080,
        "minutes",
    ),
    Definition(
        9,
        "HeartbeatIntervalMinutes",
        "Heartbeat interval",
        _SESSIONS,
        Kind.NUMBER,
        "5",
        "How often an orchestrator tells that it is alive.",
        1,
        120,
        "minutes",
    ),
    Definition(
        10,
        "UnaskedRenewalIntervalHours",
        "Interval of unasked renewals",
        _LIMITS,
        Kind.NUMBER,
        "24",
        "A CSR that nobody asked for is enrolled only if none was issued for that long.",
        0,
        8760,
        "hours",
    ),
    Definition(
        11,
        "UnusedCertificateGraceMinutes",
        "Grace of an unused certificate",
        _LIMITS,
        Kind.NUMBER,
        "60",
        "A third unused certificate is issued only that long after the second was delivered.",
        1,
        10080,
        "minutes",
    ),
    Definition(
        12,
        "AllowReuseOfCurrentKey",
        "Allow renewal with the current key",
        _LIMITS,
        Kind.FLAG,
        "false",
        "Off: a renewal needs a new key.",
    ),
    Definition(
        13,
        "FirstEnrollmentClaimDays",
        "First enrollment open for",
        _LIMITS,
        Kind.NUMBER,
        "7",
        "How long after its approval an orchestrator without a certificate may enrol.",
        1,
        90,
        "days",
    ),
    Definition(
        14,
        "OrchestratorDomainSuffixes",
        "Domain suffixes of orchestrators",
        _RENEWAL,
        Kind.NAMES,
        "",
        "An orchestrator's name is its own also with one of these suffixes.",
    ),
    Definition(
        15,
        "FetchLogsMaxCharacters",
        "Characters of a fetched log",
        _LIMITS,
        Kind.NUMBER,
        "4000",
        "How much of the end of an orchestrator's log a FetchLogs job returns.",
        100,
        1_000_000,
        "characters",
    ),
    Definition(
        16,
        "NewOrchestratorsPerHour",
        "New orchestrators per hour",
        _LIMITS,
        Kind.NUMBER,
        "1000",
        "More New records are not created within an hour, and half of them for one credential or "
        "address; known ones are still refreshed.",
        1,
        1_000_000,
        "records",
    ),
    Definition(
        17,
        "RegistrationHandlerTimeoutSeconds",
        "Time of registration handlers",
        _LIMITS,
        Kind.NUMBER,
        "30",
        "How long all registration handlers together may take in one Register, at most as long as "
        "the CA may.",
        1,
        300,
        "seconds",
    ),
    Definition(
        40,
        "ApproverDiffersFromResetter",
        "Approver must differ from whoever Reset",
        _APPROVALS,
        Kind.FLAG,
        "false",
        "Whoever Resets an orchestrator cannot approve its return.",
    ),
    Definition(
        41,
        "ApprovalsForFirstRegistration",
        "Approvals of a first registration",
        _APPROVALS,
        Kind.NUMBER,
        "1",
        "So many people must approve an orchestrator that registers for the first time.",
        1,
        5,
        "people",
    ),
    Definition(
        42,
        "ApprovalsForReturn",
        "Approvals of a return",
        _APPROVALS,
        Kind.NUMBER,
        "1",
        "So many people must approve an orchestrator again after a Reset or a Disapprove.",
        1,
        5,
        "people",
    ),
    Definition(
        46,
        "ApprovalRolesForFirstRegistration",
        "Roles that approve a first registration",
        _APPROVALS,
        Kind.NAMES,
        "",
        "Somebody of each of these roles must approve, a different person for each. Empty: any "
        "approvers.",
    ),
    Definition(
        47,
        "ApprovalRolesForReturn",
        "Roles that approve a return",
        _APPROVALS,
        Kind.NAMES,
        "",
        "Somebody of each of these roles must approve an orchestrator again after a Reset or a "
        "Disapprove, a different person for each. Empty: any approvers.",
    ),
    Definition(
        43,
        "ApprovalRequestDays",
        "Requests for approval expire after",
        _APPROVALS,
        Kind.NUMBER,
        "90",
        "A request that nobody touched and whose orchestrator was silent for so long is closed; "
        "its next Register opens a new one. 0: never.",
        0,
        3650,
        "days",
    ),
    Definition(
        44,
        "BulkJobDays",
        "Finished jobs are kept for",
        _LIMITS,
        Kind.NUMBER,
        "90",
        "Jobs on many orchestrators and their results are deleted so long after their end; the "
        "audit log keeps what they did. 0: never.",
        0,
        3650,
        "days",
    ),
    Definition(
        100,
        "TrustAnchorsRevision",
        "Revision of the trusted issuers",
        _INTERNAL,
        Kind.NUMBER,
        "0",
        "Tells every process that the trusted issuers changed.",
        0,
        2**31 - 1,
        internal=True,
    ),
)

BY_NAME: Mapping[str, Definition] = {d.name: d for d in DEFINITIONS}
EDITABLE: tuple[Definition, ...] = tuple(d for d in DEFINITIONS if not d.internal)
