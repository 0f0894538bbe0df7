"""What a GET answers, sent back with the PUT of the same thing, is taken and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from orchestrators.models import AutoRegistrationRule
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.preferences.models import Setting
from portal.rest import role_holders
from portal.rest.urls import OPERATIONS
from renewal.models import CertificateAuthority, Template
from tests.portal.access.conftest import user
from tests.portal.rest.conftest import Caller, refused
from tests.portal.rest.test_settings import caller_holding

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

PUTS: dict[str, tuple[str, str]] = {
    "all settings": ("AppSetting", "AppSetting"),
    "a setting": ("AppSetting/8", "AppSetting/8/Set"),
    "a period of renewal": ("AppSetting/4", "AppSetting/4/Set"),
    "an authority": ("CertificateAuthority/<authority>", "CertificateAuthority"),
    "a template": ("Templates/<template>", "Templates"),
    "what holds for all templates": ("Templates/Settings", "Templates/Settings"),
    "a rule": ("AutoRegistration/Rules/<rule>", "AutoRegistration/Rules/<rule>"),
    "a group": ("Groups/<group>", "Groups/<group>"),
    "a role": ("Security/Roles/<role>", "Security/Roles"),
    "a role with nothing in it": ("Security/Roles/<empty>", "Security/Roles"),
    "a shipped role": ("Security/Roles/<shipped>", "Security/Roles"),
    "who has a role": ("Security/Roles/<role>/Identities", "Security/Roles/<role>/Identities"),
    "that nobody has it": (
        "Security/Roles/<empty>/Identities",
        "Security/Roles/<empty>/Identities",
    ),
    "what a role grants": (
        "Security/Roles/<role>/Permissions/Global",
        "Security/Roles/<role>/Permissions/Global",
    ),
    "that a role grants nothing": (
        "Security/Roles/<empty>/Permissions/Global",
        "Security/Roles/<empty>/Permissions/Global",
    ),
}


@pytest.fixture
def made(admin: Caller, portal_ca: CertificateAuthority) -> dict[str, Any]:
    """One of everything that a PUT changes, with something in each member."""
    portal_ca.allowed_requesters.set([user("olaf"), User.objects.get(username="ada")])
    body: dict[str, Any] = {
        "Name": "r",
        "Outcome": "Allow",
        "NamePatterns": ["web-*"],
        "Networks": ["192.0.2.0/24"],
        "Parameters": {"region": "eu"},
        "AssignLabels": {"region": "eu"},
    }
    admin.post("AutoRegistration/Rules", {"Name": "first"})
    rule = admin.post("AutoRegistration/Rules", body).json()
    assert rule["Position"] == 2
    role = {
        "Name": "Mine",
        "Permissions": ["/agents/management/read/", "/certificates/enrollment/csr/"],
        "Identities": [{"AccountName": "olaf"}],
    }
    template = Template.objects.get()
    change = {
        "Id": template.pk,
        "KeyTypes": ["Ed25519", "RSA-3072", "EC-P384"],
        "AllowedRequesters": ["olaf"],
    }
    assert admin.send("PUT", "Templates", change).status_code == 200
    roles = {each["Name"]: each["Id"] for each in admin.get("Security/Roles").json()}
    return {
        "<authority>": portal_ca.pk,
        "<template>": template.pk,
        "<rule>": rule["Id"],
        "<group>": admin.post("Groups", {"Name": "Bonn"}).json()["Id"],
        "<role>": admin.post("Security/Roles", role).json()["Id"],
        "<empty>": admin.post("Security/Roles", {"Name": "Empty"}).json()["Id"],
        "<shipped>": roles["Operator"],
    }


def test_every_put_is_among_them() -> None:
    documented = {route for route, view in OPERATIONS if "PUT" in view.needs}
    names = {
        "<setting_id>": "8",
        "<rule_id>": "<rule>",
        "<role_id>": "<role>",
        "<group_id>": "<group>",
    }

    def as_here(route: str) -> str:
        for name, here in names.items():
            route = route.replace(name.replace("<", "<str:"), here)
        return route

    assert {as_here(route) for route in documented} <= {write for _, write in PUTS.values()}


@pytest.mark.parametrize(("read", "write"), PUTS.values(), ids=PUTS.keys())
def test_what_get_answers_can_be_put_and_changes_nothing(
    admin: Caller, made: dict[str, Any], read: str, write: str
) -> None:
    for name, pk in made.items():
        read, write = read.replace(name, str(pk)), write.replace(name, str(pk))
    before = admin.get(read)
    rows = AuditEntry.objects.count()
    settings = list(Setting.objects.values())
    for headers in ({}, {"If-Match": before["ETag"]}):
        answer = admin.send("PUT", write, before.json(), headers=headers)
        assert answer.status_code == 200, answer.content
        assert answer.json() == before.json()
    after = admin.get(read)
    assert (after.json(), after["ETag"]) == (before.json(), before["ETag"])
    assert AuditEntry.objects.count() == rows
    assert list(Setting.objects.values()) == settings


def test_what_is_seen_of_an_authority_may_change_between_get_and_put(
    admin: Caller, portal_ca: CertificateAuthority
) -> None:
    read = admin.get(f"CertificateAuthority/{portal_ca.pk}")
    assert admin.post("CertificateAuthority/Test", {"Id": portal_ca.pk}).json()["Success"]
    assert admin.get(f"CertificateAuthority/{portal_ca.pk}").json()["TestPassed"]

    body = {**read.json(), "HoldSeconds": 7}
    ahead = {**body, "TestedAt": "2999-01-01T00:00:00Z"}
    refused(admin.send("PUT", "CertificateAuthority", ahead), 400, "value_invalid")
    answer = admin.send("PUT", "CertificateAuthority", body, headers={"If-Match": read["ETag"]})
    assert answer.status_code == 200, answer.content
    # It was tested as it was before: of what it is now nothing was seen yet.
    assert answer.json() == body


def test_how_often_a_rule_decided_may_change_between_get_and_put(
    admin: Caller, made: dict[str, Any]
) -> None:
    path = f"AutoRegistration/Rules/{made['<rule>']}"
    read = admin.get(path).json()
    seen = ("Hits", "LastHit")
    stale = {**read, "Hits": 400, "LastHit": "2026-01-01T00:00:00Z", "Description": "the web"}
    # What was seen is what there was: nobody has read more of it than there is.
    refused(admin.send("PUT", path, stale), 400, "value_invalid")
    AutoRegistrationRule.objects.filter(pk=made["<rule>"]).update(
        hits=401, last_hit_at=timezone.now()
    )
    assert admin.send("PUT", path, stale).json() | {name: read[name] for name in seen} == {
        **read,
        "Description": "the web",
        "Version": read["Version"] + 1,
    }


READ_ONLY: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a setting's name": ("AppSetting/8", "AppSetting/8/Set", {"ShortName": "Other"}),
    "a setting's type": ("AppSetting/8", "AppSetting/8/Set", {"ValueType": "string"}),
    "the Id of another setting": ("AppSetting/8", "AppSetting/8/Set", {"Id": 4}),
    "the Id of another rule": (
        "AutoRegistration/Rules/<rule>",
        "AutoRegistration/Rules/<rule>",
        {"Id": 2**40},
    ),
    "that a role is shipped": ("Security/Roles/<role>", "Security/Roles", {"IsShipped": True}),
    "that a role is limited": ("Security/Roles/<role>", "Security/Roles", {"IsLimited": True}),
}


@pytest.mark.parametrize(("read", "write", "change"), READ_ONLY.values(), ids=READ_ONLY.keys())
def test_another_value_of_a_member_that_is_only_read_is_refused(
    admin: Caller, made: dict[str, Any], read: str, write: str, change: dict[str, Any]
) -> None:
    for name, pk in made.items():
        read, write = read.replace(name, str(pk)), write.replace(name, str(pk))
    shown = admin.get(read).json()
    refused(admin.send("PUT", write, {**shown, **change}), 400, "value_invalid")
    assert admin.get(read).json() == shown


def test_another_value_beside_the_holder_of_a_role_is_refused(
    admin: Caller, made: dict[str, Any]
) -> None:
    path = f"Security/Roles/{made['<role>']}/Identities"
    (holder,) = admin.get(path).json()
    other_role = {**holder["Roles"][0], "Name": "Administrator"}
    for change in ({"Roles": [other_role]}, {"Id": 0}, {"Valid": False}):
        refused(admin.send("PUT", path, [{**holder, **change}]), 400, "value_invalid")
    assert admin.get(path).json() == [holder]


def test_a_role_can_be_left_to_nobody_and_grant_nothing(
    admin: Caller, made: dict[str, Any]
) -> None:
    for part in ("Identities", "Permissions/Global"):
        path = f"Security/Roles/{made['<role>']}/{part}"
        assert admin.get(path).json()
        assert admin.send("PUT", path, []).json() == []
        assert admin.get(path).json() == []


def test_a_role_with_more_holders_than_a_list_has_keeps_them(
    admin: Caller, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_holders, "MOST_SHOWN", 1)
    path = f"Security/Roles/{made['<role>']}/Identities"
    role = User.objects.get(username="olaf").groups.get(name="Mine")
    role.user_set.add(user("berta"))
    refused(admin.send("PUT", path, admin.get(path).json()), 400, "list_too_long")
    assert role.user_set.count() == 2


def test_who_may_change_some_settings_may_send_back_the_others(made: dict[str, Any]) -> None:
    """The periods of renewal need a permission of their own, but only to change them."""
    caller = caller_holding(Permission.SETTINGS_READ, Permission.SETTINGS_MODIFY)
    shown = caller.get("AppSetting").json()
    changed = [{**each, "Value": "60"} if each["Id"] == 8 else each for each in shown]
    assert changed != shown
    assert caller.send("PUT", "AppSetting", changed).json() == changed
    periods = [{**each, "Value": "90"} if each["Id"] == 4 else each for each in shown]
    refused(caller.send("PUT", "AppSetting", periods), 403, "permission_missing")
    assert caller.get("AppSetting").json() == changed
