"""Bulk actions on all that match a list's filters: preview and confirmation, which makes a job.

Owns the pages. What is previewed and done is `renewal/bulk`'s; the words of an act are
`act_catalogue.py`'s, the jobs' pages `bulk_jobs.py`'s.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count as Aggregate
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.models import Orchestrator, Reenrollment, Status
from orchestrators.reach import act_reaches
from portal.access.catalogue import Permission
from portal.access.permissions import PermissionMissing
from portal.audit.wording import one_line
from portal.pages import api_calls
from portal.pages.act_catalogue import ACTS
from portal.pages.bulk_words import (
    GETS_NO_SESSION,
    UNCHANGED_BECAUSE,
    all_of,
)
from portal.pages.fields import fields, one_of
from portal.pages.gate import ACT, actor_of, demand, page
from portal.preferences import store
from portal.preferences.store import Preferences
from renewal.bulk import service, work
from renewal.bulk.selection import Selection, chosen
from renewal.bulk.service import PERMISSIONS, BulkRefused, Frozen, Order, Preview
from renewal.configuration import by_settings, periods
from renewal.models import BulkJob
from renewal.readiness import Lacking, lacking_among
from renewal.rules.acts import FLAGS, SENTENCES, VOTE, Act, Outcome
from renewal.selectors import fleet
from renewal.selectors.deaf import deaf_among
from renewal.selectors.filters import (
    NAMES,
    filters_from,
    filters_of_query,
    query_of,
)
from renewal.selectors.marks import Mark, marked
from renewal.selectors.unserved import Unserved, unserved_among

AT_ONCE = 25
"""Up to so many are done within the request."""
TYPED_FROM = 100
"""From so many on, the number must be typed; for Require and Reset always."""
_PER_PAGE = 50


@page(Permission.AGENTS_READ, query=fields("act", "at_once", "page", *NAMES))
def preview(request: HttpRequest) -> HttpResponseBase:
    """What an act would do to all that match. Changes nothing."""
    act = _act_of(request.GET.get("act", ""))
    demand(request, PERMISSIONS[act])
    query = query_of(filters_from(request.GET.dict()))
    at_once = one_of(request.GET, "at_once", ("now",)) == "now"
    return _ask(request, Order(act, Selection(filters=filters_of_query(query)), at_once=at_once))


@page(
    Permission.AGENTS_READ,
    methods=ACT,
    form=fields("act", "query", "count", "digest", "once", "keys", "at_once", "message", "typed"),
)
def submit(request: HttpRequest) -> HttpResponseBase:
    """Commit the job that was previewed and confirmed."""
    given = request.POST
    act = _act_of(given.get("act", ""))
    demand(request, PERMISSIONS[act])
    order = Order(
        act,
        Selection(filters=filters_of_query(given.get("query", ""))),
        reason=one_line(given.get("message", "")),
        at_once=one_of(given, "at_once", ("now",)) == "now",
    )
    frozen = Frozen(
        _number(given.get("count", "")),
        hexadecimal(given.get("digest", "")),
        hexadecimal(given.get("once", "")),
        service.unpacked(given.get("keys", "")),
    )
    if _must_type(act, frozen.count) and given.get("typed", "").strip() != str(frozen.count):
        return _ask(request, order, error=f"Type {frozen.count} to confirm.", field="typed")
    if act is Act.REQUIRE and not order.reason and _lacking(request, order, store.load()):
        return _ask(request, order, error=LOCKS_OUT, field="message")
    now = timezone.now()
    try:
        job = service.submit(order, frozen, user=request.user, actor=actor_of(request), now=now)
    except BulkRefused as refused:
        if refused.reason == "nothing_selected":
            messages.warning(request, str(refused))
            return redirect("orchestrators")
        field = "" if refused.reason == "selection_changed" else "message"
        return _ask(request, order, error=str(refused), field=field)
    return follow(request, job)


def follow(request: HttpRequest, job: BulkJob) -> HttpResponseBase:
    """Do a small job at once, leave another to a worker; lead to its page."""
    if job.total <= AT_ONCE:
        work.run(job.pk, now=timezone.now())
    messages.info(request, f"This is bulk job {job.pk}; it stays on the page Bulk jobs.")
    return redirect("bulk_job", pk=job.pk)


def _ask(
    request: HttpRequest, order: Order, *, error: str = "", field: str = ""
) -> HttpResponseBase:
    try:
        seen = service.preview(order, user=request.user, now=timezone.now())
    except PermissionMissing as missing:
        raise PermissionDenied(str(missing)) from None
    except BulkRefused as refused:
        messages.warning(request, str(refused))
        return redirect("orchestrators")
    context = _told(request, seen)
    context |= {"error": error, "field": field, "message": order.reason, "at_once": order.at_once}
    return render(request, "bulk/preview.html", context, status=400 if error else 200)


def _told(request: HttpRequest, seen: Preview) -> dict[str, Any]:
    skipped = seen.of(Outcome.SKIP)
    lacking: list[Lacking | Unserved] = []
    of_sessions: dict[str, Any] = {}
    if ACTS[seen.order.act].in_session:
        preferences = store.load()
        lacking = _lacking(request, seen.order, preferences)
        of_sessions = {
            "deaf": deaf_of(_rows(request, seen.order, preferences), preferences),
            **_asked_before(request, seen.order, preferences),
        }
    locks_out = bool(lacking) and seen.order.act is Act.REQUIRE
    number = min(_number(request.GET.get("page", "1") or "1") or 1, 1_000_000)
    shown = skipped[(number - 1) * _PER_PAGE : number * _PER_PAGE]
    names = fleet.names_of(entry.pk for entry in shown)
    tally = seen.tally
    query = seen.order.selection.query
    plain = urlencode({"act": str(seen.order.act)}) + (f"&{query}" if query else "")
    return {
        "act": ACTS[seen.order.act],
        "title": all_of(seen.order.act, seen.frozen.count),
        "query": query,
        "frozen": seen.frozen,
        "to_change": len(seen.of(Outcome.CHANGE)),
        "votes": tally[VOTE],
        "unchanged": len(seen.of(Outcome.UNCHANGED)),
        "unchanged_because": UNCHANGED_BECAUSE.get(seen.order.act, ""),
        **of_sessions,
        "skipped": len(skipped),
        "lacking": lacking,
        "locks_out": locks_out,
        "needs_reason": ACTS[seen.order.act].needs_reason or locks_out,
        "reasons": sorted(
            (count, SENTENCES.get(verdict.reason, verdict.reason))
            for verdict, count in tally.items()
            if verdict.outcome is Outcome.SKIP
        )[::-1],
        "shown": [(e.pk, names.get(e.pk), SENTENCES.get(e.verdict.reason, "")) for e in shown],
        "number": number,
        "following": number + 1 if number * _PER_PAGE < len(skipped) else 0,
        "plain": plain,
        "address": plain + ("&at_once=now" if seen.order.at_once else ""),
        "must_type": _must_type(seen.order.act, seen.frozen.count),
        "api_calls": api_calls.of_all(
            str(seen.order.act),
            [entry.pk for entry in seen.of(Outcome.CHANGE)],
            filters_of_query(query),
            now=timezone.now(),
        ),
    }


def deaf_of(rows: QuerySet[Orchestrator], preferences: Preferences) -> list[tuple[int, str]]:
    """Return how many of some records get no session to do what is asked of them, and why."""
    found = deaf_among(rows, periods(preferences), now=timezone.now())
    return [(number, GETS_NO_SESSION[why][number > 1]) for why, number in found.items()]


LOCKS_OUT = "Say why: some of them will be locked out."


def lacking_of(rows: QuerySet[Orchestrator], preferences: Preferences) -> list[Lacking | Unserved]:
    """Return who of those that a renewal would be asked of cannot: for want of a permission, or of
    a CA and a template that can be used.
    """
    asked = rows.filter(status=Status.APPROVED)
    return [*lacking_among(asked), *unserved_among(asked, by_settings(preferences))]


def _lacking(
    request: HttpRequest, order: Order, preferences: Preferences
) -> list[Lacking | Unserved]:
    if not ACTS[order.act].is_renewal:
        return []
    return lacking_of(_rows(request, order, preferences), preferences)


def _asked_before(request: HttpRequest, order: Order, preferences: Preferences) -> dict[str, int]:
    """Return how many have the flag already that a renewal would set (``again``: it is set anew),
    how many were required to renew, which a mere request takes back (``eased``), and how many
    are offline and learn of nothing (``silent``).
    """
    rows = _rows(request, order, preferences)
    offline = marked(Mark.OFFLINE, periods(preferences), now=timezone.now())
    silent = rows.filter(offline).order_by().count()
    if not ACTS[order.act].is_renewal:
        return {"silent": silent}
    flags = rows.filter(flag__gt=Reenrollment.NONE).values_list("flag")
    counted = dict(flags.annotate(number=Aggregate("pk")).order_by())
    eased = counted.get(Reenrollment.REQUIRED, 0) if order.act is Act.REQUEST else 0
    return {"again": counted.get(FLAGS[order.act], 0), "eased": eased, "silent": silent}


def _rows(request: HttpRequest, order: Order, preferences: Preferences) -> QuerySet[Orchestrator]:
    reaches = act_reaches(request.user, PERMISSIONS[order.act])
    return chosen(order.selection, periods(preferences), *reaches, now=timezone.now())


def hexadecimal(text: str) -> str:
    """Return what a form carries of a preview; empty if it makes no sense."""
    return text if len(text) <= 64 and set(text) <= set("0123456789abcdef") else ""


def _must_type(act: Act, count: int) -> bool:
    return count >= TYPED_FROM or act in (Act.REQUIRE, Act.RESET)


def _act_of(name: str) -> Act:
    try:
        return Act(name)
    except ValueError:
        raise BadRequest("There is no such act.") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest("A number is expected.")
    return int(text)
