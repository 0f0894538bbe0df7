"""The endpoints under /OrchestratorJobs: from FetchLogs to the fetched log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orchestrators import jobs
from orchestrators.models import Job, JobState, Orchestrator
from portal.access.catalogue import ROLES
from tests.portal.access.conftest import group, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

Make = Callable[..., Orchestrator]


@pytest.fixture
def done(orchestrator: Make) -> dict[str, Job]:
    """Jobs in every state."""
    now = timezone.now()
    alpha, beta = orchestrator("alpha"), orchestrator("beta")

    def job(holder: Orchestrator, minutes: int, **fields: Any) -> Job:
        at = now - timedelta(minutes=minutes)
        return Job.objects.create(
            orchestrator=holder,
            capability="Custom.FetchLogs",
            requested_at=at,
            requested_by="ada",
            **fields,
        )

    finished = {"started_at": now - timedelta(minutes=4), "finished_at": now}
    return {
        "good": job(alpha, 9, state=JobState.COMPLETED, result=2, log="line 1\nline 2", **finished),
        "bad": job(beta, 8, state=JobState.COMPLETED, result=4, message="no such file", **finished),
        "running": job(beta, 7, state=JobState.IN_PROCESS, started_at=now),
        "canceled": job(alpha, 6, state=JobState.CANCELED, finished_at=now),
        "waiting": job(alpha, 5),
    }


QUERIES: dict[str, tuple[str, set[str]]] = {
    "all that have begun or ended": ("", {"good", "bad", "running", "canceled"}),
    "of one orchestrator": ('AgentMachine -eq "ALPHA"', {"good", "canceled"}),
    "those that failed": ("Result -eq 4", {"bad"}),
    "those that failed, by name": ("Result -eq Failure", {"bad"}),
    "those that run": ("Status -eq 2", {"running"}),
    "by message": ("Message -contains FILE", {"bad"}),
    "by schedule": ("ScheduleType -eq Immediate AND TargetPath -eq NULL AND Result -eq 4", {"bad"}),
    "by another schedule": ('ScheduleType -eq Weekly OR TargetPath -contains "x"', set()),
    "by type": ('JobType -eq "Custom.FetchLogs" AND Result -ge 2', {"good", "bad"}),
}


@pytest.mark.parametrize(("query", "found"), QUERIES.values(), ids=QUERIES.keys())
def test_the_history_shows(
    admin: Caller, done: dict[str, Job], query: str, found: set[str]
) -> None:
    response = admin.get("OrchestratorJobs/JobHistory", query={"pq.queryString": query})
    shown = {row["JobHistoryId"] for row in response.json()}
    assert shown == {done[name].pk for name in found}


def test_a_run_has_the_numbers_that_clients_know(admin: Caller, done: dict[str, Job]) -> None:
    answer = admin.get("OrchestratorJobs/JobHistory", query={"SortField": "JobHistoryId"})
    good, bad, running, canceled = answer.json()
    assert (good["Result"], good["Status"], good["JobType"]) == (2, 3, "Custom.FetchLogs")
    assert (bad["Result"], bad["Status"], bad["Message"]) == (4, 3, "no such file")
    assert (running["Status"], running["OperationEnd"]) == (2, None)
    assert (canceled["Status"], canceled["Message"]) == (3, "Canceled.")
    assert good["JobId"] == str(done["good"].job_id)
    for run in (good, bad, running, canceled):
        assert run["OperationStart"].endswith("Z")


def test_what_waits_is_scheduled(admin: Caller, done: dict[str, Job]) -> None:
    (waits,) = admin.get("OrchestratorJobs/ScheduledJobs").json()
    assert waits["Id"] == str(done["waiting"].job_id)
    assert (waits["ClientMachine"], waits["Schedule"]) == ("alpha", {"Immediate": True})


def test_a_log_is_asked_for_and_read(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator("gamma", capabilities=["Custom.FetchLogs"])
    assert admin.post(f"Agents/{made.pk}/FetchLogs").status_code == 204
    waiting = Job.objects.get()
    assert jobs.start(made, str(waiting.job_id), now=timezone.now()) is not None
    Job.objects.update(state=JobState.COMPLETED, log="everything is fine")
    (run,) = admin.get("OrchestratorJobs/JobHistory").json()
    data = admin.get(
        "OrchestratorJobs/JobStatus/Data", query={"jobHistoryId": str(run["JobHistoryId"])}
    )
    assert data.json() == {"JobHistoryId": run["JobHistoryId"], "Data": "everything is fine"}


def test_a_job_that_does_not_exist_has_no_data(admin: Caller) -> None:
    path = "OrchestratorJobs/JobStatus/Data"
    refused(admin.get(path), 400, "parameter_invalid")
    refused(admin.get(path, query={"jobHistoryId": "x"}), 400, "parameter_invalid")
    refused(admin.get(path, query={"jobHistoryId": "404"}), 404, "job_unknown")


def test_jobs_outside_a_roles_groups_do_not_exist(done: dict[str, Job]) -> None:
    berlin = group("Berlin", done["good"].orchestrator)
    scoped = role("Berlin", ROLES["Administrator"], only_groups=[berlin])
    bea = Caller({"Authorization": basic(user("bea", scoped).username, rows.PASSWORD)})
    shown = {row["JobHistoryId"] for row in bea.get("OrchestratorJobs/JobHistory").json()}
    assert shown == {done["good"].pk, done["canceled"].pk}
    path = "OrchestratorJobs/JobStatus/Data"
    refused(bea.get(path, query={"jobHistoryId": str(done["bad"].pk)}), 404, "job_unknown")
    assert bea.get(path, query={"jobHistoryId": str(done["good"].pk)}).status_code == 200
