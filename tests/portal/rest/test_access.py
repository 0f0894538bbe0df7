"""Who may call what: sign-in by Basic, token or page session, permissions, bounds on guessing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client, override_settings
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.catalogue import ROLES, Permission, granting
from portal.access.models import ApiToken, User
from portal.access.permissions import holds
from portal.audit.models import AuditEntry, Category
from tests.portal.access.conftest import group, role
from tests.portal.rest.conftest import PASSWORD, Caller, basic, caller_with, refused, user_with

pytestmark = pytest.mark.django_db

P = Permission
NEEDS: dict[tuple[str, str], Permission | None] = {
    ("GET", "Status/Endpoints"): None,
    ("GET", "Agents"): P.AGENTS_READ,
    ("GET", "Agents/{id}"): P.AGENTS_READ,
    ("POST", "Agents/Approve"): P.AGENTS_APPROVE,
    ("POST", "Agents/Disapprove"): P.AGENTS_APPROVE,
    ("POST", "Agents/Reset"): P.AGENTS_RESET,
    ("POST", "Agents/{id}/Reset"): P.AGENTS_RESET,
    ("POST", "Agents/{id}/FetchLogs"): P.AGENTS_LOGS,
    ("POST", "Agents/SetAuthCertificateReenrollment"): P.AGENTS_RENEW,
    ("GET", "AppSetting"): P.SETTINGS_READ,
    ("PUT", "AppSetting"): P.SETTINGS_MODIFY,
    ("GET", "AppSetting/{id}"): P.SETTINGS_READ,
    ("PUT", "AppSetting/{id}/Set"): P.SETTINGS_MODIFY,
    ("GET", "Status/HealthCheck"): None,
}


@pytest.mark.parametrize("role", [*ROLES, None])
@pytest.mark.parametrize(("method", "path"), NEEDS)
def test_each_role_may_call_what_its_permissions_say(
    orchestrator: Callable[..., Orchestrator], role: str | None, method: str, path: str
) -> None:
    made = orchestrator()
    body: Any = [str(made.pk)] if path.startswith("Agents/") else None
    if path.endswith("Reenrollment"):
        body = {"OrchestratorIds": [str(made.pk)], "Status": 1}
    if "{id}" in path:
        body = None
    if method == "PUT":
        body = {"Value": "60"} if path.endswith("Set") else [{"Id": 8, "Value": "60"}]
    needed = NEEDS[method, path]
    caller = caller_with(role)
    value = "SessionLengthMinutes" if path.startswith("AppSetting") else str(made.pk)
    response = caller.send(method, path.replace("{id}", value), body)
    listed = f"{method} /{path}" in caller.get("Status/Endpoints").json()
    allowed = needed is None or bool(role and granting(needed) & ROLES[role])
    assert listed is allowed
    if allowed:
        assert response.status_code in (200, 204)
        return
    refused(response, 403, "permission_missing")
    made.refresh_from_db()
    assert (made.status, made.flag, made.generation) == (2, 0, 0)


def test_a_limited_role_is_not_told_of_calls_that_take_all() -> None:
    limited = role("Part", ROLES["Administrator"], only_groups=[group("Berlin")])
    user_with(None, "bea").groups.add(limited)
    bea = Caller({"Authorization": basic("bea")})
    listed = bea.get("Status/Endpoints").json()
    refused(bea.post("Agents/Import", [{}]), 403, "permission_missing")
    assert "POST /Agents/Import" not in listed
    assert "POST /Enrollment/CSR" not in listed
    assert "POST /Agents/Approve" in listed
    assert "POST /Agents/Import" in caller_with("Administrator").get("Status/Endpoints").json()


@pytest.mark.parametrize("path", ["/KeyfactorAPI", "/keyfactorapi", "/KeyfactorAPI/"])
def test_the_root_of_the_api_is_a_json_404(admin: Caller, path: str) -> None:
    body = admin.client.get(path).json()
    assert (body["status"], body["ErrorCode"]) == (404, "endpoint_unknown")


def test_a_shorter_access_string_grants_what_is_below_it(
    orchestrator: Callable[..., Orchestrator],
) -> None:
    from django.contrib.auth.models import Permission as DjangoPermission

    user = user_with(None, "modifier")
    codenames = [P.AGENTS_MODIFY, P.AGENTS_READ]
    user.user_permissions.add(*DjangoPermission.objects.filter(codename__in=codenames))
    made = orchestrator()
    caller = Caller({"Authorization": basic("modifier")})
    assert caller.post("Agents/Reset", [str(made.pk)]).status_code == 204
    assert "POST /Agents/Approve" in caller.get("Status/Endpoints").json()


def test_the_refusal_names_the_access_string_and_says_nothing_of_the_object() -> None:
    caller = caller_with("Auditor")
    known = caller.post("Agents/00000000-0000-4000-8000-000000000000/Reset")
    body = refused(known, 403, "permission_missing")
    assert "/agents/management/modify/reset/" in body["Message"]


def test_a_flood_of_refusals_writes_one_audit_row() -> None:
    caller = caller_with("Read only")
    for _ in range(5):
        caller.post("Agents/Reset", [])
    caller.post("Agents/Approve", [])
    rows = AuditEntry.objects.filter(category=Category.REFUSAL, action="permission_missing")
    assert [row.actor_name for row in rows] == ["user-Read only"] * 2
    assert rows[0].message == (
        "POST /KeyfactorAPI/Agents/Reset: Permission /agents/management/modify/reset/ is missing."
    )


SIGN_INS = {
    "no header": {},
    "an empty Basic header is none": {"Authorization": basic("", "")},
    "another scheme": {"Authorization": "Negotiate abc"},
    "a client certificate never counts": {"X-ARR-ClientCert": "MIIB"},
}
WRONG_SIGN_INS = {
    "a wrong password": basic("ada", "wrong"),
    "an unknown user": basic("nobody"),
    "a service account": basic("orchestrators"),
    "a name without a password": basic("ada", ""),
    "a password without a name": basic("", PASSWORD),
    "no base64": "Basic ???",
    "base64 with a letter missing": "Basic YWRhOn",
    "no colon": "Basic " + base64.b64encode(b"ada").decode(),
    "a NUL in the name": basic("ada\0"),
    "a name of 10,000 characters": basic("a" * 10_000),
    "a name of 200 characters": basic("a" * 200),
    "an unknown token": "Bearer ocp_unknown",
    "an empty token": "Bearer",
    "a token that is no ASCII": "Bearer \xe9\xff",
}


@pytest.mark.parametrize("headers", SIGN_INS.values(), ids=SIGN_INS.keys())
def test_without_a_sign_in_the_answer_is_401_with_a_challenge(headers: dict[str, str]) -> None:
    response = Caller(headers).get("Agents")
    refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"].startswith('Basic realm="KeyfactorAPI"')


@pytest.mark.both_databases
@pytest.mark.parametrize("header", WRONG_SIGN_INS.values(), ids=WRONG_SIGN_INS.keys())
def test_a_wrong_sign_in_is_401_and_all_wrong_ones_answer_alike(admin: Caller, header: str) -> None:
    user = User.objects.get(username="orchestrators")
    user.set_password(PASSWORD)
    user.save()
    response = Caller({"Authorization": header}).get("Agents")
    body = refused(response, 401, "sign_in_failed")
    assert response["WWW-Authenticate"].startswith("Basic")
    assert body["Message"] in (
        "User name or password is wrong.",
        "The Basic header cannot be read.",
        "The token is unknown, expired, revoked, or not for this network.",
    )
    assert AuditEntry.objects.filter(action="sign_in_failed").count() == 1


@pytest.mark.both_databases
def test_the_answer_does_not_tell_what_exists(admin: Caller, token: Callable[..., str]) -> None:
    """Neither a user name nor a token that was good once can be told from an invented one."""
    User.objects.create_user("locked-out", password=PASSWORD, is_active=False)
    account = User.objects.get(username="orchestrators")
    expired = token(User.objects.get(username="ada"), lasts=timedelta(days=-1))
    for alike in (
        (basic("nobody"), basic("ada", "wrong"), basic("locked-out"), basic(account.username)),
        ("Bearer ocp_" + "0" * 43, f"Bearer {expired}"),
    ):
        answers = [Caller({"Authorization": header}).get("Agents") for header in alike]
        assert [answer.status_code for answer in answers] == [401] * len(alike)
        told = [
            # The number of the request is each answer's own.
            ({**answer.json(), "instance": ""}, {**answer.headers, "X-Request-ID": ""})
            for answer in answers
        ]
        assert told == [told[0]] * len(alike)


def test_a_service_account_holds_tokens_but_never_signs_in_with_a_password(
    token: Callable[..., str],
) -> None:
    account = User.objects.get(username="orchestrators")
    caller = Caller({"Authorization": f"Bearer {token(account)}"})
    usable = caller.get("Status/Endpoints").json()
    assert {call.split("/")[1] for call in usable} == {
        "Certificates",
        "Enrollment",
        "License",
        "Status",
        "Tokens",
    }


NAMES = {
    "the plain name": ("ada", "ada"),
    "a domain before it": ("ada", "CORP\\ada"),
    "two domains before it": ("ada", "A\\B\\ada"),
    "the whole string if such a user exists": ("CORP\\ada", "CORP\\ada"),
}


@pytest.mark.parametrize(("username", "sent"), NAMES.values(), ids=NAMES.keys())
def test_a_domain_is_ignored_unless_it_belongs_to_the_name(username: str, sent: str) -> None:
    user_with("Administrator", username)
    assert Caller({"Authorization": basic(sent)}).get("Agents").status_code == 200


def test_of_a_user_with_the_domain_and_one_without_the_whole_string_decides() -> None:
    user_with("Administrator", "ada")
    user_with(None, "CORP\\ada")
    refused(Caller({"Authorization": basic("CORP\\ada")}).get("Agents"), 403, "permission_missing")


def test_a_password_beyond_ascii_works_in_both_encodings() -> None:
    User.objects.create_user("eva", password="schlüssel-für-eva")
    for encoding in ("utf-8", "latin-1"):
        raw = base64.b64encode("eva:schlüssel-für-eva".encode(encoding)).decode()
        caller = Caller({"Authorization": f"basic {raw}"})
        assert caller.get("Status/Endpoints").status_code == 200


def test_a_token_works_until_it_expires_is_revoked_or_its_owner_is_inactive(
    token: Callable[..., str],
) -> None:
    user = user_with("Read only")
    caller = Caller({"Authorization": f"Bearer {token(user)}"})
    assert caller.get("Agents").status_code == 200
    row = ApiToken.objects.get()
    assert row.last_used_at is not None

    User.objects.update(is_active=False)
    refused(caller.get("Agents"), 401, "sign_in_failed")
    User.objects.update(is_active=True)
    ApiToken.objects.update(revoked_at=timezone.now())
    refused(caller.get("Agents"), 401, "sign_in_failed")
    ApiToken.objects.update(revoked_at=None, expires_at=timezone.now() - timedelta(seconds=1))
    refused(caller.get("Agents"), 401, "sign_in_failed")


def test_a_token_in_the_query_string_is_refused_and_not_repeated(
    token: Callable[..., str],
) -> None:
    secret = token(user_with("Administrator"))
    caller = caller_with("Administrator", "ada")
    for name in ("token", "access_token", secret):
        response = caller.get("Agents", query={name: secret})
        refused(response, 400, "parameter_unknown")
        assert secret not in response.content.decode()


def test_a_role_taken_away_counts_with_the_next_request() -> None:
    caller = caller_with("Administrator", "ada")
    assert caller.get("Agents").status_code == 200
    Group.objects.get(name="Administrator").user_set.clear()
    refused(caller.get("Agents"), 403, "permission_missing")


def test_a_superuser_holds_everything_and_an_inactive_one_nothing() -> None:
    user = User.objects.create_superuser("root", password=PASSWORD)
    assert all(holds(user, permission) for permission in Permission)
    user.is_active = False
    assert not any(holds(user, permission) for permission in Permission)


@pytest.mark.both_databases
def test_guessing_is_locked_after_ten_tries_and_says_so_in_json() -> None:
    user_with("Administrator", "ada")
    wrong = Caller({"Authorization": basic("ada", "wrong")})
    answers = [wrong.get("Agents").status_code for _ in range(12)]
    assert answers == [401] * 9 + [429] * 3
    locked = Caller({"Authorization": basic("CORP\\ada")}).get("Agents")
    refused(locked, 429, "sign_in_locked")
    assert locked["Retry-After"] == "900"
    assert AuditEntry.objects.filter(action="sign_in_failed").count() == 1
    assert AuditEntry.objects.filter(action="sign_in_locked").count() == 1


def test_a_lock_holds_for_one_account_and_one_address(token: Callable[..., str]) -> None:
    ada, _ = user_with("Administrator", "ada"), user_with("Administrator", "ben")
    wrong = Caller({"Authorization": basic("ada", "wrong")})
    for _ in range(10):
        wrong.get("Agents")
    assert Caller({"Authorization": basic("ben")}).get("Agents").status_code == 200
    assert Caller({"Authorization": f"Bearer {token(ada)}"}).get("Agents").status_code == 200
    elsewhere = Caller({"Authorization": basic("ada")}, Client(REMOTE_ADDR="192.0.2.9"))
    assert elsewhere.get("Agents").status_code == 200


def test_guessing_of_unknown_names_is_locked_in_the_same_way() -> None:
    wrong = Caller({"Authorization": basic("nobody", "wrong")})
    assert [wrong.get("Agents").status_code for _ in range(11)] == [401] * 9 + [429] * 2


@pytest.mark.parametrize("made", ["ada", "CORP\\ada", None])
@pytest.mark.parametrize("named", ["ada", "CORP\\ada", "{n}\\ada", "D" * 147 + "{n}\\ada"])
def test_no_lock_tells_whether_a_name_is_a_user_s(made: str | None, named: str) -> None:
    """One name under many domains is counted as one, whoever of them there is."""
    if made is not None:
        user_with("Administrator", made)
    answers = [
        Caller({"Authorization": basic(named.format(n=n), "wrong")}).get("Agents").status_code
        for n in range(11)
    ]
    assert answers == [401] * 9 + [429] * 2
    assert Caller({"Authorization": basic("CORP\\ada")}).get("Agents").status_code == 429
    page = Client().post("/sign-in", {"username": made or "ada", "password": PASSWORD})
    assert page.status_code == 429


def test_guesses_leave_neither_body_nor_query_in_the_database() -> None:
    from axes.models import AccessAttempt

    Caller({"Authorization": basic("ada", "wrong")}).post(
        "Agents/Approve", raw=b"secret=1", content_type="application/x-www-form-urlencoded"
    )
    attempt = AccessAttempt.objects.get()
    assert (attempt.username, attempt.get_data, attempt.post_data) == ("ada", "", "")


def signed_in(edge: str = "pages") -> Caller:
    user = user_with("Administrator", "ada")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return Caller(client=client)


def test_a_page_session_reads_and_writes_only_with_its_csrf_token(
    orchestrator: Callable[..., Orchestrator],
) -> None:
    made = orchestrator()
    caller = signed_in()
    assert caller.get("Agents").status_code == 200
    refused(caller.post("Agents/Reset", [str(made.pk)]), 403, "csrf_failed")
    caller.client.cookies["csrftoken"] = "a" * 32
    caller.headers["X-CSRFToken"] = "a" * 32
    assert caller.post("Agents/Reset", [str(made.pk)]).status_code == 204


def test_a_page_session_is_nothing_on_the_agents_edge() -> None:
    caller = signed_in()
    with override_settings(CONFIG=replace(settings.CONFIG, edge="agents")):
        refused(caller.get("Agents"), 401, "not_authenticated")
