"""The endpoints under /AppSetting, and /Status/HealthCheck."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission as DjangoPermission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry
from portal.preferences import store
from portal.preferences.definitions import BY_NAME, EDITABLE
from portal.preferences.models import Setting
from tests.portal.rest.conftest import Caller, basic, refused, user_with

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

SESSION = BY_NAME["SessionLengthMinutes"]
WARNING = BY_NAME["ClientCertificateWarningDays"]
EXPIRY = BY_NAME["ClientCertificateExpiryDays"]
FLAG = BY_NAME["RevokeOldClientAuthCertificate"]
INTERNAL = BY_NAME["TrustAnchorsRevision"]


def caller_holding(*permissions: Permission) -> Caller:
    user = user_with(None, "partly")
    user.user_permissions.add(*DjangoPermission.objects.filter(codename__in=permissions))
    return Caller({"Authorization": basic("partly")})


def test_the_list_has_every_setting_but_those_that_the_portal_writes_itself(admin: Caller) -> None:
    with CaptureQueriesContext(
        connection,
    ) as one:
        rows = admin.get("AppSetting").json()
    assert [row["ShortName"] for row in rows] == [d.name for d in EDITABLE]
    assert all(isinstance(row["Value"], str) for row in rows)
    assert INTERNAL.id not in {row["Id"] for row in rows}
    assert sum("preferences_setting" in query["sql"] for query in one) == 1


@pytest.mark.parametrize("key", ["8", "SessionLengthMinutes", "sessionlengthminutes"])
def test_one_setting_is_found_by_its_id_and_by_its_name(admin: Caller, key: str) -> None:
    assert admin.get(f"AppSetting/{key}").json() == {
        "Id": 8,
        "DisplayName": "Session length",
        "ShortName": "SessionLengthMinutes",
        "Description": SESSION.effect,
        "Value": "1380",
        "ValueType": "integer",
    }
    answer = admin.send("PUT", f"AppSetting/{key}/Set", {"value": " 720 "})
    assert (answer.status_code, answer.json()["Value"]) == (200, "720")
    assert admin.get("AppSetting/8").json()["Value"] == "720"
    row = AuditEntry.objects.get(action="setting_changed")
    assert (row.actor_name, row.object_id) == ("ada", "SessionLengthMinutes")
    assert (row.before, row.after) == ({"value": "1380"}, {"value": "720"})


UNKNOWN_KEYS = ["0", "100", "TrustAnchorsRevision", "9" * 30, "nothing", "8x", "\u0668"]


@pytest.mark.parametrize("key", UNKNOWN_KEYS)
def test_a_setting_that_does_not_exist_is_a_404_in_json(admin: Caller, key: str) -> None:
    refused(admin.get(f"AppSetting/{key}"), 404, "setting_unknown")
    refused(admin.send("PUT", f"AppSetting/{key}/Set", {"Value": "1"}), 404, "setting_unknown")


BAD_VALUES: dict[str, tuple[str, Any, str]] = {
    "letters for a number": ("8", {"Value": "long"}, "value_invalid"),
    "a number below its bound": ("8", {"Value": "0"}, "value_invalid"),
    "a number above its bound": ("8", {"Value": "99999999999"}, "value_invalid"),
    "a number that is no string": ("8", {"Value": 720}, "value_invalid"),
    "a list": ("8", {"Value": ["720"]}, "value_invalid"),
    "null for a number": ("8", {"Value": None}, "value_invalid"),
    "a word that is no flag": ("3", {"Value": "yes"}, "value_invalid"),
    "a CA that does not exist": ("1", {"Value": "nowhere"}, "value_invalid"),
    "half a surrogate pair": ("14", {"Value": "\ud800"}, "value_invalid"),
    "half a surrogate pair for a CA": ("1", {"Value": "\udfff"}, "value_invalid"),
    "a NUL": ("14", {"Value": "a\0"}, "value_invalid"),
    "a line break in a text": ("14", {"Value": "a\nb"}, "value_invalid"),
    "a session shorter than two heartbeats": ("9", {"Value": "120"}, "value_invalid"),
    "an expiry beyond the warning": ("5", {"Value": "180"}, "value_invalid"),
    "no value": ("8", {}, "member_missing"),
    "no body": ("8", None, "body_wrong_shape"),
    "a list for an object": ("8", [{"Value": "720"}], "body_wrong_shape"),
    "a member that is only read": ("8", {"Value": "720", "ShortName": "x"}, "value_invalid"),
    "a member that is unknown": ("8", {"Value": "720", "Unit": "min"}, "member_unknown"),
}


@pytest.mark.parametrize(("key", "body", "code"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_a_value_that_a_setting_does_not_take_changes_nothing(
    admin: Caller, key: str, body: Any, code: str
) -> None:
    if key == "9":
        store_short_session()
    before = list(Setting.objects.values_list("name", "value"))
    refused(admin.send("PUT", f"AppSetting/{key}/Set", body), 400, code)
    assert list(Setting.objects.values_list("name", "value")) == before


def store_short_session() -> None:
    from django.utils import timezone

    from portal.audit.trail import Actor

    store.change(SESSION.name, "60", actor=Actor(name="ada"), now=timezone.now())


def test_several_settings_are_judged_as_they_will_stand_together(admin: Caller) -> None:
    both = [{"Id": EXPIRY.id, "Value": "200"}, {"Id": WARNING.id, "Value": "400"}]
    answer = admin.send("PUT", "AppSetting", both)
    assert answer.status_code == 200
    assert [(row["Id"], row["Value"]) for row in answer.json()] == [(5, "200"), (4, "400")]
    assert AuditEntry.objects.filter(action="setting_changed").count() == 2


def test_what_is_so_already_is_no_change(admin: Caller) -> None:
    assert admin.send("PUT", "AppSetting/8/Set", {"Value": "1380"}).status_code == 200
    assert not AuditEntry.objects.filter(action="setting_changed").exists()


def test_null_empties_a_text(admin: Caller) -> None:
    admin.send("PUT", "AppSetting/14/Set", {"Value": "example.com,  example.org"})
    assert admin.get("AppSetting/14").json()["Value"] == "example.com, example.org"
    assert admin.send("PUT", "AppSetting/14/Set", {"Value": None}).json()["Value"] == ""


BAD_LISTS: dict[str, tuple[Any, str]] = {
    "an object": ({"Id": 8, "Value": "60"}, "body_wrong_shape"),
    "an empty list": ([], "list_empty"),
    "a list of texts": (["8"], "body_wrong_shape"),
    "an entry too many": ([{"Id": 8, "Value": "60"}] * 1001, "list_too_long"),
    "the same setting twice": ([{"Id": 8, "Value": "60"}] * 2, "value_invalid"),
    "one that is unknown": (
        [{"Id": 8, "Value": "60"}, {"Id": 999, "Value": "1"}],
        "setting_unknown",
    ),
    "one that the portal writes itself": ([{"Id": 100, "Value": "1"}], "setting_unknown"),
    "true for an Id": ([{"Id": True, "Value": "x"}], "value_invalid"),
    "a text for an Id": ([{"Id": "8", "Value": "60"}], "value_invalid"),
    "an object for an Id": ([{"Id": {}, "Value": "60"}], "value_invalid"),
    "a huge number for an Id": ([{"Id": 2**62, "Value": "60"}], "setting_unknown"),
    "an entry without a value": ([{"Id": 8}], "member_missing"),
    "a second entry that is wrong": (
        [{"Id": 8, "Value": "60"}, {"Id": 3, "Value": "perhaps"}],
        "value_invalid",
    ),
    "settings that contradict each other": (
        [{"Id": 5, "Value": "100"}, {"Id": 4, "Value": "90"}],
        "value_invalid",
    ),
}


@pytest.mark.parametrize(("body", "code"), BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_of_a_list_with_one_bad_entry_nothing_is_changed(
    admin: Caller, body: Any, code: str
) -> None:
    refused(admin.send("PUT", "AppSetting", body), 400, code)
    assert not Setting.objects.exists()
    assert not AuditEntry.objects.filter(action="setting_changed").exists()


def test_the_periods_need_a_permission_of_their_own() -> None:
    caller = caller_holding(Permission.SETTINGS_READ, Permission.RENEWAL_PERIODS_MODIFY)
    assert "PUT /AppSetting/{id}/Set" in caller.get("Status/Endpoints").json()
    assert caller.send("PUT", "AppSetting/4/Set", {"Value": "90"}).status_code == 200
    refused(caller.send("PUT", "AppSetting/8/Set", {"Value": "60"}), 403, "permission_missing")
    mixed = [{"Id": 4, "Value": "100"}, {"Id": 8, "Value": "60"}]
    refused(caller.send("PUT", "AppSetting", mixed), 403, "permission_missing")
    assert dict(Setting.objects.values_list("name", "value")) == {WARNING.name: "90"}


def test_the_settings_permission_does_not_reach_the_periods() -> None:
    caller = caller_holding(Permission.SETTINGS_READ, Permission.SETTINGS_MODIFY)
    assert caller.send("PUT", "AppSetting/8/Set", {"Value": "60"}).status_code == 200
    answer = caller.send("PUT", "AppSetting/4/Set", {"Value": "90"})
    body = refused(answer, 403, "permission_missing")
    assert "/renewal_periods/modify/" in body["Message"]


def test_whoever_may_change_a_setting_but_not_see_one_is_refused() -> None:
    caller = caller_holding(Permission.SETTINGS_MODIFY, Permission.RENEWAL_PERIODS_MODIFY)
    refused(caller.send("PUT", "AppSetting/8/Set", {"Value": "60"}), 403, "permission_missing")
    told = caller.get("Status/Endpoints").json()
    assert [each for each in told if "AppSetting" in each] == []


def test_health_is_an_empty_answer(admin: Caller) -> None:
    answer = admin.get("Status/HealthCheck")
    assert (answer.status_code, answer.content) == (204, b"")
    refused(Caller().get("Status/HealthCheck"), 401, "not_authenticated")
