"""The one fixed catalogue of permissions, and the shipped roles made of them.

PURE. Each permission has the access string of Keyfactor's current model, the `Area: Permission`
name of the older one (empty where it had none), and a sentence. A shorter access string grants
everything below it. Nothing in the portal checks group names or `is_staff`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """Codename of a permission (``access.<codename>`` for Django)."""

    PORTAL_READ = "portal_read"
    AGENTS_READ = "agents_read"
    AGENTS_MODIFY = "agents_modify"
    AGENTS_APPROVE = "agents_approve"
    AGENTS_RESET = "agents_reset"
    AGENTS_RENEW = "agents_renew"
    AGENTS_LOGS = "agents_logs"
    APPROVALS_OVERRIDE = "approvals_override"
    AUTO_REGISTRATION_READ = "auto_registration_read"
    AUTO_REGISTRATION_MODIFY = "auto_registration_modify"
    ENROLL_CSR = "enroll_csr"
    CERTIFICATES_READ = "certificates_read"
    CERTIFICATES_REVOKE = "certificates_revoke"
    AUTHORITIES_READ = "authorities_read"
    AUTHORITIES_MODIFY = "authorities_modify"
    TRUST_ANCHORS_MODIFY = "trust_anchors_modify"
    SETTINGS_READ = "settings_read"
    SETTINGS_MODIFY = "settings_modify"
    RENEWAL_PERIODS_MODIFY = "renewal_periods_modify"
    SECURITY_READ = "security_read"
    SECURITY_MODIFY = "security_modify"
    AUDITING_READ = "auditing_read"


@dataclass(frozen=True)
class CatalogueEntry:
    """One row of the catalogue."""

    permission: Permission
    access_string: str
    older_name: str
    allows: str


P = Permission
CATALOGUE: tuple[CatalogueEntry, ...] = tuple(
    CatalogueEntry(*row)
    for row in (
        (P.PORTAL_READ, "/portal/read/", "AdminPortal: Read", "Use the pages."),
        (
            P.AGENTS_READ,
            "/agents/management/read/",
            "AgentManagement: Read",
            "See orchestrators, their certificates' state, jobs and history.",
        ),
        (
            P.AGENTS_MODIFY,
            "/agents/management/modify/",
            "AgentManagement: Modify",
            "Change orchestrators, groups and labels; includes approve, reset, renew and logs.",
        ),
        (
            P.AGENTS_APPROVE,
            "/agents/management/modify/approve/",
            "",
            "Approve and disapprove orchestrators; add bootstrap credentials.",
        ),
        (P.AGENTS_RESET, "/agents/management/modify/reset/", "", "Reset orchestrators."),
        (
            P.AGENTS_RENEW,
            "/agents/management/modify/renew/",
            "",
            "Request or require a renewal, and clear the request.",
        ),
        (
            P.AGENTS_LOGS,
            "/agents/management/modify/logs/",
            "",
            "Ask an orchestrator for its log.",
        ),
        (
            P.APPROVALS_OVERRIDE,
            "/approvals/override/",
            "",
            "Approve an orchestrator against the policies of approval, in an emergency; needs "
            "the permission to approve besides.",
        ),
        (
            P.AUTO_REGISTRATION_READ,
            "/agents/auto_registration/read/",
            "AgentAutoRegistration: Read",
            "See the rules of auto-registration.",
        ),
        (
            P.AUTO_REGISTRATION_MODIFY,
            "/agents/auto_registration/modify/",
            "AgentAutoRegistration: Modify",
            "Change the rules of auto-registration.",
        ),
        (
            P.ENROLL_CSR,
            "/certificates/enrollment/csr/",
            "CertificateEnrollment: EnrollCSR",
            "Enrol a certificate with a CSR; an orchestrator's service account needs it to renew.",
        ),
        (
            P.CERTIFICATES_READ,
            "/certificates/collections/read/",
            "Certificates: Read",
            "See certificates; an orchestrator's service account needs it to renew.",
        ),
        (
            P.CERTIFICATES_REVOKE,
            "/certificates/collections/revoke/",
            "Certificates: Revoke",
            "Revoke certificates; an orchestrator's service account needs it for the automatic "
            "revocation of the old one.",
        ),
        (
            P.AUTHORITIES_READ,
            "/certificate_authorities/read/",
            "",
            "See certificate authorities, templates and trusted issuers.",
        ),
        (
            P.AUTHORITIES_MODIFY,
            "/certificate_authorities/modify/",
            "",
            "Change certificate authorities and templates.",
        ),
        (
            P.TRUST_ANCHORS_MODIFY,
            "/trust_anchors/modify/",
            "",
            "Add and remove trusted issuers.",
        ),
        (
            P.SETTINGS_READ,
            "/application_settings/read/",
            "ApplicationSettings: Read",
            "See the application settings.",
        ),
        (
            P.SETTINGS_MODIFY,
            "/application_settings/modify/",
            "ApplicationSettings: Modify",
            "Change the application settings, the renewal periods excepted.",
        ),
        (
            P.RENEWAL_PERIODS_MODIFY,
            "/renewal_periods/modify/",
            "",
            "Change the warning and expiry periods and their clamp.",
        ),
        (P.SECURITY_READ, "/security/read/", "SecuritySettings: Read", "See users and roles."),
        (
            P.SECURITY_MODIFY,
            "/security/modify/",
            "SecuritySettings: Modify",
            "Change users, roles and tokens.",
        ),
        (P.AUDITING_READ, "/auditing/read/", "Auditing: Read", "Read the audit log."),
    )
)

WHOLE_PORTAL = frozenset(
    {
        P.AUTO_REGISTRATION_READ,
        P.AUTO_REGISTRATION_MODIFY,
        P.AUTHORITIES_MODIFY,
        P.TRUST_ANCHORS_MODIFY,
        P.SETTINGS_MODIFY,
        P.RENEWAL_PERIODS_MODIFY,
        P.SECURITY_READ,
        P.SECURITY_MODIFY,
    }
)
"""What changes the portal for every orchestrator, or tells who may reach which of them: a role
that is limited to some never grants it.
"""

_READS = frozenset(
    {
        P.PORTAL_READ,
        P.AGENTS_READ,
        P.CERTIFICATES_READ,
        P.AUTHORITIES_READ,
        P.SETTINGS_READ,
        P.AUTO_REGISTRATION_READ,
    }
)

ROLES: dict[str, frozenset[Permission]] = {
    "Administrator": frozenset(Permission),
    "Operator": _READS
    | {
        P.AGENTS_RENEW,
        P.AGENTS_RESET,
        P.AGENTS_LOGS,
        P.CERTIFICATES_REVOKE,
        P.ENROLL_CSR,
    },
    "Approver": _READS | {P.AGENTS_APPROVE},
    "Auditor": _READS | {P.AUDITING_READ, P.SECURITY_READ},
    "Read only": _READS,
    # What renewal itself needs and nothing else (S48, S49 in docs/promises.md).
    "Orchestrator": frozenset({P.ENROLL_CSR, P.CERTIFICATES_READ, P.CERTIFICATES_REVOKE}),
}
"""The shipped roles. The name is a label; only the permissions are ever checked."""

_BY_PERMISSION = {entry.permission: entry for entry in CATALOGUE}


def entry_for(permission: Permission) -> CatalogueEntry:
    """Return the catalogue's row of ``permission``."""
    return _BY_PERMISSION[permission]


def for_a_setting(*, periods: bool) -> Permission:
    """Return the permission that changing an application setting needs."""
    return P.RENEWAL_PERIODS_MODIFY if periods else P.SETTINGS_MODIFY


def granting(permission: Permission) -> frozenset[Permission]:
    """Return every permission that grants ``permission``: itself and those whose access string
    is a prefix of its own.
    """
    wanted = _BY_PERMISSION[permission].access_string
    return frozenset(e.permission for e in CATALOGUE if wanted.startswith(e.access_string))
