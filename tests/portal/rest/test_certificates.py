"""The endpoints under /Certificates, on the requests that existing clients send."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.catalogue import ROLES, Permission
from portal.audit.models import AuditEntry
from renewal import operator_requests
from renewal.models import Certificate, CertificateAuthority, Revocation, Template
from renewal.rules.standing import Standing
from tests import pki
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

Make = Callable[..., Orchestrator]
DAY = timedelta(days=1)


@pytest.fixture
def held(orchestrator: Make) -> dict[str, Certificate]:
    """Certificates that differ in every field."""
    now = timezone.now()
    alpha, beta = orchestrator("alpha.example.com"), orchestrator("beta.example.com")
    return {
        "alpha": rows.certificate(alpha, now=now, left=100 * DAY),
        "beta": rows.certificate(beta, now=now, left=20 * DAY),
        "expired": rows.certificate(alpha, now=now, left=-DAY, standing=Standing.SUPERSEDED),
        "revoked": rows.certificate(
            beta,
            now=now,
            left=200 * DAY,
            standing=Standing.SUPERSEDED,
            revoked_at=now - DAY,
            revocation_reason="privilegeWithdrawn",
        ),
        "nobody": rows.certificate(None, now=now, left=300 * DAY, standing=Standing.SEEN),
    }


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [row["Id"] for row in response.json()]


ALL = {"pq.includeRevoked": "true", "pq.includeExpired": "true"}
QUERIES: dict[str, tuple[dict[str, str], set[str]]] = {
    "those that are valid unless told otherwise": ({}, {"alpha", "beta", "nobody"}),
    "revoked ones too": ({"pq.includeRevoked": "true"}, {"alpha", "beta", "nobody", "revoked"}),
    "expired ones too": ({"IncludeExpired": "True"}, {"alpha", "beta", "nobody", "expired"}),
    "all": (ALL, {"alpha", "beta", "nobody", "revoked", "expired"}),
    "by common name, as the Go client asks": (
        {"includeLocations": "true", "pq.queryString": 'IssuedCN -eq "alpha.example.com"'},
        {"alpha"},
    ),
    "by common name, as Keyfactor's search names it": (
        {"pq.queryString": 'CN -eq "alpha.example.com" AND DN -contains alpha'},
        {"alpha"},
    ),
    "by a CA's own certificate, as Keyfactor's Vault engine asks": (
        {**ALL, "pq.queryString": 'CA -eq "portal ca" AND CertState -eq "6"'},
        set(),
    ),
    "by a CA's certificates that are active": (
        {**ALL, "pq.queryString": 'CA -eq "portal ca" AND CertState -eq "1"'},
        {"alpha", "beta", "nobody", "expired"},
    ),
    "by what else Keyfactor's search names": (
        {
            "pq.queryString": "CertId -ge 1 AND IssuedDate -ge 2000-01-01 AND KeySize -ge 1 AND "
            "RevocationDate -eq NULL AND Requester -eq NULL AND NetBIOSRequester -eq NULL AND "
            "TemplateShortName -eq NULL AND TemplateDisplayName -eq NULL AND "
            "EffectiveDate -le 2100-01-01 AND SAN -notcontains nobody-has-this"
        },
        {"alpha", "beta", "nobody"},
    ),
    "by a part of the subject": ({"pq.queryString": "IssuedDN -contains BETA"}, {"beta"}),
    "by state": ({**ALL, "QueryString": "CertState -eq 2"}, {"revoked"}),
    "by state's name": (
        {**ALL, "QueryString": "CertState -ne Revoked"},
        {"alpha", "beta", "nobody", "expired"},
    ),
    "by a state that none has": ({**ALL, "QueryString": "CertState -eq 5"}, set()),
    "by key type": ({"QueryString": "KeyType -eq ECC"}, {"alpha", "beta", "nobody"}),
    "by a key type that none has": ({"QueryString": "KeyType -eq 1"}, set()),
    "by standing": ({"QueryString": "Standing -eq seen"}, {"nobody"}),
    "by the orchestrator that has none": ({"QueryString": "OrchestratorId -eq NULL"}, {"nobody"}),
    "by a request that none has": ({"QueryString": "CertRequestId -eq 7"}, set()),
    "by a requester that none has": (
        {"QueryString": "RequesterName -eq NULL"},
        {"alpha", "beta", "nobody"},
    ),
    "by CA": (
        {"QueryString": 'CertificateAuthorityName -eq "portal ca"'},
        {"alpha", "beta", "nobody"},
    ),
}


@pytest.mark.parametrize(("query", "found"), QUERIES.values(), ids=QUERIES.keys())
def test_a_list_shows(
    admin: Caller, held: dict[str, Certificate], query: dict[str, str], found: set[str]
) -> None:
    expected = {held[name].pk for name in found}
    assert set(ids(admin.get("Certificates", query=query))) == expected


def test_a_certificate_is_found_by_what_tools_print_of_it(
    admin: Caller, held: dict[str, Certificate]
) -> None:
    alpha = held["alpha"]
    for query in (
        f'Thumbprint -eq "{alpha.thumbprint}"',
        f'Thumbprint -eq "{alpha.thumbprint.lower()}"',
        f'SerialNumber -eq "{alpha.serial_number.upper()}"',
        f"Id -eq {alpha.pk}",
        f'OrchestratorId -eq "{alpha.orchestrator_id}"',
        f'NotAfter -ge "{alpha.not_after.isoformat()}" AND ExpirationDate -lt '
        f'"{(alpha.not_after + DAY).isoformat()}"',
    ):
        assert ids(admin.get("Certificates", query={"QueryString": query})) == [alpha.pk], query


@pytest.mark.parametrize(
    "field",
    [
        "Id",
        "IssuedCN",
        "IssuerDN",
        "SerialNumber",
        "Thumbprint",
        "NotBefore",
        "NotAfter",
        "ImportDate",
        "KeySizeInBits",
    ],
)
@pytest.mark.parametrize("order", ["0", "1"])
def test_cursors_lead_through_all_certificates_once(
    admin: Caller, held: dict[str, Certificate], field: str, order: str
) -> None:
    asked = {**ALL, "SortField": field, "SortAscending": order, "ReturnLimit": "2"}
    whole = ids(admin.get("Certificates", query={**asked, "ReturnLimit": "50"}))
    assert sorted(whole) == sorted(row.pk for row in held.values())
    found: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {**asked, **({"cursor": cursor} if cursor else {})}
        response = admin.get("Certificates", query=query)
        found += ids(response)
        cursor = response.get("X-Next-Cursor")
    assert found == whole


def test_a_certificate_is_shown_with_the_names_that_existing_clients_know(
    admin: Caller, held: dict[str, Certificate]
) -> None:
    alpha = held["alpha"]
    options = {"includeMetadata": "true", "includeLocations": "false", "collectionId": "0"}
    shown = admin.get(f"Certificates/{alpha.pk}", query=options).json()
    assert shown["Thumbprint"] == alpha.thumbprint
    assert shown["SerialNumber"] == alpha.serial_number.upper()
    assert (shown["IssuedCN"], shown["IssuedDN"]) == ("alpha.example.com", "CN=alpha.example.com")
    assert (shown["CertState"], shown["CertStateString"]) == (1, "Active")
    assert (shown["KeyType"], shown["KeyTypeString"], shown["KeySizeInBits"]) == (3, "ECC", 256)
    assert (shown["RevocationEffDate"], shown["RevocationReason"]) == (None, None)
    assert shown["CertificateAuthorityName"] == "Portal CA"
    assert base64.b64decode(shown["ContentBytes"]) == bytes(alpha.der)
    assert shown["OrchestratorId"] == str(alpha.orchestrator_id)
    assert shown["Metadata"] == {}
    assert {"Oid": "1.3.6.1.5.5.7.3.2", "DisplayName": "Client Authentication"} in shown[
        "ExtendedKeyUsages"
    ]
    for name in ("ImportDate", "NotBefore", "NotAfter"):
        assert datetime.fromisoformat(shown[name]).utcoffset() == timedelta(0)
    revoked = admin.get(f"Certificates/{held['revoked'].pk}").json()
    assert (revoked["CertState"], revoked["RevocationReason"]) == (2, 999)


@pytest.mark.parametrize("number", ["999999", "9" * 30, "x", "-1", "٣"])
def test_a_certificate_that_does_not_exist_is_unknown(admin: Caller, number: str) -> None:
    refused(admin.get(f"Certificates/{number}"), 404, "certificate_unknown")
    refused(admin.get(f"Certificates/{number}/History"), 404, "certificate_unknown")


def test_a_collection_is_refused_because_there_is_none(
    admin: Caller, held: dict[str, Certificate]
) -> None:
    refused(admin.get("Certificates", query={"collectionId": "4"}), 400, "value_invalid")
    body = {"CertificateIds": [held["alpha"].pk], "Comment": "x", "CollectionId": 4}
    refused(admin.post("Certificates/Revoke", body), 400, "value_invalid")


def test_revocation_as_the_go_client_asks(admin: Caller, held: dict[str, Certificate]) -> None:
    alpha, beta = held["alpha"], held["beta"]
    body = {
        "CertificateIds": [beta.pk, alpha.pk, alpha.pk],
        "Reason": 4,
        "Comment": "replaced",
        "EffectiveDate": timezone.now().strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
    }
    response = admin.post("Certificates/Revoke", body)
    assert response.status_code == 200
    assert response.json() == {
        "RevokedIds": sorted([alpha.pk, beta.pk]),
        "SuspendedCerts": [],
    }
    for row in (alpha, beta):
        row.refresh_from_db()
        assert row.revoked_at is not None
        assert row.revocation.reason == "superseded"
        entry = AuditEntry.objects.get(action="revocation_requested", object_id=str(row.pk))
        assert (entry.actor_name, entry.after["cause"]) == ("ada", "replaced")
    shown = admin.get(f"Certificates/{alpha.pk}").json()
    assert (shown["RevocationReason"], shown["RevocationComment"]) == (4, "replaced")
    # Once more changes nothing and is no error.
    assert admin.post("Certificates/Revoke", body).status_code == 200
    assert AuditEntry.objects.filter(action="revocation_requested").count() == 2


REVOCATIONS_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no certificate": ({"CertificateIds": []}, "list_empty"),
    "a number that is none": ({"CertificateIds": ["1"]}, "value_invalid"),
    "a flag for a number": ({"CertificateIds": [True]}, "value_invalid"),
    "too many": ({"CertificateIds": list(range(1001))}, "list_too_long"),
    "no comment": ({"Comment": None}, "member_missing"),
    "an empty comment": ({"Comment": " "}, "value_invalid"),
    "a reason that RFC 5280 does not know": ({"Reason": 7}, "value_invalid"),
    "the end of a hold": ({"Reason": -1}, "value_invalid"),
    "a date in the future": ({"EffectiveDate": "2100-01-01T00:00:00Z"}, "value_invalid"),
    "a date that is none": ({"EffectiveDate": "soon"}, "value_invalid"),
    "a member that is not known": ({"Force": True}, "member_unknown"),
}


@pytest.mark.parametrize(
    ("change", "code"), REVOCATIONS_REFUSED.values(), ids=REVOCATIONS_REFUSED.keys()
)
def test_a_wrong_revocation_is_refused_and_changes_nothing(
    admin: Caller, held: dict[str, Certificate], change: dict[str, Any], code: str
) -> None:
    body = {"CertificateIds": [held["alpha"].pk], "Comment": "because", **change}
    refused(admin.post("Certificates/Revoke", body), 400, code)
    assert not Revocation.objects.exists()


def test_all_of_a_list_is_revoked_or_nothing(admin: Caller, held: dict[str, Certificate]) -> None:
    body = {"CertificateIds": [held["alpha"].pk, 10**6], "Comment": "because"}
    answer = refused(admin.post("Certificates/Revoke", body), 400, "certificate_unknown")
    assert answer["FailedOperations"] == [
        {"CertId": "1000000", "Reason": "There is no such certificate."}
    ]
    assert not Revocation.objects.exists()


def test_a_dry_run_tells_what_would_be_revoked_and_what_is_already(
    admin: Caller, held: dict[str, Certificate]
) -> None:
    told = {str(held["alpha"].pk): "change", str(held["revoked"].pk): "unchanged"}
    by_query = {
        "Query": " OR ".join(f"Id -eq {pk}" for pk in told),
        "IncludeRevoked": True,
        "Comment": "lost",
    }
    by_id = {"CertificateIds": [int(pk) for pk in told], "Comment": "lost"}
    for path, body in (("Revoke", by_id), ("RevokeAll", by_query)):
        answer = admin.post(f"Certificates/{path}", body, query={"dry_run": "true"}).json()
        changes = answer["Changes"]
        assert {each["Id"]: each["Outcome"] for each in changes} == told, path
        assert {each["Kind"] for each in changes} == {"certificate"}
    assert not Certificate.objects.get(pk=held["alpha"].pk).revoked_at


def test_a_query_names_what_is_revoked(admin: Caller, held: dict[str, Certificate]) -> None:
    body = {"Query": 'IssuedCN -contains "alpha"', "Reason": 1, "Comment": "stolen"}
    response = admin.post("Certificates/RevokeAll", body, query={"collectionId": "0"})
    assert response.json()["RevokedIds"] == [held["alpha"].pk]
    assert Revocation.objects.get().reason == "keyCompromise"
    expired = {**body, "IncludeExpired": True}
    assert admin.post("Certificates/RevokeAll", expired).json()["RevokedIds"] == [
        held["expired"].pk
    ]


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "value_invalid"), ("  ", "value_invalid"), ("x -eq 1", "query_field_unknown")],
)
def test_a_query_that_names_nothing_revokes_nothing(
    admin: Caller, held: dict[str, Certificate], query: str, code: str
) -> None:
    body = {"Query": query, "Comment": "because"}
    refused(admin.post("Certificates/RevokeAll", body), 400, code)
    assert not Revocation.objects.exists()


def test_what_happened_to_a_certificate_is_told(
    admin: Caller, held: dict[str, Certificate]
) -> None:
    pk = held["alpha"].pk
    admin.post("Certificates/Revoke", {"CertificateIds": [pk], "Comment": "lost"})
    query = {"query.pageReturned": "1", "query.returnLimit": "10", "query.sortAscending": "1"}
    (entry,) = admin.get(f"Certificates/{pk}/History", query=query).json()
    assert entry["Action"] == "Revocation requested"
    assert (entry["Username"], entry["Comment"]) == ("ada", "lost")
    assert entry["OperationStart"].endswith("Z")


def issued(ca: CertificateAuthority, name: str = "unit-1") -> Certificate:
    order = operator_requests.Order(
        pki.pem(pki.csr(f"CN={name}")), ca, Template.objects.get(name="Orchestrator")
    )
    row, _ = operator_requests.enroll(order, actor=TESTER, now=timezone.now())
    assert row.certificate is not None
    return row.certificate


def test_a_download_is_what_the_go_client_reads(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    row = issued(portal_ca)
    body = {"CertID": row.pk, "IncludeChain": True, "ChainOrder": "EndEntityFirst"}
    response = admin.post("Certificates/Download", body, headers={"x-certificateformat": "P7B"})
    content = base64.b64decode(response.json()["Content"])
    printed = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-print_certs"],
        input=content,
        capture_output=True,
        check=True,
    ).stdout
    leaf, issuing, root = x509.load_pem_x509_certificates(printed)
    assert leaf.serial_number == int(row.serial_number, 16)
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)


@pytest.mark.parametrize(
    "named",
    [
        lambda row: {"CertID": row.pk},
        lambda row: {"Thumbprint": row.thumbprint.lower()},
        lambda row: {"SerialNumber": row.serial_number.upper(), "IssuerDN": row.issuer_name},
        lambda row: {
            "CertID": 0,
            "SerialNumber": row.serial_number,
            "IssuerDN": row.issuer_name.replace(",", ", "),
        },
    ],
    ids=["number", "thumbprint", "serial number and issuer", "an issuer with spaces"],
)
def test_a_download_is_found_by(
    admin: Caller, held: dict[str, Certificate], named: Callable[[Certificate], dict[str, Any]]
) -> None:
    row = held["alpha"]
    for form in ("DER", "pem", None):
        response = admin.post(
            "Certificates/Download", named(row), headers={"x-certificateformat": form}
        )
        content = base64.b64decode(response.json()["Content"])
        if form == "DER":
            assert content == bytes(row.der)
        else:
            assert content.startswith(b"-----BEGIN CERTIFICATE-----")


DOWNLOADS_REFUSED: dict[str, tuple[dict[str, Any], str, int, str]] = {
    "nothing named": ({}, "PEM", 400, "member_missing"),
    "a serial number without its issuer": ({"SerialNumber": "01"}, "PEM", 400, "member_missing"),
    "an unknown thumbprint": ({"Thumbprint": "AB" * 20}, "PEM", 404, "certificate_unknown"),
    "a number beyond all": ({"CertID": 2**63 - 1}, "PEM", 404, "certificate_unknown"),
    "a negative number": ({"CertID": -1}, "PEM", 404, "certificate_unknown"),
}


@pytest.mark.parametrize(
    ("body", "form", "status", "code"), DOWNLOADS_REFUSED.values(), ids=DOWNLOADS_REFUSED.keys()
)
def test_a_wrong_download_is_refused(
    admin: Caller, body: dict[str, Any], form: str, status: int, code: str
) -> None:
    headers = {"x-certificateformat": form}
    refused(admin.post("Certificates/Download", body, headers=headers), status, code)


def test_a_format_that_does_not_exist_is_refused(
    admin: Caller, held: dict[str, Certificate]
) -> None:
    body = {"CertID": held["alpha"].pk}
    for form, more in (("PFX", {}), ("PEM", {"ChainOrder": "Sideways"})):
        headers = {"x-certificateformat": form}
        response = admin.post("Certificates/Download", {**body, **more}, headers=headers)
        refused(response, 400, "value_invalid")


def test_a_certificate_that_the_portal_does_not_know_is_read_and_not_kept(admin: Caller) -> None:
    der = pki.certificate("CN=somebody", not_after=pki.NOW + 9 * DAY)
    for text in (pki.b64(der), pki.pem(der, "CERTIFICATE")):
        response = admin.post("Certificates/Analyze", {"Certificate": text, "Password": ""})
        (details,) = response.json()
        assert details["IssuedDN"] == "CN=somebody"
        assert details["NotAfter"] == "2026-06-10T12:00:00Z"
        assert details["IsEndEntity"] is True
    assert not Certificate.objects.exists()


@pytest.mark.parametrize(
    "text",
    ["", "AAAA", "no base64!", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"],
)
def test_what_is_no_certificate_is_refused(admin: Caller, text: str) -> None:
    response = admin.post("Certificates/Analyze", {"Certificate": text})
    refused(response, 400, "certificate_unreadable")


def test_what_lies_outside_a_roles_groups_does_not_exist(held: dict[str, Certificate]) -> None:
    alpha, beta = held["alpha"], held["beta"]
    assert alpha.orchestrator is not None
    berlin = group("Berlin", alpha.orchestrator)
    scoped = role("Berlin", ROLES["Administrator"], only_groups=[berlin])
    bea = Caller({"Authorization": basic(user("bea", scoped).username, rows.PASSWORD)})
    assert ids(bea.get("Certificates")) == [alpha.pk]
    refused(bea.get(f"Certificates/{beta.pk}"), 404, "certificate_unknown")
    refused(bea.get(f"Certificates/{beta.pk}/History"), 404, "certificate_unknown")
    both = {"CertificateIds": [alpha.pk, beta.pk], "Comment": "x"}
    refused(bea.post("Certificates/Revoke", both), 400, "certificate_unknown")
    refused(bea.post("Certificates/Download", {"CertID": beta.pk}), 404, "certificate_unknown")
    named = {"Query": "IssuedCN -contains example", "Comment": "x"}
    assert bea.post("Certificates/RevokeAll", named).json()["RevokedIds"] == [alpha.pk]


def test_who_may_only_look_revokes_nothing(held: dict[str, Certificate]) -> None:
    reader = caller_with("Read only")
    body = {"CertificateIds": [held["alpha"].pk], "Comment": "x"}
    answer = refused(reader.post("Certificates/Revoke", body), 403, "permission_missing")
    assert "/certificates/collections/revoke/" in answer["Message"]
    only = role("Revokers", [Permission.CERTIFICATES_REVOKE])
    blind = Caller({"Authorization": basic(user("rob", only).username, rows.PASSWORD)})
    refused(blind.post("Certificates/Revoke", body), 403, "permission_missing")
    assert not Revocation.objects.exists()
