"""Who sees which page, and who may act: one table each."""

from __future__ import annotations

import pytest
from django.test import Client

from orchestrators.models import AutoRegistrationRule, Orchestrator, Status
from portal.access.models import User
from renewal.models import Certificate, CertificateAuthority, Template, TrustAnchor
from tests.portal.pages import fleet as rows

ALL = {"Administrator", "Operator", "Approver", "Auditor", "Read only"}
PAGES = [
    ("/", ALL),
    ("/account", ALL),
    ("/account/password", ALL),
    ("/orchestrators", ALL),
    ("/orchestrators/{orchestrator}", ALL),
    ("/orchestrators/{orchestrator}/timeline", ALL),
    ("/orchestrators/{orchestrator}/audit", {"Administrator", "Auditor"}),
    ("/orchestrators/act?act=request&ids={orchestrator}", {"Administrator", "Operator"}),
    ("/orchestrators/act?act=reset&ids={orchestrator}", {"Administrator", "Operator"}),
    ("/orchestrators/act?act=approve&ids={orchestrator}", {"Administrator", "Approver"}),
    ("/orchestrators/all/preview?act=request", {"Administrator", "Operator"}),
    ("/orchestrators/all/preview?act=reset", {"Administrator", "Operator"}),
    ("/orchestrators/all/preview?act=approve", {"Administrator", "Approver"}),
    ("/jobs", ALL),
    ("/orchestrators/add", {"Administrator", "Approver"}),
    ("/orchestrators/auto-registration", ALL),
    ("/orchestrators/auto-registration/try", ALL),
    ("/orchestrators/auto-registration/add", {"Administrator"}),
    ("/orchestrators/auto-registration/{rule}", ALL),
    ("/orchestrators/auto-registration/{rule}/delete", {"Administrator"}),
    ("/certificates", ALL),
    ("/certificates/{certificate}", ALL),
    ("/certificates/{certificate}.pem", ALL),
    ("/certificates/{certificate}.cer", ALL),
    ("/certificates/from-csr", {"Administrator", "Operator"}),
    ("/authorities", ALL),
    ("/authorities/{authority}", ALL),
    ("/authorities/add", {"Administrator"}),
    ("/authorities/{authority}/edit", {"Administrator"}),
    ("/templates/{template}", ALL),
    ("/templates/{template}/edit", {"Administrator"}),
    ("/trusted-issuers", ALL),
    ("/trusted-issuers/{anchor}/remove", {"Administrator"}),
    ("/settings", ALL),
    ("/settings/SessionLengthMinutes", ALL),
    ("/audit", {"Administrator", "Auditor"}),
]


def filled(path: str, fleet: rows.Fleet) -> str:
    return path.format(
        orchestrator=fleet.calm.pk,
        certificate=Certificate.objects.latest("pk").pk,
        anchor=TrustAnchor.objects.latest("pk").pk,
        authority=CertificateAuthority.objects.latest("pk").pk,
        template=Template.objects.latest("pk").pk,
        rule=AutoRegistrationRule.objects.latest("pk").pk,
    )


@pytest.mark.parametrize(("path", "roles"), PAGES)
def test_a_page_opens_for_the_roles_that_hold_its_permission_and_no_other(
    path, roles, fleet, as_role
):
    for role in (*ALL, "Orchestrator", None):
        expected = 200 if role in roles else 403
        response = as_role(role).get(filled(path, fleet))
        assert response.status_code == expected, f"{role} at {path}"


@pytest.mark.parametrize(("path", "roles"), PAGES)
def test_who_is_not_signed_in_is_sent_to_sign_in(path, roles, fleet):
    path = filled(path, fleet)
    response = Client().get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in?next=")


@pytest.mark.parametrize(
    ("was_at", "back"),
    [
        ("http://testserver/enrollments?state=open", "/enrollments%3Fstate%3Dopen"),
        ("https://evil.example/enrollments", "/"),
        ("", "/"),
    ],
)
def test_whose_session_has_ended_signs_in_and_is_back_where_they_were(db, was_at, back):
    part = Client().get("/enrollments", headers={"HX-Request": "true", "HX-Current-URL": was_at})
    assert part["HX-Redirect"] == f"/sign-in?next={back}"
    assert part.content == b""
    client = Client()
    form = client.post(
        "/settings/SessionLengthMinutes", {"value": "1"}, headers={"Referer": was_at}
    )
    assert form["Location"] == f"/sign-in?next={back}"
    assert "Your session has ended" in client.get(form["Location"]).content.decode()


ACTS = [
    ("/orchestrators/act/perform", {"act": "approve"}, {"Administrator", "Approver"}),
    ("/orchestrators/act/perform", {"act": "disapprove"}, {"Administrator", "Approver"}),
    ("/orchestrators/act/perform", {"act": "request"}, {"Administrator", "Operator"}),
    ("/orchestrators/act/perform", {"act": "require"}, {"Administrator", "Operator"}),
    ("/orchestrators/act/perform", {"act": "clear"}, {"Administrator", "Operator"}),
    (
        "/orchestrators/act/perform",
        {"act": "reset", "message": "moved"},
        {"Administrator", "Operator"},
    ),
    ("/orchestrators/act/perform", {"act": "logs"}, {"Administrator", "Operator"}),
    ("/orchestrators/{orchestrator}/logs/fetch", {}, {"Administrator", "Operator"}),
    ("/orchestrators/{orchestrator}/names", {"names": "a"}, {"Administrator", "Approver"}),
    ("/orchestrators/{orchestrator}/accept-name", {"name": ""}, {"Administrator", "Approver"}),
    ("/orchestrators/auto-registration/{rule}/move", {"position": "1"}, {"Administrator"}),
    ("/orchestrators/auto-registration/{rule}/switch", {"enabled": "false"}, {"Administrator"}),
    ("/trusted-issuers/{anchor}/remove", {}, {"Administrator"}),
    ("/settings/SessionLengthMinutes", {"value": "60"}, {"Administrator"}),
    ("/settings/ClientCertificateWarningDays", {"value": "90"}, {"Administrator"}),
]


