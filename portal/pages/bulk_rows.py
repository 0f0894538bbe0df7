"""What the audit log says of one's own bulk job, row by row.

Owns the page, for who may not read the log. Which rows that are is `renewal/bulk/selectors.py`'s.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render

from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages.audit_groups import doubts, grouped, jobs_told
from portal.pages.bulk_jobs import job_of
from portal.pages.fields import fields
from portal.pages.gate import page
from renewal.bulk import selectors
from renewal.models import BulkJob
from renewal.selectors.keyset import Segment, cut

_PAGE_ROWS = 100


@page(Permission.AGENTS_READ, query=fields("cursor"))
def rows(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The audit rows of a job that the visitor submitted, newest first."""
    job = job_of(request, pk)
    if job.requested_by_id != request.user.pk:
        raise Http404("There is no such bulk job of yours.")
    own = selectors.rows_of_own(request.user, job, reach(request.user, Permission.AGENTS_READ))
    shown = cut([Segment(own, ("-id",))], cursor=request.GET.get("cursor", ""), size=_PAGE_ROWS)
    jobs = jobs_told(shown.rows, own, BulkJob.objects.none())
    return render(
        request,
        "bulk/rows.html",
        {
            "job": job,
            "page": shown,
            "groups": grouped(shown.rows, jobs),
            **doubts(shown.rows, jobs),
            "is_one_job": True,
            "is_own_job": True,
        },
    )
