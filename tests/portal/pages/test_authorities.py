"""Certificate authorities and templates in the pages: added, tested, changed, switched, removed."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from django.test import Client
from django.utils import timezone

from portal.access.catalogue import ROLES
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal import authorities, issuers, templates
from renewal.ca.base import (
    CAMisconfigured,
    CAUnavailable,
    Health,
    Issued,
    IssueRequest,
    Option,
    RevokeRequest,
    RevokeResult,
    check_options,
    secret_names,
)
from renewal.ca.local import LocalCA
from renewal.group_issuance import set_issuance
from renewal.models import CertificateAuthority, RevocationList, Template, TrustAnchor
from tests import pki
from tests.portal.access.conftest import group, page_of, role, user
from tests.portal.pages import fleet as rows

SECRET = "a token that nobody sees"
ACME = {"type": "acme", "name": "Company PKI", "hold_seconds": "25", "option-url": "https://pki"}
TEMPLATE = {
    "name": "Machines",
    "key_types": ["EC-P256", "RSA-3072"],
    "validity": "90",
    "validity_unit": "86400",
    "names_policy": "match",
    "backdate_seconds": "60",
}


class AcmeCA:
    """A company's PKI behind a gateway.

    What it answers stands in its address.
    """

    answers_at_once: ClassVar[bool] = False
    options_schema: ClassVar[tuple[Option, ...]] = (
        Option("url", "address of the gateway", is_required=True, gets_secrets=True),
        Option("token", "what the gateway issued", is_required=True, is_secret=True),
        Option("profile", "profile of the PKI", choices=("machines", "devices")),
        Option("timeout", "seconds to wait", kind=int, default=30),
        Option("verify", "check the gateway's certificate", kind=bool, default=True),
    )
    secret_options: ClassVar[frozenset[str]] = secret_names(options_schema)

    def __init__(self, options: Mapping[str, object]) -> None:
        self.options = options

    @classmethod
    def validate_options(cls, options: Mapping[str, object]) -> None:
        check_options(cls.options_schema, options)
        if "unforeseen" in str(options["url"]):
            raise KeyError(options["token"])
        if not str(options["url"]).startswith("https://"):
            raise CAMisconfigured("option 'url' must begin with https://")

    def issue(self, request: IssueRequest) -> Issued:
        raise CAUnavailable("not today")

    def revoke(self, request: RevokeRequest) -> RevokeResult:
        raise CAUnavailable("not today")

    def trust_anchors(self) -> tuple[bytes, ...]:
        self._answer()
        return (pki.root(),)

    def health(self, now: object) -> Health:
        self._answer()
        known = self.options["token"] == SECRET
        return Health(known, "It knows the token." if known else "It does not know the token.")

    def _answer(self) -> None:
        if "down" in str(self.options["url"]):
            raise CAUnavailable("nobody answers")
        if "broken" in str(self.options["url"]):
            raise RuntimeError(SECRET)


@pytest.fixture(autouse=True)
def portal(db: None, settings: Any, tmp_path: Path) -> None:
    own = {"acme": f"{__name__}.AcmeCA", "lost": "no.such.Class"}
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path, ca_types=own)


def sent(form: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A form as a browser sends it: with the names of its options."""
    given = {**form, **more}
    options = [name.removeprefix("option-") for name in given if name.startswith("option-")]
    return {**given, "options": options}


def acme(admin: Client, **more: str) -> CertificateAuthority:
    response = admin.post("/authorities/add", sent(ACME, **{"option-token": SECRET}, **more))
    assert response.status_code == 302, response.content.decode()
    return CertificateAuthority.objects.get(name="Company PKI")


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def revision_in(client: Client, path: str) -> str:
    found = re.search(r'name="revision" value="(\w+)"', client.get(path).content.decode())
    assert found
    return found[1]


# --- adding ---------------------------------------------------------------------------------


