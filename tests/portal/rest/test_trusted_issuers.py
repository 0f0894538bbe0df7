"""Trusted issuers and bootstrap credentials over the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from orchestrators import credentials
from orchestrators.models import BootstrapCredential
from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry
from renewal.models import TrustAnchor
from tests import pki
from tests.portal.access.conftest import role, user
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
DRY = {"dry_run": "true"}
PEM = pki.pem(pki.root(), "CERTIFICATE")
LEAF = pki.pem(pki.certificate(), "CERTIFICATE")


def test_an_issuer_is_trusted_listed_and_removed(admin: Caller) -> None:
    body = {"Certificate": PEM, "Name": "Plant CA", "Intermediate": False}
    (foreseen, *_) = admin.post("TrustedIssuers", body, query=DRY).json()["Changes"]
    assert foreseen["Action"] == "trust_anchor_added"
    assert not TrustAnchor.objects.exists()
    made = admin.post("TrustedIssuers", body).json()
    assert (made["Name"], made["Trusted"], made["Intermediate"]) == ("Plant CA", True, False)
    assert admin.post("TrustedIssuers", body).json() == made
    (again,) = admin.post("TrustedIssuers", body, query=DRY).json()["Changes"]
    assert (again["Id"], again["Outcome"]) == (str(made["Id"]), "unchanged")
    for other in ({"Intermediate": True}, {"Name": "Another"}):
        refused(admin.post("TrustedIssuers", {**body, **other}), 400, "value_invalid")
    assert AuditEntry.objects.filter(action="trust_anchor_added").count() == 1
    path = f"TrustedIssuers/{made['Id']}"
    query = {"QueryString": f"Fingerprint -eq {made['Fingerprint']}"}
    first = admin.get(path)
    assert admin.get("TrustedIssuers", query=query).json() == [first.json()] == [made]
    refused(admin.send("DELETE", path, headers={"If-Match": '"x"'}), 412, "precondition_failed")
    removed = admin.send("DELETE", path, headers={"If-Match": first["ETag"]})
    assert (removed.status_code, admin.get(path).json()) == (204, {**made, "Trusted": False})
    refused(admin.get("TrustedIssuers/4040404"), 404, "issuer_unknown")


@pytest.mark.parametrize(
    "body",
    [
        {"Certificate": "nonsense"},
        {"Certificate": "x" * 70_000},
        {"Certificate": 1},
        {"Certificate": "LEAF"},
        {"Certificate": "PEM", "Name": "x" * 201},
        {"Certificate": "PEM", "Name": "a\r\nb\u202e"},
        {"Certificate": "PEM", "Intermediate": "yes"},
    ],
)
def test_what_cannot_be_trusted_is_refused(admin: Caller, body: dict[str, object]) -> None:
    words = {"LEAF": LEAF, "PEM": PEM}
    certificate = body["Certificate"]
    sent = {**body, "Certificate": words.get(str(certificate), certificate)}
    refused(admin.post("TrustedIssuers", sent), 400, "value_invalid")
    assert not TrustAnchor.objects.exists()


def test_a_credential_is_made_with_its_secret_shown_once_and_revoked(admin: Caller) -> None:
    assert admin.post("BootstrapCredentials", {"Name": "new"}, query=DRY).json()["Changes"]
    assert not BootstrapCredential.objects.exists()
    once = {"Idempotency-Key": "k"}
    answer = admin.post("BootstrapCredentials", {"Name": "new"}, headers=once)
    refused(answer, 400, "header_invalid")
    made = admin.post("BootstrapCredentials", {"Name": "new", "Days": 3}).json()
    secret = made.pop("Secret")
    row = credentials.find_basic("new", secret)
    assert row is not None
    assert row.one_time
    assert timedelta(days=2) < row.expires_at - timezone.now() <= timedelta(days=3)
    path = f"BootstrapCredentials/{made['Id']}"
    assert admin.get("BootstrapCredentials").json() == [admin.get(path).json()] == [made]
    assert secret not in str(list(AuditEntry.objects.values()))
    for body in ({"Name": "new"}, {"Name": "a:b"}, {"Name": "b", "Days": 91}):
        refused(admin.post("BootstrapCredentials", body), 400, "value_invalid")
    tag = admin.get(path)["ETag"]
    assert admin.send("DELETE", path, headers={"If-Match": tag}).status_code == 204
    assert admin.get(path).json() == {**made, "State": "Revoked"}
    assert credentials.refused_for(BootstrapCredential.objects.get(), None, now=timezone.now())
    (still,) = admin.send("DELETE", path, query=DRY).json()["Changes"]
    assert (still["Id"], still["Outcome"]) == (str(made["Id"]), "unchanged")
    refused(admin.get("BootstrapCredentials/4040404"), 404, "credential_unknown")


def test_whose_roles_are_limited_makes_no_credential(admin: Caller) -> None:
    lets = [Permission.AGENTS_READ, Permission.AGENTS_APPROVE]
    lea = user("lea", role("Site", lets, only_labels=[("site", "b")]))
    for caller in (Caller({"Authorization": basic(lea.username)}), caller_with("Operator")):
        for method in ("GET", "POST"):
            answer = caller.send(method, "BootstrapCredentials", {"Name": "x"})
            refused(answer, 403, "permission_missing")
    assert not BootstrapCredential.objects.exists()
