"""Attempts to reach beyond a role through the front door: refused clearly, nothing changed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from portal.access.catalogue import Permission
from portal.access.models import ApiToken, User
from portal.access.role_changes import content_of
from portal.audit.models import AuditEntry
from tests.portal.access.conftest import group, page_of, role, user
from tests.portal.access.matrix import World, state, table
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic

pytestmark = pytest.mark.django_db
P = Permission
ACTING = [row for row in table() if row.method == "POST"]
OF_ONES_OWN = frozenset(
    {
        "theme",
        "sign-out",
        "sign-in",
        "access/view-as",
        "access/view-as/stop",
        "account/tokens",
        "KeyfactorAPI/Tokens",
    }
)
"""Paths that change what belongs to the caller alone: session, look and tokens."""


@pytest.fixture
def keeper() -> User:
    held = [P.PORTAL_READ, P.SECURITY_READ, P.SECURITY_MODIFY, P.AGENTS_READ]
    return user("kim", role("Keeper", held))


def test_a_keeper_of_access_gives_nobody_more_than_he_holds(keeper: User) -> None:
    admin, client = user("ada", "Administrator"), page_of(keeper)
    operator, own = Group.objects.get(name="Operator"), Group.objects.get(name="Keeper")
    attempts = [
        ("/access/roles/add", {"name": "Mine", "permissions": ["agents_reset"]}, 400),
        (f"/access/roles/{own.pk}", {"name": "Keeper", "permissions": [*Permission]}, 400),
        (f"/access/roles/{operator.pk}", {"name": "Operator", "permissions": ["portal_read"]}, 400),
        (f"/access/roles/{operator.pk}/restore", {}, 302),
        (f"/access/users/{keeper.pk}", {"is_active": "on", "roles": ["Keeper", "Operator"]}, 400),
        (f"/access/users/{admin.pk}", {"roles": []}, 400),
        (f"/access/users/{admin.pk}/password", {}, 302),
        (f"/access/users/{admin.pk}/tokens", {"name": "t", "days": "1"}, 400),
        ("/access/users/add", {"username": "new", "role": "Administrator"}, 400),
        ("/access/view-as", {"kind": "user", "number": str(admin.pk)}, 302),
        ("/access/view-as", {"kind": "role", "number": str(operator.pk)}, 302),
    ]
    before = state()
    for path, form, status in attempts:
        response = client.post(path, form)
        assert response.status_code == status, path
        said = response if status == 400 else client.get("/access")
        assert "which you do not hold" in said.content.decode(), path
        assert state() == before, path
    assert "view_as" not in client.session
    # Once in ten minutes for one person and reason, so that a script does not fill the log.
    (noted,) = rows_about("page_refused")
    assert (noted.actor_name, noted.object_id) == ("kim", f"{keeper.pk}:beyond_own_permissions")


MASS = {
    "a user made superuser": ("/access/users/{user}", {"is_active": "on", "is_superuser": "1"}),
    "a user given a permission": (
        "/access/users/{user}", {"is_active": "on", "user_permissions": "1"},
    ),
    "a user given a password beside": (
        "/access/users/{user}", {"is_active": "on", "password": "x" * 20},
    ),
    "a user renamed": ("/access/users/{user}", {"is_active": "on", "username": "ada"}),
    "a new one made superuser": ("/access/users/add", {"username": "n", "is_superuser": "on"}),
    "a token for somebody else": (
        "/access/users/{user}/tokens", {"name": "t", "days": "1", "user": "1"},
    ),
    "a role given users": ("/access/roles/add", {"name": "r", "user_set": "1"}),
    "a group given a CA by who may not choose it": ("/groups", {"name": "g", "authority": "CA"}),
    "labels together with a status": (
        "/orchestrators/assign", {"ids": "{inside}", "confirmed": "1", "status": "2"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "form"), MASS.values(), ids=MASS.keys())
def test_a_field_that_a_form_does_not_have_is_refused(path: str, form: dict[str, str]) -> None:
    world = World.made()
    client = page_of(world.people["Administrator"])
    before = state()
    sent = {name: value.format(**world.ids) for name, value in form.items()}
    response = client.post(path.format(**world.ids), sent)
    assert response.status_code == 400
    assert "The form has no field" in response.content.decode()
    assert state() == before


def test_a_method_in_a_header_or_a_parameter_is_nothing() -> None:
    world = World.made()
    client = page_of(world.people["Administrator"])
    before = state()
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        path = f"/orchestrators/{world.ids['inside']}/logs/fetch"
        assert client.get(path, headers={name: "POST"}).status_code == 405
    assert client.get("/orchestrators/act/perform?_method=POST&act=reset").status_code == 405
    caller = Caller({"Authorization": basic("administrator")})
    path = f"Agents/{world.ids['inside']}"
    for method in ("DELETE", "PUT"):
        response = caller.post(path, headers={"X-HTTP-Method-Override": method})
        assert response.status_code == 405
    assert (
        caller.get(f"{path}/Reset", headers={"X-HTTP-Method-Override": "POST"}).status_code == 405
    )
    assert state() == before


def test_no_form_of_another_site_is_taken_by_any_page() -> None:
    world = World.made()
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(world.people["Administrator"], "django.contrib.auth.backends.ModelBackend")
    before = state()
    for row in ACTING:
        if not row.url.startswith("Keyfactor"):
            response = client.post(world.path(row), headers={"Origin": "https://evil.example"})
            assert response.status_code == 403, row.name
    assert state() == before


def test_who_may_only_read_changes_nothing_through_any_path() -> None:
    world = World.made()
    for who in ("Read only", "Auditor", "no role", "not signed in"):
        for row in ACTING:
            if row.url in OF_ONES_OWN:
                continue
            status, changed = world.send(row, who)
            if (row.url, who) == ("audit/verify", "Auditor"):
                # What an auditor is there for; the log says that it was asked for.
                continue
            if row.url.startswith(("account/tokens", "KeyfactorAPI/Tokens")):
                # One's own: a token grants no more than its owner may.
                continue
            assert not changed, f"{row.name}, {who}"
            assert status in (200, 302, 400, 401, 403, 404), f"{row.name}, {who}"


def test_a_limited_role_cannot_widen_itself_by_groups_and_labels(fleet: rows.Fleet) -> None:
    berlin = group("Berlin", fleet.calm)
    bonn = group("Bonn", fleet.warned)
    held = [P.PORTAL_READ, P.AGENTS_READ, P.AGENTS_MODIFY]
    client = page_of(user("bea", role("Berlin", held, only_groups=[berlin])))
    before = state()
    mine, other = str(fleet.calm.pk), str(fleet.warned.pk)
    for form, status in (
        ({"ids": mine, "group": "=Bonn"}, 400),
        ({"ids": mine, "group": "none"}, 400),
        ({"ids": other, "group": "=Berlin"}, 404),
        ({"ids": other, "put": "site=x"}, 404),
    ):
        assert (
            client.post("/orchestrators/assign", {"confirmed": "1", **form}).status_code == status
        )
    for path, form, status in (
        (f"/groups/{berlin.pk}", {"name": "Mine"}, 403),
        (f"/groups/{bonn.pk}", {"name": "Mine"}, 404),
        (f"/groups/{bonn.pk}/delete", {}, 403),
        ("/groups", {"name": "New"}, 403),
    ):
        assert client.post(path, form).status_code in (status, 403), path
    assert state() == before
    assert client.get("/groups").context["groups"] == [berlin]


def test_a_label_that_a_role_is_limited_to_is_not_taken_off_by_it(fleet: rows.Fleet) -> None:
    from tests.portal.access.conftest import label

    site = label("site=x", fleet.calm)
    held = [P.PORTAL_READ, P.AGENTS_READ, P.AGENTS_MODIFY]
    client = page_of(user("bea", role("x", held, only_labels=[site])))
    sent = {"ids": str(fleet.calm.pk), "confirmed": "1"}
    for form in ({"put": "site=y"}, {"remove": "site"}):
        response = client.post("/orchestrators/assign", {**sent, **form})
        assert response.status_code == 400
        assert "would leave them" in response.content.decode()
    assert client.post("/orchestrators/assign", {**sent, "put": "rack=7"}).status_code == 302


LABELLER = [P.PORTAL_READ, P.AGENTS_READ, P.AGENTS_MODIFY]
WIDENING = {
    "a label that another role is limited to": {"put": "site=x"},
    "a group that another role is limited to": {"group": "=Bonn"},
}


@pytest.mark.parametrize("form", WIDENING.values(), ids=WIDENING)
def test_nobody_widens_another_permission_of_his_own_by_groups_and_labels(
    form: dict[str, str], fleet: rows.Fleet
) -> None:
    from tests.portal.access.conftest import label

    site = label("site=x", fleet.warned)
    bonn = group("Bonn", fleet.warned)
    client = page_of(
        user(
            "bea",
            role("Labeller", LABELLER),
            role("Revoker", [P.CERTIFICATES_REVOKE], only_groups=[bonn], only_labels=[site]),
        )
    )
    before = state()
    for ids in ([str(fleet.calm.pk)], [str(fleet.warned.pk), str(fleet.calm.pk)]):
        response = client.post("/orchestrators/assign", {"ids": ids, "confirmed": "1", **form})
        assert response.status_code == 400
        assert "somebody else has to do that" in response.content.decode()
    assert state() == before
    inside = {"ids": str(fleet.warned.pk), "confirmed": "1", **form, "put": "rack=7"}
    assert client.post("/orchestrators/assign", inside).status_code == 302


def test_a_reset_revokes_no_certificate_of_who_may_not_revoke(fleet: rows.Fleet) -> None:
    certificate = fleet.calm.certificates.filter(revoked_at=None).first()
    assert certificate is not None
    client = page_of(user("rita", role("Resetter", [P.PORTAL_READ, P.AGENTS_READ, P.AGENTS_RESET])))
    asked = client.get("/orchestrators/act", {"act": "reset", "ids": str(fleet.calm.pk)})
    assert 'name="revoke"' not in asked.content.decode()
    before = state()
    sent = {
        "act": "reset",
        "ids": str(fleet.calm.pk),
        "message": "why",
        "revoke": str(certificate.pk),
    }
    response = client.post("/orchestrators/act/perform", sent)
    assert response.status_code == 403
    assert "/certificates/collections/revoke/" in response.content.decode()
    assert state() == before


# --- view as ------------------------------------------------------------------------------------


def view(client: Client, kind: str, pk: int) -> None:
    assert client.post("/access/view-as", {"kind": kind, "number": str(pk)})["Location"] == "/"


def test_viewing_as_shows_what_they_see_and_changes_nothing_by_any_path() -> None:
    world = World.made()
    client = page_of(world.people["Administrator"])
    view(client, "role", Group.objects.get(name="Operator").pk)
    page = client.get("/orchestrators").content.decode()
    assert "as the role <b>Operator</b> sees it" in page
    assert "Reset…" in page
    assert "Disapprove…" not in page
    assert client.get("/audit").status_code == 403
    before = state()
    for row in ACTING:
        if row.url in ("theme", "sign-out", "access/view-as/stop") or row.url.startswith("Keyf"):
            continue
        response = client.post(world.path(row), {"act": "reset", "ids": world.ids["inside"]})
        assert response.status_code == 403, row.name
    api = Caller({"X-CSRFToken": "a" * 32}, client)
    client.cookies["csrftoken"] = "a" * 32
    assert api.get("Agents").status_code == 200
    assert api.post("Agents/Reset", [world.ids["inside"]]).status_code == 403
    assert state() == before
    assert client.post("/access/view-as/stop")["Location"] == "/access"
    assert client.get("/audit").status_code == 200
    rows_of = rows_about("view_as_begun"), rows_about("view_as_ended")
    assert [row.actor_name for row in (*rows_of[0], *rows_of[1])] == ["administrator"] * 2
    assert any(row.object_id.endswith(":view_as") for row in rows_about("page_refused"))


def rows_about(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action))


def test_viewing_as_a_limited_user_shows_his_orchestrators_alone(
    fleet: rows.Fleet, scoped: User
) -> None:
    client = page_of(user("ada", "Administrator"))
    view(client, "user", scoped.pk)
    assert len(client.get("/orchestrators").context["page"].rows) == 3
    assert client.get(f"/orchestrators/{fleet.warned.pk}").status_code == 404


def test_viewing_as_ends_when_it_would_show_more_than_one_may_see(keeper: User) -> None:
    small = role("Small", [P.PORTAL_READ, P.AGENTS_READ])
    client = page_of(keeper)
    view(client, "role", small.pk)
    assert client.get("/access").status_code == 403
    audit = content_of(Group.objects.get(name="Auditor")).permissions
    assert P.AUDITING_READ in audit
    small.permissions.set(Group.objects.get(name="Auditor").permissions.all())
    assert client.get("/audit").status_code == 403
    assert client.get("/access").status_code == 200
    assert "view_as" not in client.session


def test_a_password_and_a_token_are_shown_once_and_never_stored_in_a_page(keeper: User) -> None:
    client = page_of(user("ada", "Administrator"))
    person = user("vera", "Read only")
    response = client.post(f"/access/users/{person.pk}/password")
    secret = response.context["secret"][1]
    assert "no-store" in response["Cache-Control"]
    person.refresh_from_db()
    assert person.check_password(secret)
    token = client.post(f"/access/users/{person.pk}/tokens", {"name": "t", "days": "3"})
    text = token.context["secret"][1]
    assert Caller({"Authorization": f"Bearer {text}"}).get("Agents").status_code == 200
    shown = client.get(f"/access/users/{person.pk}").content.decode()
    assert secret not in shown
    assert text not in shown
    row = ApiToken.objects.get(name="t")
    client.post(f"/access/tokens/{row.pk}/revoke")
    assert Caller({"Authorization": f"Bearer {text}"}).get("Agents").status_code == 401


def test_a_token_of_another_user_is_not_found_through_ones_own_page() -> None:
    world = World.made()
    client = page_of(world.people["Administrator"])
    assert client.post(f"/account/tokens/{world.ids['token']}/revoke").status_code == 404
    assert ApiToken.objects.get(pk=world.ids["token"]).revoked_at is None
