"""The list of orchestrators: filters in the URL, columns, counts, export.

Owns the page. Saved views are `fleet_views.py`'s. Rows, order and counts are
`renewal/selectors/fleet.py`'s; acts on many are `acts.py`'s and `bulk.py`'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from orchestrators import groups
from orchestrators.protocol.codes import TEXTS, Code
from orchestrators.protocol.terms import AgentPlatform
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages import (
    api_calls,
    fleet_chips,
    fleet_views,
    list_export,
    list_layout,
)
from portal.pages.act_catalogue import acts_for
from portal.pages.acts import MOST_AT_ONCE
from portal.pages.fields import fields, one_of
from portal.pages.fleet_columns import FLEET
from portal.pages.gate import ACT, page
from portal.pages.list_columns import Here
from portal.pages.list_layout import person_of, shown_to
from portal.pages.pieces import platform
from portal.pages.shipped_views import SHIPPED_VIEWS
from portal.preferences import personal, store
from renewal import census
from renewal.configuration import periods
from renewal.rules.periods import whole_second
from renewal.selectors import fleet
from renewal.selectors.counting import CAP
from renewal.selectors.filters import NAMES, Sort, filters_from, query_of
from renewal.selectors.marks import MARKS, Mark
from renewal.selectors.spans import NEVER
from renewal.selectors.states import LABELS, RenewalState

STATES = (
    RenewalState.WAITING,
    RenewalState.EXPIRED,
    RenewalState.REQUIRED,
    RenewalState.WARNING,
    RenewalState.UNUSED,
    RenewalState.ENROLLING,
    RenewalState.OK,
    RenewalState.DISAPPROVED,
)
"""The states, most urgent first."""
SEEN = ("1d", "7d", "30d", "90d", NEVER)
"""For how many days nobody called, as the form proposes it."""
ENDS = (("7d", "within 7 days"), ("30d", "within 30 days"), ("180d", "within 180 days"))


@page(Permission.AGENTS_READ, query=fields("cursor", "view", *NAMES))
def index(request: HttpRequest) -> HttpResponseBase:
    """The list. Opened without anything said, it leads to the person's default view; ``view=all``
    says that it shall not.
    """
    one_of(request.GET, "view", (fleet_views.ALL,))
    views = personal.views_of(person_of(request), FLEET.page)
    default = next((view for view in views if view.is_default), None)
    if not request.GET and (opened := fleet_views.opened_with(request, default)):
        return opened
    now = timezone.now()
    known = periods(store.load())
    filters = filters_from(request.GET.dict())
    seen = reach(request.user, Permission.AGENTS_READ)
    shown = shown_to(request, FLEET)
    found, tally = fleet.page_and_tally(
        filters,
        known,
        reach=seen,
        now=now,
        cursor=request.GET.get("cursor", ""),
        with_labels=shown.has("labels"),
    )
    # Not after a cursor: one beyond the last row shows none of those that are there.
    if filters.state is not None and not request.GET.get("cursor") and not found.following:
        tally = tally.with_page(filters.state, len(found.rows))
    counted_at = None
    if filters.demonstration is not True and not query_of(
        replace(filters, state=None, demonstration=None)
    ):
        # The census knows the numbers of the whole fleet, without the few of a demonstration.
        picture = census.latest(seen, now=now)
        if picture is not None:
            tally, counted_at = tally.with_census(picture.states), picture.counted_at
    matches = tally.total if filters.state is None else tally.by_state[filters.state]
    own = query_of(filters, with_order=True)
    here = Here(now, request.GET)
    context = {
        "page": found,
        "lines": [(row.orchestrator, shown.cells(row, here)) for row in found.rows],
        "shown": shown,
        "filters": filters,
        "groups": groups.visible_names(seen),
        "tally": [(state, LABELS[state], tally.by_state[state]) for state in STATES],
        "total": tally.total,
        "matches": matches,
        "tally_is_cut": tally.total.is_capped,
        "looked_at": CAP,
        "counted_at": counted_at if tally.total.is_by_census else None,
        "marks": [(mark, MARKS[mark]) for mark in Mark],
        "ends": ENDS,
        "is_listed_end": str(filters.ends) in dict(ENDS),
        "platforms": [(p.name.lower(), platform(p)) for p in AgentPlatform],
        "seen": SEEN,
        # Those on this page: there may be very many accounts.
        "accounts": sorted({row.orchestrator.service_account.username for row in found.rows}),
        "codes": [(code.value, TEXTS[code].sentence) for code in Code],
        # Not the class: a template would call it.
        "sorts": Sort.__members__,
        "chips": fleet_chips.chips(filters),
        "matching": query_of(filters),
        "own": own,
        "views": views,
        "default_view": default,
        "opens_so": default is not None and default.query != "" and default.query == own,
        "whole": fleet_views.address_of("", default),
        "view_of_all": fleet_views.ALL if default and default.query else "",
        "shipped_views": SHIPPED_VIEWS,
        "acts": acts_for(request.user),
        "most_ticked": MOST_AT_ONCE,
        "api_calls": api_calls.of_list(filters, now=now),
    }
    if not found.rows and filters.ends is not None and filters.ends.days:
        horizon = whole_second(now) + timedelta(days=filters.ends.days)
        context["next_end"] = fleet.first_end_after(horizon, reach=seen)
    return render(request, "orchestrators/list.html", context)


@page(Permission.AGENTS_READ, query=fields(*NAMES))
def exported(request: HttpRequest, form: str) -> HttpResponseBase:
    """Exactly the rows that the filters show, in their order, with the columns shown, as a file."""
    now = timezone.now()
    filters = filters_from(request.GET.dict())
    shown = shown_to(request, FLEET)
    rows = fleet.every(
        filters,
        periods(store.load()),
        reach=reach(request.user, Permission.AGENTS_READ),
        now=now,
        with_labels=shown.has("labels"),
    )
    return list_export.exported(
        request,
        rows,
        shown,
        what="orchestrators",
        form=form,
        query=query_of(filters, with_order=True),
        now=now,
    )


@page(Permission.AGENTS_READ, methods=ACT, form=list_layout.FORM)
def set_layout(request: HttpRequest) -> HttpResponseBase:
    """Keep which columns are shown, in which order, and how dense the rows are."""
    there = fleet_views.back(request)
    list_layout.keep(request, FLEET)
    return there
