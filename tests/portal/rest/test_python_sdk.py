"""The published Python SDK of Keyfactor's API, unchanged, against this portal (C2).

Owns what a script with that SDK does: everything goes over HTTP through the SDK's own functions
and models, to a running server.
"""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.utils import timezone
from keyfactor_v_1_client.api.agent import (
    agent_approve,
    agent_disapprove,
    agent_fetch_logs,
    agent_get_agent_detail,
    agent_get_agents,
    agent_reset_0,
    agent_reset_1,
    agent_set_auth_certificate_reenrollment,
)
from keyfactor_v_1_client.api.certificate import (
    certificate_get_certificate,
    certificate_query_certificates,
    certificate_revoke,
)
from keyfactor_v_1_client.api.certificate_authority import (
    certificate_authority_get_ca,
    certificate_authority_get_cas,
)
from keyfactor_v_1_client.api.enrollment import (
    enrollment_get_my_csr_context,
    enrollment_post_parsed_csr,
)
from keyfactor_v_1_client.api.security import security_lookup_identity
from keyfactor_v_1_client.api.template import template_import
from keyfactor_v_1_client.client import AuthenticatedClient
from keyfactor_v_1_client.models.agent_get_agents_pq_sort_ascending import (
    AgentGetAgentsPqSortAscending,
)
from keyfactor_v_1_client.models.keyfactor_api_models_certificates_analyze_certificate_request import (  # noqa: E501
    KeyfactorApiModelsCertificatesAnalyzeCertificateRequest as Analysis,
)
from keyfactor_v_1_client.models.keyfactor_api_models_configuration_tenant_configuration_tenant_request import (  # noqa: E501
    KeyfactorApiModelsConfigurationTenantConfigurationTenantRequest as Tenant,
)
from keyfactor_v_1_client.models.keyfactor_api_models_orchestrators_agent_response import (
    KeyfactorApiModelsOrchestratorsAgentResponse as Agent,
)
from keyfactor_v_1_client.models.keyfactor_api_models_orchestrators_update_orchestrator_auth_certificate_reenrollment_request import (  # noqa: E501
    KeyfactorApiModelsOrchestratorsUpdateOrchestratorAuthCertificateReenrollmentRequest as Renewal,
)
from keyfactor_v_1_client.models.keyfactor_api_models_security_roles_identities_security_roles_global_permission_request import (  # noqa: E501
    KeyfactorApiModelsSecurityRolesIdentitiesSecurityRolesGlobalPermissionRequest as Granted,
)
from keyfactor_v_1_client.models.models_certificate_authorities_certificate_authority_request import (  # noqa: E501
    ModelsCertificateAuthoritiesCertificateAuthorityRequest as Authority,
)
from keyfactor_v_1_client.models.models_certificate_download_request import (
    ModelsCertificateDownloadRequest as Download,
)
from keyfactor_v_1_client.models.models_csr_contents import ModelsCSRContents as ParsedCsr
from keyfactor_v_1_client.models.models_enrollment_csr_enrollment_request import (
    ModelsEnrollmentCSREnrollmentRequest as Enrollment,
)
from keyfactor_v_1_client.models.models_revoke_all_certificates_request import (
    ModelsRevokeAllCertificatesRequest as RevocationOfAll,
)
from keyfactor_v_1_client.models.models_revoke_all_certificates_request_reason import (
    ModelsRevokeAllCertificatesRequestReason as ReasonOfAll,
)
from keyfactor_v_1_client.models.models_revoke_certificate_request import (
    ModelsRevokeCertificateRequest as Revocation,
)
from keyfactor_v_1_client.models.models_revoke_certificate_request_reason import (
    ModelsRevokeCertificateRequestReason as RevocationReason,
)

from orchestrators import jobs
from orchestrators.models import Job, Orchestrator, Reenrollment, Status
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from renewal.models import Certificate, CertificateAuthority, Template
from tests import pki
from tests.portal.pages import fleet as rows
from tests.renewal.fleet import csr

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fleet() -> rows.Fleet:
    return rows.fleet(timezone.now())


@pytest.fixture
def sdk(fleet: rows.Fleet, live_server: Any) -> AuthenticatedClient:
    """The SDK's client with Basic, as its README makes it."""
    ada = rows.user("ada", "Administrator")
    pair = base64.b64encode(f"CORP\\{ada.username}:{rows.PASSWORD}".encode()).decode()
    return AuthenticatedClient(
        base_url=f"{live_server.url}/KeyfactorAPI", token=pair, prefix="Basic", timeout=30
    )


def status_of(orchestrator: Orchestrator) -> int:
    orchestrator.refresh_from_db()
    return orchestrator.status


