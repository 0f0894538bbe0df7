"""Dry run, once only, only if unchanged, as a job: what every write can be asked for besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from orchestrators.models import Job, Orchestrator, Status
from portal.audit.models import AuditEntry, Category
from portal.preferences.models import Setting
from portal.rest.models import KeptReply
from portal.rest.urls import OPERATIONS
from renewal.bulk import work
from renewal.models import BulkJob
from tests.portal.rest.conftest import Caller, caller_with, refused

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]
FLAG = "Agents/SetAuthCertificateReenrollment"
DRY = {"dry_run": "true"}


def state() -> tuple[object, ...]:
    return (
        list(Orchestrator.objects.order_by("pk").values_list("pk", "status", "flag", "generation")),
        list(Setting.objects.order_by("name").values_list("name", "value")),
        Job.objects.count(),
        BulkJob.objects.count(),
        AuditEntry.objects.exclude(category=Category.REFUSAL).count(),
    )


DRY_RUNS: dict[str, tuple[str, str, Any, list[tuple[str, str, str | None]]]] = {
    "a flag that would be set": (
        "POST",
        FLAG,
        {"OrchestratorIds": ["<id>"], "Status": 1},
        [("orchestrator", "change", None)],
    ),
    "a flag that is as it would be": (
        "POST",
        FLAG,
        {"OrchestratorIds": ["<id>"], "Status": 0},
        [("orchestrator", "unchanged", None)],
    ),
    "an approval of one that is approved": (
        "POST",
        "Agents/Approve",
        ["<id>"],
        [("orchestrator", "unchanged", None)],
    ),
    "an approval before anybody came forward": (
        "POST",
        "Agents/Approve",
        ["<new>"],
        [("orchestrator", "skip", "nobody_seen")],
    ),
    "a reset of one that does not exist": (
        "POST",
        "Agents/Reset",
        ["00000000-0000-4000-8000-000000000000"],
        [("orchestrator", "skip", "unknown")],
    ),
    "a disapproval": (
        "POST",
        "Agents/Disapprove",
        ["<id>"],
        [("orchestrator", "change", None)],
    ),
    "a reset by its path": (
        "POST",
        "Agents/<id>/Reset",
        None,
        [("orchestrator", "change", None)],
    ),
    "a setting": (
        "PUT",
        "AppSetting/SessionLengthMinutes/Set",
        {"Value": "60"},
        [("setting", "change", None)],
    ),
    "a token": ("POST", "Tokens", {"Name": "mine"}, [("token", "change", None)]),
}


@pytest.mark.both_databases
@pytest.mark.parametrize(("method", "path", "body", "expected"), DRY_RUNS.values(), ids=DRY_RUNS)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    admin: Caller,
    orchestrator: Make,
    method: str,
    path: str,
    body: Any,
    expected: list[tuple[str, str, str | None]],
) -> None:
    names = {
        "<id>": str(orchestrator().pk),
        "<new>": str(orchestrator("new", status=Status.NEW).pk),
    }

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(each) for each in value]
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        return names.get(value, value) if isinstance(value, str) else value

    before = state()
    answer = admin.send(method, path.replace("<id>", names["<id>"]), named(body), query=DRY)
    assert answer.status_code == 200, answer.content
    reply = answer.json()
    assert reply["DryRun"] is True
    told = [(c["Kind"], c["Outcome"], c["Reason"]) for c in reply["Changes"]]
    assert told == expected
    assert "ocp_" not in answer.content.decode()
    assert state() == before


def test_a_dry_run_of_a_setting_tells_the_value_before_and_after(admin: Caller) -> None:
    answer = admin.send(
        "PUT", "AppSetting/SessionLengthMinutes/Set", {"Value": "60"}, query=DRY
    ).json()
    (change,) = answer["Changes"]
    assert "60" in str(change["After"])
    assert "1380" in str(change["Before"])


def test_a_dry_run_is_refused_like_the_call(admin: Caller) -> None:
    path = "AppSetting/SessionLengthMinutes/Set"
    refused(admin.send("PUT", path, {"Value": "-1"}, query=DRY), 400, "value_invalid")
    reader = caller_with("Read only")
    refused(reader.send("PUT", path, {"Value": "60"}, query=DRY), 403, "permission_missing")
    refused(reader.post("Agents/Reset", [], query=DRY), 403, "permission_missing")


def test_a_read_takes_no_dry_run(admin: Caller) -> None:
    refused(admin.get("Agents", query=DRY), 400, "parameter_unknown")


class TestOnce:
    def test_a_call_that_is_sent_again_is_done_once(
        self, admin: Caller, orchestrator: Make
    ) -> None:
        made = orchestrator()
        key = {"Idempotency-Key": "nightly-2026-06-01"}
        answers = [admin.post("Agents/Reset", [str(made.pk)], headers=key) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [204, 204, 204]
        assert [answer.get("Idempotency-Replayed") for answer in answers] == [None, "true", "true"]
        made.refresh_from_db()
        assert made.generation == 1

    def test_the_same_reply_is_told_again(self, admin: Caller) -> None:
        key = {"Idempotency-Key": "k"}
        path, body = "AppSetting/SessionLengthMinutes/Set", {"Value": "60"}
        first, second = (admin.send("PUT", path, body, headers=key) for _ in range(2))
        assert first.json() == second.json()

    def test_a_key_of_another_call_is_refused(self, admin: Caller, orchestrator: Make) -> None:
        key = {"Idempotency-Key": "k"}
        made, other = orchestrator("one"), orchestrator("two")
        assert admin.post("Agents/Reset", [str(made.pk)], headers=key).status_code == 204
        answer = admin.post("Agents/Reset", [str(other.pk)], headers=key)
        refused(answer, 422, "idempotency_key_reused")
        other.refresh_from_db()
        assert other.generation == 0

    def test_keys_of_two_users_are_two_keys(self, admin: Caller, orchestrator: Make) -> None:
        key = {"Idempotency-Key": "k"}
        made, ben = orchestrator(), caller_with("Administrator", "ben")
        for caller in (admin, ben):
            assert caller.post("Agents/Reset", [str(made.pk)], headers=key).status_code == 204
        made.refresh_from_db()
        assert made.generation == 2

    def test_a_refused_call_may_be_sent_again_with_its_key(
        self, admin: Caller, orchestrator: Make, come_forward: Callable[[Orchestrator], None]
    ) -> None:
        made = orchestrator(status=Status.NEW)
        key = {"Idempotency-Key": "k"}
        refused(admin.post("Agents/Approve", [str(made.pk)], headers=key), 400, "nobody_seen")
        come_forward(made)
        assert admin.post("Agents/Approve", [str(made.pk)], headers=key).status_code == 204

    def test_a_call_whose_process_died_is_not_done_again(self, admin: Caller) -> None:
        admin.send(
            "PUT",
            "AppSetting/SessionLengthMinutes/Set",
            {"Value": "60"},
            headers={"Idempotency-Key": "k"},
        )
        KeptReply.objects.update(status=None)
        answer = admin.send(
            "PUT",
            "AppSetting/SessionLengthMinutes/Set",
            {"Value": "60"},
            headers={"Idempotency-Key": "k"},
        )
        refused(answer, 409, "idempotency_unfinished")

    def test_a_reply_with_a_secret_is_never_kept(self, admin: Caller) -> None:
        answer = admin.post("Tokens", {"Name": "mine"}, headers={"Idempotency-Key": "k"})
        refused(answer, 400, "header_invalid")
        assert not KeptReply.objects.exists()

    @pytest.mark.parametrize("key", ["", "x" * 256])
    def test_a_key_that_is_none_is_refused(self, admin: Caller, key: str) -> None:
        answer = admin.post("Agents/Reset", [], headers={"Idempotency-Key": key})
        refused(answer, 400, "header_invalid")


@pytest.mark.parametrize(
    ("headers", "query"),
    [({}, {}), ({"Idempotency-Key": "k"}, {}), ({"If-Match": "*"}, {}), ({}, DRY)],
    ids=["as it is", "once only", "only if unchanged", "as a dry run"],
)
def test_a_refusal_is_in_the_audit_log_however_the_write_was_asked_for(
    orchestrator: Make,
    come_forward: Callable[[Orchestrator], None],
    headers: dict[str, str | None],
    query: dict[str, str],
) -> None:
    waiting = orchestrator(status=Status.NEW)
    come_forward(waiting)
    body = {"Override": True, "Reason": "the site is down"}
    path = f"Agents/{waiting.pk}/Approve"
    answer = caller_with("Approver", "bob").post(path, body, headers=headers, query=query)
    refused(answer, 403, "permission_missing")
    assert AuditEntry.objects.get(category=Category.REFUSAL).actor_name == "bob"
    assert not KeptReply.objects.exists()


class TestIfMatch:
    def test_what_was_read_and_has_not_changed_is_acted_on(
        self, admin: Caller, orchestrator: Make
    ) -> None:
        path = f"Agents/{orchestrator().pk}"
        tag = admin.get(path)["ETag"]
        assert admin.post(f"{path}/Reset", headers={"If-Match": tag}).status_code == 204

    def test_what_changed_since_is_left_alone(self, admin: Caller, orchestrator: Make) -> None:
        made = orchestrator()
        path = f"Agents/{made.pk}"
        tag = admin.get(path)["ETag"]
        Orchestrator.objects.update(thumbprint="AB" * 20)
        answer = admin.post(f"{path}/Reset", headers={"If-Match": tag})
        refused(answer, 412, "precondition_failed")
        made.refresh_from_db()
        assert made.generation == 0

    def test_a_call_that_has_no_version_refuses_it(self, admin: Caller) -> None:
        change = [{"Id": 8, "Value": "60"}]
        answer = admin.send("PUT", "AppSetting", change, headers={"If-Match": '"x"'})
        refused(answer, 400, "header_invalid")


def test_a_call_becomes_a_job_that_can_be_watched(admin: Caller, orchestrator: Make) -> None:
    ids = [str(orchestrator(f"agent-{number}").pk) for number in range(3)]
    body = {"OrchestratorIds": ids, "Status": "Requested"}
    answer = admin.post(FLAG, body, headers={"Prefer": "respond-async, wait=5"})
    assert answer.status_code == 202
    assert answer["Preference-Applied"] == "respond-async"
    assert set(Orchestrator.objects.values_list("flag", flat=True)) == {0}
    watched = answer["Location"].removeprefix("/KeyfactorAPI/")
    assert admin.get(watched).json() == answer.json()
    work.run(answer.json()["Id"], now=timezone.now())
    job = admin.get(watched).json()
    assert (job["State"], job["Changed"], job["Total"]) == ("done", 3, 3)
    items = admin.get(f"{watched}/Items", query={"ReturnLimit": "2"})
    rest = admin.get(f"{watched}/Items", query={"after": items["X-Next-Cursor"]}).json()
    assert sorted(item["AgentId"] for item in items.json() + rest) == sorted(ids)
    stranger = caller_with(None, "nobody")
    refused(stranger.get(watched), 403, "permission_missing")


def test_without_the_preference_nothing_becomes_a_job(admin: Caller, orchestrator: Make) -> None:
    body = {"OrchestratorIds": [str(orchestrator().pk)], "Status": 1}
    assert admin.post(FLAG, body).status_code == 200
    assert not BulkJob.objects.exists()


def test_every_write_takes_a_dry_run_or_is_known_not_to() -> None:
    """What asks somebody outside, or changes nothing."""
    without = {
        view.__name__
        for _, view in OPERATIONS
        for method in view.needs
        if method != "GET" and not view.in_database
    }
    assert without == {
        "AuthorityList",
        "AuthorityPublish",
        "AuthorityTest",
        "CertificatesAnalyze",
        "CertificatesDownload",
        "CsrParse",
        "EnrollCsr",
        "TryRules",
    }
