"""The audit log: read, searched, exported, verified.

Owns the pages. Rows are written by services and never changed; filters, forms and the proof are
`portal/audit`'s.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.audit import export, requested, search
from portal.audit.models import AuditEntry, Category
from portal.audit.search import NAMES, FilterInvalid, Filters, Found
from portal.audit.trail import record
from portal.days import zone_name
from portal.pages.audit_groups import doubts, grouped, jobs_told
from portal.pages.fields import NOTHING, fields
from portal.pages.gate import ACT, EVERYWHERE, actor_of, demand_everywhere, page
from renewal.bulk import selectors
from renewal.models import BulkJob
from renewal.selectors.keyset import Segment, cut

_PAGE_ROWS = 100
_LABELS = {
    "q": "text",
    "category": "about",
    "action": "action",
    "who": "by",
    "object": "object",
    "orchestrator": "orchestrator",
    "request": "one act",
    "since": "from",
    "until": "until",
}
_FORMS = {
    "csv": (export.as_csv, "text/csv; charset=utf-8"),
    "json": (export.as_json, "application/json"),
}


@page(Permission.AUDITING_READ, query=fields("cursor", *NAMES))
def index(request: HttpRequest) -> HttpResponseBase:
    """The list, newest first."""
    filters = Filters.of(request.GET)
    problem = ""
    try:
        found = search.find(filters, _listed(request, filters))
    except FilterInvalid as invalid:
        found, problem = Found(AuditEntry.objects.none()), str(invalid)
    shown = cut(
        [Segment(found.rows, ("-id",))], cursor=request.GET.get("cursor", ""), size=_PAGE_ROWS
    )
    seen = reach(request.user, Permission.AGENTS_READ)
    pages = selectors.visible(request.user, seen) if not seen.is_nothing else BulkJob.objects.none()
    jobs = jobs_told(shown.rows, _visible(request), pages)
    return render(
        request,
        "audit/list.html",
        {
            "page": shown,
            "groups": grouped(shown.rows, jobs),
            # What one job did is what was asked for: its rows are not folded away.
            "is_one_job": filters.request in jobs,
            **doubts(shown.rows, jobs),
            "filters": filters,
            "chips": [(name, _LABELS[name], value) for name, value in filters.chosen().items()],
            "categories": Category.choices,
            "searched_to": None if shown.following else found.searched_to,
            "problem": problem,
            "verification": requested.newest(),
            "verified": requested.newest_finished(),
        },
        status=400 if problem else 200,
    )


@page(Permission.AUDITING_READ, query=fields(*NAMES))
def exported(request: HttpRequest, form: str) -> HttpResponseBase:
    """All that the filters mean, as a file, however far back."""
    filters = Filters.of(request.GET)
    parts = search.everything(filters, _visible(request))
    record(
        actor_of(request),
        Category.ACCESS,
        "audit_exported",
        object_type="audit",
        object_id=form,
        after=filters.chosen() | {"time_zone": zone_name()},
    )
    write, content_type = _FORMS[form]
    response = StreamingHttpResponse(write(parts), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="audit.{form}"'
    return response


@page(Permission.AUDITING_READ, methods=ACT, form=NOTHING)
def verify(request: HttpRequest) -> HttpResponseBase:
    """Ask for a run over the whole log; a worker carries it out."""
    # The answer names rows, whoever they are about.
    demand_everywhere(request, *EVERYWHERE["audit_verification"])
    requested.request(actor_of(request), now=timezone.now())
    messages.info(request, "The log is being verified.")
    return redirect("audit_verification")


@page(Permission.AUDITING_READ)
def verification(request: HttpRequest) -> HttpResponseBase:
    """What the newest run found, or that one is under way."""
    demand_everywhere(request, *EVERYWHERE["audit_verification"])
    newest = requested.newest()
    is_open = newest is not None and newest.finished_at is None
    is_late = (
        newest is not None
        and is_open
        and newest.requested_at < timezone.now() - timedelta(minutes=2)
        and newest.started_at is None
    )
    return render(
        request,
        "audit/verification.html",
        {
            "verification": newest,
            "verified": requested.newest_finished(),
            "is_open": is_open,
            "is_late": is_late,
        },
    )


def _listed(request: HttpRequest, filters: Filters) -> QuerySet[AuditEntry]:
    """Return the rows of a list; the rows of a whole job are for who sees every orchestrator."""
    rows = _visible(request)
    sees_all = reach(request.user, Permission.AUDITING_READ).everything
    return search.folded(filters, rows) if sees_all else rows


def _visible(request: HttpRequest) -> QuerySet[AuditEntry]:
    return within(
        AuditEntry.objects.all(),
        reach(request.user, Permission.AUDITING_READ),
        by="orchestrator_id",
    )