def test_it_lists_pages_and_sorts_orchestrators(
    sdk: AuthenticatedClient, fleet: rows.Fleet
) -> None:
    found = agent_get_agents.sync(client=sdk)
    assert found is not None
    assert {agent.agent_id for agent in found} == {
        str(pk) for pk in Orchestrator.objects.values_list("pk", flat=True)
    }
    assert all(isinstance(agent.status, int) for agent in found)
    pages = [
        agent_get_agents.sync(
            client=sdk,
            pq_page_returned=page,
            pq_return_limit=2,
            pq_sort_field="ClientMachine",
            pq_sort_ascending=AgentGetAgentsPqSortAscending.VALUE_0,
        )
        for page in (1, 2)
    ]
    names = [agent.client_machine for page in pages for agent in page or []]
    assert len(names) == 4
    assert names == sorted(names, key=str.casefold)


def test_it_finds_one_by_a_query_and_gets_it(sdk: AuthenticatedClient, fleet: rows.Fleet) -> None:
    name = fleet.calm.client_machine
    (found,) = agent_get_agents.sync(client=sdk, pq_query_string=f'ClientMachine -eq "{name}"')
    got = agent_get_agent_detail.sync(str(fleet.calm.pk), client=sdk)
    assert isinstance(got, Agent)
    assert got.to_dict() == found.to_dict()
    assert got.thumbprint == fleet.calm.thumbprint


def test_it_approves_and_disapproves(sdk: AuthenticatedClient, fleet: rows.Fleet) -> None:
    waiting = str(fleet.waiting.pk)
    assert agent_approve.sync_detailed(client=sdk, json_body=[waiting]).status_code == 204
    assert status_of(fleet.waiting) == Status.APPROVED
    assert agent_disapprove.sync_detailed(client=sdk, json_body=[waiting]).status_code == 204
    assert status_of(fleet.waiting) == Status.DISAPPROVED


RESETS: dict[str, Callable[[AuthenticatedClient, str], Any]] = {
    "one": lambda sdk, pk: agent_reset_1.sync_detailed(pk, client=sdk),
    "a list": lambda sdk, pk: agent_reset_0.sync_detailed(client=sdk, json_body=[pk]),
}


@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS.keys())
def test_it_resets(
    sdk: AuthenticatedClient,
    fleet: rows.Fleet,
    reset: Callable[[AuthenticatedClient, str], Any],
) -> None:
    assert reset(sdk, str(fleet.calm.pk)).status_code == 204
    assert status_of(fleet.calm) == Status.NEW


@pytest.mark.parametrize(
    ("sent", "flag"),
    [("1", 1), ("2", 2), ("0", 0), ("Requested", 1), ("Required", 2), ("None", 0)],
)
def test_it_sets_re_enrollment(
    sdk: AuthenticatedClient, fleet: rows.Fleet, sent: str, flag: int
) -> None:
    wanted = Renewal(orchestrator_ids=[str(fleet.calm.pk)], status=sent)
    answer = agent_set_auth_certificate_reenrollment.sync(client=sdk, json_body=wanted)
    assert answer is not None
    assert not answer.failed_orchestrator_ids
    assert answer.status == flag
    fleet.calm.refresh_from_db()
    assert fleet.calm.flag == Reenrollment(flag)


def test_it_fetches_logs(sdk: AuthenticatedClient, fleet: rows.Fleet) -> None:
    before = Job.objects.filter(orchestrator=fleet.calm).count()
    answer = agent_fetch_logs.sync_detailed(str(fleet.calm.pk), client=sdk)
    assert answer.status_code == 204
    assert Job.objects.filter(orchestrator=fleet.calm).count() == before + 1


def test_a_wrong_password_is_401(sdk: AuthenticatedClient) -> None:
    wrong = base64.b64encode(b"ada:wrong").decode()
    answer = agent_get_agents.sync_detailed(
        client=AuthenticatedClient(base_url=sdk.base_url, token=wrong, prefix="Basic", timeout=30)
    )
    assert answer.status_code == 401
    assert answer.parsed is None


def test_it_lists_and_gets_certificates(sdk: AuthenticatedClient, fleet: rows.Fleet) -> None:
    (found,) = certificate_query_certificates.sync(
        client=sdk, pq_query_string=f'Thumbprint -eq "{fleet.calm.thumbprint}"'
    )
    got = certificate_get_certificate.sync(found.id, client=sdk)
    assert got is not None
    assert got.thumbprint == fleet.calm.thumbprint
    assert got.not_after == fleet.calm.certificate_not_after


def test_it_lists_and_gets_authorities_and_looks_an_identity_up(
    sdk: AuthenticatedClient, fleet: rows.Fleet
) -> None:
    (found,) = certificate_authority_get_cas.sync(client=sdk)
    got = certificate_authority_get_ca.sync(found.id, client=sdk)
    assert got is not None
    assert got.logical_name == found.logical_name == "Portal CA"
    looked_up = security_lookup_identity.sync(client=sdk, account_name="nobody")
    assert looked_up is not None
    assert looked_up.valid is False


def test_it_revokes_a_certificate(sdk: AuthenticatedClient, fleet: rows.Fleet) -> None:
    row = Certificate.objects.get(thumbprint=fleet.calm.thumbprint)
    answer = certificate_revoke.sync_detailed(
        client=sdk,
        json_body=Revocation(
            certificate_ids=[row.pk], reason=RevocationReason.VALUE_1, comment="Key was copied"
        ),
    )
    assert answer.status_code == 200
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert row.revocation_reason == "keyCompromise"


