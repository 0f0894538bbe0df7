"""The endpoints under /BulkJobs: jobs that calls with ``Prefer: respond-async`` or pages made.

Owns the way from a request to `renewal/bulk` and back, and what the list can be filtered by.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.audit.acts import BULK_JOB
from portal.rest import bodies, paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode, act_code
from portal.rest.errors import ApiError
from portal.rest.jobs_response import BulkItemResponse, BulkJobResponse, bulk_job_response
from portal.rest.listed_acts import UNKNOWN
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from renewal.bulk import selectors, service
from renewal.bulk.service import PERMISSIONS, BulkRefused
from renewal.models import BulkItem, BulkJob
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import RETRIED

_MOST_ITEMS = 1000

BULK_JOBS: Listing[BulkJob] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "Act": kinds.text("act"),
        "State": kinds.text("state"),
        "RequestedBy": kinds.text("requested_by_name"),
        "Requested": kinds.moment("created_at"),
        "Finished": kinds.moment("finished_at"),
    },
    sort={"Id": sort.BY_IDENTITY},
    default="Id",
    identity=sort.LARGE,
    default_descending=True,
)


class _BulkJobView(ApiView):
    needs = {"GET": Permission.AGENTS_READ}
    unversioned = frozenset({"Changed", "Unchanged", "Skipped", "Failed"})

    def version(self, job_id: str) -> object:
        pk = self.found(job_id).pk
        return bulk_job_response(BulkJob.objects.select_for_update().get(pk=pk))

    def found(self, text: str) -> BulkJob:
        """Return a job that the caller may see. Raises ApiError."""
        job = self.visible().filter(pk=bodies.row_number(text)).first()
        if job is None:
            raise ApiError(ErrorCode.JOB_UNKNOWN, "There is no such job.")
        return job

    def visible(self) -> QuerySet[BulkJob]:
        """Return the jobs that the caller may see."""
        user = self.request.user
        return selectors.visible(user, reach(user, Permission.AGENTS_READ))


class _BulkJobMove(_BulkJobView):
    """A write that moves a job: the permission is that of the job's own act."""

    sees = (Permission.AGENTS_READ,)
    needs = {"POST": Permission.AGENTS_RENEW}
    instead = (Permission.AGENTS_APPROVE, Permission.AGENTS_RESET, Permission.AGENTS_LOGS)
    returns = {"POST": BulkJobResponse}
    versioned = frozenset({"POST"})
    in_database = True

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """The job that a path names."""
        return [(BULK_JOB, str(self.found(kwargs["job_id"]).pk))]

    def to_move(self, request: Request, job_id: str) -> BulkJob:
        """Return a job whose act the caller may do. Raises ApiError, PermissionDenied."""
        self.no_body()
        job = self.found(job_id)
        self.demand(PERMISSIONS[Act(job.act)])
        return job


class BulkJobList(_BulkJobView):
    """GET /BulkJobs: the jobs of the caller, or with read access everywhere all."""

    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    returns = {"GET": list[BulkJobResponse]}

    def get(self, request: Request) -> Response:
        rows, headers = self.listed(self.visible(), BULK_JOBS)
        return Response([bulk_job_response(row) for row in rows], headers=headers)


class BulkJobDetail(_BulkJobView):
    """GET /BulkJobs/{id}: how far a job is."""

    returns = {"GET": BulkJobResponse}
    versioned = frozenset({"GET"})

    def get(self, request: Request, job_id: str) -> Response:
        return Response(bulk_job_response(self.found(job_id)))


class BulkJobCancel(_BulkJobMove):
    """POST /BulkJobs/{id}/Cancel: stops a job; what it did stays done.

    One of somebody else takes the permission for its act everywhere.
    """

    def post(self, request: Request, job_id: str) -> Response:
        job = self.to_move(request, job_id)
        if not selectors.may_cancel(request.user, job):
            self.demand_everywhere(PERMISSIONS[Act(job.act)])
        try:
            moved = service.cancel(job.pk, actor=actor_of(request), now=timezone.now())
        except BulkRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        return Response(bulk_job_response(moved))


class BulkJobRetry(_BulkJobMove):
    """POST /BulkJobs/{id}/Retry: takes up again what one's own job skipped, failed or left."""

    def post(self, request: Request, job_id: str) -> Response:
        job = self.to_move(request, job_id)
        try:
            moved = service.retry(
                job.pk, user=request.user, actor=actor_of(request), now=timezone.now()
            )
        except BulkRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        return Response(bulk_job_response(moved))


class BulkJobItems(_BulkJobView):
    """GET /BulkJobs/{id}/Items: what became of each orchestrator of a job."""

    parameters: ClassVar[frozenset[str]] = frozenset({"after", "returnlimit"})
    returns = {"GET": list[BulkItemResponse]}

    def get(self, request: Request, job_id: str) -> Response:
        job = self.found(job_id)
        after = paging.number(self.given, "after", 0, least=0)
        limit = paging.number(self.given, "returnlimit", 50, least=1, most=_MOST_ITEMS)
        rows = BulkItem.objects.filter(job=job, pk__gt=after)
        seen = within(rows, reach(request.user, Permission.AGENTS_READ), by="orchestrator_id")
        if job.requested_by_id == request.user.pk:
            # What does not exist for the caller, and which the caller named.
            seen |= rows.filter(reason=UNKNOWN.reason)
        found = list(seen.order_by("pk")[: limit + 1])
        items: list[BulkItemResponse] = [
            {
                "AgentId": str(item.orchestrator_id),
                "State": str(item.state),
                "Reason": _reason(item),
                "Message": item.message or None,
            }
            for item in found[:limit]
        ]
        more = {"X-Next-Cursor": str(found[limit - 1].pk)} if len(found) > limit else {}
        return Response(items, headers=more)


def _reason(item: BulkItem) -> str | None:
    """Return the code of an error, or of a change that is a vote."""
    if item.state in RETRIED:
        return act_code(item.reason)
    return item.reason or None