def test_a_newcomer_gets_from_the_dashboard_to_a_ca_that_tests_green(admin: Client) -> None:
    def next_step() -> str:
        return next(s.url for s in admin.get("/").context["steps"] if not s.done)

    assert next_step() == "/authorities/add"
    assert "?type=local" in admin.get("/authorities/add").content.decode()
    form = admin.get("/authorities/add?type=local").context["form"]
    assert [field.name for field in form.first] == ["name", "key_type"]
    local = {"type": "local", "name": "Fleet CA", "key_type": "EC-P256", "hold_seconds": "25"}
    added = admin.post("/authorities/add", {**local, "trust": "on"}, follow=True)
    row = CertificateAuthority.objects.get()
    assert (row.enabled, row.test_passed) == (True, True)
    assert TrustAnchor.objects.filter(is_intermediate=False).count() == 1
    assert RevocationList.objects.filter(authority=row).exists()
    shown = added.content.decode()
    assert "passed its test" in shown
    assert "What is next" in shown
    assert issuers.open_secrets(row.encrypted_secrets)["passphrase"] not in shown
    assert next_step() == "/templates/add"
    made = admin.post("/templates/add", TEMPLATE)
    assert made["Location"] == f"/templates/{Template.objects.get().pk}"
    assert next_step() == "/settings/CertificateAuthorityForSubmittedCSRs"
    for setting, page in (
        ("CertificateAuthorityForSubmittedCSRs", f"/authorities/{row.pk}"),
        ("TemplateForSubmittedCSRs", made["Location"]),
    ):
        (name,) = re.findall(r'name="value" value="([^"]+)"', admin.get(page).content.decode())
        chosen = admin.post(f"/settings/{setting}", {"value": name, "next": page})
        assert chosen["Location"] == page
    assert next_step() == "/orchestrators/add"


def test_without_a_ca_who_may_not_add_one_is_told_what_that_needs(as_role: Any) -> None:
    reader = as_role("Read only")
    assert "/certificate_authorities/modify/" in text_of(reader, "/authorities")
    assert reader.get("/").context["steps"][0].url == "/authorities"


def test_a_type_of_the_deployments_own_asks_for_its_options_alone(admin: Client) -> None:
    choice = text_of(admin, "/authorities/add")
    assert "A company's PKI behind a gateway." in choice.replace("&#x27;", "'")
    assert "no.such.Class" in choice or "cannot be loaded" in choice
    page = admin.get("/authorities/add?type=acme")
    form = page.context["form"]
    assert [f.name for f in form.first] == ["name", "option-url", "option-token"]
    assert {"key_type", "option-directory"} & set(form.fields) == set()
    assert admin.get("/authorities/add?type=lost").status_code == 400
    assert admin.get("/authorities/add?type=nothing").status_code == 400


def test_a_secret_goes_in_and_never_comes_out(admin: Client) -> None:
    row = acme(admin, **{"option-timeout": "5", "option-profile": "devices"})
    assert row.options == {
        "url": "https://pki", "timeout": 5, "profile": "devices", "verify": False
    }  # fmt: skip
    assert issuers.open_secrets(row.encrypted_secrets) == {"token": SECRET}
    for path in (f"/authorities/{row.pk}", f"/authorities/{row.pk}/edit", "/authorities", "/audit"):
        assert SECRET not in admin.get(path).content.decode()
    tried = admin.post("/authorities/add", sent(ACME, **{"option-token": SECRET}, trial="1"))
    assert SECRET not in tried.content.decode()
    assert "stored, never shown" in text_of(admin, f"/authorities/{row.pk}")
    assert not AuditEntry.objects.filter(after__icontains=SECRET).exists()


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"name": ""}, "id_name", "required"),
        ({"name": "a/b"}, "id_name", "no slash"),
        ({"name": "x" * 101}, "id_name", "at most 100"),
        ({"name": "a\u202eb"}, "id_name", "printable"),
        ({"hold_seconds": "301"}, "id_hold_seconds", "less than or equal to 300"),
        ({"hold_seconds": "-1"}, "id_hold_seconds", "greater than or equal to 0"),
        ({"hold_seconds": ""}, "id_hold_seconds", "required"),
        ({"requesters": "nobody-of-this-name"}, "id_requesters", "There is no user"),
        ({"option-url": "http://pki"}, "id_option-url", "must begin with https://"),
        ({"option-url": ""}, "id_option-url", "required"),
        ({"option-token": ""}, "id_option-token", "required"),
        ({"option-timeout": "soon"}, "id_option-timeout", "whole number"),
        ({"option-profile": "mine"}, "id_option-profile", "not one of the available"),
    ],
)
def test_what_a_ca_cannot_be_is_refused_where_it_was_typed(
    admin: Client, more: dict[str, str], field: str, said: str
) -> None:
    response = admin.post("/authorities/add", sent(ACME, **{"option-token": SECRET, **more}))
    text = response.content.decode()
    assert response.status_code == 400
    assert f'id="{field}_error"' in text
    assert said in text
    assert not CertificateAuthority.objects.exists()


