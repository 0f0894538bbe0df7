"""API tokens at the front door: narrowed, limited to networks, shown once, revoked at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.accounts import save_user
from portal.access.catalogue import Permission, entry_for
from portal.access.guard import AccountRefused
from portal.access.models import ApiToken, User
from portal.access.tokens import WHOLE, issue_token, narrowing
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from tests.portal.rest.conftest import PASSWORD, Caller, basic, caller_with, refused, user_with

pytestmark = pytest.mark.django_db

TESTER = Actor("tester")
READ, RENEW = "/agents/management/read/", "/agents/management/modify/renew/"


def issued(user: User, *scopes: str, networks: tuple[str, ...] = ()) -> str:
    return issue_token(
        user,
        "script",
        lasts=timedelta(days=1),
        limits=narrowing(scopes or None, networks),
        actor=TESTER,
        now=timezone.now(),
    )[1]


def bearer(text: str, address: str = "127.0.0.1") -> Caller:
    return Caller({"Authorization": f"Bearer {text}"}, Client(REMOTE_ADDR=address))


def test_scopes_let_through_what_they_name_and_refuse_the_rest(
    orchestrator: Callable[..., Orchestrator],
) -> None:
    made = orchestrator()
    caller = bearer(issued(user_with("Administrator"), READ, RENEW))
    assert caller.get("Agents").status_code == 200
    flag = {"OrchestratorIds": [str(made.pk)], "Status": 1}
    assert caller.post("Agents/SetAuthCertificateReenrollment", flag).status_code == 200
    refused(caller.post("Agents/Reset", [str(made.pk)]), 403, "permission_missing")
    refused(caller.get("AppSetting"), 403, "permission_missing")
    assert "POST /Agents/Reset" not in caller.get("Status/Endpoints").json()


def test_a_scope_grants_nothing_that_its_owner_lacks() -> None:
    text = issued(user_with("Read only"), READ, "/application_settings/modify/")
    change = [{"Id": 8, "Value": "60"}]
    refused(bearer(text).send("PUT", "AppSetting", change), 403, "permission_missing")


def test_a_scope_loses_what_its_owner_loses() -> None:
    caller = bearer(issued(user_with("Administrator"), READ))
    assert caller.get("Agents").status_code == 200
    Group.objects.get(name="Administrator").user_set.clear()
    refused(caller.get("Agents"), 403, "permission_missing")


def test_a_scope_narrows_a_superuser_too() -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    refused(bearer(issued(root, READ)).get("AppSetting"), 403, "permission_missing")


def test_a_shorter_scope_lets_through_what_is_below_it(
    orchestrator: Callable[..., Orchestrator],
) -> None:
    caller = bearer(issued(user_with("Administrator"), READ, "/agents/management/modify/"))
    assert caller.post("Agents/Reset", [str(orchestrator().pk)]).status_code == 204


def test_a_scope_that_the_catalogue_no_longer_knows_lets_nothing_through() -> None:
    caller = bearer(issued(user_with("Administrator"), READ))
    ApiToken.objects.update(scopes=["gone"])
    refused(caller.get("Agents"), 403, "permission_missing")


def test_nobody_issues_a_token_wider_than_what_they_hold() -> None:
    ada, giver = user_with("Administrator", "ada"), user_with("Operator", "olga")
    with pytest.raises(AccountRefused, match="do not hold"):
        issue_token(
            ada, "t", lasts=timedelta(days=1), giver=giver, actor=TESTER, now=timezone.now()
        )
    _, text = issue_token(
        ada,
        "t",
        lasts=timedelta(days=1),
        limits=narrowing([READ]),
        giver=giver,
        actor=TESTER,
        now=timezone.now(),
    )
    assert bearer(text).get("Agents").status_code == 200


NETWORKS = {
    "an address that is named is let in": ("192.0.2.7", "192.0.2.7", True),
    "an address in a named network is let in": ("192.0.2.0/24", "192.0.2.200", True),
    "an address beside it is refused": ("192.0.2.0/24", "192.0.3.1", False),
    "an IPv6 address in a named network is let in": ("2001:db8::/32", "2001:db8::5", True),
    "an IPv4 address that a socket shows as IPv6 is let in": (
        "192.0.2.0/24",
        "::ffff:192.0.2.9",
        True,
    ),
    "IPv6 is in no network of IPv4": ("0.0.0.0/0", "2001:db8::5", False),
    "a peer without an address is in no network": ("0.0.0.0/0", "", False),
}


@pytest.mark.parametrize(("network", "address", "is_let_in"), NETWORKS.values(), ids=NETWORKS)
def test_a_token_is_taken_from_its_networks_only(
    network: str, address: str, is_let_in: bool
) -> None:
    text = issued(user_with("Administrator"), networks=(network,))
    answer = bearer(text, address).get("Agents")
    if is_let_in:
        assert answer.status_code == 200
        assert ApiToken.objects.get().last_used_from == address
        return
    body = refused(answer, 401, "sign_in_failed")
    unknown = refused(bearer("ocp_nonsense", address).get("Agents"), 401, "sign_in_failed")
    assert body["Message"] == unknown["Message"], "tells a thief that the token is good elsewhere"
    assert ApiToken.objects.get().last_used_at is None
    row = AuditEntry.objects.get(action="token_outside_networks")
    assert (row.actor_name, row.source_address) == ("user-Administrator", address)


def test_a_token_made_over_the_api_is_shown_once_and_stored_as_a_digest() -> None:
    ada = caller_with("Administrator", "ada")
    body = {"Name": "nightly", "Days": 30, "Scopes": [READ], "Networks": ["127.0.0.0/8"]}
    made = ada.post("Tokens", body).json()
    text = made.pop("Token")
    assert ada.get("Tokens").json() == [made]
    assert (made["State"], made["Scopes"], made["Networks"]) == ("Usable", [READ], ["127.0.0.0/8"])
    stored = json.dumps(list(ApiToken.objects.values()), default=str)
    told = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert text not in stored + told
    assert bearer(text).get("Agents").status_code == 200
    assert ada.get("Tokens").json()[0]["LastUsed"] is not None


def test_a_list_of_tokens_is_paged_to_its_end() -> None:
    user = user_with(None, "ada")
    now = timezone.now()
    ApiToken.objects.bulk_create(
        ApiToken(user=user, name=f"t{n}", digest=f"{n:064}", created_at=now,
                 expires_at=now + timedelta(days=n + 1))
        for n in range(203)
    )  # fmt: skip
    ada = Caller({"Authorization": basic("ada")})
    first = ada.get("Tokens", query={"ReturnLimit": "200"})
    rest = ada.get("Tokens", query={"ReturnLimit": "200", "cursor": first["X-Next-Cursor"]})
    assert [each["Name"] for each in first.json() + rest.json()] == [
        f"t{n}" for n in reversed(range(203))
    ]
    found = ada.get("Tokens", query={"QueryString": 'Name -eq "t7"'}).json()
    assert [each["Name"] for each in found] == ["t7"]


def test_a_revoked_token_is_refused_with_the_next_call() -> None:
    ada = caller_with("Administrator", "ada")
    made = ada.post("Tokens", {"Name": "nightly"}).json()
    caller = bearer(made["Token"])
    assert caller.get("Agents").status_code == 200
    assert ada.send("DELETE", f"Tokens/{made['Id']}").status_code == 204
    refused(caller.get("Agents"), 401, "sign_in_failed")
    assert ada.send("DELETE", f"Tokens/{made['Id']}").status_code == 204
    assert AuditEntry.objects.filter(action="token_revoked").count() == 1


def test_a_dry_run_of_a_revocation_tells_the_token_before_and_after() -> None:
    user = user_with(None, "ada")
    issued(user)
    row = ApiToken.objects.get()
    ada = Caller({"Authorization": basic("ada")})
    told = ada.send("DELETE", f"Tokens/{row.pk}", query={"dry_run": "true"}).json()
    (change,) = told["Changes"]
    assert change["Before"]["user"] == "ada"
    assert change["After"].keys() - change["Before"].keys() == {"revoked_at"}
    row.refresh_from_db()
    assert row.revoked_at is None


def test_a_token_revokes_itself_but_makes_no_other_one() -> None:
    caller = bearer(issued(user_with("Administrator")))
    refused(caller.post("Tokens", {"Name": "child"}), 403, "token_makes_no_token")
    assert caller.send("DELETE", f"Tokens/{ApiToken.objects.get().pk}").status_code == 204
    refused(caller.get("Agents"), 401, "sign_in_failed")


def test_a_token_with_scopes_reaches_no_other_one() -> None:
    ada = user_with("Administrator", "ada")
    issued(ada)
    (other,) = ApiToken.objects.all()
    text = issue_token(
        ada,
        "narrow",
        lasts=timedelta(days=1),
        limits=narrowing([READ]),
        actor=TESTER,
        now=timezone.now(),
    )[1]
    caller = bearer(text)
    assert [each["Name"] for each in caller.get("Tokens").json()] == ["narrow"]
    refused(caller.get(f"Tokens/{other.pk}"), 404, "token_unknown")
    refused(caller.send("DELETE", f"Tokens/{other.pk}"), 404, "token_unknown")
    other.refresh_from_db()
    assert other.revoked_at is None


def test_a_token_of_somebody_else_does_not_exist() -> None:
    issued(user_with("Administrator", "ada"))
    ben = caller_with("Administrator", "ben")
    assert ben.get("Tokens").json() == []
    refused(ben.send("DELETE", f"Tokens/{ApiToken.objects.get().pk}"), 404, "token_unknown")
    refused(ben.send("DELETE", "Tokens/nonsense"), 404, "token_unknown")
    refused(ben.send("DELETE", f"Tokens/{10**30}"), 404, "token_unknown")


BAD: dict[str, tuple[Any, str]] = {
    "no name": ({}, "member_missing"),
    "a name of another type": ({"Name": 1}, "value_invalid"),
    "an empty name": ({"Name": " "}, "value_invalid"),
    "no day": ({"Name": "a", "Days": 0}, "value_invalid"),
    "a fraction of days": ({"Name": "a", "Days": 1.5}, "value_invalid"),
    "true for days": ({"Name": "a", "Days": True}, "value_invalid"),
    "more days than a token lasts": ({"Name": "a", "Days": 4000}, "value_invalid"),
    "an unknown scope": ({"Name": "a", "Scopes": ["/everything/"]}, "value_invalid"),
    "an empty list of scopes": ({"Name": "a", "Scopes": []}, "list_empty"),
    "scopes that are no list": ({"Name": "a", "Scopes": READ}, "value_invalid"),
    "a network that is none": ({"Name": "a", "Networks": ["example.com"]}, "value_invalid"),
    "a network with host bits": ({"Name": "a", "Networks": ["192.0.2.1/24"]}, "value_invalid"),
    "a member that is not known": ({"Name": "a", "User": "root"}, "member_unknown"),
    "a member that only the portal writes": ({"Name": "a", "Digest": "0"}, "member_unknown"),
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD)
def test_a_bad_token_is_refused_and_nothing_is_made(body: Any, code: str) -> None:
    refused(caller_with("Administrator", "ada").post("Tokens", body), 400, code)
    assert not ApiToken.objects.exists()


def test_a_live_token_of_the_same_name_is_kept_and_not_shown_again() -> None:
    ada = caller_with("Administrator", "ada")
    assert ada.post("Tokens", {"Name": "nightly"}).status_code == 200
    refused(ada.post("Tokens", {"Name": "nightly"}), 400, "name_taken")
    assert ApiToken.objects.count() == 1


def test_every_permission_is_a_scope_by_its_access_string_and_by_its_codename() -> None:
    for permission in Permission:
        for text in (str(permission), entry_for(permission).access_string):
            assert narrowing([text]).scopes == {permission}
    assert narrowing() == WHOLE


@pytest.fixture
def hashings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords that were hashed in the slow way."""
    seen: list[str] = []
    slow = User.check_password

    def counted(self: User, raw: str) -> bool:
        seen.append(raw)
        return slow(self, raw)

    monkeypatch.setattr(User, "check_password", counted)
    return seen