@pytest.mark.parametrize(("path", "form", "roles"), ACTS)
def test_an_act_needs_its_permission(path, form, roles, fleet, as_role):
    for role in (*ALL, "Orchestrator", None):
        sent = {**form, "ids": str(fleet.calm.pk)} if "act" in form else form
        response = as_role(role).post(filled(path, fleet), sent)
        assert response.status_code == (302 if role in roles else 403), f"{role} at {path}"


def test_a_refused_act_changes_nothing_and_names_the_permission(fleet, as_role):
    response = as_role("Read only").post(
        "/orchestrators/act/perform",
        {"act": "reset", "message": "why not", "ids": str(fleet.calm.pk)},
    )
    assert response.status_code == 403
    assert "/agents/management/modify/reset/" in response.content.decode()
    fleet.calm.refresh_from_db()
    assert fleet.calm.status == Status.APPROVED


@pytest.mark.parametrize(
    "path",
    [
        "/orchestrators/act/perform",
        "/orchestrators/{orchestrator}/logs/fetch",
        "/orchestrators/{orchestrator}/names",
        "/orchestrators/{orchestrator}/accept-name",
        "/orchestrators/add/credentials/1/revoke",
        "/orchestrators/auto-registration/{rule}/move",
        "/orchestrators/auto-registration/{rule}/switch",
        "/sign-out",
        "/theme",
    ],
)
def test_what_changes_something_cannot_be_opened_like_a_page(path, fleet, admin):
    response = admin.get(filled(path, fleet))
    assert response.status_code == 405
    assert "This address is for a button" in response.content.decode()


@pytest.mark.parametrize("path", ["/orchestrators/act/perform", "/settings/SessionLengthMinutes"])
def test_a_form_of_another_site_is_refused(path, fleet, as_role):
    as_role("Administrator")
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(User.objects.get(username="administrator"))
    response = client.post(path, {"act": "reset", "ids": str(fleet.calm.pk), "message": "x"})
    assert response.status_code == 403
    assert Orchestrator.objects.get(pk=fleet.calm.pk).status == Status.APPROVED


def test_a_person_signs_in_and_out(db):
    rows.user("olga", "Operator")
    client = Client()
    assert client.get("/sign-in").status_code == 200
    response = client.post("/sign-in", {"username": "olga", "password": rows.PASSWORD})
    assert response["Location"] == "/"
    assert client.get("/").status_code == 200
    assert client.post("/sign-out").status_code == 302
    assert client.get("/").status_code == 302


def test_sign_in_leads_back_to_the_page_but_never_to_another_site(db):
    rows.user("olga", "Operator")
    for target, expected in (("/settings", "/settings"), ("https://example.org/", "/")):
        response = Client().post(
            "/sign-in", {"username": "olga", "password": rows.PASSWORD, "next": target}
        )
        assert response["Location"] == expected


def test_a_wrong_password_is_told_and_ten_of_them_lock_the_name_out(db):
    rows.user("olga", "Operator")
    client = Client()
    form = {"username": "olga", "password": "wrong"}
    response = client.post("/sign-in", form)
    assert response.status_code == 200
    assert "correct username and password" in response.content.decode()
    for _ in range(9):
        response = client.post("/sign-in", form)
    assert response.status_code == 429
    assert "Too many attempts" in response.content.decode()
    right = client.post("/sign-in", {**form, "password": rows.PASSWORD})
    assert right.status_code == 429


def test_a_service_account_never_signs_in(db):
    account = rows.service_account()
    account.set_password(rows.PASSWORD)
    account.save()
    client = Client()
    response = client.post("/sign-in", {"username": account.username, "password": rows.PASSWORD})
    assert "service account" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_a_person_who_becomes_a_service_account_loses_the_session(as_role):
    client = as_role("Operator")
    User.objects.filter(username="operator").update(is_service_account=True)
    assert client.get("/").status_code == 403
    assert client.get("/").status_code == 302


def test_one_changes_ones_own_password(as_role):
    client = as_role("Read only")
    form = {"old_password": rows.PASSWORD, "new_password1": "short", "new_password2": "short"}
    assert "at least 12" in client.post("/account/password", form).content.decode()
    new = "a much longer pass phrase"
    response = client.post(
        "/account/password", {**form, "new_password1": new, "new_password2": new}
    )
    assert response["Location"] == "/account"
    assert User.objects.get(username="read-only").check_password(new)


def test_the_theme_is_kept_and_leads_nowhere_else(db):
    client = Client()
    response = client.post("/theme", {"theme": "dark", "next": "https://example.org/"})
    assert response["Location"] == "/"
    assert 'data-bs-theme="dark"' in client.get("/sign-in").content.decode()
    client.post("/theme", {"theme": '"><script>'})
    assert 'data-bs-theme="dark"' in client.get("/sign-in").content.decode()