def test_a_type_whose_code_fails_is_named_and_nothing_is_saved(
    admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    row = acme(admin)
    revision = revision_in(admin, f"/authorities/{row.pk}/edit")
    bad = {"option-url": "https://unforeseen.example", "option-token": SECRET}
    added = admin.post("/authorities/add", sent(ACME, name="Other", **bad))
    form = {"type": "acme", "hold_seconds": "25", "revision": revision}
    changed = admin.post(f"/authorities/{row.pk}/edit", sent(form, **bad))
    for refused in (added, changed):
        assert refused.status_code == 400
        text = html.unescape(refused.content.decode())
        assert "The code of CA type 'acme' failed to judge its options (KeyError)" in text
        assert SECRET not in text
    assert "validate_options of CA type 'acme' failed with KeyError" in caplog.text
    assert 'raise KeyError(options["token"])' in caplog.text
    assert SECRET not in caplog.text
    row.refresh_from_db()
    assert row.options["url"] == ACME["option-url"]
    assert CertificateAuthority.objects.count() == 1


@pytest.mark.parametrize(
    "more",
    [
        {"option-directory": "/etc"},
        {"type": "local", "option-directory": "/etc"},
        {"type": "local", "option-passphrase": "x"},
        {"key_type": "EC-P256"},
        {"type": ""},
        {"type": "lost"},
    ],
)
def test_a_form_that_the_type_does_not_have_is_refused_whole(
    admin: Client, more: dict[str, str]
) -> None:
    form = sent(ACME, **{"option-token": SECRET}, **more)
    assert admin.post("/authorities/add", form).status_code == 400
    assert not CertificateAuthority.objects.exists()


def test_a_name_that_is_taken_changes_nothing_of_the_ca_that_has_it(admin: Client) -> None:
    row = acme(admin)
    again = sent(ACME, **{"option-token": "another", "option-url": "https://other"})
    assert admin.post("/authorities/add", again).status_code == 400
    assert CertificateAuthority.objects.get().encrypted_secrets == row.encrypted_secrets


def test_trust_needs_its_own_permission(admin: Client) -> None:
    maker = page_of(user("maker", role("Makers", ROLES["Read only"] | {"authorities_modify"})))
    form = sent(ACME, **{"option-token": SECRET})
    assert maker.post("/authorities/add", {**form, "trust": "on"}).status_code == 400
    assert maker.post("/authorities/add", form).status_code == 302
    row = CertificateAuthority.objects.get()
    assert maker.post(f"/authorities/{row.pk}/trust").status_code == 403
    assert not TrustAnchor.objects.exists()
    admin.post(f"/authorities/{row.pk}/trust")
    assert TrustAnchor.objects.get().name == "Company PKI root"


def test_keys_that_cannot_be_made_leave_a_ca_to_be_finished(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = {"type": "local", "name": "Fleet CA", "key_type": "RSA-2048", "hold_seconds": "9"}
    with monkeypatch.context() as broken:
        broken.setattr(LocalCA, "create", Mock(side_effect=CAMisconfigured("the disk is full")))
        failed = admin.post("/authorities/add", local, follow=True)
    row = CertificateAuthority.objects.get()
    assert failed.redirect_chain == [(f"/authorities/{row.pk}", 302)]
    assert "the disk is full" in failed.content.decode()
    assert "Unfinished" in failed.content.decode()
    form = {"enabled": "true", "revision": issuers.revision(row)}
    finished = admin.post(f"/authorities/{row.pk}/switch", form, follow=True)
    assert "passed its test" in finished.content.decode()
    row.refresh_from_db()
    assert (row.enabled, row.hold_seconds) == (True, 9)


# --- testing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        ("https://pki", SECRET, "It knows the token."),
        ("https://pki", "wrong", "It does not know the token."),
        ("https://down", SECRET, "nobody answers"),
        ("https://broken", SECRET, "code failed: RuntimeError"),
        ("http://pki", SECRET, "must begin with https://"),
    ],
)
def test_a_connection_is_tried_before_it_is_saved_and_nothing_is_kept(
    admin: Client, url: str, token: str, said: str
) -> None:
    form = sent(ACME, **{"option-url": url, "option-token": token}, trial="1")
    response = admin.post("/authorities/add", form)
    assert response.status_code == 200
    assert said in response.content.decode()
    assert response.context["trial"].is_ok is (said == "It knows the token.")
    assert not CertificateAuthority.objects.exists()
    tried = AuditEntry.objects.get(action="authority_tried")
    assert (tried.actor_name, tried.object_name) == ("administrator", "Company PKI")
    assert SECRET not in str(tried.after)