class TestBasicAgain:
    """A password that was right a moment ago is not hashed again, and not believed for longer."""

    def test_the_second_call_costs_no_hash(self, hashings: list[str]) -> None:
        ada = caller_with("Administrator", "ada")
        for _ in range(3):
            assert ada.get("Agents").status_code == 200
        assert len(hashings) == 1

    def test_a_wrong_password_is_hashed_each_time(self, hashings: list[str]) -> None:
        caller_with("Administrator", "ada").get("Agents")
        wrong = Caller({"Authorization": "Basic YWRhOndyb25n"})
        for _ in range(2):
            refused(wrong.get("Agents"), 401, "sign_in_failed")
        assert hashings == [PASSWORD, "wrong", "wrong"]

    def test_the_old_password_ends_with_its_change(self) -> None:
        ada = caller_with("Administrator", "ada")
        assert ada.get("Agents").status_code == 200
        save_user("ada", password="another horse battery", actor=TESTER)
        refused(ada.get("Agents"), 401, "sign_in_failed")

    def test_a_deactivated_user_is_refused_at_once(self) -> None:
        ada = caller_with("Administrator", "ada")
        assert ada.get("Agents").status_code == 200
        User.objects.filter(username="ada").update(is_active=False)
        refused(ada.get("Agents"), 401, "sign_in_failed")

    def test_a_locked_account_is_refused_although_the_password_is_right(self) -> None:
        ada = caller_with("Administrator", "ada")
        assert ada.get("Agents").status_code == 200
        for _ in range(10):
            Caller({"Authorization": "Basic YWRhOndyb25n"}).get("Agents")
        refused(ada.get("Agents"), 429, "sign_in_locked")
