"""The list of orchestrators and the page of one.

Owns the way from a URL's parameters to the list's filters, and what the detail page shows. Rows
and states come from `renewal/selectors`, the outlook from `renewal/explain.py`.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators import groups, jobs, own_names
from orchestrators import selectors as records
from orchestrators.models import Orchestrator, Status
from orchestrators.protocol.messages import AgentPlatform
from orchestrators.reach import may_see
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages.act_catalogue import acts_for
from portal.pages.gate import ACT, actor_of, page
from portal.pages.timeline import told
from portal.preferences import store
from renewal import readiness
from renewal.bulk.selection import filters_from, query_of
from renewal.configuration import periods
from renewal.explain import explain
from renewal.identity.claimants import is_usable
from renewal.selectors import fleet, history, inbox
from renewal.selectors.marks import MARKS, Mark
from renewal.selectors.states import LABELS, RenewalState


@page(Permission.AGENTS_READ)
def index(request: HttpRequest) -> HttpResponseBase:
    """The list."""
    now = timezone.now()
    preferences = store.load()
    filters = filters_from(request.GET.dict())
    return render(
        request,
        "orchestrators/list.html",
        {
            "page": fleet.page(
                filters,
                periods(preferences),
                reach=reach(request.user, Permission.AGENTS_READ),
                now=now,
                cursor=request.GET.get("cursor", ""),
            ),
            "groups": groups.visible_names(reach(request.user, Permission.AGENTS_READ)),
            "filters": filters,
            "states": [(state, LABELS[state]) for state in RenewalState],
            "marks": [(mark, MARKS[mark]) for mark in Mark],
            "matching": query_of(filters),
            "acts": acts_for(request.user),
        },
    )


@page(Permission.AGENTS_READ)
def detail(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """One orchestrator: its state, why, what happens next, and its history."""
    now = timezone.now()
    preferences = store.load()
    orchestrator = found(request, pk)
    claimants = history.claimants_of(orchestrator) if _needs_approval(orchestrator) else []
    claim = records.claim_of(orchestrator)
    certificates = history.certificates_of(orchestrator, now=now)
    events = history.events_of(pk, cursor=request.GET.get("cursor", ""))
    shown_jobs = records.jobs_of(orchestrator)
    row = fleet.rows_of([orchestrator], periods(preferences), now=now)[0]
    return render(
        request,
        "orchestrators/detail.html",
        {
            "orchestrator": orchestrator,
            "row": row,
            "platform": AgentPlatform(orchestrator.platform).name.capitalize()
            if orchestrator.platform in set(AgentPlatform)
            else orchestrator.platform,
            "explanation": explain(
                orchestrator, preferences, now=now, claim=claim, claimants=claimants
            ),
            "claim": claim,
            "approval": inbox.latest_of(pk),
            "claimants": [(c, is_usable(c, now)) for c in claimants],
            "certificates": certificates,
            "requests": history.enrollments_without_certificate(orchestrator),
            "events": [told(entry) for entry in events.rows],
            "events_following": events.following,
            "sessions": records.sessions_of(orchestrator),
            "jobs": shown_jobs,
            "has_open_job": any(job.state in records.OPEN_JOBS for job in shown_jobs),
            "readiness": readiness.of_account(
                orchestrator.service_account, preferences, group_id=orchestrator.group_id
            ),
            "may_see_group": groups.may_know(
                orchestrator.group_id, reach(request.user, Permission.AGENTS_READ)
            ),
            "acts": [
                act
                for act in acts_for(request.user)
                if act.fits(orchestrator)
                and may_see(orchestrator, reach(request.user, act.permission))
            ],
            "labels": list(orchestrator.labels.order_by("key")),
        },
    )


@page(Permission.AGENTS_READ, Permission.AGENTS_LOGS, methods=ACT)
def request_logs(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Queue a FetchLogs job."""
    orchestrator = found(request, pk, Permission.AGENTS_LOGS)
    jobs.request_logs(orchestrator, actor=actor_of(request), now=timezone.now())
    messages.success(
        request, "The log was asked for: the job goes out with the orchestrator's next session."
    )
    return redirect("orchestrator", pk=pk)


@page(Permission.AGENTS_READ)
def log(request: HttpRequest, pk: UUID, job_id: UUID) -> HttpResponseBase:
    """The log that a FetchLogs job brought, as text."""
    job = records.job(pk, job_id, reach(request.user, Permission.AGENTS_READ))
    if job is None:
        raise Http404("There is no such job of this orchestrator.")
    return render(request, "orchestrators/log.html", {"job": job, "orchestrator": job.orchestrator})


@page(Permission.AGENTS_READ, Permission.AGENTS_APPROVE, methods=ACT)
def set_names(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Set the names that certificates may carry beside the orchestrator's own."""
    found(request, pk, Permission.AGENTS_APPROVE)
    names = request.POST.get("names", "").replace(",", "\n").splitlines()
    try:
        changed = own_names.set_extra_names(pk, names, actor=actor_of(request))
    except own_names.NameRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "The names were changed." if changed else "Nothing changed.")
    return redirect("orchestrator", pk=pk)


@page(Permission.AGENTS_READ, Permission.AGENTS_APPROVE, methods=ACT)
def accept_name(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Accept the differing name that the page showed."""
    found(request, pk, Permission.AGENTS_APPROVE)
    try:
        changed = own_names.accept_seen_name(
            pk, request.POST.get("name", ""), actor=actor_of(request)
        )
    except own_names.NameRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "The name was accepted." if changed else "Nothing changed.")
    return redirect("orchestrator", pk=pk)


def found(request: HttpRequest, pk: UUID, *acts: Permission) -> Orchestrator:
    """Return the record within the visitor's reach, or answer 404."""
    needed = (Permission.AGENTS_READ, *acts)
    orchestrator = records.orchestrator(pk, *(reach(request.user, each) for each in needed))
    if orchestrator is None:
        raise Http404("There is no such orchestrator.")
    return orchestrator


def _needs_approval(orchestrator: Orchestrator) -> bool:
    return orchestrator.status != Status.APPROVED
