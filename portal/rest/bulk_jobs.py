"""The endpoints under /BulkJobs: jobs that calls with ``Prefer: respond-async`` or pages made.

Owns the way from a request to `renewal/bulk` and back.
"""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.rest import bodies, paging
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode, act_code
from portal.rest.errors import ApiError
from portal.rest.jobs_response import BulkItemResponse, BulkJobResponse, bulk_job_response
from portal.rest.listed_acts import UNKNOWN
from renewal.bulk import selectors
from renewal.models import BulkItem, BulkJob
from renewal.rules.bulk_lifecycle import RETRIED

_MOST_ITEMS = 1000


class _BulkJobView(ApiView):
    needs = {"GET": Permission.AGENTS_READ}

    def found(self, text: str) -> BulkJob:
        """Return a job that the caller may see. Raises ApiError."""
        seen = reach(self.request.user, Permission.AGENTS_READ)
        job = selectors.visible(self.request.user, seen).filter(pk=bodies.row_number(text)).first()
        if job is None:
            raise ApiError(ErrorCode.JOB_UNKNOWN, "There is no such job.")
        return job


class BulkJobDetail(_BulkJobView):
    """GET /BulkJobs/{id}: how far a job is."""

    returns = {"GET": BulkJobResponse}

    def get(self, request: Request, job_id: str) -> Response:
        return Response(bulk_job_response(self.found(job_id)))


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
