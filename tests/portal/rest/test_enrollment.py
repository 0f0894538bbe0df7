"""The endpoints under /Enrollment, on the requests that existing clients send."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from django.utils import timezone

from orchestrators.models import Status
from portal.access.catalogue import ROLES, Permission
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal import templates
from renewal.models import Certificate, CertificateAuthority, Enrollment
from renewal.rules.lifecycle import EnrollmentState
from renewal.rules.standing import Standing
from tests import pki
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def dns(name: str) -> x509.DNSName:
    return x509.DNSName(name)


def go_request(csr: bytes, **changes: Any) -> dict[str, Any]:
    """The body as the Go client makes it."""
    return {
        "CSR": pki.pem(csr),
        "Timestamp": timezone.now().strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
        "Template": "Orchestrator",
        "CertificateAuthority": "Test CA",
        "IncludeChain": False,
        "SANs": None,
        "Metadata": None,
        **changes,
    }


def test_a_csr_is_enrolled_as_the_go_client_asks(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    csr = pki.csr("CN=unit-1", sans=[x509.DNSName("unit-1.example.com")])
    response = admin.post(
        "Enrollment/CSR",
        go_request(csr, IncludeChain=True),
        headers={"x-certificateformat": "PEM"},
    )
    assert response.status_code == 200, response.content
    information = response.json()["CertificateInformation"]
    assert information["RequestDisposition"] == "ISSUED"
    leaf, issuing, _ = (
        x509.load_pem_x509_certificate(text.encode()) for text in information["Certificates"]
    )
    leaf.verify_directly_issued_by(issuing)
    row = Certificate.objects.get(pk=information["KeyfactorID"])
    assert leaf.serial_number == int(information["SerialNumber"], 16)
    assert information["Thumbprint"] == row.thumbprint
    assert (row.standing, row.orchestrator) == (Standing.OWN, None)
    enrollment = Enrollment.objects.get(pk=information["KeyfactorRequestId"])
    assert (enrollment.for_operator, enrollment.requested_by) == (True, "ada")
    assert AuditEntry.objects.filter(action="certificate_issued").count() == 1
    query = {"pq.queryString": f"CertRequestId -eq {enrollment.pk}"}
    assert [c["Id"] for c in admin.get("Certificates", query=query).json()] == [row.pk]


@pytest.mark.parametrize("form", ["DER", "P7B", None])
def test_a_certificate_comes_in_the_format_of_the_header(
    admin: Caller, portal_ca: CertificateAuthority, form: str | None
) -> None:
    response = admin.post(
        "Enrollment/CSR", go_request(pki.csr("CN=a")), headers={"x-certificateformat": form}
    )
    (text,) = response.json()["CertificateInformation"]["Certificates"]
    if form is None:
        assert text.startswith("-----BEGIN CERTIFICATE-----")
    else:
        assert base64.b64decode(text)[0] == 0x30


def test_the_same_key_gets_the_same_certificate(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    body = go_request(pki.csr("CN=a"))
    first, second = (admin.post("Enrollment/CSR", body).json() for _ in range(2))
    assert first == second
    assert Certificate.objects.count() == 1


def test_ca_and_template_that_are_left_out_are_those_of_the_settings(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    bare = {"CSR": pki.b64(pki.csr("CN=a"))}
    refused(admin.post("Enrollment/CSR", bare), 400, "member_missing")
    for name, text in (
        ("CertificateAuthorityForSubmittedCSRs", "Test CA"),
        ("TemplateForSubmittedCSRs", "Orchestrator"),
    ):
        store.change(name, text, actor=TESTER, now=timezone.now())
    answer = admin.post("Enrollment/CSR", bare).json()
    assert answer["CertificateInformation"]["RequestDisposition"] == "ISSUED"


def test_a_ca_may_be_named_with_its_host(admin: Caller, portal_ca: CertificateAuthority) -> None:
    body = go_request(pki.csr("CN=a"), CertificateAuthority="ca.example.com\\Test CA")
    assert admin.post("Enrollment/CSR", body).status_code == 200


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no CSR": ({"CSR": ""}, 400, "csr_refused"),
    "no CSR at all": ({"CSR": None}, 400, "member_missing"),
    "nonsense": ({"CSR": "nonsense"}, 400, "csr_refused"),
    "a private key in the CSR's place": (
        {"CSR": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"},
        400,
        "csr_refused",
    ),
    "a private key beside it": ({"PrivateKey": "AAAA"}, 400, "value_invalid"),
    "a key of a type that the template does not list": (
        {"CSR": pki.pem(pki.csr("CN=a", key_name="rsa-2048"))},
        400,
        "csr_refused",
    ),
    "no names": ({"CSR": pki.pem(pki.csr(""))}, 400, "csr_refused"),
    "an unknown CA": ({"CertificateAuthority": "Other"}, 400, "authority_unknown"),
    "an unknown template": ({"Template": "Other"}, 400, "template_unknown"),
    "metadata that nobody would keep": ({"Metadata": {"Owner": "x"}}, 400, "value_invalid"),
    "names beside those of the CSR": ({"SANs": {"dns": ["b.example.com"]}}, 400, "value_invalid"),
    "a member that is not known": ({"Renew": True}, 400, "member_unknown"),
    "a time that is none": ({"Timestamp": "now"}, 400, "value_invalid"),
}


@pytest.mark.parametrize(("change", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_request_is_refused_and_nothing_is_asked_for(
    admin: Caller,
    portal_ca: CertificateAuthority,
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    body = go_request(pki.csr("CN=a"), **change)
    refused(admin.post("Enrollment/CSR", body), status, code)
    assert not Enrollment.objects.exists()


def test_names_beside_the_csr_may_say_the_same(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    csr = pki.csr("CN=a", sans=[x509.DNSName("a.example.com")])
    body = go_request(csr, SANs={"dns": ["A.example.com"], "ip4": []})
    assert admin.post("Enrollment/CSR", body).status_code == 200


def test_the_key_of_another_certificate_is_refused(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    csr = pki.csr("CN=a")
    now = timezone.now()
    rows.certificate(None, now=now)
    Certificate.objects.update(spki_sha256=pki_digest(csr))
    refused(admin.post("Enrollment/CSR", go_request(csr)), 400, "key_reuse")


PATTERNS = ("subject:CN=unit-*", "dns:*.example.com", "dns:{name}.internal")
ID = "7c4f0f0e-6f1c-4d9c-8a30-0a4ef1ad3f01"

NAMES: dict[str, tuple[str, str, list[x509.GeneralName], str]] = {
    "any name, where the template is open": ("open", "CN=web02", [dns("x.test")], ""),
    "names that patterns cover": ("match", "CN=unit-1", [dns("a.example.com")], ""),
    "SANs alone that patterns cover": ("match", "", [dns("a.example.com")], ""),
    "a SAN that nothing covers": ("match", "CN=unit-1", [dns("a.test")], "dns name 'a.test'"),
    "a subject that nothing covers": ("match", "CN=ceo", [dns("a.example.com")], "'CN=ceo'"),
    "a wildcard": ("match", "CN=unit-1", [dns("*.example.com")], "*"),
    "the names of an orchestrator in reach": (
        "match", "CN=web01", [dns("web01"), dns("web01.corp.test"), dns("extra.test"),
         dns("web01.internal"), x509.UniformResourceIdentifier(f"urn:uuid:{ID}")], ""),
    "some by pattern, the rest of one orchestrator": (
        "match", "CN=unit-1", [dns("a.example.com"), dns("web01.corp.test")], ""),
    "names of two orchestrators in reach": (
        "match", "CN=web01", [dns("web03")], "dns name 'web03'"),
    "a name of one and of nobody": ("match", "CN=web01", [dns("a.test")], "dns name 'a.test'"),
    "the name of one out of reach": ("match", "CN=web02", [], "'CN=web02'"),
    "the name of one that is only seen": ("match", "CN=web04", [], "'CN=web04'"),
    "the name of one that is New": ("match", "CN=web05", [], "'CN=web05'"),
    "names of a record": ("portal", "CN=web01", [], "portal"),
}  # fmt: skip


@pytest.mark.parametrize(("policy", "subject", "sans", "said"), NAMES.values(), ids=NAMES.keys())
def test_a_person_is_granted(
    portal_ca: CertificateAuthority,
    policy: str,
    subject: str,
    sans: list[x509.GeneralName],
    said: str,
) -> None:
    now = timezone.now()
    mine = [
        rows.orchestrator("web01", now=now, id=ID, extra_names=["extra.test"]),
        rows.orchestrator("web03", now=now),
        rows.orchestrator("web05", now=now, status=Status.NEW),
    ]
    rows.orchestrator("web02", now=now)
    seen = group("Seen", rows.orchestrator("web04", now=now))
    berlin = group("Berlin", *mine)
    person = user(
        "ida",
        role("Enrollers", [Permission.ENROLL_CSR, Permission.CERTIFICATES_READ]),
        role("Seers", [Permission.AGENTS_READ], only_groups=[seen]),
        role("Berliners", [Permission.AGENTS_READ, Permission.AGENTS_MODIFY], only_groups=[berlin]),
    )
    store.change("OrchestratorDomainSuffixes", "corp.test", actor=TESTER, now=now)
    contents = templates.Contents(names_policy=policy, name_patterns=PATTERNS)
    templates.save_template("Orchestrator", contents, actor=TESTER, now=now)
    body = go_request(pki.csr(subject, sans=sans))
    ida = Caller({"Authorization": basic(person.username, rows.PASSWORD)})
    answer = ida.post("Enrollment/CSR", body)
    if not said:
        assert answer.status_code == 200, answer.content
        made = x509.load_der_x509_certificate(bytes(Certificate.objects.get().der))
        assert made.subject.rfc4514_string() == subject
        return
    code = "names_of_record" if policy == "portal" else "name_not_covered"
    if "*" in said:
        code = "csr_refused"
    assert said in refused(answer, 400, code)["Message"]
    refused(ida.post("Enrollment/CSR", body, query={"dry_run": "true"}), 400, code)
    assert not Enrollment.objects.exists()


def pki_digest(csr: bytes) -> str:
    from renewal.x509.csr_door import open_csr

    return open_csr(pki.b64(csr)).spki_sha256


def test_a_ca_that_is_for_others_is_refused(admin: Caller, portal_ca: CertificateAuthority) -> None:
    portal_ca.allowed_requesters.add(user("olaf"))
    refused(admin.post("Enrollment/CSR", go_request(pki.csr("CN=a"))), 403, "requester_not_allowed")
    assert admin.get("Enrollment/CSR/Context/My").json()["Templates"][0]["CAs"] == []


def test_a_ca_that_does_not_answer_leaves_the_request_pending(
    admin: Caller, portal_ca: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from renewal.enrollment import work

    monkeypatch.setattr(work, "enroll_one", lambda *_, **__: None)
    CertificateAuthority.objects.update(hold_seconds=0)
    portal_ca.refresh_from_db()
    answer = admin.post("Enrollment/CSR", go_request(pki.csr("CN=a"))).json()
    information = answer["CertificateInformation"]
    assert information["RequestDisposition"] == "PENDING"
    assert (information["Certificates"], information["Thumbprint"]) == ([], None)
    row = Enrollment.objects.get(pk=information["KeyfactorRequestId"])
    assert row.state == EnrollmentState.WAITING


def test_a_role_that_is_limited_to_some_orchestrators_enrolls_nothing(
    portal_ca: CertificateAuthority,
) -> None:
    scoped = role("Berlin", ROLES["Administrator"], only_groups=[group("Berlin")])
    bea = Caller({"Authorization": basic(user("bea", scoped).username, rows.PASSWORD)})
    body = go_request(pki.csr("CN=a"))
    refused(bea.post("Enrollment/CSR", body), 403, "permission_missing")
    reader = caller_with("Read only")
    refused(reader.post("Enrollment/CSR", body), 403, "permission_missing")
    only = role("Enrollers", [Permission.ENROLL_CSR])
    blind = Caller({"Authorization": basic(user("rob", only).username, rows.PASSWORD)})
    refused(blind.post("Enrollment/CSR", body), 403, "permission_missing")
    assert not Enrollment.objects.exists()


def test_the_context_lists_what_one_may_enrol_with(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    templates.save_template(
        "RSA", templates.Contents(key_types=("RSA-3072",)), actor=TESTER, now=timezone.now()
    )
    context = admin.get("Enrollment/CSR/Context/My").json()
    assert context["StandaloneCAs"] == []
    shown = {each["Name"]: each for each in context["Templates"]}
    assert {"Orchestrator", "RSA"} <= set(shown)
    assert [ca["Name"] for ca in shown["RSA"]["CAs"]] == ["Test CA"]
    assert (shown["RSA"]["KeyType"], shown["RSA"]["KeySize"]) == ("RSA", "3072")
    assert (shown["Orchestrator"]["KeyType"], shown["Orchestrator"]["Curve"]) == ("ECC", "P256")


def test_a_csr_is_read_and_not_enrolled(admin: Caller) -> None:
    csr = pki.csr("CN=unit-1,O=Example", sans=[x509.DNSName("unit-1.example.com")])
    properties = admin.post("Enrollment/CSR/Parse", {"csr": pki.pem(csr)}).json()
    assert set(properties) == {
        "CN=unit-1",
        "O=Example",
        "DNS Name=unit-1.example.com",
        "Key Type=EC-P256",
    }
    refused(admin.post("Enrollment/CSR/Parse", {"CSR": "nonsense"}), 400, "csr_refused")
    assert not Enrollment.objects.exists()


def test_how_a_certificate_is_renewed_is_told(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    now = timezone.now()
    holder = rows.orchestrator("unit-7", now=now)
    own = admin.post("Enrollment/CSR", go_request(pki.csr("CN=a"))).json()
    pk = own["CertificateInformation"]["KeyfactorID"]
    held = rows.certificate(holder, now=now)
    expired = rows.certificate(
        holder, now=now, left=-timedelta(days=1), standing=Standing.SUPERSEDED
    )
    revoked = rows.certificate(None, now=now, standing=Standing.OWN, revoked_at=now)
    for number, kind, word in (
        (pk, 1, "CSR"),
        (held.pk, 0, "SetAuthCertificateReenrollment"),
        (expired.pk, 0, "expired"),
        (revoked.pk, 0, "revoked"),
    ):
        answer = admin.get(f"Enrollment/AvailableRenewal/Id/{number}").json()
        assert answer["AvailableRenewalType"] == kind
        assert word in answer["Message"]
    path = f"Enrollment/AvailableRenewal/Thumbprint/{held.thumbprint.lower()}"
    assert admin.get(path).json()["AvailableRenewalType"] == 0
    for path in ("Id/4040404", f"Thumbprint/{'AB' * 20}", "Thumbprint/x"):
        refused(admin.get(f"Enrollment/AvailableRenewal/{path}"), 404, "certificate_unknown")
