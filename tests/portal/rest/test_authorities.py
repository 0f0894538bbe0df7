"""The endpoints under /CertificateAuthority and /Templates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.utils import timezone
from pytest_django import Settings

from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal import crl, operator_requests, templates
from renewal.ca.base import CAMisconfigured
from renewal.ca.local import LocalCA
from renewal.models import CertificateAuthority, RevocationList, Template
from tests import pki
from tests.portal.access.conftest import TESTER, user
from tests.portal.rest.conftest import Caller, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path)
    return tmp_path


class TestAuthorities:
    def test_they_are_listed_and_shown_without_secrets(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        (shown,) = admin.get("CertificateAuthority", query={"pq.returnLimit": "10"}).json()
        assert (shown["LogicalName"], shown["Type"], shown["Enabled"]) == ("Test CA", "local", True)
        assert "directory" in shown["Options"]
        assert "passphrase" not in shown["Options"]
        assert "not a secret" not in str(shown)
        assert admin.get(f"CertificateAuthority/{portal_ca.pk}").json() == shown
        for number in ("404", "x", "9" * 30):
            refused(admin.get(f"CertificateAuthority/{number}"), 404, "authority_unknown")

    def test_a_local_one_is_made_and_issues(self, admin: Caller, data_dir: Path) -> None:
        body = {"LogicalName": "Branch CA", "HoldSeconds": 10, "AllowedRequesters": ["ada"]}
        made = admin.post("CertificateAuthority", body)
        assert made.status_code == 200, made.content
        shown = made.json()
        assert (shown["Type"], shown["HoldSeconds"]) == ("local", 10)
        assert shown["AllowedRequesters"] == ["ada"]
        row = CertificateAuthority.objects.get(pk=shown["Id"])
        assert str(data_dir) in row.options["directory"]
        added = AuditEntry.objects.get(action="authority_added", actor_name="ada")
        assert added.after["allowed_requesters"] == ["ada"]
        template, _ = templates.save_template(
            "T", templates.Contents(), actor=TESTER, now=timezone.now()
        )
        order = operator_requests.Order(pki.pem(pki.csr("CN=a")), row, template)
        enrollment, _ = operator_requests.enroll(order, actor=TESTER, now=timezone.now())
        assert enrollment.certificate is not None

    def test_a_local_one_whose_making_broke_off_is_made_by_the_next_change(
        self, admin: Caller, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(LocalCA, "create", Mock(side_effect=CAMisconfigured("the disk is full")))
            refused(
                admin.post("CertificateAuthority", {"LogicalName": "Own CA"}),
                400,
                "authority_invalid",
            )
            row = CertificateAuthority.objects.get()
            change = {"Id": row.pk, "LogicalName": "Own CA", "HoldSeconds": 9}
            for _ in range(2):
                again = admin.send("PUT", "CertificateAuthority", change)
                refused(again, 400, "authority_invalid")
        change["HoldSeconds"] = 7

        dry = admin.send("PUT", "CertificateAuthority", change, query={"dry_run": "true"})
        assert [ask["Call"] for ask in dry.json()["Asks"]][:1] == ["make_keys"]
        made = admin.send("PUT", "CertificateAuthority", change).json()
        assert (made["Enabled"], made["HoldSeconds"]) == (True, 7)
        assert RevocationList.objects.filter(authority=row).exists()

    def test_what_get_answers_may_be_sent_back(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        shown = admin.get(f"CertificateAuthority/{portal_ca.pk}").json()
        changed = {**shown, "HoldSeconds": 7}
        assert admin.send("PUT", "CertificateAuthority", changed).json() == changed
        for member, value in (
            ("KeyRetention", 1),
            ("CAType", 0),
            ("TestedAt", "2026-05-01T00:00:00Z"),
        ):
            body = {**changed, member: value}
            refused(admin.send("PUT", "CertificateAuthority", body), 400, "value_invalid")

    def test_one_is_changed_and_what_is_left_out_stays(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        shown = admin.get(f"CertificateAuthority/{portal_ca.pk}").json()
        body = {
            "Id": portal_ca.pk,
            "LogicalName": "Test CA",
            "Enabled": False,
            "Options": shown["Options"],
        }
        changed = admin.send("PUT", "CertificateAuthority", body).json()
        assert changed == {**shown, "Enabled": False}
        assert AuditEntry.objects.filter(action="authority_changed", actor_name="ada").count() == 1
        again = admin.send("PUT", "CertificateAuthority", {**body, "Enabled": True}).json()
        assert again == shown

    def test_a_change_and_who_may_ask_are_one_act(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        body = {"Id": portal_ca.pk, "LogicalName": "Test CA", "HoldSeconds": 7}
        rows = AuditEntry.objects.filter(object_type="authority", actor_name="ada")
        nobody = {**body, "AllowedRequesters": ["ada", "nobody"]}
        refused(admin.send("PUT", "CertificateAuthority", nobody), 400, "value_invalid")
        assert not rows.exists()
        changed = admin.send("PUT", "CertificateAuthority", {**body, "AllowedRequesters": ["ada"]})
        assert (changed.json()["HoldSeconds"], changed.json()["AllowedRequesters"]) == (7, ["ada"])
        row = rows.get()
        assert (row.before["allowed_requesters"], row.after["allowed_requesters"]) == ([], ["ada"])
        version = CertificateAuthority.objects.get().version
        everybody = {**body, "UseAllowedRequesters": False}
        assert (
            admin.send("PUT", "CertificateAuthority", everybody).json()["AllowedRequesters"] == []
        )
        assert rows.count() == 2
        # No worker loads its signer again for that.
        assert CertificateAuthority.objects.get().version == version

    def test_one_that_is_being_made_is_asked_by_nobody_else(
        self, admin: Caller, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            LocalCA, "create", Mock(side_effect=CAMisconfigured("the disk is full"))
        )
        body = {"LogicalName": "Own CA", "AllowedRequesters": ["ada"]}
        refused(admin.post("CertificateAuthority", body), 400, "authority_invalid")
        row = CertificateAuthority.objects.get()
        assert not row.enabled
        assert [user.username for user in row.allowed_requesters.all()] == ["ada"]

    def test_one_whose_first_list_cannot_be_signed_yet_is_made(
        self, admin: Caller, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LocalCA, "publish_crl", Mock(side_effect=OSError("the disk is full")))
        made = admin.post("CertificateAuthority", {"LogicalName": "Own CA"})
        assert (made.status_code, made.json()["Enabled"]) == (200, True)
        assert crl.due(now=timezone.now()) == [made.json()["Id"]]

    REFUSED: dict[str, tuple[dict[str, Any], str]] = {
        "a folder of the host": (
            {"Options": {"directory": "/etc", "passphrase": "x"}},
            "authority_invalid",
        ),
        "an option that there is not": ({"Options": {"speed": 9}}, "authority_invalid"),
        "a type that there is not": ({"Type": "acme"}, "authority_invalid"),
        "a hold beyond the proxy": ({"HoldSeconds": 301}, "authority_invalid"),
        "a negative hold": ({"HoldSeconds": -1}, "authority_invalid"),
        "a name for an address": ({"LogicalName": "a/b"}, "authority_invalid"),
        "no name": ({"LogicalName": " "}, "authority_invalid"),
        "the name of another": ({"LogicalName": "Test CA"}, "name_taken"),
        "a requester who is nobody": ({"AllowedRequesters": ["nobody"]}, "value_invalid"),
        "an Id of one's own": ({"Id": 7}, "value_invalid"),
        "a member that is only read": ({"LastError": "x"}, "value_invalid"),
    }

    @pytest.mark.parametrize(("change", "code"), REFUSED.values(), ids=REFUSED.keys())
    def test_a_wrong_one_is_refused(
        self,
        admin: Caller,
        portal_ca: CertificateAuthority,
        data_dir: Path,
        change: dict[str, Any],
        code: str,
    ) -> None:
        body = {"LogicalName": "Other CA", **change}
        refused(admin.post("CertificateAuthority", body), 400, code)
        assert CertificateAuthority.objects.count() == 1

    def test_a_name_stays_and_a_stranger_is_not_changed(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        renamed = {"Id": portal_ca.pk, "LogicalName": "Other"}
        refused(admin.send("PUT", "CertificateAuthority", renamed), 400, "authority_invalid")
        unknown = {"Id": 404, "LogicalName": "Test CA"}
        refused(admin.send("PUT", "CertificateAuthority", unknown), 400, "authority_unknown")

    def test_one_is_tried(self, admin: Caller, portal_ca: CertificateAuthority) -> None:
        for body in ({"Id": portal_ca.pk}, {"LogicalName": "Test CA"}):
            answer = admin.post("CertificateAuthority/Test", body).json()
            assert answer["Success"] is True, answer
        assert AuditEntry.objects.filter(action="authority_tested").count() == 2
        refused(admin.post("CertificateAuthority/Test", {}), 400, "authority_unknown")

    def test_a_list_is_published(self, admin: Caller, portal_ca: CertificateAuthority) -> None:
        body = {
            "CertificateAuthorityLogicalName": "Test CA",
            "CertificateAuthorityHostName": "ca.example.com",
        }
        response = admin.post("CertificateAuthority/PublishCRL", body)
        assert (response.status_code, response.content) == (204, b"")
        assert RevocationList.objects.get().number == 1
        assert AuditEntry.objects.filter(action="crl_published", actor_name="ada").exists()
        other = {"CertificateAuthorityLogicalName": "Other"}
        refused(admin.post("CertificateAuthority/PublishCRL", other), 400, "authority_unknown")

    def test_one_goes_when_nothing_needs_it(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        path = f"CertificateAuthority/{portal_ca.pk}"
        name = "CertificateAuthorityForSubmittedCSRs"
        store.change(name, "Test CA", actor=TESTER, now=timezone.now())
        refused(admin.send("DELETE", path), 400, "in_use")
        store.change(name, "", actor=TESTER, now=timezone.now())
        assert admin.send("DELETE", path).status_code == 204
        assert not CertificateAuthority.objects.exists()
        assert AuditEntry.objects.filter(action="authority_removed", actor_name="ada").exists()

    def test_one_that_issued_stays(self, admin: Caller, portal_ca: CertificateAuthority) -> None:
        order = operator_requests.Order(
            pki.pem(pki.csr("CN=a")), portal_ca, Template.objects.get(name="Orchestrator")
        )
        operator_requests.enroll(order, actor=TESTER, now=timezone.now())
        response = admin.send("DELETE", f"CertificateAuthority/{portal_ca.pk}")
        assert "certificates" in refused(response, 400, "in_use")["Message"]

    def test_who_may_only_look_changes_nothing(self, portal_ca: CertificateAuthority) -> None:
        operator = caller_with("Operator")
        assert operator.get("CertificateAuthority").status_code == 200
        for method, path, body in (
            ("POST", "CertificateAuthority", {"LogicalName": "x"}),
            ("PUT", "CertificateAuthority", {"Id": portal_ca.pk, "LogicalName": "Test CA"}),
            ("DELETE", f"CertificateAuthority/{portal_ca.pk}", None),
            ("POST", "CertificateAuthority/Test", {"Id": portal_ca.pk}),
            ("POST", "CertificateAuthority/PublishCRL", {}),
            ("POST", "Templates", {}),
            ("PUT", "Templates", {}),
        ):
            refused(operator.send(method, path, body), 403, "permission_missing")


class TestTemplates:
    def test_they_are_listed_and_shown(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        query = {"sq.queryString": 'TemplateName -eq "orchestrator"', "sq.sortField": "CommonName"}
        (shown,) = admin.get("Templates", query=query).json()
        assert (shown["CommonName"], shown["KeyType"], shown["Curve"]) == (
            "Orchestrator",
            "ECC",
            "P256",
        )
        assert {"Oid": "1.3.6.1.5.5.7.3.2", "DisplayName": "clientAuth"} in shown[
            "ExtendedKeyUsages"
        ]
        assert admin.get(f"Templates/{shown['Id']}").json() == shown
        refused(admin.get("Templates/404404"), 404, "template_unknown")

    def test_one_is_made_and_changed(self, admin: Caller) -> None:
        user("olaf")
        body = {"TemplateName": "Short", "ValiditySeconds": 7 * 86400, "KeyTypes": ["RSA-3072"]}
        made = admin.post("Templates", body).json()
        assert (made["ValiditySeconds"], made["KeySize"]) == (7 * 86400, "3072")
        change = {"Id": made["Id"], "NamesPolicy": "portal", "AllowedRequesters": ["olaf"]}
        changed = admin.send("PUT", "Templates", change).json()
        assert changed == {
            **made,
            "NamesPolicy": "portal",
            "UseAllowedRequesters": True,
            "AllowedRequesters": ["olaf"],
        }
        everybody = {"Id": made["Id"], "UseAllowedRequesters": False}
        assert admin.send("PUT", "Templates", everybody).json()["AllowedRequesters"] == []
        actions = AuditEntry.objects.filter(object_type="template", actor_name="ada")
        assert sorted(actions.values_list("action", flat=True)) == [
            "template_added",
            "template_changed",
            "template_changed",
        ]

    REFUSED: dict[str, tuple[dict[str, Any], str]] = {
        "no name": ({"TemplateName": ""}, "value_invalid"),
        "a key type that there is not": ({"KeyTypes": ["RSA-1024"]}, "template_invalid"),
        "no key type": ({"KeyTypes": []}, "template_invalid"),
        "a second": ({"ValiditySeconds": 1}, "template_invalid"),
        "for ever": ({"ValiditySeconds": 2**62}, "template_invalid"),
        "no clientAuth": ({"ExtendedKeyUsages": ["serverAuth"]}, "template_invalid"),
        "a policy that there is not": ({"NamesPolicy": "any"}, "template_invalid"),
        "a pattern that is none": ({"NamePatterns": ["x"]}, "template_invalid"),
        "a requester who is nobody": ({"AllowedRequesters": ["nobody"]}, "value_invalid"),
    }

    @pytest.mark.parametrize(("change", "code"), REFUSED.values(), ids=REFUSED.keys())
    def test_a_wrong_one_is_refused(self, admin: Caller, change: dict[str, Any], code: str) -> None:
        before = Template.objects.count()
        refused(admin.post("Templates", {"TemplateName": "Other", **change}), 400, code)
        assert Template.objects.count() == before

    def test_a_name_stays(self, admin: Caller, portal_ca: CertificateAuthority) -> None:
        row = Template.objects.get(name="Orchestrator")
        refused(admin.post("Templates", {"TemplateName": row.name}), 400, "name_taken")
        renamed = {"Id": row.pk, "TemplateName": "Other"}
        refused(admin.send("PUT", "Templates", renamed), 400, "template_invalid")
        refused(admin.send("PUT", "Templates", {"Id": 404404}), 400, "template_unknown")

    def test_what_get_answers_may_be_sent_back(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        shown = admin.get(f"Templates/{Template.objects.get().pk}").json()
        changed = {**shown, "ValiditySeconds": 86400}
        assert admin.send("PUT", "Templates", changed).json() == changed
        for member, value in (("KeyRetention", 1), ("TemplateRegexes", [{"Regex": "a"}])):
            refused(admin.send("PUT", "Templates", {**shown, member: value}), 400, "value_invalid")

    def test_keys_are_set_by_a_policy_as_existing_clients_do(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        row = Template.objects.get()
        body = {"Id": row.pk, "KeyTypes": ["EC-P256", "Ed25519"]}
        admin.send("PUT", "Templates", body)
        policy = {"RSAValidKeySizes": [4096], "ECCValidCurves": ["1.3.132.0.34", "P-521"]}
        shown = admin.send("PUT", "Templates", {"Id": row.pk, "TemplatePolicy": policy}).json()
        assert shown["KeyTypes"] == ["EC-P384", "EC-P521", "RSA-4096", "Ed25519"]
        assert shown["TemplatePolicy"]["ECCValidCurves"] == ["1.3.132.0.34", "1.3.132.0.35"]
        for wrong, code in (
            ({"TemplatePolicy": {"ECCValidCurves": ["P-224"]}}, "value_invalid"),
            ({"TemplatePolicy": {"RSAValidKeySizes": [1024]}}, "template_invalid"),
            ({"TemplatePolicy": {"AllowKeyReuse": True}}, "value_invalid"),
            ({"TemplatePolicy": policy, "KeyTypes": ["RSA-2048"]}, None),
        ):
            answer = admin.send("PUT", "Templates", {"Id": row.pk, **wrong})
            if code is None:
                assert answer.json()["KeyTypes"] == ["RSA-2048"]
            else:
                refused(answer, 400, code)

    def test_there_is_no_other_tenant_to_import_from(
        self, admin: Caller, portal_ca: CertificateAuthority
    ) -> None:
        tenant = admin.get("Templates").json()[0]["ConfigurationTenant"]
        for body in ({"ConfigurationTenant": tenant}, {}):
            answer = admin.post("Templates/Import", body)
            assert (answer.status_code, answer.content) == (204, b"")
        other = admin.post("Templates/Import", {"ConfigurationTenant": "corp.example"})
        assert "POST /Templates" in refused(other, 400, "value_invalid")["Message"]
        refused(admin.post("Templates/Import", {"Forest": ""}), 400, "member_unknown")
        assert Template.objects.count() == 1

    def test_what_holds_for_all_is_read_and_only_taken_back(self, admin: Caller) -> None:
        shown = admin.get("Templates/Settings").json()
        assert shown["TemplatePolicy"]["RSAValidKeySizes"] == [2048, 3072, 4096]
        assert admin.send("PUT", "Templates/Settings", shown).json() == shown
        body = {"TemplatePolicy": {"AllowKeyReuse": True}}
        refused(admin.send("PUT", "Templates/Settings", body), 400, "value_invalid")
        assert {"SubjectPart": "CN", "SubjectPartName": "Common Name"} in admin.get(
            "Templates/SubjectParts"
        ).json()
