"""The list of orchestrators.

Owns the way from a URL's parameters to the list's filters. Rows and states come from
`renewal/selectors`; the page of one is `orchestrator.py`'s.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from orchestrators import groups
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages.act_catalogue import acts_for
from portal.pages.gate import page
from portal.preferences import store
from renewal.bulk.selection import filters_from, query_of
from renewal.configuration import periods
from renewal.selectors import fleet
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
