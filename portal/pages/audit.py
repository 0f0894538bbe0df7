"""The audit log: read, filtered, a page at a time.

Owns the page. Rows are written by services and never changed.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.audit.models import AuditEntry, Category
from portal.pages.gate import page
from portal.pages.timeline import told
from renewal.selectors.keyset import Segment, cut


@page(Permission.AUDITING_READ)
def index(request: HttpRequest) -> HttpResponseBase:
    """The list, newest first."""
    given = request.GET
    category = given.get("category", "")
    request_id = given.get("request", "").replace("\x00", "").strip()[:64]
    who = given.get("who", "").replace("\x00", "").strip()[:200]
    rows = within(
        AuditEntry.objects.all(),
        reach(request.user, Permission.AUDITING_READ),
        by="orchestrator_id",
    )
    if category in Category.values:
        rows = rows.filter(category=category)
    if who:
        rows = rows.filter(actor_name=who)
    if request_id:
        rows = rows.filter(request_id=request_id)
    found = cut([Segment(rows, ("-id",))], cursor=given.get("cursor", ""), size=100)
    return render(
        request,
        "audit/list.html",
        {
            "page": found,
            "events": [told(entry) for entry in found.rows],
            "categories": Category.choices,
            "category": category,
            "who": who,
            "request_id": request_id,
        },
    )
