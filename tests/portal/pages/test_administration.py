"""The other pages: dashboard, adding, settings, issuers, certificates, audit."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from html import unescape
from urllib.parse import unquote

import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, OperationalError, connection
from django.test import Client
from django.utils.html import strip_tags

from orchestrators import credentials
from orchestrators.models import BootstrapCredential, Orchestrator, Status
from portal.audit.models import AuditEntry
from portal.preferences import store
from portal.preferences.definitions import EDITABLE
from portal.preferences.models import Setting
from portal.preferences.typed import SINGULAR
from renewal import census
from renewal.models import Certificate, CertificateAuthority, TrustAnchor
from renewal.selectors.states import RenewalState
from tests import pki
from tests.portal.pages import fleet as rows

DAY = timedelta(days=1)


# --- dashboard ------------------------------------------------------------------------------


def test_the_dashboard_counts_real_records_and_shows_the_demonstration_apart(fleet, admin):
    page = admin.get("/")
    overview = page.context["overview"]
    expected = dict.fromkeys(RenewalState, 1) | {
        RenewalState.WAITING: 3,
        RenewalState.OK: 3,
        RenewalState.WARNING: 2,
    }
    assert {s: c.value for s, c in overview.tally.by_state.items()} == expected
    assert overview.demonstration == {RenewalState.OK: 1, RenewalState.REQUIRED: 1}
    assert overview.tally.total.value == 13
    assert "not counted above" in page.content.decode()


def test_each_number_of_the_dashboard_leads_to_as_many_rows(fleet, admin):
    page = admin.get("/")
    tiles = re.findall(
        r'href="(/orchestrators\?state=[^"]+)".*?tile-number">([\d,]+)<',
        page.content.decode(),
        re.DOTALL,
    )
    assert len(tiles) == len(RenewalState)
    for href, number in tiles:
        rows_shown = admin.get(href.replace("&amp;", "&")).context["page"].rows
        assert len(rows_shown) == int(number), href


def test_what_needs_a_look_is_told(fleet, now, admin):
    rows.enrollment(fleet.warned, now=now, state="refused", last_error="No")
    CertificateAuthority.objects.update(failures_in_a_row=4, last_error="connection refused")
    page = admin.get("/")
    overview = page.context["overview"]
    assert overview.overdue_revocations.value == 1
    assert overview.failed_enrollments.value == 1
    shown = admin.get("/orchestrators", {"mark": "enrollment-failed"}).context["page"].rows
    assert [row.orchestrator for row in shown] == [fleet.warned]
    assert overview.unused.value == 1
    assert overview.wrong_certificate.value == 1
    text = page.content.decode()
    assert "connection refused" in text
    assert "no answer" in text  # no broker runs here
    assert "may also approve its return" in text


def test_counts_stop_at_their_cap_and_a_census_knows_more(fleet, now, admin, monkeypatch):
    monkeypatch.setattr("renewal.selectors.counting.CAP", 2)
    monkeypatch.setattr("renewal.selectors.state_counts.CAP", 2)
    text = admin.get("/").content.decode()
    assert "2+ orchestrators" in text
    text = admin.get("/orchestrators").content.decode()
    assert ">2+<" in text
    assert "a number with + is the least that there is" in text
    assert "All that match: the whole fleet (<b>at least 2</b>)" in text
    one = admin.get("/orchestrators?state=expired")
    assert "All <b>1</b> that match" in one.content.decode()
    # Beyond the last row there is nothing to see, which says nothing of how many there are.
    last = json.dumps(["a", 0, ["9999-01-01T00:00:00+00:00", "0" * 32]])
    cursor = base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")
    beyond = admin.get(f"/orchestrators?state=expired&cursor={cursor}").context
    assert (beyond["page"].rows, beyond["matches"].is_capped) == ([], True)
    census.take_due(now=now)
    text = admin.get("/").content.decode()
    assert "≈13 orchestrators" in text
    text = admin.get("/orchestrators").content.decode()
    assert ">≈13<" in text
    assert "All that match: the whole fleet (<b>about 13</b>)" in text
    assert "Numbers with ≈ as counted" in text
    assert "≈" not in admin.get("/orchestrators?mark=error").content.decode()


def test_an_empty_portal_shows_the_first_steps_until_they_are_done(db, now, admin):
    page = admin.get("/")
    assert [step.done for step in page.context["steps"]] == [False] * 5
    rows.set_up(now)
    assert [s.done for s in admin.get("/").context["steps"]] == [True] * 4 + [False]
    rows.approved("first", now=now, left=300 * DAY)
    assert admin.get("/").context["steps"] == []


PROBLEMS = {
    "a path of nothing": ("GET", "/nowhere", {}, 404),
    "a page for a button": ("GET", "/audit/verify", {}, 405),
    "a filter that there is not": ("GET", "/orchestrators?nothing=1", {}, 400),
    "a page beyond one's roles": ("GET", "/audit", {}, 403),
    "a form of another session": ("POST", "/orchestrators/layout", {}, 403),
    "a host that is not the portal's": ("GET", "/", {"HTTP_HOST": "evil.example"}, 400),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_has_a_page_with_a_reference_and_what_to_do(name, db):
    method, path, headers, status = PROBLEMS[name]
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(rows.user("operator", "Operator"))
    reply = client.generic(method, path, **headers)
    text = reply.content.decode()
    assert reply.status_code == status
    assert f"<code>{reply['X-Request-ID']}</code>" in text
    assert "<h1>" in text
    assert "/style.css?v=" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("theme", ["dark", ""])
@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ZeroDivisionError("a secret"), 500, "Something went wrong"),
        (OperationalError("server at 10.0.0.1"), 503, "database does not answer"),
        (IntegrityError("a key"), 500, "Something went wrong"),
    ],
)
def test_a_page_that_fails_says_so_without_the_database(
    error, status, said, theme, admin, monkeypatch
):
    def gone(*_: object, **__: object) -> None:
        raise error

    admin.cookies["theme"] = theme
    with connection.execute_wrapper(gone):
        reply = admin.get("/orchestrators")
    text = reply.content.decode()
    assert reply.status_code == status
    assert said in text
    assert f"<code>{reply['X-Request-ID']}</code>" in text
    assert str(error) not in text
    assert ('data-bs-theme="dark"' in text) == bool(theme)
    assert reply.get("Retry-After") == ("30" if status == 503 else None)


@pytest.mark.parametrize("address", ["/orchestrators", "/audit/verify", "/api/Agents"])
def test_a_slash_at_the_end_leads_to_the_page_without_it(admin, address):
    answer = admin.get(f"{address}/?q=a%20b")
    assert (answer.status_code, answer["Location"]) == (301, f"{address}?q=a%20b")
    assert admin.post(f"{address}/").status_code == 404


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("//evil.example/", 400),
        ("//evil.example/orchestrators/", 400),
        ("/\\evil.example/", 400),
        ("/%5cevil.example/", 400),
        ("/orchestrators//", 400),
        ("/evil.example/", 404),
        ("/orchestrators/nowhere/", 404),
        ("/livez/", 404),
        ("/KeyfactorAgents/orchestrators/", 404),
        ("/KeyfactorAPI/orchestrators/", 404),
    ],
)
def test_a_slash_at_the_end_leads_to_pages_alone(admin, address, status):
    # The client would take an address that begins with two slashes for another host's.
    answer = admin.get("/", PATH_INFO=unquote(address))
    assert (answer.status_code, answer.get("Location")) == (status, None)


# --- adding ---------------------------------------------------------------------------------


def test_adding_hands_out_a_credential_once_with_all_that_is_needed(db, admin):
    page = admin.post("/orchestrators/add", {"name": "web 1, O=x", "valid_days": "3"})
    made = page.context["made"]
    assert "no-store" in page["Cache-Control"]
    credential = credentials.find_basic(made["credential"].name, made["secret"])
    assert credential == made["credential"]
    assert credential.one_time
    text = page.content.decode()
    assert made["secret"] in text
    assert made["secret"] not in admin.get("/orchestrators/add").content.decode()
    assert "--bootstrap-user" in made["command"]
    assert "'web 1, O=x'" in made["command"]
    assert made["secret"] not in made["command"]
    config = json.loads(made["c_agent"])
    assert config["Hostname"] == "127.0.0.1:8443"
    assert config["VirtualDirectory"] == "KeyfactorAgents"
    assert (config["AgentId"], config["EnrollOnStartup"]) == ("", True)
    assert config["CSRSubject"] == "CN=web 1\\, O\\=x"
    assert len(made["c_agent"]) < 4096


def test_a_name_too_long_for_a_cn_is_added_for_agents_that_need_none(db, admin):
    name = f"{'branch-office.' * 5}example.com"
    page = admin.post("/orchestrators/add", {"name": name, "valid_days": "3"})
    made = page.context["made"]
    assert (name in made["command"], made["c_agent"]) == (True, "")
    assert "at most 64 characters" in page.content.decode()


@pytest.mark.parametrize(
    "form",
    [
        {"name": "", "valid_days": "3"},
        {"name": "a:b", "valid_days": "3"},
        {"name": "x" * 256, "valid_days": "3"},
        {"name": "ok", "valid_days": "0"},
        {"name": "ok", "valid_days": "1e9"},
        {},
    ],
)
def test_a_bad_form_makes_no_credential(db, admin, form):
    assert admin.post("/orchestrators/add", form).status_code == 400
    assert not BootstrapCredential.objects.exists()


def test_whoever_adds_an_orchestrator_is_told_what_is_not_set_up_yet(db, now, admin):
    def lacking() -> list[str]:
        return [step.name for step in admin.get("/orchestrators/add").context["lacking"]]

    assert len(lacking()) == 4
    assert "gets no certificate yet" in admin.get("/orchestrators/add").content.decode()
    rows.set_up(now)
    assert lacking() == []
    assert "gets no certificate yet" not in admin.get("/orchestrators/add").content.decode()


def test_a_credential_is_revoked(db, admin):
    made = admin.post("/orchestrators/add", {"name": "a", "valid_days": "3"}).context["made"]
    admin.post(f"/orchestrators/add/credentials/{made['credential'].pk}/revoke")
    assert BootstrapCredential.objects.get().revoked_at is not None


def test_the_ca_file_is_downloaded_or_told_to_be_missing(db, admin):
    path = django_settings.CONFIG.ca_file
    assert admin.get("/orchestrators/add/portal-ca.pem").status_code == 404
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    try:
        response = admin.get("/orchestrators/add/portal-ca.pem")
        assert response.content.startswith(b"-----BEGIN")
        assert "attachment" in response["Content-Disposition"]
    finally:
        path.unlink()


# --- settings -------------------------------------------------------------------------------


def test_every_unit_has_a_word_for_one_of_it(db, admin):
    assert {definition.unit for definition in EDITABLE} - {""} == set(SINGULAR)
    page = admin.get("/settings?q=approvals").content.decode()
    assert "1 person" in page
    assert "1 people" not in page


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("SessionLengthMinutes", "60", 60),
        ("RevokeOldClientAuthCertificate", "on", True),
        ("RevokeOldClientAuthCertificate", "", False),
        ("CertificateAuthorityForSubmittedCSRs", "Portal CA", "Portal CA"),
        ("OrchestratorDomainSuffixes", "example.com, corp", ("example.com", "corp")),
        ("ClientCertificateWarningDays", "90", 90),
    ],
)
def test_a_setting_is_changed_with_its_widget(db, now, admin, name, value, stored):
    rows.set_up(now)
    form = {"value": value} if value else {}
    assert admin.post(f"/settings/{name}", form)["Location"] == "/settings"
    assert store.load().values[name] == stored


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SessionLengthMinutes", "1"),
        ("SessionLengthMinutes", "many"),
        ("SessionLengthMinutes", ""),
        ("CertificateAuthorityForSubmittedCSRs", "No such CA"),
        ("TemplateForSubmittedCSRs", "No such template"),
        ("ClientCertificateExpiryDays", "180"),
        ("OrchestratorDomainSuffixes", "x" * 2001),
    ],
)
def test_a_bad_value_is_refused_where_it_was_typed_and_nothing_changes(db, now, admin, name, value):
    rows.set_up(now)
    before = store.load()
    response = admin.post(f"/settings/{name}", {"value": value})
    assert response.status_code == 400
    assert 'id="id_value_error"' in response.content.decode()
    assert store.load() == before


def test_settings_are_found_by_words_of_their_name_and_effect(fleet, admin):
    def shown(query: str) -> list[str]:
        groups = admin.get("/settings", {"q": query}).context["groups"]
        return [line.definition.name for _, lines in groups for line in lines]

    assert len(shown("")) == len(EDITABLE)
    assert shown("HEARTBEAT alive") == ["HeartbeatIntervalMinutes"]
    assert shown("revokeold") == ["RevokeOldClientAuthCertificate"]
    assert shown("no such words") == []


def test_a_setting_says_how_many_orchestrators_it_counts_for(fleet, admin):
    groups = admin.get("/settings").context["groups"]
    lines = {line.definition.name: line for _, lines in groups for line in lines}
    assert lines["SessionLengthMinutes"].number.value == 9
    assert lines["ApprovalsForReturn"].number.value == 3
    assert lines["RevokeOldClientAuthCertificate"].number.value == 1
    assert lines["BulkJobDays"].number is None


def test_a_period_is_previewed_before_it_is_saved(fleet, admin, now):
    census.take_due(now=now)
    url = "/settings/ClientCertificateWarningDays"
    page = admin.post(url, {"value": "60", "preview": "1"})
    # db-primary, edge-gateway-07 and app-server-02 (asked by an operator); the first has 99 days.
    assert (page.context["preview"].due, page.context["preview"].must) == ((3, 2), (1, 1))
    assert admin.post(url, {"value": "20", "preview": "1"}).status_code == 400
    # The forecast leads here with what was tried, and back.
    tried = admin.get(f"{url}?value=60")
    assert tried.context["preview"].due == (3, 2)
    assert 'value="60"' in tried.content.decode()
    assert "/forecast?warning=60" in tried.content.decode()
    assert admin.get(f"{url}?value=x").status_code == 400
    assert not Setting.objects.filter(name="ClientCertificateWarningDays").exists()


def test_the_roles_that_approve_are_ticked(db, admin):
    url, name = "/settings/ApprovalRolesForReturn", "ApprovalRolesForReturn"
    assert 'value="Approver"' in admin.get(url).content.decode()
    assert admin.post(url, {"value": ["Approver", "Operator"]})["Location"] == "/settings"
    assert store.load().values[name] == ("Approver", "Operator")
    assert set(admin.get(url).context["form"]["value"].value()) == {"Approver", "Operator"}
    assert admin.post(url, {"value": "Nobody"}).status_code == 400
    assert admin.post(url, {"default": "1"})["Location"] == "/settings"
    assert store.load().values[name] == ()
    twice = {"value": ["60", "90"]}
    assert admin.post("/settings/SessionLengthMinutes", twice).status_code == 400


def test_a_settings_page_shows_default_effect_and_who_changed_it(db, now, admin):
    admin.post("/settings/SessionLengthMinutes", {"value": "60"})
    text = admin.get("/settings").content.decode()
    assert "60 minutes" in text
    assert "default 1,380 minutes" in text
    assert "by administrator" in text
    history = admin.get("/settings/SessionLengthMinutes").content.decode()
    assert "1,380 minutes → 60 minutes" in history


def test_why_a_setting_was_changed_is_kept_with_the_change_and_shown(db, admin):
    url = "/settings/SessionLengthMinutes"
    admin.post(url, {"value": "60", "message": "ticket 7"})
    admin.post(url, {"value": "60", "default": "1", "message": "ticket 8"})
    told = AuditEntry.objects.filter(action="setting_changed").order_by("id")
    assert list(told.values_list("message", flat=True)) == ["ticket 7", "ticket 8"]
    assert "ticket 7" in admin.get(url).content.decode()
    refused = admin.post(url, {"value": "90", "message": "x" * 501})
    assert refused.status_code == 400
    assert store.load().values["SessionLengthMinutes"] == 1380


def test_of_two_people_who_change_a_setting_the_second_sees_what_the_first_did(db, admin):
    url = "/settings/SessionLengthMinutes"
    assert 'name="was" value="1380"' in admin.get(url).content.decode()
    admin.post(url, {"value": "60", "was": "1380"})
    late = admin.post(url, {"value": "90", "was": "1380"})
    assert late.status_code == 400
    text = late.content.decode()
    assert "Somebody else has changed it" in text
    assert 'name="was" value="60"' in text
    assert store.load().values["SessionLengthMinutes"] == 60
    said = admin.post(url, {"value": "90", "was": "60"}, follow=True).content.decode()
    assert "Session length is 90 minutes now." in said


def test_a_setting_goes_back_to_its_default_whatever_was_typed(db, admin):
    url = "/settings/RevokeOldClientAuthCertificate"
    assert "Back to the default" not in admin.get(url).content.decode()
    admin.post(url, {"value": "on"})
    assert "Back to the default" in admin.get(url).content.decode()
    admin.post(url, {"value": "on", "was": "true", "default": "1"})
    assert store.load().values["RevokeOldClientAuthCertificate"] is False


def test_a_ca_that_is_chosen_and_disabled_is_still_shown_as_chosen(db, now, admin):
    url = "/settings/CertificateAuthorityForSubmittedCSRs"
    assert "No certificate authority can be used yet." in admin.get(url).content.decode()
    rows.set_up(now)
    CertificateAuthority.objects.update(enabled=False)
    assert (
        '<option value="Portal CA" selected>Portal CA (cannot be used now)'
        in admin.get(url).content.decode()
    )


def test_internal_and_unknown_settings_have_no_page(db, admin):
    for name in ("TrustAnchorsRevision", "Nonsense"):
        assert admin.get(f"/settings/{name}").status_code == 404
        assert admin.post(f"/settings/{name}", {"value": "1"}).status_code == 404
    assert not Setting.objects.filter(name="TrustAnchorsRevision").exists()


def test_the_periods_are_read_only_without_their_own_permission(db, as_role):
    text = as_role("Operator").get("/settings/ClientCertificateWarningDays").content.decode()
    assert "/renewal_periods/modify/" in text
    assert '<form method="post" class="card' not in text


# --- trusted issuers ------------------------------------------------------------------------


def anchor_pem(now) -> str:
    der = pki.root(not_before=now - DAY, not_after=now + 100 * DAY)
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def test_an_issuer_is_trusted_and_removed(db, now, admin):
    response = admin.post("/trusted-issuers", {"pem": anchor_pem(now), "name": ""})
    assert response["Location"] == "/trusted-issuers"
    anchor = TrustAnchor.objects.get()
    assert (anchor.name, anchor.enabled) == ("Test Root CA", True)
    asked = admin.get(f"/trusted-issuers/{anchor.pk}/remove").content.decode()
    assert anchor.fingerprint_sha256 in asked
    admin.post(f"/trusted-issuers/{anchor.pk}/remove")
    assert not TrustAnchor.objects.get().enabled
    assert AuditEntry.objects.filter(action="trust_anchor_removed").exists()


def test_a_file_that_nobody_chose_is_no_field_too_many(db, now, admin):
    parts = {"csrfmiddlewaretoken": "x", "name": "", "pem": anchor_pem(now)}
    lines = [
        f'--a\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}' for n, v in parts.items()
    ]
    kind = "Content-Type: application/octet-stream"
    lines.append(
        f'--a\r\nContent-Disposition: form-data; name="file"; filename=""\r\n{kind}\r\n\r\n'
    )
    body = "\r\n".join([*lines, "--a--", ""])
    response = admin.post("/trusted-issuers", body, content_type="multipart/form-data; boundary=a")
    assert response.status_code == 302, response.content.decode()
    assert TrustAnchor.objects.get().enabled
    named = admin.post("/trusted-issuers", {"file": "no file, and a text", "pem": ""})
    assert "The form has no field" in named.content.decode()


def test_what_is_no_issuer_is_refused_with_the_reason(db, now, admin):
    leaf = base64.encodebytes(pki.certificate()).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{leaf}-----END CERTIFICATE-----\n"
    for form, reason in (
        ({"pem": pem}, "not a CA"),
        ({"pem": "nonsense"}, "not a certificate"),
        ({}, "pasted, or as a file"),
    ):
        response = admin.post("/trusted-issuers", form)
        assert response.status_code == 400
        assert reason in response.content.decode()
    assert not TrustAnchor.objects.exists()


@pytest.mark.parametrize(
    ("cookie", "zone"),
    [
        ("Europe/Berlin", "CE"),
        ("", "UTC"),
        ("../../etc/passwd", "UTC"),
        ("Nowhere/Land", "UTC"),
        ("a" * 500, "UTC"),
    ],
)
def test_times_are_shown_in_the_zone_of_the_browser(fleet, admin, cookie, zone):
    admin.cookies["zone"] = cookie
    certificate = Certificate.objects.get(orchestrator=fleet.calm)
    html = admin.get(f"/certificates/{certificate.pk}").content.decode()
    assert f'<span class="zone">{zone}' in html
    # What a machine reads stays UTC.
    assert f'datetime="{certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"' in html


def test_a_setting_says_as_the_first_page_does_how_many_it_affects_and_leads_to_them(
    fleet, admin, now, monkeypatch
):
    monkeypatch.setattr("renewal.selectors.counting.CAP", 2)
    approved = Orchestrator.objects.filter(status=Status.APPROVED, demonstration=False).count()
    page = strip_tags(admin.get("/settings").content.decode())
    assert "Affects 2+ approved orchestrators." in page
    census.take_due(now=now)
    page = admin.get("/settings").content.decode()
    assert f"Affects ≈{approved} approved orchestrators." in strip_tags(page)
    found = re.search(r'Affects <a href="([^"]+state=waiting[^"]*)">≈(\d+) orch', page)
    assert found
    assert admin.get(unescape(found[1])).context["matches"].value == int(found[2])
    assert 'href="/orchestrators?mark=unused&amp;fleet=real"' in page
