"""POST /Agents/Import: a fleet that another system knows, over the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.catalogue import ROLES
from portal.preferences import store
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
AGENT = {"ClientMachine": "web01", "Status": 2, "Thumbprint": "AB" * 20}


def outcomes(admin: Caller, body: Any) -> list[tuple[str, str | None]]:
    response = admin.post("Agents/Import", body)
    assert response.status_code == 200
    return [(row["Outcome"], row["Reason"]) for row in response.json()]


def test_rows_count_for_themselves_and_a_dry_run_leaves_nothing(admin: Caller) -> None:
    agents = [AGENT, {"ClientMachine": "web02"}, AGENT | {"ClientMachine": "x", "Status": 1}]
    expected = [("announced", None), ("refused", "nothing_to_know_it_by"), ("left out", None)]
    assert outcomes(admin, {"Agents": agents, "DryRun": True}) == expected
    assert not Orchestrator.objects.exists()
    assert outcomes(admin, {"Agents": agents}) == expected
    assert outcomes(admin, {"Agents": agents})[0] == ("unchanged", None)
    assert Orchestrator.objects.get().announced_thumbprint == "AB" * 20


def test_a_dry_run_tells_what_the_call_itself_will_answer(admin: Caller) -> None:
    own = "7c4f0f0e-6f1c-4d9c-8a30-0a4ef1ad3f01"
    agents = [
        AGENT,
        AGENT | {"ClientMachine": "web03", "AgentId": own, "Thumbprint": "CD" * 20},
        {"ClientMachine": "web02"},
        AGENT | {"ClientMachine": "x", "Status": 1},
    ]
    dry = admin.post("Agents/Import", {"Agents": agents}, query={"dry_run": "true"}).json()
    assert not Orchestrator.objects.exists()
    foreseen = [(each["Outcome"], each["Reason"], each["Id"]) for each in dry["Changes"]]
    assert foreseen == [
        ("change", None, ""),
        ("change", None, own),
        ("skip", "nothing_to_know_it_by", ""),
        ("skip", None, ""),
    ]
    real = admin.post("Agents/Import", {"Agents": agents}).json()
    assert real[0].pop("AgentId")
    assert dry["Changes"][0]["After"].pop("AgentId") is None
    assert [each["After"] for each in dry["Changes"]] == real

    again = admin.post("Agents/Import", {"Agents": agents}, query={"dry_run": "true"}).json()
    assert [each["Outcome"] for each in again["Changes"]] == ["unchanged"] * 2 + ["skip"] * 2
    assert again["Changes"][0]["Id"] == str(Orchestrator.objects.get(client_machine="web01").pk)


BAD: dict[str, tuple[Any, str]] = {
    "a bare array": ([AGENT], "body_wrong_shape"),
    "no agents": ({"Agents": []}, "list_empty"),
    "too many": ({"Agents": [AGENT] * 1001}, "list_too_long"),
    "an unknown member": ({"Agents": [AGENT], "Force": True}, "member_unknown"),
    "a text for a flag": ({"Agents": [AGENT], "DryRun": "yes"}, "value_invalid"),
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD.keys())
def test_it_is_refused_with(admin: Caller, body: Any, code: str) -> None:
    refused(admin.post("Agents/Import", body), 400, code)
    assert not Orchestrator.objects.exists()


def test_it_needs_the_permission_without_a_limit() -> None:
    refused(caller_with("Operator").post("Agents/Import", {"Agents": [AGENT]}), 403,
            "permission_missing")  # fmt: skip
    part = role("Part", ROLES["Administrator"], only_groups=[group("Berlin")])
    bea = Caller({"Authorization": basic(user("bea", part).username, rows.PASSWORD)})
    refused(bea.post("Agents/Import", {"Agents": [AGENT]}), 403, "permission_missing")
    assert not Orchestrator.objects.exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("ApprovalsForFirstRegistration", "2"), ("ApprovalRolesForFirstRegistration", "Auditor")],
    ids=["two people", "somebody of a role"],
)
def test_what_takes_others_to_approve_is_not_taken_in_by_one(
    admin: Caller, setting: str, value: str
) -> None:
    store.change(setting, value, actor=TESTER, now=timezone.now())
    low = caller_with("Approver", "amy").post("Agents/Import", {"Agents": [AGENT]})
    refused(low, 403, "permission_missing")
    assert not Orchestrator.objects.exists()
    assert outcomes(admin, {"Agents": [AGENT]}) == [("announced", None)]


def test_what_other_versions_answer_of_an_agent_is_passed_over(admin: Caller) -> None:
    more = {"JobTypes": [], "AgentPoolId": None, "EnableDiscover": True, "Renewal": {"Level": 0}}
    assert outcomes(admin, {"Agents": [AGENT | more]}) == [("announced", None)]


@pytest.mark.parametrize("gift", [{"Group": "Berlin"}, {"Labels": {"site": "b"}}])
def test_groups_and_labels_are_given_by_who_may_give_them(gift: dict[str, Any]) -> None:
    body = {"Agents": [AGENT | gift]}
    refused(caller_with("Approver", "amy").post("Agents/Import", body), 403, "permission_missing")
    assert not Orchestrator.objects.exists()
