"""Acts on a list of orchestrators: the same refusals at once, as a dry run and as a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator, Status
from portal.access.reach import Reach
from portal.access.role_changes import save_role
from portal.audit.trail import Actor
from portal.rest.codes import ErrorCode
from renewal.bulk import work
from renewal.models import BulkJob
from tests.portal.rest.conftest import Caller, caller_with, refused

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]
DRY = {"dry_run": "true"}
AS_JOB = {"Prefer": "respond-async"}
NOBODY = "00000000-0000-4000-8000-000000000000"
FLAG = "Agents/SetAuthCertificateReenrollment"

REFUSED_WHOLE = {
    "an approval with one that nobody came forward for": ("Approve", "<new>", "nobody_seen"),
    "an approval with one that does not exist": ("Approve", NOBODY, "orchestrator_unknown"),
    "a disapproval with one that does not exist": ("Disapprove", NOBODY, "orchestrator_unknown"),
    "a Reset with one that does not exist": ("Reset", NOBODY, "orchestrator_unknown"),
}
WAYS: dict[str, dict[str, Any]] = {
    "at once": {},
    "as a dry run": {"query": DRY},
    "as a job": {"headers": AS_JOB},
    "as a dry run of a job": {"query": DRY, "headers": AS_JOB},
}


@pytest.mark.parametrize(("act", "bad", "code"), REFUSED_WHOLE.values(), ids=REFUSED_WHOLE)
def test_all_of_a_list_or_none_is_the_same_refusal_however_it_is_asked_for(
    admin: Caller, orchestrator: Make, act: str, bad: str, code: str
) -> None:
    good, new = orchestrator("good", status=Status.DISAPPROVED), orchestrator("new", status=1)
    bad = bad.replace("<new>", str(new.pk))
    before = list(Orchestrator.objects.order_by("pk").values())
    told = []
    for way in WAYS.values():
        body = refused(admin.post(f"Agents/{act}", [str(good.pk), bad], **way), 400, code)
        assert bad in {failed["AgentId"] for failed in body["FailedOperations"]}
        told.append((body["Message"], body["FailedOperations"]))
    assert told == told[:1] * len(WAYS)
    assert list(Orchestrator.objects.order_by("pk").values()) == before
    assert not BulkJob.objects.exists()


def test_a_dry_run_of_flags_tells_also_what_is_no_orchestrator(
    admin: Caller, orchestrator: Make
) -> None:
    made = str(orchestrator().pk)
    body = {"OrchestratorIds": [made, NOBODY, "host-1"], "Status": 1}
    changes = admin.post(FLAG, body, query=DRY).json()["Changes"]
    told = {each["Id"]: (each["Outcome"], each["Reason"]) for each in changes}
    unknown = ("skip", "orchestrator_unknown")
    assert told == {made: ("change", None), NOBODY: unknown, "host-1": unknown}
    failed = admin.post(FLAG, body).json()["FailedOrchestratorIds"]
    assert sorted(failed) == sorted(pk for pk, verdict in told.items() if verdict == unknown)


@pytest.mark.both_databases
@pytest.mark.parametrize("is_limited", [False, True])
def test_a_job_of_flags_tells_of_each_id_also_of_one_that_does_not_exist(
    admin: Caller, orchestrator: Make, is_limited: bool
) -> None:
    made = orchestrator()
    caller = admin
    if is_limited:
        made.labels.create(key="site", value="b")
        permissions = ["agents_read", "agents_renew"]
        limit = Reach(labels=frozenset({("site", "b")}))
        save_role("Site", permissions=permissions, limit=limit, giver=None, actor=Actor("t"))
        caller = caller_with("Site", "sue")
    body = {"OrchestratorIds": [str(made.pk), NOBODY], "Status": 1}
    job = caller.post(FLAG, body, headers=AS_JOB)
    assert (job.status_code, job.json()["Total"]) == (202, 2)
    work.run(job.json()["Id"], now=timezone.now())
    path = f"BulkJobs/{job.json()['Id']}"
    counts = caller.get(path).json()
    assert (counts["State"], counts["Changed"], counts["Skipped"]) == ("done", 1, 1)
    items = {each["AgentId"]: each for each in caller.get(f"{path}/Items").json()}
    assert items[str(made.pk)]["State"] == "changed"
    assert (items[NOBODY]["State"], items[NOBODY]["Reason"]) == ("skipped", "orchestrator_unknown")
    assert ErrorCode(items[NOBODY]["Reason"])


def test_a_job_takes_no_text_that_is_no_id(admin: Caller, orchestrator: Make) -> None:
    body = {"OrchestratorIds": [str(orchestrator().pk), "host-1"], "Status": 1}
    refused(admin.post(FLAG, body, headers=AS_JOB), 400, "value_invalid")
    assert not BulkJob.objects.exists()