def test_a_change_is_tried_with_the_secret_that_is_stored(admin: Client) -> None:
    row = acme(admin)
    edit = f"/authorities/{row.pk}/edit"
    form = {"type": "acme", "hold_seconds": "25", "option-url": "https://pki", "trial": "1"}
    tried = admin.post(edit, sent(form, **{"option-token": "", "option-timeout": "9"}))
    assert tried.context["trial"].is_ok
    row.refresh_from_db()
    assert "timeout" not in row.options


def test_a_stored_secret_is_sent_nowhere_else(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, asked = acme(admin), []
    monkeypatch.setattr(AcmeCA, "health", lambda self, now: asked.append(self.options))
    edit = f"/authorities/{row.pk}/edit"
    form = {
        "type": "acme", "hold_seconds": "25", "option-url": "https://mine", "option-token": "",
        "revision": revision_in(admin, edit),
    }  # fmt: skip
    tried = admin.post(edit, sent(form, trial="1"))
    assert "'token' must be given again" in tried.context["trial"].message
    saved = admin.post(edit, sent(form))
    assert saved.status_code == 400
    assert list(saved.context["form"].errors) == ["option-token"]
    row.refresh_from_db()
    assert (row.options["url"], row.test_passed, asked) == ("https://pki", True, [])


@pytest.mark.parametrize("url", ["https://down", "https://broken"])
def test_a_ca_that_does_not_answer_has_a_page_that_says_so(admin: Client, url: str) -> None:
    row = acme(admin, **{"option-url": url, "trust": "on"})
    assert row.test_passed is False
    assert not TrustAnchor.objects.exists()
    page = text_of(admin, f"/authorities/{row.pk}")
    assert "Test failed" in page
    assert "Mend the CA or its options, and test again." in page
    for act in ("test", "trust", "publish"):
        assert admin.post(f"/authorities/{row.pk}/{act}").status_code == 302
    assert "Test failed" in text_of(admin, "/authorities")


def test_a_ca_without_code_has_a_page_and_no_form(admin: Client) -> None:
    row = acme(admin)
    CertificateAuthority.objects.update(type="gone")
    assert "Type unknown" in text_of(admin, f"/authorities/{row.pk}")
    back = admin.get(f"/authorities/{row.pk}/edit", follow=True)
    assert "cannot be changed here" in back.content.decode()


# --- changing -------------------------------------------------------------------------------


def test_a_ca_is_changed_and_what_is_left_empty_stays_or_is_gone(admin: Client) -> None:
    row = acme(admin, **{"option-profile": "devices", "option-verify": "on"})
    path = f"/authorities/{row.pk}/edit"
    form = {
        "type": "acme", "hold_seconds": "40", "requesters": "orchestrators\nadministrator\n",
        "option-url": "https://pki", "option-token": "", "option-profile": "", "option-timeout": "",
        "revision": revision_in(admin, path),
    }  # fmt: skip
    assert admin.post(path, sent(form)).status_code == 302
    row.refresh_from_db()
    assert (row.options["profile"], row.hold_seconds) == ("", 40)
    assert row.options["verify"] is False
    assert issuers.open_secrets(row.encrypted_secrets) == {"token": SECRET}
    assert row.allowed_requesters.count() == 2
    form |= {"option-token": "a new one", "revision": revision_in(admin, path)}
    form["option-url"] = "https://new"
    assert admin.post(path, sent(form)).status_code == 302
    row.refresh_from_db()
    assert row.options["url"] == "https://new"
    assert issuers.open_secrets(row.encrypted_secrets) == {"token": "a new one"}
    assert row.test_passed is False


def test_of_two_who_change_a_ca_the_second_is_told_and_overwrites_nothing(admin: Client) -> None:
    row = acme(admin)
    path = f"/authorities/{row.pk}"
    seen = revision_in(admin, f"{path}/edit")
    form = {"type": "acme", "option-url": "https://pki", "option-token": "", "revision": seen}
    assert admin.post(f"{path}/edit", sent(form, hold_seconds="50")).status_code == 302
    late = admin.post(f"{path}/edit", sent(form, hold_seconds="60"))
    assert late.status_code == 400
    assert "Somebody has changed it since you opened it" in late.content.decode()
    for act, more in (("switch", {"enabled": "false"}), ("remove", {})):
        for revision in (seen, ""):
            answer = admin.post(f"{path}/{act}", {**more, "revision": revision}, follow=True)
            assert "Somebody has changed it" in answer.content.decode()
    row.refresh_from_db()
    assert (row.hold_seconds, row.enabled) == (50, True)


def test_what_is_only_seen_of_a_ca_hinders_no_change(admin: Client) -> None:
    row = acme(admin)
    seen = issuers.revision(row)
    CertificateAuthority.objects.update(
        failures_in_a_row=2, last_error="down", version=7, tested_at=timezone.now()
    )
    row.refresh_from_db()
    assert issuers.revision(row) == seen


def test_a_ca_is_disabled_after_a_question_and_enabled_again(fleet: Any, admin: Client) -> None:
    row = acme(admin)
    store.change(
        "CertificateAuthorityForSubmittedCSRs", row.name, actor=rows.ALICE, now=timezone.now()
    )
    path = f"/authorities/{row.pk}/switch"
    assert "It is chosen for submitted CSRs" in text_of(admin, path)
    assert admin.post(path, {"revision": issuers.revision(row)}).status_code == 400
    off = {"enabled": "false", "revision": revision_in(admin, path)}
    assert "is disabled" in admin.post(path, off, follow=True).content.decode()
    row.refresh_from_db()
    assert not row.enabled
    on = {"enabled": "true", "revision": revision_in(admin, f"/authorities/{row.pk}")}
    admin.post(path, on)
    row.refresh_from_db()
    assert (row.enabled, row.test_passed) == (True, True)


def test_a_ca_is_removed_only_if_nothing_needs_it(fleet: Any, admin: Client) -> None:
    needed = CertificateAuthority.objects.get(name="Portal CA")
    path = f"/authorities/{needed.pk}/remove"
    asked = text_of(admin, path)
    assert "It cannot be removed. What still needs it: certificates" in asked
    refused = admin.post(path, {"revision": issuers.revision(needed)}, follow=True)
    assert "was not removed" in refused.content.decode()
    row = acme(admin)
    path = f"/authorities/{row.pk}/remove"
    assert admin.post(path, {"revision": revision_in(admin, path)})["Location"] == "/authorities"
    assert CertificateAuthority.objects.get() == needed
    assert AuditEntry.objects.filter(action="authority_removed").exists()


def test_a_revocation_list_is_published_by_a_ca_that_signs_one(admin: Client) -> None:
    wanted = authorities.Wanted("Fleet CA", "local", {}, is_new=True)
    row, _ = authorities.create_local(wanted, actor=rows.ALICE, now=timezone.now())
    admin.post(f"/authorities/{row.pk}/publish")
    assert RevocationList.objects.get().number == 2
    assert AuditEntry.objects.get(action="crl_published").actor_name == "administrator"
    other = acme(admin)
    told = admin.post(f"/authorities/{other.pk}/publish", follow=True)
    assert "publishes its list itself" in told.content.decode()


# --- what uses it ---------------------------------------------------------------------------


def test_a_page_tells_who_chooses_it_within_the_readers_reach(fleet: rows.Fleet, now: Any) -> None:
    portal_ca = CertificateAuthority.objects.get()
    template = Template.objects.get()
    other, _ = templates.save_template("T2", templates.Contents(), actor=rows.ALICE, now=now)
    berlin, vienna = group("Berlin", fleet.calm), group("Vienna")
    set_issuance(berlin, portal_ca, other, actor=rows.ALICE)
    # Its CA is the settings'.
    set_issuance(vienna, None, other, actor=rows.ALICE)
    rows.enrollment(fleet.calm, now=now, state="waiting", last_error="not today")
    rows.enrollment(fleet.warned, now=now, state="refused", finished_at=now)
    admin = page_of(user("ada", "Administrator"))
    usage = admin.get(f"/authorities/{portal_ca.pk}").context["usage"]
    assert [
        (c.group and c.group.name, c.authority.name, c.template.name) for c in usage.choices
    ] == [
        (None, "Portal CA", "Orchestrator"),
        ("Berlin", "Portal CA", "T2"),
        ("Vienna", "Portal CA", "T2"),
    ]
    assert (usage.open.value, usage.failed.value) == (1, 1)
    page = text_of(admin, f"/authorities/{portal_ca.pk}")
    assert "app-server-01.example.com" in page
    assert "not today" in page
    assert [c.group for c in admin.get(f"/templates/{template.pk}").context["usage"].choices] == [
        None
    ]
    near = page_of(user("ben", role("Berlin", ROLES["Read only"], only_groups=[berlin])))
    for path in (f"/authorities/{portal_ca.pk}", f"/templates/{other.pk}"):
        seen = text_of(near, path)
        assert "Berlin" in seen
        assert "Vienna" not in seen
        assert "db-primary" not in seen


# --- templates ------------------------------------------------------------------------------


def test_a_template_is_added_and_changed(admin: Client) -> None:
    more = {
        "usages": ["1.3.6.1.5.5.7.3.1"],
        "other_usages": "1.2.3.4",
        "name_patterns": "dns:*.x\n",
    }
    admin.post("/templates/add", {**TEMPLATE, **more, "requesters": "orchestrators"})
    row = Template.objects.get()
    assert templates.contents_of(row) == templates.Contents(
        key_types=("EC-P256", "RSA-3072"),
        validity_seconds=90 * 86400,
        extended_key_usages=("1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "1.2.3.4"),
        name_patterns=("dns:*.x",),
    )
    path = f"/templates/{row.pk}"
    for said in ("90 days", "serverAuth", "1.2.3.4", "dns:*.x", "orchestrators"):
        assert said in text_of(admin, path)
    shown = admin.get(f"{path}/edit").context["form"].initial
    assert (shown["validity"], shown["validity_unit"]) == (90, "86400")
    form = {**TEMPLATE, "validity": "36", "validity_unit": "3600"}
    del form["name"]
    form["revision"] = revision_in(admin, f"{path}/edit")
    assert admin.post(f"{path}/edit", form).status_code == 302
    row.refresh_from_db()
    assert (row.validity_seconds, row.name_patterns) == (36 * 3600, [])
    assert not row.allowed_requesters.exists()
    late = admin.post(f"{path}/edit", {**form, "validity": "1"})
    assert late.status_code == 400
    assert "Somebody has changed it since you opened it" in late.content.decode()
    assert AuditEntry.objects.filter(action="template_changed").count() == 1


def test_a_template_is_removed_only_if_nothing_ever_used_it(
    fleet: rows.Fleet, admin: Client, now: Any
) -> None:
    used = Template.objects.get()
    page = f"/templates/{used.pk}/remove"
    assert "It cannot be removed" in text_of(admin, page)
    for needed, let_go in (
        ("the setting Template For Submitted CSRs", lambda: store.change(
            "TemplateForSubmittedCSRs", "", actor=rows.ALICE, now=now)),
        ("requests, whose history names it", None),
    ):  # fmt: skip
        refused = admin.post(page, {"revision": templates.revision(used)}, follow=True)
        assert needed in refused.content.decode()
        if let_go:
            let_go()
    assert admin.post("/templates/add", TEMPLATE).status_code == 302
    slip = Template.objects.get(name="Machines")
    page = f"/templates/{slip.pk}/remove"
    assert "Nothing uses it" in text_of(admin, page)
    late = admin.post(page, {"revision": "old"}, follow=True)
    assert "Somebody has changed it" in late.content.decode()
    gone = admin.post(page, {"revision": templates.revision(slip)}, follow=True)
    assert "The template Machines was removed" in gone.content.decode()
    assert list(Template.objects.all()) == [used]
    entry = AuditEntry.objects.get(action="template_removed")
    assert (entry.object_name, entry.before["validity_seconds"]) == ("Machines", 90 * 86400)
    assert admin.get(page).status_code == 404


def test_a_key_size_between_the_usual_ones_stays(admin: Client) -> None:
    contents = templates.Contents(key_types=("RSA-2056",))
    row, _ = templates.save_template("T", contents, actor=rows.ALICE, now=timezone.now())
    form = {**TEMPLATE, "key_types": ["RSA-2056"], "revision": templates.revision(row)}
    del form["name"]
    assert admin.post(f"/templates/{row.pk}/edit", form).status_code == 302
    row.refresh_from_db()
    assert row.key_types == ["RSA-2056"]


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"name": ""}, "id_name", "required"),
        ({"name": "a\nb"}, "id_name", ""),
        ({"key_types": []}, "id_key_types", "required"),
        ({"key_types": ["DSA"]}, "id_key_types", "not one of the available"),
        ({"validity": "0"}, "id_validity", "greater than or equal to 1"),
        ({"validity": "30", "validity_unit": "1"}, "id_validity", "a minute to 20 years"),
        ({"validity": "99999"}, "id_validity", "a minute to 20 years"),
        ({"validity_unit": "7"}, "id_validity_unit", "not one of the available"),
        ({"backdate_seconds": "86401"}, "id_backdate_seconds", "less than or equal"),
        ({"usages": ["2.5.29.37.0"]}, "id_usages", "not one of the available"),
        ({"other_usages": "2.5.29.37.0"}, "id_other_usages", "no extended key usage"),
        ({"other_usages": "serving"}, "id_other_usages", "no extended key usage"),
        ({"names_policy": "any"}, "id_names_policy", "not one of the available"),
        ({"names_policy": "open"}, "id_confirmed", "anybody"),
        ({"name_patterns": "nonsense"}, "id_name_patterns", "nonsense"),
        ({"requesters": "nobody-of-this-name"}, "id_requesters", "There is no user"),
    ],
)
def test_what_a_template_cannot_be_is_refused_where_it_was_typed(
    admin: Client, more: dict[str, Any], field: str, said: str
) -> None:
    response = admin.post("/templates/add", {**TEMPLATE, **more})
    text = response.content.decode()
    assert response.status_code == 400
    assert f'id="{field}_error"' in text
    assert said in text
    assert not Template.objects.exists()


