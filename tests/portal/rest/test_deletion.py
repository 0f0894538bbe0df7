"""DELETE /Agents/{id}: what goes with a record, and what stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from orchestrators import credentials, jobs
from orchestrators.models import AgentSession, Job, JobState, Orchestrator, Status
from portal.access.catalogue import ROLES, Permission
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal.identity import approvals
from renewal.invariants.verify import verify
from renewal.models import Certificate
from renewal.rules.standing import ACCEPTED, Standing
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

Make = Callable[..., Orchestrator]


@pytest.fixture
def retired() -> Orchestrator:
    """A disapproved record with a certificate and a session that has ended."""
    now = timezone.now()
    rows.set_up(now)
    made = rows.approved("retired", now=now, left=100 * rows.DAY)
    AgentSession.objects.create(
        orchestrator=made,
        token_digest="0" * 64,
        started_at=now,
        expires_at=now + rows.DAY,
        heartbeat_minutes=5,
    )
    approvals.disapprove(made.pk, actor=TESTER, now=now)
    made.refresh_from_db()
    return made


def test_a_disapproved_record_goes_and_its_certificates_authenticate_nobody(
    admin: Caller, retired: Orchestrator
) -> None:
    response = admin.send("DELETE", f"Agents/{retired.pk}")
    assert (response.status_code, response.content) == (204, b"")
    assert not Orchestrator.objects.exists()
    assert not AgentSession.objects.exists()
    certificate = Certificate.objects.get()
    assert (certificate.orchestrator, certificate.standing) == (None, Standing.ARCHIVED)
    assert certificate.revoked_at is None
    assert Standing(certificate.standing) not in ACCEPTED
    entry = AuditEntry.objects.get(action="deleted")
    assert (entry.actor_name, entry.object_name) == ("ada", "retired")
    assert entry.orchestrator_id == retired.pk
    assert entry.before["status"] == "Disapproved"
    assert verify(now=timezone.now()) == []
    refused(admin.send("DELETE", f"Agents/{retired.pk}"), 404, "orchestrator_unknown")


@pytest.mark.parametrize("status", [Status.NEW, Status.APPROVED])
@pytest.mark.parametrize("force", ["true", "false"])
def test_a_record_that_is_not_disapproved_stays(
    admin: Caller, orchestrator: Make, status: Status, force: str
) -> None:
    made = orchestrator(status=status)
    response = admin.send("DELETE", f"Agents/{made.pk}", query={"force": force})
    refused(response, 400, "not_disapproved")
    assert Orchestrator.objects.get() == made
    assert not AuditEntry.objects.filter(action="deleted").exists()


def test_open_jobs_go_only_by_force(admin: Caller, retired: Orchestrator) -> None:
    jobs.request_logs(retired, actor=TESTER, now=timezone.now())
    refused(admin.send("DELETE", f"Agents/{retired.pk}"), 400, "has_jobs")
    assert Job.objects.get().state == JobState.WAITING
    response = admin.send("DELETE", f"Agents/{retired.pk}", query={"force": "true"})
    assert response.status_code == 204
    assert not Job.objects.exists()


def test_a_credential_that_was_bound_to_the_record_is_not_free_for_another(
    admin: Caller, retired: Orchestrator
) -> None:
    row, _ = credentials.create(name="once", one_time=True, actor=TESTER, now=timezone.now())
    row.bound_to = retired
    row.save()
    assert admin.send("DELETE", f"Agents/{retired.pk}").status_code == 204
    row.refresh_from_db()
    assert (row.bound_to, row.revoked_at is not None) == (None, True)


def test_who_may_not_change_orchestrators_deletes_none(retired: Orchestrator) -> None:
    path = f"Agents/{retired.pk}"
    refused(caller_with("Operator").send("DELETE", path), 403, "permission_missing")
    scoped = role("Berlin", ROLES["Administrator"], only_groups=[group("Berlin")])
    bea = Caller({"Authorization": basic(user("bea", scoped).username, rows.PASSWORD)})
    refused(bea.send("DELETE", path), 404, "orchestrator_unknown")
    assert Orchestrator.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ApproverDiffersFromResetter", "true"), ("ApprovalsForReturn", "2")],
)
@pytest.mark.parametrize("was_reset", [True, False])
def test_where_a_return_is_decided_more_strictly_deleting_needs_the_right_to_override(
    admin: Caller,
    retired: Orchestrator,
    come_forward: Callable[[Orchestrator], None],
    name: str,
    value: str,
    was_reset: bool,
) -> None:
    """Else one person lets the host be forgotten and approves it as a first registration."""
    keeper = role("Keeper", {Permission.AGENTS_READ, Permission.AGENTS_MODIFY})
    kim = Caller({"Authorization": basic(user("kim", keeper).username, rows.PASSWORD)})
    if was_reset:
        assert kim.post("Agents/Reset", [str(retired.pk)]).status_code == 204
        retired.refresh_from_db()
        come_forward(retired)
        assert kim.post("Agents/Disapprove", [str(retired.pk)]).status_code == 204
    store.change(name, value, actor=TESTER, now=timezone.now())
    path = f"Agents/{retired.pk}"
    refused(kim.send("DELETE", path, query={"force": "true"}), 403, "deletion_forbidden")
    assert Orchestrator.objects.get().status == Status.DISAPPROVED
    elsewhere = role("Override elsewhere", ROLES["Administrator"], only_groups=[group("Berlin")])
    User.objects.get(username="kim").groups.add(elsewhere)
    refused(kim.send("DELETE", path), 403, "deletion_forbidden")
    assert admin.send("DELETE", path).status_code == 204
    assert AuditEntry.objects.get(action="deleted").message.startswith("Against the policies")


def test_a_record_that_was_never_approved_is_deleted_under_any_policy(
    orchestrator: Make, come_forward: Callable[[Orchestrator], None]
) -> None:
    store.change("ApproverDiffersFromResetter", "true", actor=TESTER, now=timezone.now())
    made = orchestrator(status=Status.NEW)
    come_forward(made)
    approvals.disapprove(made.pk, actor=TESTER, now=timezone.now())
    keeper = role("Keeper", {Permission.AGENTS_READ, Permission.AGENTS_MODIFY})
    kim = Caller({"Authorization": basic(user("kim", keeper).username, rows.PASSWORD)})
    assert kim.send("DELETE", f"Agents/{made.pk}").status_code == 204


def test_a_body_is_refused(admin: Caller, retired: Orchestrator) -> None:
    refused(admin.send("DELETE", f"Agents/{retired.pk}", {"a": 1}), 400, "body_wrong_shape")
