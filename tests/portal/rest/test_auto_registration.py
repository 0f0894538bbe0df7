"""The rules of auto-registration by API: read, made, changed, moved, removed, and tried."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from orchestrators import groups
from orchestrators.models import AutoRegistrationRule, Orchestrator
from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry
from tests.portal.access.conftest import TESTER, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = pytest.mark.both_databases
RULE = {
    "Name": "Web servers",
    "Outcome": "Allow",
    "NamePatterns": ["web-*"],
    "Networks": ["10.0.0.0/8"],
    "Parameters": {"site": "b*"},
    "AssignLabels": {"tier": "web"},
}


@pytest.fixture
def rule(admin: Caller) -> int:
    response = admin.post("AutoRegistration/Rules", RULE)
    assert response.status_code == 200
    return int(response.json()["Id"])


def test_a_rule_is_told_as_it_was_made(admin: Caller, rule: int) -> None:
    told = admin.get(f"AutoRegistration/Rules/{rule}").json()
    assert {name: told[name] for name in RULE} == RULE
    assert (told["Position"], told["Version"], told["Hits"], told["Enabled"]) == (1, 1, 0, True)
    assert admin.get("AutoRegistration/Rules").json() == [told]


def test_a_change_leaves_what_it_does_not_name(admin: Caller, rule: int) -> None:
    admin.post("AutoRegistration/Rules", {"Name": "Second"})
    changed = admin.send(
        "PUT", f"AutoRegistration/Rules/{rule}", {"Enabled": False, "Position": 2}
    ).json()
    assert {name: changed[name] for name in RULE} == RULE
    assert (changed["Enabled"], changed["Position"]) == (False, 2)
    names = [each["Name"] for each in admin.get("AutoRegistration/Rules").json()]
    assert names == ["Second", "Web servers"]
    actions = AuditEntry.objects.filter(object_type="auto_registration_rule").order_by("pk")
    assert list(actions.values_list("action", flat=True))[-2:] == ["rule_changed", "rule_moved"]


def test_a_rule_that_is_removed_is_unknown(admin: Caller, rule: int) -> None:
    assert admin.send("DELETE", f"AutoRegistration/Rules/{rule}").status_code == 204
    for method in ("GET", "PUT", "DELETE"):
        body = {} if method == "PUT" else None
        answer = admin.send(method, f"AutoRegistration/Rules/{rule}", body)
        refused(answer, 404, "rule_unknown")


BAD = {
    "an unknown outcome": ({"Outcome": "maybe"}, 400, "value_invalid"),
    "a network that is none": ({"Networks": ["ten"]}, 400, "value_invalid"),
    "a group that does not exist": ({"AssignGroup": "Nowhere"}, 400, "value_invalid"),
    "a member that is the portal's": ({"Hits": 9}, 400, "value_invalid"),
    "a list that is none": ({"NamePatterns": "web-*"}, 400, "value_invalid"),
    "parameters that are no object": ({"Parameters": ["a"]}, 400, "value_invalid"),
    "a place before the first": ({"Position": 0}, 400, "value_invalid"),
    "a direction character": ({"Description": "a\u202eb"}, 400, "value_invalid"),
    "a version that is not the newest": ({"Version": 7, "Outcome": "deny"}, 400, "rule_changed"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD.values(), ids=BAD)
def test_bad_input_is_told_and_changes_nothing(
    body: dict[str, object], status: int, code: str, admin: Caller, rule: int
) -> None:
    before = list(AutoRegistrationRule.objects.values())
    answer = admin.send("PUT", f"AutoRegistration/Rules/{rule}", body)
    refused(answer, status, code)
    assert list(AutoRegistrationRule.objects.values()) == before


def test_nobody_gives_new_orchestrators_to_a_limited_role_of_his_own(db: None) -> None:
    berlin, _ = groups.save_group("Berlin", actor=TESTER, now=timezone.now())
    editor = role(
        "Editor", [Permission.AUTO_REGISTRATION_READ, Permission.AUTO_REGISTRATION_MODIFY]
    )
    user("eve", editor, role("Revoker", [Permission.CERTIFICATES_REVOKE], only_groups=[berlin]))
    eve = Caller({"Authorization": basic("eve", rows.PASSWORD)})
    body = {"Name": "mine", "Outcome": "allow", "AssignGroup": "Berlin"}
    refused(eve.post("AutoRegistration/Rules", body), 403, "beyond_own_permissions")
    assert not AutoRegistrationRule.objects.exists()


# --- try ----------------------------------------------------------------------------------------

REGISTER = {"ClientMachine": "web-1", "Address": "10.1.2.3", "Parameters": {"site": "berlin"}}


def test_a_try_says_which_rule_decides_and_changes_nothing(admin: Caller, rule: int) -> None:
    before = AuditEntry.objects.count(), Orchestrator.objects.count()
    told = admin.post("AutoRegistration/Try", REGISTER).json()
    assert (told["Outcome"], told["Rule"], told["Obstacle"]) == ("Allow", "Web servers", None)
    assert told["Steps"] == [
        {"RuleId": rule, "Name": "Web servers", "Applies": True, "Mismatches": []}
    ]
    assert (AuditEntry.objects.count(), Orchestrator.objects.count()) == before
    assert AutoRegistrationRule.objects.get().hits == 0


def test_a_try_says_why_a_rule_does_not_apply(admin: Caller, rule: int) -> None:
    told = admin.post("AutoRegistration/Try", {**REGISTER, "Address": "192.0.2.1"}).json()
    assert (told["Outcome"], told["Rule"]) == ("Defer", None)
    assert "192.0.2.1" in told["Steps"][0]["Mismatches"][0]


def test_a_try_of_an_approved_name_is_left_to_an_operator(
    admin: Caller, rule: int, orchestrator: Callable[..., Orchestrator]
) -> None:
    orchestrator("web-1", status=2)
    told = admin.post("AutoRegistration/Try", REGISTER).json()
    assert (told["Outcome"], told["Ruling"]) == ("Defer", "Allow")
    assert "of an approved orchestrator" in told["Obstacle"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ClientMachine": "a\u202eb"}, 400),
        ({"ClientMachine": "web-1", "Credential": "nobody's"}, 400),
        ({"ClientMachine": "web-1", "AgentId": "3f1d3a1e-0000-4000-8000-000000000000"}, 404),
        ({"ClientMachine": "web-1", "AgentId": "nonsense"}, 404),
        ({"Address": "10.0.0.1"}, 400),
    ],
)
def test_a_register_that_nobody_could_send_is_refused(
    body: dict[str, object], status: int, admin: Caller
) -> None:
    assert admin.post("AutoRegistration/Try", body).status_code == status


def test_who_may_read_the_rules_may_try_them_and_not_change_them(db: None) -> None:
    reader = caller_with("Read only")
    assert reader.post("AutoRegistration/Try", REGISTER).status_code == 200
    refused(reader.post("AutoRegistration/Rules", RULE), 403, "permission_missing")
