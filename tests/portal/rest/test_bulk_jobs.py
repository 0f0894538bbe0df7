"""Bulk jobs over the API: listed, stopped, taken up again; and to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry
from renewal.bulk import work
from tests.portal.access.conftest import role, user
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]
DRY = {"dry_run": "true"}
NOBODY = "00000000-0000-4000-8000-000000000000"


def submitted(caller: Caller, *ids: str, status: int = 1) -> dict[str, Any]:
    body = {"OrchestratorIds": list(ids), "Status": status}
    path = "Agents/SetAuthCertificateReenrollment"
    job: dict[str, Any] = caller.post(path, body, headers={"Prefer": "respond-async"}).json()
    return job


def limited(name: str, *permissions: Permission) -> Caller:
    """Somebody who reaches the orchestrators with the label site=b alone."""
    held = role(name, permissions, only_labels=[("site", "b")])
    return Caller({"Authorization": basic(user(name.lower(), held).username)})


def test_the_list_has_ones_own_jobs_and_with_read_access_everywhere_all(
    admin: Caller, orchestrator: Make
) -> None:
    made = orchestrator()
    made.labels.create(key="site", value="b")
    lea = limited("Lea", Permission.AGENTS_READ, Permission.AGENTS_RENEW)
    first = submitted(admin, str(made.pk))
    second = submitted(lea, str(made.pk), status=2)
    assert [job["Id"] for job in admin.get("BulkJobs").json()] == [second["Id"], first["Id"]]
    assert lea.get("BulkJobs").json() == [second]
    assert admin.get(f"BulkJobs/{first['Id']}").json() == first

    def found(query: str) -> list[int]:
        return [job["Id"] for job in admin.get("BulkJobs", query={"QueryString": query}).json()]

    assert found('Act -eq require AND State -eq "waiting"') == [second["Id"]]
    assert found("RequestedBy -eq ada AND Finished -eq NULL") == [first["Id"]]
    page = admin.get("BulkJobs", query={"ReturnLimit": "1"})
    cursor = page["X-Next-Cursor"]
    rest = admin.get("BulkJobs", query={"ReturnLimit": "1", "cursor": cursor})
    assert [each.json()[0]["Id"] for each in (page, rest)] == [second["Id"], first["Id"]]


@pytest.mark.both_databases
def test_a_job_is_canceled_and_taken_up_again(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator()
    job = submitted(admin, str(made.pk), NOBODY)
    path = f"BulkJobs/{job['Id']}"
    (change,) = admin.post(f"{path}/Cancel", query=DRY).json()["Changes"]
    assert (change["Kind"], change["Action"]) == ("bulk_job", "bulk_action_canceled")
    assert admin.get(path).json() == job

    tag = admin.get(path)["ETag"]
    key = {"Idempotency-Key": "stop"}
    canceled = admin.post(f"{path}/Cancel", headers={"If-Match": tag, **key})
    assert (canceled.status_code, canceled.json()["State"]) == (200, "canceled")
    assert canceled.json()["Finished"]
    assert admin.post(f"{path}/Cancel", headers={"If-Match": tag, **key}).json() == canceled.json()
    refused(admin.post(f"{path}/Cancel"), 400, "act_refused")
    refused(admin.post(f"{path}/Retry", headers={"If-Match": tag}), 412, "precondition_failed")
    work.run(job["Id"], now=timezone.now())
    made.refresh_from_db()
    assert made.flag == 0

    assert admin.post(f"{path}/Retry", query=DRY).json()["Changes"][0]["Kind"] == "bulk_job"
    assert admin.post(f"{path}/Retry").json()["State"] == "waiting"
    work.run(job["Id"], now=timezone.now())
    made.refresh_from_db()
    done = admin.get(path).json()
    assert (made.flag, done["State"], done["Changed"], done["Skipped"]) == (1, "done", 1, 1)
    told = AuditEntry.objects.filter(object_type="bulk_job").order_by("pk")
    assert [row.action.removeprefix("bulk_action_") for row in told] == [
        "submitted",
        "canceled",
        "retried",
        "finished",
    ]


def test_a_retry_of_what_was_all_done_is_refused(admin: Caller, orchestrator: Make) -> None:
    job = submitted(admin, str(orchestrator().pk))
    work.run(job["Id"], now=timezone.now())
    before = admin.get(f"BulkJobs/{job['Id']}").json()
    refused(admin.post(f"BulkJobs/{job['Id']}/Retry"), 400, "act_refused")
    assert admin.get(f"BulkJobs/{job['Id']}").json() == before


def test_who_may_stop_and_retry_a_job(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator()
    made.labels.create(key="site", value="b")
    job = submitted(admin, str(made.pk))
    path = f"BulkJobs/{job['Id']}"
    # Sees every orchestrator, and renews those of one site alone.
    both = user("both", role("Read", [Permission.AGENTS_READ]))
    both.groups.add(role("Renew", [Permission.AGENTS_RENEW], only_labels=[("site", "b")]))
    outsider = limited("Outsider", Permission.AGENTS_READ, Permission.AGENTS_RENEW)
    approver = user(
        "approver", role("Approve", [Permission.AGENTS_READ, Permission.AGENTS_APPROVE])
    )
    cases: tuple[tuple[Caller, int, str], ...] = (
        (caller_with("Read only"), 403, "permission_missing"),
        (Caller({"Authorization": basic(approver.username)}), 403, "permission_missing"),
        (Caller({"Authorization": basic(both.username)}), 403, "permission_missing"),
        (outsider, 404, "job_unknown"),
    )
    for caller, status, code in cases:
        refused(caller.post(f"{path}/Cancel"), status, code)
    assert admin.get(path).json() == job
    operator = caller_with("Operator")
    assert operator.post(f"{path}/Cancel").json()["State"] == "canceled"
    refused(operator.post(f"{path}/Retry"), 400, "act_refused")
    assert admin.post(f"{path}/Retry").status_code == 200
