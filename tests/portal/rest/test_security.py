"""Roles and identities over the API, under the guards that the pages have."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from portal.access.models import User
from portal.access.reach import Reach
from portal.access.role_changes import save_role
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from tests.portal.rest.conftest import Caller, caller_with, refused, user_with

pytestmark = pytest.mark.django_db


def test_a_role_is_made_changed_given_and_removed(admin: Caller) -> None:
    body = {
        "Name": "Night shift",
        "Description": "Looks after the fleet at  night",
        "Permissions": ["/agents/management/read/", "ApplicationSettings:Read"],
    }
    made = admin.post("Security/Roles", body).json()
    assert made["Permissions"] == ["/agents/management/read/", "/application_settings/read/"]
    assert made["Description"] == "Looks after the fleet at night"
    ben = user_with(None, "ben")
    path = f"Security/Roles/{made['Id']}/Identities"
    given = admin.send("PUT", path, [{"AccountName": "ben"}]).json()
    assert [each["AccountName"] for each in given] == ["ben"]
    assert ben.groups.get().name == "Night shift"
    change = {"Id": made["Id"], "Name": "Late shift", "Permissions": ["/auditing/read/"]}
    changed = admin.send("PUT", "Security/Roles", change).json()
    assert (changed["Name"], changed["Permissions"]) == ("Late shift", ["/auditing/read/"])
    assert changed["Description"] == "Looks after the fleet at night"
    (told,) = [r for r in admin.get("Security/Roles").json() if r["Id"] == made["Id"]]
    assert told == changed
    emptied = admin.send("PUT", "Security/Roles", {**change, "Description": ""}).json()
    assert emptied["Description"] == ""
    told_audit = AuditEntry.objects.filter(action="role_changed").latest("pk")
    assert told_audit.before["description"] == "Looks after the fleet at night"
    long = {**change, "Description": "x" * 501}
    refused(admin.send("PUT", "Security/Roles", long), 400, "value_invalid")
    assert ben.groups.count() == 1
    assert admin.send("DELETE", f"Security/Roles/{made['Id']}").status_code == 204
    refused(admin.get(f"Security/Roles/{made['Id']}"), 404, "role_unknown")
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"role_added", "role_changed", "role_removed", "user_changed"} <= actions


def test_the_limit_of_a_role_outlives_its_change(admin: Caller) -> None:
    role, _ = save_role(
        "Berlin", limit=Reach(labels=frozenset({("site", "b")})), giver=None, actor=Actor("t")
    )
    body = {"Id": role.pk, "Name": "Berlin", "Permissions": ["/agents/management/read/"]}
    assert admin.send("PUT", "Security/Roles", body).json()["IsLimited"] is True
    assert role.reach.count() == 1


def test_nobody_gives_what_they_do_not_hold() -> None:
    save_role(
        "Keeper",
        permissions=["security_read", "security_modify"],
        giver=None,
        actor=Actor("t"),
    )
    keeper = caller_with("Keeper", "kim")
    body = {"Name": "Mine", "Permissions": ["/application_settings/modify/"]}
    refused(keeper.post("Security/Roles", body), 403, "beyond_own_permissions")
    administrator = Group.objects.get(name="Administrator")
    path = f"Security/Roles/{administrator.pk}/Identities"
    refused(keeper.send("PUT", path, [{"AccountName": "kim"}]), 403, "beyond_own_permissions")
    assert not administrator.user_set.exists()
    assert not Group.objects.filter(name="Mine").exists()


def test_the_last_administrator_stays(admin: Caller) -> None:
    ada = User.objects.get(username="ada")
    answer = admin.send("DELETE", f"Security/Identities/{ada.pk}")
    refused(answer, 400, "last_administrator")
    ada.refresh_from_db()
    assert ada.is_active


def test_a_role_and_those_who_get_it_are_saved_together_or_not(admin: Caller) -> None:
    body = {"Name": "New", "Permissions": [], "Identities": [{"AccountName": "nobody"}]}
    refused(admin.post("Security/Roles", body), 400, "identity_unknown")
    assert not Group.objects.filter(name="New").exists()


def test_an_identity_is_made_found_and_deactivated(admin: Caller) -> None:
    made = admin.post("Security/Identities", {"AccountName": "CORP\\ben"}).json()
    assert (made["Valid"], made["Roles"]) == (True, [])
    assert not User.objects.get(pk=made["Id"]).has_usable_password()
    query = {"accountName": "CORP\\ben"}
    assert admin.get("Security/Identities/Lookup", query=query).json() == {"Valid": True}
    other = {"accountName": "nobody"}
    assert admin.get("Security/Identities/Lookup", query=other).json() == {"Valid": False}
    refused(admin.get("Security/Identities/Lookup"), 400, "parameter_invalid")
    assert made in admin.get("Security/Identities").json()
    assert admin.send("DELETE", f"Security/Identities/{made['Id']}").status_code == 204
    assert admin.get(f"Security/Identities/{made['Id']}").json()["Valid"] is False


BAD = {
    "an unknown permission": ({"Name": "a", "Permissions": ["/all/"]}, "value_invalid"),
    "a name that is taken": ({"Name": "Operator"}, "name_taken"),
    "an empty name": ({"Name": " "}, "value_invalid"),
    "a disabled role": ({"Name": "a", "Enabled": False}, "value_invalid"),
    "a member that is not known": ({"Name": "a", "IsShipped": True}, "member_unknown"),
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD)
def test_a_bad_role_is_refused(admin: Caller, body: dict[str, object], code: str) -> None:
    before = Group.objects.count()
    refused(admin.post("Security/Roles", body), 400, code)
    assert Group.objects.count() == before


def test_roles_and_identities_are_found_by_name_as_existing_clients_ask(admin: Caller) -> None:
    for path, query in (
        ("Security/Roles", 'name -eq "Auditor"'),
        ("Security/Identities", 'AccountName -eq "ada"'),
    ):
        (found,) = admin.get(path, query={"pq.queryString": query}).json()
        # Of one identity, what it may do is told besides.
        assert admin.get(f"{path}/{found['Id']}").json().items() >= found.items()


def test_permissions_are_read_granted_and_set_by_area(admin: Caller) -> None:
    made = admin.post("Security/Roles", {"Name": "Night shift"}).json()
    path = f"Security/Roles/{made['Id']}/Permissions"
    audit = {"Area": "Auditing", "Permission": "Read"}
    reset = {"Area": "/agents/management/modify/", "Permission": "reset"}
    assert admin.post(f"{path}/Global", [audit]).json() == [audit]
    assert admin.post(f"{path}/Global", [reset]).json() == [reset, audit]
    assert admin.send("PUT", f"{path}/Global", [reset]).json() == [reset]
    assert admin.get(path).json() == [{"Type": "Global", **reset}]
    for kind in ("Collections", "Containers"):
        assert admin.get(f"{path}/{kind}").json() == []
        refused(admin.get(f"Security/Roles/404404/Permissions/{kind}"), 404, "role_unknown")
    unknown = [{"Area": "Auditing", "Permission": "Forge"}]
    refused(admin.post(f"{path}/Global", unknown), 400, "value_invalid")
    keeper = caller_with("Auditor", "eve")
    refused(keeper.send("PUT", f"{path}/Global", [audit]), 403, "permission_missing")
