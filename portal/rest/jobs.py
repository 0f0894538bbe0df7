"""The endpoints under /OrchestratorJobs: what jobs of orchestrators did, and their logs.

Owns the way from a request to the rows of `orchestrators/jobs.py` and back.
"""

from __future__ import annotations

from typing import ClassVar, TypedDict

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.models import Job, JobState
from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.rest import paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu, zulu_or_none
from portal.rest.paging import Listing

_COMPLETED = int(JobState.COMPLETED)
_RESULTS = {"unknown": 0, "success": 2, "warning": 3, "failure": 4}
_STATES = {"waiting": 1, "inprocess": 2, "completed": _COMPLETED}

_SCHEDULES = {
    "immediate": ~kinds.NOTHING,
    **dict.fromkeys(("interval", "daily", "weekly", "monthly", "exactlyonce"), kinds.NOTHING),
}
"""Every job of this portal is one for at once."""

_MACHINE = kinds.name("orchestrator__name_key")
_TYPE = kinds.text("capability")
_BY_START = sort.moment_or_never("started_at")
_AGENT = kinds.guid("orchestrator_id")
_BY_MACHINE = sort.column("orchestrator__name_key", sort.TEXT)
_BY_REQUEST = sort.column("requested_at", sort.MOMENT)

HISTORY: Listing[Job] = Listing(
    fields={
        "JobHistoryId": kinds.number("pk", is_large=True),
        "JobId": kinds.guid("job_id"),
        "AgentId": _AGENT,
        "Agent": _MACHINE,
        "AgentMachine": _MACHINE,
        "ClientMachine": _MACHINE,
        "JobType": _TYPE,
        "Result": kinds.number("result", _RESULTS),
        "Status": kinds.number("state", _STATES),
        "Message": kinds.text("message"),
        "OperationStart": kinds.moment("started_at"),
        "OperationEnd": kinds.moment("finished_at"),
        "ScheduleType": kinds.one_of(lambda: _SCHEDULES, tuple(_SCHEDULES)),
        "TargetPath": kinds.absent(),
    },
    sort={
        "JobHistoryId": sort.BY_IDENTITY,
        "Agent": _BY_MACHINE,
        "AgentMachine": _BY_MACHINE,
        "ClientMachine": _BY_MACHINE,
        "JobType": sort.column("capability", sort.TEXT),
        "Result": sort.column("result", sort.SMALL),
        "Status": sort.column("state", sort.SMALL),
        "OperationStart": _BY_START,
        "OperationEnd": sort.moment_or_never("finished_at"),
    },
    default="JobHistoryId",
    identity=sort.LARGE,
)

SCHEDULED: Listing[Job] = Listing(
    fields={
        "Id": kinds.guid("job_id"),
        "AgentId": _AGENT,
        "ClientMachine": _MACHINE,
        "JobType": _TYPE,
        "Requested": kinds.moment("requested_at"),
    },
    sort={"Requested": _BY_REQUEST, "ClientMachine": _BY_MACHINE},
    default="Requested",
    identity=sort.LARGE,
)


class JobHistory(TypedDict):
    """One run of a job that has begun."""

    JobHistoryId: int
    AgentMachine: str
    ClientMachine: str
    JobId: str
    Schedule: dict[str, bool]
    JobType: str
    OperationStart: str
    OperationEnd: str | None
    Message: str
    Result: int
    Status: int
    StorePath: str | None


class ScheduledJob(TypedDict):
    """A job that waits for its orchestrator's next session."""

    Id: str
    ClientMachine: str
    Target: str | None
    Schedule: dict[str, bool]
    Requested: str
    JobType: str


class JobData(TypedDict):
    JobHistoryId: int
    Data: str | None


class _JobView(ApiView):
    """A view of the jobs of orchestrators within the caller's reach."""

    def seen(self) -> QuerySet[Job]:
        rows = Job.objects.select_related("orchestrator")
        return within(rows, reach(self.request.user, Permission.AGENTS_READ), by="orchestrator_id")


class JobHistoryList(_JobView):
    """GET /OrchestratorJobs/JobHistory: jobs that have begun or ended."""

    needs = {"GET": Permission.AGENTS_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    returns = {"GET": list[JobHistory]}

    def get(self, request: Request) -> Response:
        rows = self.seen().exclude(state=JobState.WAITING).defer("log")
        page, headers = self.listed(rows, HISTORY)
        return Response([_history(job) for job in page], headers=headers)


class ScheduledJobList(_JobView):
    """GET /OrchestratorJobs/ScheduledJobs: jobs that wait."""

    needs = {"GET": Permission.AGENTS_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    returns = {"GET": list[ScheduledJob]}

    def get(self, request: Request) -> Response:
        rows = self.seen().filter(state=JobState.WAITING).defer("log")
        page, headers = self.listed(rows, SCHEDULED)
        return Response([_scheduled(job) for job in page], headers=headers)


class JobStatusData(_JobView):
    """GET /OrchestratorJobs/JobStatus/Data?jobHistoryId=: what a job sent, a fetched log."""

    needs = {"GET": Permission.AGENTS_READ}
    parameters: ClassVar[frozenset[str]] = frozenset({"jobhistoryid"})
    returns = {"GET": JobData}

    def get(self, request: Request) -> Response:
        if not self.given.get("jobhistoryid"):
            raise ApiError(ErrorCode.PARAMETER_INVALID, "jobHistoryId names the job.")
        number = paging.number(self.given, "jobhistoryid", 0, least=1)
        job = self.seen().filter(pk=number).first()
        if job is None:
            raise ApiError(ErrorCode.JOB_UNKNOWN, "There is no such job.")
        data: JobData = {"JobHistoryId": job.pk, "Data": job.log or None}
        return Response(data)


def _history(job: Job) -> JobHistory:
    canceled = job.state == JobState.CANCELED
    return {
        "JobHistoryId": job.pk,
        "AgentMachine": job.orchestrator.client_machine,
        "ClientMachine": job.orchestrator.client_machine,
        "JobId": str(job.job_id),
        "Schedule": {"Immediate": True},
        "JobType": job.capability,
        # What was canceled before it began has only its end.
        "OperationStart": zulu(job.started_at or job.finished_at or job.requested_at),
        "OperationEnd": zulu_or_none(job.finished_at),
        "Message": "Canceled." if canceled else job.message,
        "Result": job.result,
        # Existing clients know no other state of a job that has ended.
        "Status": _COMPLETED if canceled else job.state,
        "StorePath": None,
    }


def _scheduled(job: Job) -> ScheduledJob:
    return {
        "Id": str(job.job_id),
        "ClientMachine": job.orchestrator.client_machine,
        "Target": None,
        "Schedule": {"Immediate": True},
        "Requested": zulu(job.requested_at),
        "JobType": job.capability,
    }
