"""The endpoints under /Agents, asked as existing clients ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from orchestrators.models import Job, Orchestrator, Reenrollment, Status
from orchestrators.protocol.codes import Code
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.preferences import store
from portal.rest.status import documented
from portal.rest.urls import ENDPOINTS
from tests.portal.rest.conftest import SEEN, Caller, caller_with, refused

pytestmark = pytest.mark.both_databases

Make = Callable[..., Orchestrator]
UNKNOWN = "3f1d3a1e-0000-4000-8000-000000000000"


def statuses() -> dict[str, int]:
    return dict(Orchestrator.objects.values_list("client_machine", "status"))


def test_an_agent_has_exactly_the_fields_that_clients_know(
    admin: Caller, orchestrator: Make
) -> None:
    made = orchestrator(
        "Agent01.example.com",
        capabilities=["CertStores.PEM.Inventory", "Custom.FetchLogs"],
        thumbprint="A" * 40,
        legacy_thumbprint="B" * 40,
        last_thumbprint_used="C" * 40,
        flag=Reenrollment.REQUIRED,
        last_seen=SEEN,
        last_error_code=Code.MUST_RENEW,
        last_error_message="must be renewed",
    )
    response = admin.get(f"Agents/{made.pk}")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == {
        "AgentId": str(made.pk),
        "ClientMachine": "Agent01.example.com",
        "Username": "orchestrators",
        "AgentPlatform": 7,
        "Version": "1.0.0.0",
        "Status": 2,
        "LastSeen": "2026-05-01T08:30:15Z",
        "Capabilities": ["CertStores.PEM.Inventory", "Custom.FetchLogs"],
        "Blueprint": None,
        "Thumbprint": "A" * 40,
        "LegacyThumbprint": "B" * 40,
        "AuthCertificateReenrollment": "Required",
        "LastThumbprintUsed": "C" * 40,
        "LastErrorCode": 0xA0100008,
        "LastErrorMessage": "must be renewed",
    }


def test_a_code_that_is_sent_no_more_is_shown(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator(last_error_code="A01F0019", last_error_message="of an earlier version")
    assert admin.get(f"Agents/{made.pk}").json()["LastErrorCode"] == 0xA01F0019


def test_an_agent_that_never_called_has_no_last_seen_and_no_empty_texts(
    admin: Caller, orchestrator: Make
) -> None:
    made = orchestrator(version="", status=Status.NEW)
    body = admin.get(f"Agents/{made.pk}").json()
    assert "LastSeen" not in body
    assert {name for name, value in body.items() if value is None} == {
        *("Version", "Blueprint", "Thumbprint", "LegacyThumbprint", "LastThumbprintUsed"),
        *("LastErrorCode", "LastErrorMessage"),
    }
    assert (body["Status"], body["AgentPlatform"]) == (1, 7)
    assert body["AuthCertificateReenrollment"] == "None"


@pytest.mark.parametrize("agent_id", [UNKNOWN, "nobody", "approve2", "%00", "1"])
def test_an_agent_that_does_not_exist_is_a_404_in_json(admin: Caller, agent_id: str) -> None:
    if agent_id == "%00":
        assert admin.get(f"Agents/{agent_id}").status_code == 400
        return
    refused(admin.get(f"Agents/{agent_id}"), 404, "orchestrator_unknown")


def test_kfutil_finds_an_orchestrator_by_name_and_approves_element_zero(
    admin: Caller, orchestrator: Make, come_forward: Callable[[Orchestrator], None]
) -> None:
    made = orchestrator("host01", status=Status.NEW)
    come_forward(made)
    found = admin.get("Agents", query={"pq.queryString": 'ClientMachine -eq "host01"'})
    agent_id = found.json()[0]["AgentId"]
    approved = admin.post("Agents/Approve", [agent_id])
    assert (approved.status_code, approved.content) == (204, b"")
    assert statuses() == {"host01": Status.APPROVED}
    assert admin.get("Agents", query={"pq.queryString": 'ClientMachine -eq "x"'}).json() == []


def test_the_go_client_wraps_the_array(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator()
    assert admin.post("Agents/Disapprove", {"agentIds": [str(made.pk)]}).status_code == 204
    assert statuses() == {"agent01": Status.DISAPPROVED}


@pytest.mark.parametrize(
    ("path", "status", "after"),
    [
        ("Agents/Approve", Status.NEW, Status.APPROVED),
        ("Agents/Approve", Status.APPROVED, Status.APPROVED),
        ("Agents/Disapprove", Status.APPROVED, Status.DISAPPROVED),
        ("Agents/Disapprove", Status.DISAPPROVED, Status.DISAPPROVED),
        ("Agents/Reset", Status.APPROVED, Status.NEW),
        ("Agents/Reset", Status.NEW, Status.NEW),
    ],
)
def test_a_bare_array_of_ids_answers_204(
    admin: Caller,
    orchestrator: Make,
    come_forward: Callable[[Orchestrator], None],
    path: str,
    status: Status,
    after: Status,
) -> None:
    made = [orchestrator(f"agent{n}", status=status) for n in range(3)]
    if path == "Agents/Approve" and status == Status.NEW:
        for record in made:
            come_forward(record)
    ids = [str(record.pk) for record in made]
    response = admin.post(path, [*ids, ids[0], ids[1].upper(), f"{{{ids[2]}}}"])
    assert (response.status_code, response.content) == (204, b"")
    assert set(statuses().values()) == {after}


def test_a_reset_of_one_takes_the_null_body_of_the_go_client(
    admin: Caller, orchestrator: Make
) -> None:
    made = orchestrator(thumbprint="A" * 40, flag=2, last_error_code=Code.MUST_RENEW)
    response = admin.post(f"Agents/{made.pk}/Reset", raw=b"null")
    assert (response.status_code, response.content) == (204, b"")
    body = admin.get(f"Agents/{made.pk}").json()
    assert (body["Status"], body["Thumbprint"], body["LastErrorCode"]) == (1, None, None)
    assert body["AuthCertificateReenrollment"] == "None"
    entry = AuditEntry.objects.get(action="reset")
    assert (entry.actor_name, entry.source_address) == ("ada", "127.0.0.1")
    assert entry.before["thumbprint"] == "A" * 40


@pytest.mark.parametrize("raw", [b"", b"null", b" null\n", b"{}"])
def test_a_call_without_a_body_may_say_so_in_several_ways(
    admin: Caller, orchestrator: Make, raw: bytes
) -> None:
    made = orchestrator()
    assert admin.post(f"Agents/{made.pk}/FetchLogs", raw=raw).status_code == 204
    assert Job.objects.get().orchestrator_id == made.pk


def test_a_log_is_not_asked_for_that_cannot_be_sent(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator(capabilities=["CertStores.PEM.Inventory"], had_session=True)
    refused(admin.post(f"Agents/{made.pk}/FetchLogs"), 400, "act_refused")
    assert not Job.objects.exists()
    guid = "0d8cf0c8-56ca-4b8a-b16a-c062018e170d"
    older = orchestrator("older", capabilities=[guid], had_session=True)
    assert admin.post(f"Agents/{older.pk}/FetchLogs").status_code == 204


@pytest.mark.parametrize("act", ["Reset", "FetchLogs"])
def test_an_act_on_an_agent_that_does_not_exist_is_a_404(admin: Caller, act: str) -> None:
    refused(admin.post(f"Agents/{UNKNOWN}/{act}"), 404, "orchestrator_unknown")
    refused(admin.post(f"Agents/nobody/{act}"), 404, "orchestrator_unknown")


def test_approval_before_anybody_came_forward_changes_nothing_at_all(
    admin: Caller, orchestrator: Make, come_forward: Callable[[Orchestrator], None]
) -> None:
    seen, unseen = orchestrator("seen", status=Status.NEW), orchestrator("b", status=Status.NEW)
    come_forward(seen)
    response = admin.post("Agents/Approve", [str(seen.pk), str(unseen.pk)])
    body = refused(response, 400, "nobody_seen")
    assert str(unseen.pk) in body["Message"]
    assert [failed["AgentId"] for failed in body["FailedOperations"]] == [str(unseen.pk)]
    assert set(statuses().values()) == {Status.NEW}
    assert not AuditEntry.objects.filter(action="approved").exists()


def test_two_strangers_are_a_conflict(
    admin: Caller, orchestrator: Make, come_forward: Callable[[Orchestrator], None]
) -> None:
    made = orchestrator(status=Status.NEW)
    come_forward(made)
    come_forward(made)
    refused(admin.post("Agents/Approve", [str(made.pk)]), 400, "conflict")
    assert statuses() == {"agent01": Status.NEW}


def test_a_name_that_an_approved_one_has_is_refused(
    admin: Caller, orchestrator: Make, come_forward: Callable[[Orchestrator], None]
) -> None:
    orchestrator("twin")
    second = orchestrator("TWIN", status=Status.NEW)
    come_forward(second)
    refused(admin.post("Agents/Approve", [str(second.pk)]), 400, "name_taken")


@pytest.mark.parametrize("path", ["Agents/Approve", "Agents/Disapprove", "Agents/Reset"])
def test_one_unknown_id_leaves_all_as_they_were(
    admin: Caller, orchestrator: Make, path: str
) -> None:
    made = orchestrator()
    before = statuses()
    refused(admin.post(path, [str(made.pk), UNKNOWN]), 400, "orchestrator_unknown")
    assert statuses() == before
    assert not AuditEntry.objects.filter(orchestrator_id=made.pk).exists()


@pytest.mark.parametrize(
    ("status", "flag", "name"),
    [
        (0, 0, "None"),
        (1, 1, "Requested"),
        (2, 2, "Required"),
        ("0", 0, "None"),
        ("1", 1, "Requested"),
        ("2", 2, "Required"),
        ("None", 0, "None"),
        ("Request", 1, "Requested"),
        ("requested", 1, "Requested"),
        ("Require", 2, "Required"),
        ("REQUIRED", 2, "Required"),
    ],
)
def test_the_flag_is_set_by_number_by_digit_and_by_name(
    admin: Caller, orchestrator: Make, status: Any, flag: int, name: str
) -> None:
    made = orchestrator(flag=Reenrollment.REQUESTED)
    response = admin.post(
        "Agents/SetAuthCertificateReenrollment",
        {"OrchestratorIds": [str(made.pk)], "Status": status},
    )
    assert response.status_code == 200
    assert response.json() == {"FailedOrchestratorIds": [], "Status": flag}
    assert admin.get(f"Agents/{made.pk}").json()["AuthCertificateReenrollment"] == name


@pytest.mark.parametrize("bad", [UNKNOWN, "not-a-guid", ""])
def test_of_three_ids_a_bad_one_fails_and_two_change(
    admin: Caller, orchestrator: Make, bad: str
) -> None:
    made = [orchestrator(f"agent{n}") for n in range(2)]
    response = admin.post(
        "Agents/SetAuthCertificateReenrollment",
        {"OrchestratorIds": [str(made[0].pk), bad, str(made[1].pk)], "Status": "1"},
    )
    assert response.status_code == 200
    assert response.json() == {"FailedOrchestratorIds": [bad], "Status": 1}
    assert set(Orchestrator.objects.values_list("flag", flat=True)) == {1}
    assert AuditEntry.objects.filter(action="renewal_requested").count() == 2


def test_the_members_of_the_python_client_in_another_case_are_read(
    admin: Caller, orchestrator: Make
) -> None:
    made = orchestrator()
    response = admin.post(
        "agents/setauthcertificatereenrollment",
        {"orchestratorIds": [str(made.pk)], "status": 2},
        content_type="application/json-patch+json; charset=utf-8",
    )
    assert response.json()["Status"] == 2


def test_the_login_probe_gets_an_array_of_strings_and_the_version(admin: Caller) -> None:
    response = admin.get("Status/Endpoints", raw=b"")
    assert response.status_code == 200
    assert response["x-keyfactor-product-version"] == "10.5.0.0"
    told = response.json()
    assert all(isinstance(each, str) for each in told)
    assert told == sorted(told)
    known = {f"{method} /{documented(route)}" for route, view in ENDPOINTS for method in view.needs}
    assert set(told) == known | {"GET /Status/Endpoints"}


@pytest.mark.parametrize(
    "path",
    ["/keyfactorapi/agents", "/KeyfactorApi/AGENTS", "/KEYFACTORAPI/Agents"],
)
def test_paths_match_in_any_case(admin: Caller, orchestrator: Make, path: str) -> None:
    orchestrator()
    headers = {**admin.headers, "x-keyfactor-requested-with": "APIClient"}
    assert len(json.loads(admin.client.get(path, headers=headers).content)) == 1


def test_an_id_in_the_path_is_read_in_any_case(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator(id=uuid4())
    response = admin.get(f"AGENTS/{str(made.pk).upper()}")
    assert response.json()["AgentId"] == str(made.pk)


def test_ones_own_approval_of_several_answers_204_and_leaves_status_new(
    admin: Caller, orchestrator: Make, come_forward: Callable[[Orchestrator], None]
) -> None:
    store.change("ApprovalsForFirstRegistration", "2", actor=Actor("test"), now=timezone.now())
    waiting = orchestrator(status=Status.NEW)
    come_forward(waiting)
    for _ in range(2):
        assert admin.post("Agents/Approve", [str(waiting.pk)]).status_code == 204
        waiting.refresh_from_db()
        assert waiting.status == Status.NEW
    second = caller_with("Approver", "bob")
    assert second.post("Agents/Approve", [str(waiting.pk)]).status_code == 204
    waiting.refresh_from_db()
    assert waiting.status == Status.APPROVED


def test_a_resetter_whom_the_policy_forbids_to_approve_is_told_with_403(
    admin: Caller, orchestrator: Make, come_forward: Callable[[Orchestrator], None]
) -> None:
    store.change("ApproverDiffersFromResetter", "true", actor=Actor("test"), now=timezone.now())
    returning = orchestrator()
    assert admin.post("Agents/Reset", [str(returning.pk)]).status_code == 204
    returning.refresh_from_db()
    come_forward(returning)
    body = refused(admin.post("Agents/Approve", [str(returning.pk)]), 403, "approval_forbidden")
    assert "somebody else approves" in body["Message"]
    noted = AuditEntry.objects.get(action="act_refused")
    assert noted.object_id.endswith(":approval_forbidden")
    returning.refresh_from_db()
    assert returning.status == Status.NEW
    second = caller_with("Approver", "bob")
    assert second.post("Agents/Approve", [str(returning.pk)]).status_code == 204
