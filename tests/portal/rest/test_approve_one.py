"""POST /Agents/{id}/Approve: a reason, a dry run that says the truth, and the override (C13)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal.models import ApprovalRequest
from tests.portal.access.conftest import TESTER
from tests.portal.rest.conftest import Caller, caller_with, refused

pytestmark = pytest.mark.both_databases


@pytest.fixture
def waiting(
    orchestrator: Callable[..., Orchestrator], come_forward: Callable[[Orchestrator], None]
) -> Orchestrator:
    made = orchestrator("web-1", status=1)
    come_forward(made)
    return made


def setting(name: str, value: str) -> None:
    store.change(name, value, actor=TESTER, now=timezone.now())


def status(record: Orchestrator) -> int:
    return Orchestrator.objects.get(pk=record.pk).status


def test_a_reason_is_kept_with_the_approval(admin: Caller, waiting: Orchestrator) -> None:
    answer = admin.post(f"Agents/{waiting.pk}/Approve", {"Reason": "seen on the console"})
    assert (answer.status_code, answer.json()) == (200, {"Outcome": "Approved"})
    assert status(waiting) == 2
    assert ApprovalRequest.objects.get().decision_reason == "seen on the console"
    again = admin.post(f"Agents/{waiting.pk}/Approve")
    assert (again.status_code, again.json()) == (200, {"Outcome": "Unchanged"})


def test_a_dry_run_says_what_the_approval_then_comes_to(
    admin: Caller, waiting: Orchestrator
) -> None:
    setting("ApprovalsForFirstRegistration", "2")
    other = caller_with("Approver", "bob")
    for caller, expected in ((admin, "Voted"), (admin, "Unchanged"), (other, "Approved")):
        before = AuditEntry.objects.count()
        told = caller.post(f"Agents/{waiting.pk}/Approve", {"DryRun": True}).json()
        assert (told["Outcome"], AuditEntry.objects.count()) == (expected, before)
        assert caller.post(f"Agents/{waiting.pk}/Approve").json() == {"Outcome": expected}
    assert status(waiting) == 2


def test_a_dry_run_names_the_roles_that_are_missing(admin: Caller, waiting: Orchestrator) -> None:
    setting("ApprovalRolesForFirstRegistration", "Administrator, Approver")
    told = admin.post(f"Agents/{waiting.pk}/Approve", {"DryRun": True}).json()
    assert (told["Outcome"], told["Code"]) == ("Voted", "vote")
    assert (told["Lacking"], told["LackingRoles"]) == (1, ["Approver"])
    assert "web-1" in told["Named"]


def test_of_nobody_who_came_forward_both_say_so(
    admin: Caller, orchestrator: Callable[..., Orchestrator]
) -> None:
    made = orchestrator("web-1", status=1)
    told = admin.post(f"Agents/{made.pk}/Approve", {"DryRun": True}).json()
    assert (told["Outcome"], told["Code"]) == ("Refused", "nobody_seen")
    refused(admin.post(f"Agents/{made.pk}/Approve"), 400, "nobody_seen")
    assert status(made) == 1


def test_an_override_needs_its_permission_and_a_reason(
    admin: Caller, waiting: Orchestrator
) -> None:
    setting("ApprovalsForFirstRegistration", "5")
    body = {"Override": True, "Reason": "the site is down"}
    low = caller_with("Approver", "bob")
    refused(low.post(f"Agents/{waiting.pk}/Approve", body), 403, "permission_missing")
    refused(admin.post(f"Agents/{waiting.pk}/Approve", {"Override": True}), 400, "act_refused")
    assert status(waiting) == 1
    assert admin.post(f"Agents/{waiting.pk}/Approve", body).json() == {"Outcome": "Approved"}
    row = AuditEntry.objects.get(action="approved_by_override")
    assert (row.message, ApprovalRequest.objects.get().is_override) == ("the site is down", True)


@pytest.mark.parametrize(
    "body",
    [{"Override": "yes"}, {"DryRun": 1}, {"Reason": 5}, {"Reason": "x" * 501}, {"Who": "me"}],
)
def test_bad_input_is_told_and_changes_nothing(
    body: dict[str, object], admin: Caller, waiting: Orchestrator
) -> None:
    assert admin.post(f"Agents/{waiting.pk}/Approve", body).status_code == 400
    assert status(waiting) == 1
