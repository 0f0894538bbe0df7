"""Several people decide one request at one moment: one decision, each person once (C13)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

import pytest
from django.contrib.auth.models import Group
from django.db import connections
from django.utils import timezone

from orchestrators.models import Orchestrator, Status
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.preferences import store
from renewal.identity import approvals
from renewal.identity.approvals import ActRefused, Approval
from renewal.models import ApprovalRequest, ApprovalVote
from tests.portal.pages import fleet as rows

# A race needs locks of rows.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("on_postgresql")]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def waiting(now: datetime) -> Orchestrator:
    rows.set_up(now)
    return rows._waiting("contested-by-nobody", now)


def people(count: int) -> list[Actor]:
    made = []
    for number in range(count):
        user = User.objects.create_user(f"approver-{number}")
        user.groups.add(Group.objects.get(name="Approver"))
        made.append(Actor(user.username, user.pk))
    return made


def together(calls: list[Callable[[], object]]) -> list[object]:
    """Start all calls at one moment; return what they returned, or the reason of a refusal."""
    barrier = Barrier(len(calls))

    def start(call: Callable[[], object]) -> object:
        try:
            barrier.wait()
            return call()
        except ActRefused as refused:
            return refused.reason
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


def approve(record: Orchestrator, actor: Actor, now: datetime) -> Callable[[], object]:
    return lambda: approvals.approve(record.pk, actor=actor, now=now)


def test_one_of_several_approvers_decides(waiting: Orchestrator, now: datetime) -> None:
    answers = together([approve(waiting, actor, now) for actor in people(6)])
    assert sorted(answers) == [Approval.UNCHANGED] * 5 + [Approval.APPROVED]
    assert ApprovalRequest.objects.get().state == "approved"
    assert AuditEntry.objects.filter(action="approved").count() == 1


def test_two_last_votes_at_once_decide_once(waiting: Orchestrator, now: datetime) -> None:
    store.change("ApprovalsForFirstRegistration", "3", actor=rows.ALICE, now=now)
    actors = people(3)
    answers = together([approve(waiting, actor, now) for actor in actors])
    assert sorted(answers) == [Approval.APPROVED, Approval.VOTED, Approval.VOTED]
    assert Orchestrator.objects.get(pk=waiting.pk).status == Status.APPROVED
    assert ApprovalVote.objects.count() == 3


def test_one_person_at_six_windows_counts_once(waiting: Orchestrator, now: datetime) -> None:
    store.change("ApprovalsForFirstRegistration", "2", actor=rows.ALICE, now=now)
    (one,) = people(1)
    answers = together([approve(waiting, one, now)] * 6)
    assert sorted(answers) == [Approval.UNCHANGED] * 5 + [Approval.VOTED]
    assert Orchestrator.objects.get(pk=waiting.pk).status == Status.NEW
    assert ApprovalVote.objects.count() == 1


def test_approve_and_disapprove_at_once_leave_one_decision_of_the_request(
    waiting: Orchestrator, now: datetime
) -> None:
    request = ApprovalRequest.objects.get()
    amy, bob = people(2)
    shown = approvals.Shown(request=request.pk)
    answers = together(
        [
            lambda: approvals.approve(waiting.pk, actor=amy, now=now, shown=shown),
            lambda: approvals.disapprove(waiting.pk, actor=bob, now=now, request=request.pk),
        ]
    )
    assert "decided" in answers
    request.refresh_from_db()
    assert request.state in ("approved", "disapproved")
    status = Orchestrator.objects.get(pk=waiting.pk).status
    assert (status == Status.APPROVED) == (request.state == "approved")