def test_it_reads_a_csr_and_what_may_be_enrolled(
    sdk: AuthenticatedClient, fleet: rows.Fleet
) -> None:
    parsed = enrollment_post_parsed_csr.sync_detailed(
        client=sdk, json_body=ParsedCsr(csr=csr("unit-7.example.com"))
    )
    assert parsed.status_code == 200
    context = enrollment_get_my_csr_context.sync_detailed(client=sdk)
    assert context.status_code == 200


def test_it_imports_templates_of_the_tenant_that_there_is(sdk: AuthenticatedClient) -> None:
    here, elsewhere = Tenant(configuration_tenant=""), Tenant(configuration_tenant="corp.example")
    assert template_import.sync_detailed(client=sdk, json_body=here).status_code == 204
    assert template_import.sync_detailed(client=sdk, json_body=elsewhere).status_code == 400


def test_what_each_other_call_is_answered_can_be_read(
    sdk: AuthenticatedClient, fleet: rows.Fleet
) -> None:
    now = timezone.now()
    jobs.request_logs(fleet.calm, actor=Actor("t"), now=now)
    certificate = Certificate.objects.get(thumbprint=fleet.calm.thumbprint)
    authority, template = CertificateAuthority.objects.get(), Template.objects.get()
    ada = User.objects.get(username="ada")
    role = ada.groups.get().pk
    entry = AuditEntry.objects.latest("pk").pk
    request = Enrollment(
        csr=pki.b64(pki.csr(f"CN={fleet.calm.client_machine}", key_name="ec-p256-other")),
        certificate_authority=authority.name,
        template=template.name,
        include_chain=True,
        timestamp=now,
    )
    audit = {"area": "Auditing", "permission": "Read"}
    # What an authority is tried with is what was read of it, as a model of another kind.
    known = certificate_authority_get_ca.sync(authority.pk, client=sdk)
    assert known is not None
    tried = Authority.from_dict(
        {k: v for k, v in known.to_dict().items() if k not in known.additional_properties}
    )
    calls: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = [
        ("status.status_get_endpoints", (), {}),
        ("license_.license_get_current_license", (), {}),
        ("orchestrator_job.orchestrator_job_get_job_history", (), {}),
        ("orchestrator_job.orchestrator_job_get_scheduled_jobs", (), {}),
        (
            "orchestrator_job.orchestrator_job_get_custom_job_result_data",
            (),
            {"job_history_id": Job.objects.latest("pk").pk},
        ),
        ("audit_log.audit_log_get_audit_logs", (), {}),
        ("audit_log.audit_log_get_audit_log", (entry,), {}),
        ("audit_log.audit_log_download_csv", (), {}),
        (
            "audit_log.audit_log_get_related_entities",
            (),
            {"pq_query_string": f"Id -eq {entry}"},
        ),
        ("template.template_get_templates", (), {}),
        ("template.template_get_template", (template.pk,), {}),
        ("template.template_get_global_settings", (), {}),
        ("template.template_get_valid_subject_parts", (), {}),
        (
            "certificate_authority.certificate_authority_test_certificate_authority",
            (),
            {"json_body": tried},
        ),
        (
            "certificate.certificate_download_certificate_async",
            (),
            {"json_body": Download(cert_id=certificate.pk, include_chain=True)},
        ),
        (
            "certificate.certificate_analyze_cert",
            (),
            {"json_body": Analysis(certificate=pki.b64(bytes(certificate.der)), password="")},
        ),
        ("enrollment.enrollment_available_renewal_id", (certificate.pk,), {}),
        ("enrollment.enrollment_available_renewal_thumbprint", (certificate.thumbprint,), {}),
        ("enrollment.enrollment_post_csr_enroll", (), {"json_body": request}),
        ("security.security_identity_permissions", (ada.pk,), {}),
        ("security_roles.security_roles_get_identities_with_role", (role,), {}),
        (
            "security_role_permissions.security_role_permissions_get_permissions_for_role",
            (role,),
            {},
        ),
        (
            "security_role_permissions.security_role_permissions_add_global_permissions",
            (role,),
            {"json_body": [Granted(**audit)]},
        ),
        (
            "certificate.certificate_revoke_all",
            (),
            {
                "json_body": RevocationOfAll(
                    comment="gone",
                    query=f"Id -eq {certificate.pk}",
                    effective_date=now,
                    reason=ReasonOfAll.VALUE_1,
                )
            },
        ),
        ("certificate.certificate_certificate_history", (certificate.pk,), {}),
    ]
    for name, given, options in calls:
        function = importlib.import_module(f"keyfactor_v_1_client.api.{name}")
        answer = function.sync_detailed(*given, client=sdk, **options)
        assert answer.status_code == 200, (name, answer.content)
        assert answer.parsed, name
    certificate.refresh_from_db()
    assert certificate.revoked_at is not None
