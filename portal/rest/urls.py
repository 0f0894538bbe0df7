"""Paths of the API, matched in any case; /Status/Endpoints is told from the same table."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

from portal.edge.paths import any_case_path
from portal.rest import (
    agents,
    approvals,
    audit,
    authorities,
    authority_calls,
    auto_registration,
    available_renewals,
    bulk_jobs,
    certificate_revocation,
    certificates,
    enrollment,
    explanation,
    fleet_import,
    identities,
    jobs,
    role_permissions,
    security,
    settings,
    template_policy,
    templates,
    tokens,
)
from portal.rest.base import ApiView
from portal.rest.status import HealthCheck, License, StatusEndpoints, UnknownEndpoint

ENDPOINTS: tuple[tuple[str, type[ApiView]], ...] = (
    ("Agents", agents.AgentList),
    ("Agents/Approve", agents.AgentsApprove),
    ("Agents/Disapprove", agents.AgentsDisapprove),
    ("Agents/Reset", agents.AgentsReset),
    ("Agents/Import", fleet_import.AgentsImport),
    ("Agents/SetAuthCertificateReenrollment", agents.AgentsSetReenrollment),
    ("Agents/<str:agent_id>", agents.AgentDetail),
    ("Agents/<str:agent_id>/Reset", agents.AgentReset),
    ("Agents/<str:agent_id>/Approve", approvals.AgentApprove),
    ("Agents/<str:agent_id>/FetchLogs", agents.AgentFetchLogs),
    ("Agents/<str:agent_id>/Explanation", explanation.AgentExplanation),
    ("AppSetting", settings.SettingList),
    ("AppSetting/<str:setting_id>", settings.SettingDetail),
    ("AppSetting/<str:setting_id>/Set", settings.SettingSet),
    ("Tokens", tokens.TokenList),
    ("Tokens/<str:token_id>", tokens.TokenDetail),
    ("Certificates", certificates.CertificateList),
    ("Certificates/Revoke", certificate_revocation.CertificatesRevoke),
    ("Certificates/RevokeAll", certificate_revocation.CertificatesRevokeAll),
    ("Certificates/Download", certificates.CertificatesDownload),
    ("Certificates/Analyze", certificates.CertificatesAnalyze),
    ("Certificates/<str:certificate_id>", certificates.CertificateDetail),
    ("Certificates/<str:certificate_id>/History", certificates.CertificateHistory),
    ("Audit", audit.AuditList),
    ("Audit/Download", audit.AuditDownload),
    ("Audit/RelatedEntities", audit.AuditRelated),
    ("Audit/<str:entry_id>", audit.AuditDetail),
    ("Audit/<str:entry_id>/Validate", audit.AuditValidate),
    ("CertificateAuthority", authorities.AuthorityList),
    ("CertificateAuthority/Test", authority_calls.AuthorityTest),
    ("CertificateAuthority/PublishCRL", authority_calls.AuthorityPublish),
    ("CertificateAuthority/<str:authority_id>", authorities.AuthorityDetail),
    ("Templates", templates.TemplateList),
    ("Templates/Settings", template_policy.TemplateGlobalSettings),
    ("Templates/Import", template_policy.TemplateImport),
    ("Templates/SubjectParts", template_policy.TemplateSubjectParts),
    ("Templates/<str:template_id>", templates.TemplateDetail),
    ("OrchestratorJobs/JobHistory", jobs.JobHistoryList),
    ("OrchestratorJobs/ScheduledJobs", jobs.ScheduledJobList),
    ("OrchestratorJobs/JobStatus/Data", jobs.JobStatusData),
    ("Enrollment/CSR", enrollment.EnrollCsr),
    ("Enrollment/CSR/Context/My", enrollment.CsrContext),
    ("Enrollment/CSR/Parse", enrollment.CsrParse),
    ("Enrollment/AvailableRenewal/Id/<str:certificate_id>", available_renewals.RenewalById),
    (
        "Enrollment/AvailableRenewal/Thumbprint/<str:thumbprint>",
        available_renewals.RenewalByThumbprint,
    ),
    ("AutoRegistration/Rules", auto_registration.RuleList),
    ("AutoRegistration/Rules/<str:rule_id>", auto_registration.RuleDetail),
    ("AutoRegistration/Try", auto_registration.TryRules),
    ("Security/Roles", security.RoleList),
    ("Security/Roles/<str:role_id>", security.RoleDetail),
    ("Security/Roles/<str:role_id>/Identities", security.RoleIdentities),
    ("Security/Roles/<str:role_id>/Permissions", role_permissions.RolePermissions),
    ("Security/Roles/<str:role_id>/Permissions/Global", role_permissions.RoleGlobalPermissions),
    ("Security/Roles/<str:role_id>/Permissions/Collections", role_permissions.RoleNoPermissions),
    ("Security/Roles/<str:role_id>/Permissions/Containers", role_permissions.RoleNoPermissions),
    ("Security/Identities", identities.IdentityList),
    ("Security/Identities/Lookup", identities.IdentityLookup),
    ("Security/Identities/<str:identity_id>", identities.IdentityDetail),
    ("BulkJobs/<str:job_id>", bulk_jobs.BulkJobDetail),
    ("BulkJobs/<str:job_id>/Items", bulk_jobs.BulkJobItems),
    ("Status/HealthCheck", HealthCheck),
    ("License", License),
)

OPERATIONS: tuple[tuple[str, type[ApiView]], ...] = (
    *ENDPOINTS,
    ("Status/Endpoints", StatusEndpoints),
)
"""What the documentation tells: every endpoint, also the one that lists the others."""

urlpatterns: list[URLPattern | URLResolver] = [
    *(any_case_path(route, view.as_view()) for route, view in ENDPOINTS),
    any_case_path("Status/Endpoints", StatusEndpoints.as_view(endpoints=ENDPOINTS)),
    any_case_path("", UnknownEndpoint.as_view()),
    any_case_path("<path:rest>", UnknownEndpoint.as_view()),
]
