"""Dry run, once only, only if unchanged, as a job: what every write can be asked for besides."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from pytest_django import Settings

from orchestrators import credentials
from orchestrators.models import Job, Orchestrator, Status
from portal.access.models import User
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor
from portal.preferences.models import Setting
from portal.rest.models import KeptReply
from portal.rest.status import documented
from portal.rest.urls import OPERATIONS
from renewal.bulk import work
from renewal.models import (
    BulkJob,
    CertificateAuthority,
    Claimant,
    Enrollment,
    RevocationList,
    Template,
)
from tests import pki
from tests.portal.rest.conftest import Caller, caller_with, refused, user_with

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]
FLAG = "Agents/SetAuthCertificateReenrollment"
DRY = {"dry_run": "true"}


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path)
    return tmp_path


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
    "a setting that is as it would be": (
        "PUT",
        "AppSetting/SessionLengthMinutes/Set",
        {"Value": "1380"},
        [("setting", "unchanged", None)],
    ),
    "an approval by its path of one that is approved": (
        "POST",
        "Agents/<id>/Approve",
        {},
        [("orchestrator", "unchanged", None)],
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
    names = {"<id>": str(orchestrator().pk)}

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


ACTS_BY_PATH: dict[str, tuple[str, str, Any, int | str]] = {
    "deleting one that is approved": ("DELETE", "Agents/<approved>", None, 400),
    "deleting one that is new": ("DELETE", "Agents/<new>", None, 400),
    "deleting one that is disapproved": ("DELETE", "Agents/<gone>", None, "change"),
    "deleting one that has jobs": ("DELETE", "Agents/<busy>", None, 400),
    "deleting one that has jobs, by force": ("DELETE", "Agents/<busy>?force=true", None, "change"),
    "deleting nobody": ("DELETE", "Agents/<nobody>", None, 404),
    "approving before anybody came forward": ("POST", "Agents/<new>/Approve", {}, 400),
    "approving one that is approved": ("POST", "Agents/<approved>/Approve", {}, "unchanged"),
    "approving nobody": ("POST", "Agents/<nobody>/Approve", {}, 404),
    "a Reset": ("POST", "Agents/<new>/Reset", None, "change"),
    "the log": ("POST", "Agents/<new>/FetchLogs", None, "change"),
    "the log that is asked for already": ("POST", "Agents/<busy>/FetchLogs", None, "unchanged"),
    "deactivating the last administrator": ("DELETE", "Security/Identities/<ada>", None, 400),
    "removing a shipped role": ("DELETE", "Security/Roles/<shipped>", None, 400),
    "removing a role that nobody has": ("DELETE", "Security/Roles/<role>", None, "change"),
    "revoking what is not there": (
        "POST",
        "Certificates/Revoke",
        {"CertificateIds": [404404], "Comment": "lost"},
        400,
    ),
}


@pytest.mark.both_databases
@pytest.mark.parametrize(("method", "path", "body", "expected"), ACTS_BY_PATH.values(),
                         ids=ACTS_BY_PATH)  # fmt: skip
def test_a_dry_run_is_refused_exactly_where_the_act_is(
    admin: Caller, orchestrator: Make, method: str, path: str, body: Any, expected: int | str
) -> None:
    names = {
        "<approved>": orchestrator("approved").pk,
        "<new>": orchestrator("new", status=Status.NEW).pk,
        "<gone>": orchestrator("gone", status=Status.DISAPPROVED).pk,
        "<busy>": orchestrator("busy", status=Status.DISAPPROVED).pk,
        "<nobody>": "00000000-0000-4000-8000-000000000000",
        "<ada>": User.objects.get(username="ada").pk,
        "<shipped>": Group.objects.get(name="Operator").pk,
        "<role>": admin.post("Security/Roles", {"Name": "Mine"}).json()["Id"],
    }
    Job.objects.create(
        orchestrator_id=names["<busy>"], capability="Custom.FetchLogs", requested_at=timezone.now()
    )
    for name, pk in names.items():
        path = path.replace(name, str(pk))
    route, _, query = path.partition("?")
    before = state()
    dry = admin.send(method, route, body, query={**DRY, **dict(parse_qsl(query))})
    assert state() == before
    act = admin.send(method, route, body, query=dict(parse_qsl(query)))
    if isinstance(expected, str):
        assert (dry.status_code, act.status_code in (200, 204)) == (200, True), act.content
        assert [each["Outcome"] for each in dry.json()["Changes"]] == [expected]
        return
    assert (dry.status_code, act.status_code) == (expected, expected), act.content
    told = [answer.json() for answer in (dry, act)]
    assert all(each.pop("instance") for each in told)
    assert told[0] == told[1]


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


def test_a_dry_run_that_says_neither_yes_nor_no_is_refused_and_does_nothing(admin: Caller) -> None:
    path = "AppSetting/SessionLengthMinutes/Set"
    for value in ("", "yes"):
        sent = admin.send("PUT", path, {"Value": "60"}, query={"dry_run": value})
        refused(sent, 400, "parameter_invalid")
    assert admin.get("AppSetting/SessionLengthMinutes").json()["Value"] != "60"


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

    def test_a_job_that_is_asked_for_again_is_the_same_job(
        self, admin: Caller, orchestrator: Make
    ) -> None:
        body = {"OrchestratorIds": [str(orchestrator().pk)], "Status": 1}
        asked = {"Idempotency-Key": "k", "Prefer": "respond-async"}
        first, second = (admin.post(FLAG, body, headers=asked) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        assert (first.json(), first["Location"]) == (second.json(), second["Location"])
        assert BulkJob.objects.count() == 1
        at_once = {"Idempotency-Key": "k"}
        refused(admin.post(FLAG, body, headers=at_once), 422, "idempotency_key_reused")

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

    def test_somebody_who_came_forward_since_is_not_approved_unseen(
        self, admin: Caller, orchestrator: Make
    ) -> None:
        made = orchestrator(status=Status.NEW)
        path = f"Agents/{made.pk}"
        before = admin.get(path)
        credential, _ = credentials.create(name="boot", actor=Actor("x"), now=timezone.now())
        Claimant.objects.create(
            orchestrator=made,
            generation=made.generation,
            credential=credential,
            first_seen=timezone.now(),
            last_seen=timezone.now(),
        )
        after = admin.get(path)
        assert after.json() == before.json()
        answer = admin.post(f"{path}/Approve", headers={"If-Match": before["ETag"]})
        refused(answer, 412, "precondition_failed")
        # Whoever is seen again is no news.
        Claimant.objects.update(last_seen=timezone.now())
        assert admin.get(path)["ETag"] == after["ETag"]

    EACH: dict[str, tuple[str, str, Any, Any]] = {
        "a setting": (
            "AppSetting/SessionLengthMinutes",
            "AppSetting/SessionLengthMinutes/Set",
            {"Value": "60"},
            {"Value": "90"},
        ),
        "a role": (
            "Security/Roles/<role>",
            "Security/Roles",
            {"Id": "<role>", "Name": "Mine", "Permissions": ["/auditing/read/"]},
            {"Id": "<role>", "Name": "Mine", "Permissions": []},
        ),
        "who has a role": (
            "Security/Roles/<role>/Identities",
            "Security/Roles/<role>/Identities",
            [{"AccountName": "ben"}],
            [{"AccountName": "ben"}, {"AccountName": "ada"}],
        ),
        "what a role grants": (
            "Security/Roles/<role>/Permissions/Global",
            "Security/Roles/<role>/Permissions/Global",
            [{"Area": "Auditing", "Permission": "Read"}],
            [{"Area": "AdminPortal", "Permission": "Read"}],
        ),
        "a template": (
            "Templates/<template>",
            "Templates",
            {"Id": "<template>", "ValiditySeconds": 86400},
            {"Id": "<template>", "ValiditySeconds": 172800},
        ),
        "a certificate authority": (
            "CertificateAuthority/<authority>",
            "CertificateAuthority",
            {"Id": "<authority>", "LogicalName": "Test CA", "HoldSeconds": 5},
            {"Id": "<authority>", "LogicalName": "Test CA", "HoldSeconds": 6},
        ),
        "a rule": (
            "AutoRegistration/Rules/<rule>",
            "AutoRegistration/Rules/<rule>",
            {"Description": "one"},
            {"Description": "two"},
        ),
    }

    @pytest.mark.both_databases
    @pytest.mark.parametrize(("read", "write", "first", "second"), EACH.values(), ids=EACH)
    def test_of_two_who_read_the_same_only_the_first_changes(
        self,
        admin: Caller,
        portal_ca: CertificateAuthority,
        read: str,
        write: str,
        first: Any,
        second: Any,
    ) -> None:
        user_with(None, "ben")
        made = {
            "<role>": admin.post("Security/Roles", {"Name": "Mine"}).json()["Id"],
            "<template>": Template.objects.get().pk,
            "<authority>": portal_ca.pk,
            "<rule>": admin.post("AutoRegistration/Rules", {"Name": "r"}).json()["Id"],
        }

        def named(text: str) -> str:
            for name, pk in made.items():
                text = text.replace(f'"{name}"', str(pk)).replace(name, str(pk))
            return text

        read, write = named(read), named(write)
        first, second = named(json.dumps(first)), named(json.dumps(second))
        tag = {"If-Match": admin.get(read)["ETag"]}
        assert admin.send("PUT", write, raw=first, headers=tag).status_code == 200
        shown = admin.get(read).json()
        refused(admin.send("PUT", write, raw=second, headers=tag), 412, "precondition_failed")
        dry = admin.send("PUT", write, raw=second, headers=tag, query=DRY)
        refused(dry, 412, "precondition_failed")
        assert admin.get(read).json() == shown
        newer = {"If-Match": admin.get(read)["ETag"]}
        assert admin.send("PUT", write, raw=second, headers=newer).status_code == 200

    def test_what_is_removed_is_what_was_read(self, admin: Caller) -> None:
        made = admin.post("Tokens", {"Name": "mine"}).json()
        path = f"Tokens/{made['Id']}"
        tag = {"If-Match": admin.get(path)["ETag"]}
        assert admin.send("DELETE", path, headers=tag).status_code == 204
        assert admin.get(path).json()["State"] == "Revoked"
        refused(admin.send("DELETE", path, headers=tag), 412, "precondition_failed")

    def test_a_call_that_has_no_version_refuses_it(self, admin: Caller) -> None:
        change = {"Name": "Mine"}
        answer = admin.post("Security/Roles", change, headers={"If-Match": '"x"'})
        refused(answer, 400, "header_invalid")


@pytest.mark.parametrize(
    ("headers", "query"),
    [({"Prefer": "respond-async"}, {}), ({}, {"dry_run": "true"})],
    ids=["as a job", "as a dry run"],
)
def test_a_condition_that_a_call_would_not_look_at_is_refused_however_it_is_made(
    admin: Caller, orchestrator: Make, headers: dict[str, str | None], query: dict[str, str]
) -> None:
    body = {"OrchestratorIds": [str(orchestrator("held").pk)], "Status": 1}
    answer = admin.post(FLAG, body, headers={"If-Match": '"x"', **headers}, query=query)

    refused(answer, 400, "header_invalid")
    assert not BulkJob.objects.exists()


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


class TestDryRunOfACall:
    """Where a CA would be asked: what, and that nobody was."""

    @pytest.fixture(autouse=True)
    def _no_ca_is_asked(self, portal_ca: CertificateAuthority, data_dir: Path) -> None:
        self.ca = portal_ca
        self.folder = data_dir

    def asked(self, caller: Caller, method: str, path: str, body: Any) -> list[tuple[str, str]]:
        before = (state(), list(CertificateAuthority.objects.values()))
        rows = (Enrollment.objects.count(), RevocationList.objects.count())
        files = sorted(self.folder.rglob("*"))
        answer = caller.send(method, path, body, query=DRY)
        assert answer.status_code == 200, answer.content
        assert (state(), list(CertificateAuthority.objects.values())) == before
        assert (Enrollment.objects.count(), RevocationList.objects.count()) == rows
        assert sorted(self.folder.rglob("*")) == files
        return [(ask["Authority"], ask["Call"]) for ask in answer.json()["Asks"]]

    def test_an_enrollment_would_be_issued_once(self, admin: Caller) -> None:
        body = {"CSR": pki.pem(pki.csr("CN=a")), "CertificateAuthority": "Test CA"}
        body["Template"] = "Orchestrator"
        assert self.asked(admin, "POST", "Enrollment/CSR", body) == [("Test CA", "issue")]
        refused_body = {**body, "CSR": "none"}
        dry = admin.post("Enrollment/CSR", refused_body, query=DRY)
        refused(dry, 400, "csr_refused")
        made = admin.post("Enrollment/CSR", body).json()["CertificateInformation"]
        assert self.asked(admin, "POST", "Enrollment/CSR", body) == []
        revocation = {"CertificateIds": [made["KeyfactorID"]], "Comment": "lost"}
        asked = self.asked(admin, "POST", "Certificates/Revoke", revocation)
        assert asked == [("Test CA", "revoke")]

    def test_calls_of_a_ca(self, admin: Caller) -> None:
        path = "CertificateAuthority"
        name = {"CertificateAuthorityLogicalName": "Test CA"}
        for method, where, body, expected in (
            ("POST", f"{path}/Test", {"Id": self.ca.pk}, [("Test CA", "health")]),
            ("POST", f"{path}/PublishCRL", name, [("Test CA", "publish_crl")]),
            (
                "POST",
                path,
                {"LogicalName": "Branch CA"},
                [("Branch CA", "make_keys"), ("Branch CA", "publish_crl")],
            ),
            (
                "PUT",
                path,
                {"Id": self.ca.pk, "LogicalName": "Test CA", "Enabled": False},
                [],
            ),
        ):
            assert self.asked(admin, method, where, body) == expected, where
        dry = admin.post(path, {"LogicalName": "Test CA"}, query=DRY)
        refused(dry, 400, "name_taken")


def test_every_write_takes_a_dry_run_but_those_that_only_read() -> None:
    without = {
        view.__name__
        for _, view in OPERATIONS
        for method in view.needs
        if method != "GET" and not view.takes_dry_run()
    }
    assert without == {"CertificatesAnalyze", "CertificatesDownload", "CsrParse", "TryRules"}


def test_every_change_of_one_thing_takes_if_match() -> None:
    """A write to the path of one thing, or by a PUT that names it, takes the tag of its GET."""
    without = {
        f"{method} {documented(route)}"
        for route, view in OPERATIONS
        for method in view.needs
        if method != "GET" and method not in view.versioned
        if method in ("PUT", "DELETE") or "<" in route
    }
    assert without == set()