def test_open_names_are_confirmed_once(admin: Client) -> None:
    form = {**TEMPLATE, "names_policy": "open"}
    asked = admin.post("/templates/add", form).content.decode()
    assert 'name="confirmed"' in asked
    assert 'name="confirmed"' not in admin.get("/templates/add").content.decode()
    assert admin.post("/templates/add", {**form, "confirmed": "on"}).status_code == 302
    row = Template.objects.get()
    assert "in anybody" in text_of(admin, f"/templates/{row.pk}")
    change = {**form, "validity": "30", "revision": templates.revision(row)}
    del change["name"]
    assert admin.post(f"/templates/{row.pk}/edit", change).status_code == 302


def test_who_may_only_read_sees_no_act_and_no_call(fleet: Any, as_role: Any) -> None:
    reader = as_role("Auditor")
    for path in (
        f"/authorities/{CertificateAuthority.objects.get().pk}",
        f"/templates/{Template.objects.get().pk}",
        "/authorities",
    ):
        page = reader.get(path).content.decode()
        main = page[page.index("<main") :]
        assert 'method="post"' not in main
        assert "API call" not in main


def test_a_failing_ca_says_what_failed_and_when_it_is_asked_again(
    fleet: Any, admin: Client
) -> None:
    row = CertificateAuthority.objects.get()
    CertificateAuthority.objects.update(
        failures_in_a_row=3,
        last_error="the gateway is down",
        resume_at=timezone.now() + timedelta(minutes=5),
        last_answer_seconds=31,
        signer_works=False,
        signer_problem="no such folder",
        signer_checked_at=timezone.now(),
    )
    page = text_of(admin, f"/authorities/{row.pk}")
    for said in ("3 failures in a row", "the gateway is down", "Slower than a Register waits",
                 "no such folder", "in 4 minutes"):  # fmt: skip
        assert said in page
