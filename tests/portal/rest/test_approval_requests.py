"""The inbox of approvals over the API, and decisions with their reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orchestrators import sessions
from orchestrators.models import AgentSession, Orchestrator
from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal.bulk import work
from renewal.models import ApprovalComment, ApprovalRequest, BulkJob
from tests.portal.access.conftest import TESTER, role, user
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]
Come = Callable[[Orchestrator], None]
DRY = {"dry_run": "true"}
FLAG = "Agents/SetAuthCertificateReenrollment"


@pytest.fixture
def returning(admin: Caller, orchestrator: Make, come_forward: Come) -> Orchestrator:
    """A record that was Reset with a reason, and for which somebody came forward since."""
    made = orchestrator("web-1")
    reset = admin.post(f"Agents/{made.pk}/Reset", {"Reason": "key was copied"})
    assert reset.status_code == 204
    made.refresh_from_db()
    come_forward(made)
    return made


def ids(caller: Caller, **query: str) -> list[int]:
    return [row["Id"] for row in caller.get("ApprovalRequests", query=query).json()]


def test_the_lists_are_those_of_the_page(
    admin: Caller, returning: Orchestrator, orchestrator: Make
) -> None:
    lone = orchestrator("lone")
    admin.post(f"Agents/{lone.pk}/Reset")
    second, first = ids(admin)
    assert ApprovalRequest.objects.get(pk=first).orchestrator == returning
    # For the one that nobody came forward for, an approval decides nothing.
    assert ids(admin, tab="waiting") == [first]
    assert ids(admin, tab="mine") == ids(admin, tab="all") == [second, first]
    assert ids(caller_with("Read only"), tab="waiting") == []
    assert ids(admin, QueryString='ClientMachine -eq "LONE" AND State -eq open') == [second]
    assert ids(admin, QueryString=f"AgentId -eq {returning.pk}") == [first]
    body = {"Reason": "retired"}
    assert admin.post(f"Agents/{lone.pk}/Disapprove", body).status_code == 204
    assert (ids(admin, tab="done"), ids(admin, tab="all")) == ([second], [first])
    (row,) = admin.get("ApprovalRequests", query={"tab": "done"}).json()
    assert (row["State"], row["DecidedBy"]) == ("disapproved", "ada")
    assert row["DecisionReason"] == "retired"
    refused(admin.get("ApprovalRequests", query={"tab": "nonsense"}), 400, "parameter_invalid")
    page = admin.get("ApprovalRequests", query={"ReturnLimit": "1"})
    assert ids(admin, cursor=page["X-Next-Cursor"]) == [first]


@pytest.mark.both_databases
def test_one_request_says_what_its_page_says(
    admin: Caller, returning: Orchestrator, orchestrator: Make
) -> None:
    store.change("ApprovalsForReturn", "2", actor=TESTER, now=timezone.now())
    orchestrator("web-1.other")
    vote = admin.post(f"Agents/{returning.pk}/Approve", {"Reason": "seen"})
    assert vote.json() == {"Outcome": "Voted"}
    (pk,) = ids(admin)
    path = f"ApprovalRequests/{pk}"
    admin.post(f"{path}/Comments", {"Text": "Who has its disk?"})
    told: dict[str, Any] = admin.get(path).json()
    assert (told["Kind"], told["Reason"]) == ("after_reset", "key was copied")
    assert (told["Approvals"], told["Needed"]) == (1, 2)
    assert told["Before"]["ClientMachine"] == "web-1"
    (candidate,) = told["Candidates"]
    assert (candidate["ClientMachine"], candidate["Address"]) == ("web-1", "192.0.2.1")
    assert candidate["Thumbprint"]
    assert [hint["Risk"] for hint in told["Hints"]] == ["unknown_address"]
    assert all(hint["Sentence"] and hint["Check"] for hint in told["Hints"])
    (voted,) = told["Votes"]
    assert (voted["By"], voted["Reason"], voted["Void"]) == ("ada", "seen", False)
    (said,) = told["Comments"]
    assert (said["By"], said["Text"]) == ("ada", "Who has its disk?")
    refused(admin.get("ApprovalRequests/4040404"), 404, "request_unknown")


def test_a_comment_is_kept_once_and_refused_where_it_cannot_be(
    admin: Caller, returning: Orchestrator
) -> None:
    (pk,) = ids(admin)
    path = f"ApprovalRequests/{pk}/Comments"
    (change,) = admin.post(path, {"Text": "x"}, query=DRY).json()["Changes"]
    assert (change["Action"], ApprovalComment.objects.count()) == ("approval_comment", 0)
    tag = admin.get(f"ApprovalRequests/{pk}")["ETag"]
    headers = {"If-Match": tag, "Idempotency-Key": "one"}
    first = admin.post(path, {"Text": "x"}, headers=headers)
    assert admin.post(path, {"Text": "x"}, headers=headers).json() == first.json()
    refused(admin.post(path, {"Text": "y"}, headers={"If-Match": tag}), 412, "precondition_failed")
    for text in ("", " ", "x" * 2001):
        assert admin.post(path, {"Text": text}).status_code == 400
    refused(admin.post(path, {"Text": 1}), 400, "value_invalid")
    assert admin.post(f"Agents/{returning.pk}/Disapprove").status_code == 204
    refused(admin.post(path, {"Text": "late"}), 400, "act_refused")
    assert ApprovalComment.objects.count() == 1


def test_requests_beyond_the_reach_do_not_exist_and_a_comment_takes_a_deciding_permission(
    admin: Caller, returning: Orchestrator
) -> None:
    (pk,) = ids(admin)
    path = f"ApprovalRequests/{pk}"
    lets = [Permission.AGENTS_READ, Permission.AGENTS_APPROVE]
    lea = user("lea", role("Site", lets, only_labels=[("site", "b")]))
    limited = Caller({"Authorization": basic(lea.username)})
    assert ids(limited) == []
    refused(limited.get(path), 404, "request_unknown")
    refused(limited.post(f"{path}/Comments", {"Text": "x"}), 404, "request_unknown")
    # Sees everything, and may approve at one site alone.
    lea.groups.add(role("All", [Permission.AGENTS_READ]))
    assert limited.get(path).status_code == 200
    refused(limited.post(f"{path}/Comments", {"Text": "x"}), 404, "request_unknown")
    reader = caller_with("Read only")
    refused(reader.post(f"{path}/Comments", {"Text": "x"}), 403, "permission_missing")
    assert caller_with("Operator").post(f"{path}/Comments", {"Text": "x"}).status_code == 200
    assert ApprovalComment.objects.count() == 1


@pytest.mark.parametrize("act", ["Reset", "Disapprove"])
def test_a_reason_is_kept_and_the_body_may_be_left_out(
    admin: Caller, orchestrator: Make, act: str
) -> None:
    for number, raw in enumerate((b"", b"null", b"{}", b'{"reason": "stolen"}')):
        made = orchestrator(f"web-{number}")
        answer = admin.post(f"Agents/{made.pk}/{act}", raw=raw)
        assert answer.status_code == 204, answer.content
        action = {"Reset": "reset", "Disapprove": "disapproved"}[act]
        row = AuditEntry.objects.get(action=action, orchestrator_id=made.pk)
        assert row.message == ("stolen" if b"stolen" in raw else "")
    path = f"Agents/{orchestrator('last').pk}/{act}"
    refused(admin.post(path, {"Reason": "x" * 501}), 400, "value_invalid")
    refused(admin.post(path, ["x"]), 400, "body_wrong_shape")
    refused(admin.post(path, {"Why": "x"}), 400, "member_unknown")


@pytest.mark.parametrize("as_job", [False, True])
def test_a_renewal_at_once_ends_the_session(
    admin: Caller, orchestrator: Make, as_job: bool
) -> None:
    made = orchestrator()
    sessions.open_session(
        made,
        lasts=timedelta(hours=1),
        heartbeat_minutes=5,
        thumbprint="",
        address="192.0.2.1",
        now=timezone.now(),
    )
    body = {"OrchestratorIds": [str(made.pk)], "Status": 1, "AtOnce": True}
    headers = {"Prefer": "respond-async"} if as_job else {}
    answer = admin.post(FLAG, body, headers=headers)
    if as_job:
        assert BulkJob.objects.get().at_once
        work.run(answer.json()["Id"], now=timezone.now())
    row = AuditEntry.objects.get(action="renewal_requested")
    assert row.after == {"flag": 1, "at_once": True}
    assert not AgentSession.objects.filter(orchestrator=made, ended_at=None).exists()


@pytest.mark.parametrize("way", [{}, {"query": DRY}, {"headers": {"Prefer": "respond-async"}}])
def test_clearing_at_once_makes_no_sense(
    admin: Caller, orchestrator: Make, way: dict[str, Any]
) -> None:
    made = orchestrator(flag=1)
    body = {"OrchestratorIds": [str(made.pk)], "Status": 0, "AtOnce": True}
    refused(admin.post(FLAG, body, **way), 400, "value_invalid")
    refused(admin.post(FLAG, {**body, "AtOnce": "yes"}, **way), 400, "value_invalid")
    assert Orchestrator.objects.get().flag == 1
