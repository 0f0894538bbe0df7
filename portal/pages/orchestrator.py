"""The page of one orchestrator, in tabs, and the small acts on it.

Owns the way to a tab, the page's head, and the acts that need no confirmation. What a tab shows
is `orchestrator_tabs.py`'s.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from orchestrators import own_names
from orchestrators import selectors as records
from orchestrators.models import Orchestrator
from orchestrators.reach import may_see
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.pages.act_catalogue import ACTS, Act
from portal.pages.fields import NOTHING, fields
from portal.pages.gate import ACT, actor_of, demand, page
from portal.pages.orchestrator_tabs import TABS, Visit
from portal.preferences import store
from renewal import log_requests
from renewal.configuration import periods
from renewal.identity.acting import ActRefused
from renewal.selectors import fleet, history
from renewal.selectors.states import RenewalState


@page(Permission.AGENTS_READ, query=fields("cursor"))
def detail(request: HttpRequest, pk: UUID, tab: str = "") -> HttpResponseBase:
    """One tab of an orchestrator's page."""
    chosen = TABS[tab]
    if chosen.permission is not None:
        demand(request, chosen.permission)
    preferences, now = store.load(), timezone.now()
    needed = (chosen.permission,) if chosen.permission else ()
    orchestrator = found(request, pk, *needed)
    visit = Visit(request, orchestrator, preferences, now)
    row = fleet.rows_of([orchestrator], periods(preferences), now=now)[0]
    # Its columns do not say whether what was delivered to it leads on.
    may_come_back = row.state is RenewalState.EXPIRED and orchestrator.awaiting_first_use_since
    way_back = visit.explanation.way_back if may_come_back else None
    is_lost = row.cannot_enroll or (row.state is RenewalState.EXPIRED and way_back is None)
    acts = _acts(request, row)
    context = {
        "orchestrator": orchestrator,
        "row": row,
        "way_back": way_back,
        "disapproval": history.disapproval_of(orchestrator),
        "tabs": [
            (each, reverse(each.view, args=[pk]), each is chosen)
            for each in TABS.values()
            if each.permission is None
            or may_see(orchestrator, reach(request.user, each.permission))
        ],
        "acts": acts,
        "reset": next((act for act in acts if act.name == "reset"), None),
        "is_lost": is_lost,
        **chosen.gather(visit),
    }
    return render(request, chosen.template, context)


def _acts(request: HttpRequest, row: fleet.FleetRow) -> list[Act]:
    orchestrator = row.orchestrator
    return [
        act
        for act in ACTS.values()
        if act.fits(orchestrator)
        and act.helps(row)
        and not act.has_tab
        and holds(request.user, act.permission)
        and may_see(orchestrator, reach(request.user, act.permission))
    ]


@page(Permission.AGENTS_READ, Permission.AGENTS_LOGS, methods=ACT, form=NOTHING)
def request_logs(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Queue a FetchLogs job."""
    orchestrator = found(request, pk, Permission.AGENTS_LOGS)
    try:
        log_requests.ask(orchestrator.pk, actor=actor_of(request), now=timezone.now())
    except ActRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(
            request, "The log was asked for: the job goes out with the orchestrator's next session."
        )
    return redirect("orchestrator_logs", pk=pk)


@page(Permission.AGENTS_READ)
def log(request: HttpRequest, pk: UUID, job_id: UUID) -> HttpResponseBase:
    """The log that a FetchLogs job brought, as text."""
    job = records.job(pk, job_id, reach(request.user, Permission.AGENTS_READ))
    if job is None:
        raise Http404("There is no such job of this orchestrator.")
    return render(request, "orchestrators/log.html", {"job": job, "orchestrator": job.orchestrator})


@page(Permission.AGENTS_READ, Permission.AGENTS_APPROVE, methods=ACT, form=fields("names"))
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
    return redirect("orchestrator_parameters", pk=pk)


@page(Permission.AGENTS_READ, Permission.AGENTS_APPROVE, methods=ACT, form=fields("name"))
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
    return redirect("orchestrator_parameters", pk=pk)


def found(request: HttpRequest, pk: UUID, *acts: Permission) -> Orchestrator:
    """Return the record within the visitor's reach, or answer 404."""
    needed = (Permission.AGENTS_READ, *acts)
    orchestrator = records.orchestrator(pk, *(reach(request.user, each) for each in needed))
    if orchestrator is None:
        raise Http404("There is no such orchestrator.")
    return orchestrator
