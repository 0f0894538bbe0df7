"""Bulk actions on all that match a list's filters: preview, confirmation, jobs and their progress.

Owns the pages. What is previewed and done is `renewal/bulk`'s; the words of an act are
`act_catalogue.py`'s.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.models import Orchestrator, Status
from orchestrators.reach import act_reaches
from portal.access.catalogue import Permission
from portal.access.permissions import PermissionMissing, holds
from portal.access.reach import reach
from portal.audit.wording import one_line
from portal.pages import api_calls
from portal.pages.act_catalogue import ACTS
from portal.pages.bulk_words import ASKED_LABELS, ITEM_LABELS, JOB_LABELS, SINCE_LABELS
from portal.pages.fields import NOTHING, fields, one_of
from portal.pages.gate import ACT, actor_of, demand, page, refuse
from portal.preferences import store
from renewal.bulk import selectors, service, since, work
from renewal.bulk.selection import Selection, chosen
from renewal.bulk.service import PERMISSIONS, BulkRefused, Frozen, Order, Preview
from renewal.configuration import periods
from renewal.models import BulkJob
from renewal.readiness import Lacking, lacking_among
from renewal.rules.acts import FLAGS, SENTENCES, VOTE, Act, Outcome
from renewal.rules.bulk_lifecycle import RETRIED, BulkState, ItemState
from renewal.selectors import fleet
from renewal.selectors.counting import Count
from renewal.selectors.filters import NAMES, Filters, filters_from, filters_of_query, query_of
from renewal.selectors.states import RenewalState

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
    if act is Act.REQUIRE and not order.reason and _lacking(request, order):
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


@page(Permission.AGENTS_READ, query=fields("whose", "cursor"))
def jobs(request: HttpRequest) -> HttpResponseBase:
    """All bulk jobs, newest first."""
    everything = reach(request.user, Permission.AGENTS_READ)
    rows = selectors.visible(request.user, everything).select_related("requested_by")
    is_mine = one_of(request.GET, "whose", ("mine",)) == "mine"
    if is_mine:
        rows = rows.filter(requested_by=request.user.pk)
    found = selectors.page_of(rows, cursor=request.GET.get("cursor", ""))
    return render(
        request,
        "bulk/jobs.html",
        {
            "page": found,
            "jobs": [(job, ACTS[job.act], JOB_LABELS[BulkState(job.state)]) for job in found.rows],
            "is_mine": is_mine,
        },
    )


@page(Permission.AGENTS_READ, query=fields("item", "reason", "since", "cursor"))
def job(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One job: how far it is, and what became of each orchestrator."""
    row = _found(request, pk)
    seen = reach(request.user, Permission.AGENTS_READ)
    wanted = one_of(request.GET, "item", set(ItemState))
    state = ItemState(wanted) if wanted else None
    reason = request.GET.get("reason", "")[:40].replace("\x00", "")
    # Of a job whose outcomes are not counted, none leads anywhere.
    place = one_of(request.GET, "since", set(since.Since)) if since.is_counted(row) else ""
    items = selectors.items_of(
        row,
        seen,
        state=state,
        reason=reason,
        place=since.Since(place) if place else None,
        cursor=request.GET.get("cursor", ""),
    )
    names = fleet.names_of((item.orchestrator_id for item in items.rows), seen)
    left = row.skipped + row.failed + (row.left if not row.is_open else 0)
    is_own = row.requested_by_id == request.user.pk
    may_act = holds(request.user, PERMISSIONS[Act(row.act)])
    asks = ACTS[row.act].is_renewal
    labels = ASKED_LABELS if asks else ITEM_LABELS
    places = since.places(row, items.rows, seen) if asks else {}
    counts = since.counts(row, seen) if since.is_counted(row) else {}
    return render(
        request,
        "bulk/job.html",
        {
            "job": row,
            "act": ACTS[row.act],
            "label": JOB_LABELS[BulkState(row.state)],
            "page": items,
            "items": [
                (
                    item,
                    names.get(item.orchestrator_id),
                    labels[ItemState(item.state)],
                    SINCE_LABELS[places[item.orchestrator_id]]
                    if item.orchestrator_id in places
                    else None,
                )
                for item in items.rows
            ],
            "asks": asks,
            "asked": row.changed + row.unchanged,
            "most_counted": since.MOST_COUNTED,
            "since": [
                (each, label, counts[each]) for each, label in SINCE_LABELS.items() if counts
            ],
            "place": place,
            "states": [(each, labels[each], _count(row, each)) for each in ItemState],
            "state": state,
            "reason": reason,
            "reasons": sorted(selectors.reasons_of(row).items(), key=lambda pair: -pair[1])
            if any((row.skipped, row.failed))
            else [],
            "may_cancel": row.is_open and may_act and selectors.may_cancel(request.user, row),
            "may_retry": not row.is_open and is_own and may_act and left,
            "left": left,
            "retried": sorted(RETRIED),
        },
    )


@page(Permission.AGENTS_READ, methods=ACT, form=NOTHING)
def cancel(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Stop a job; the answer comes when nothing more is done."""
    row = _found(request, pk)
    demand(request, PERMISSIONS[Act(row.act)])
    if not selectors.may_cancel(request.user, row):
        refuse(
            request,
            "A bulk job of somebody else is canceled only by who may do its act everywhere.",
            what=f"job {row.pk}",
        )
    try:
        service.cancel(row.pk, actor=actor_of(request), now=timezone.now())
    except BulkRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "The bulk job was canceled: what was done so far stays done.")
    return redirect("bulk_job", pk=row.pk)


@page(Permission.AGENTS_READ, methods=ACT, form=NOTHING)
def retry(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Take up again what was not done."""
    row = _found(request, pk)
    demand(request, PERMISSIONS[Act(row.act)])
    try:
        service.retry(row.pk, user=request.user, actor=actor_of(request), now=timezone.now())
    except BulkRefused as refused:
        messages.error(request, str(refused))
    return redirect("bulk_job", pk=row.pk)


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
    lacking = _lacking(request, seen.order)
    locks_out = bool(lacking) and seen.order.act is Act.REQUIRE
    number = min(_number(request.GET.get("page", "1") or "1") or 1, 1_000_000)
    shown = skipped[(number - 1) * _PER_PAGE : number * _PER_PAGE]
    names = fleet.names_of(entry.pk for entry in shown)
    tally = seen.tally
    query = seen.order.selection.query
    plain = urlencode({"act": str(seen.order.act)}) + (f"&{query}" if query else "")
    return {
        "act": ACTS[seen.order.act],
        "query": query,
        "frozen": seen.frozen,
        "to_change": len(seen.of(Outcome.CHANGE)),
        "votes": tally[VOTE],
        "unchanged": len(seen.of(Outcome.UNCHANGED)),
        "skipped": len(skipped),
        "deaf": _deaf(request, seen.order.act, seen.order.selection.filters),
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


_DEAF = {
    RenewalState.EXPIRED: "are expired: they are locked out until they are Reset.",
    RenewalState.WAITING: "wait for approval: they get no session before.",
    RenewalState.DISAPPROVED: "are disapproved: they get no session.",
}
"""Who may be asked to renew and cannot."""


def _deaf(request: HttpRequest, act: Act, filters: Filters | None) -> list[tuple[Count, str]]:
    if filters is None or not ACTS[act].is_renewal:
        return []
    seen, reached = act_reaches(request.user, PERMISSIONS[act])
    far = reached if seen.covers(reached) else seen
    if not reached.covers(far):
        # Neither holds the other, and what both hold is not counted.
        return []
    counts = fleet.tally(filters, periods(store.load()), reach=far, now=timezone.now()).by_state
    return [
        (counts[state], words)
        for state, words in _DEAF.items()
        if filters.state in (None, state) and counts[state].value
    ]


LOCKS_OUT = "Say why: some of them will be locked out."


def lacking_of(act: Act, rows: QuerySet[Orchestrator]) -> list[Lacking]:
    """Return who of those that a renewal would be asked of cannot for want of a permission."""
    return lacking_among(rows.filter(status=Status.APPROVED).exclude(flag=FLAGS[act]))


def _lacking(request: HttpRequest, order: Order) -> list[Lacking]:
    if not ACTS[order.act].is_renewal:
        return []
    reaches = act_reaches(request.user, PERMISSIONS[order.act])
    rows = chosen(order.selection, periods(store.load()), *reaches, now=timezone.now())
    return lacking_of(order.act, rows)


def hexadecimal(text: str) -> str:
    """Return what a form carries of a preview; empty if it makes no sense."""
    return text if len(text) <= 64 and set(text) <= set("0123456789abcdef") else ""


def _must_type(act: Act, count: int) -> bool:
    return count >= TYPED_FROM or act in (Act.REQUIRE, Act.RESET)


def _count(row: BulkJob, state: ItemState) -> int:
    return row.left if state is ItemState.WAITING else int(getattr(row, state))


def _found(request: HttpRequest, pk: int) -> BulkJob:
    rows = selectors.visible(request.user, reach(request.user, Permission.AGENTS_READ))
    row = rows.filter(pk=pk).first() if pk < 2**63 else None
    if row is None:
        raise Http404("There is no such bulk job.")
    return row


def _act_of(name: str) -> Act:
    try:
        return Act(name)
    except ValueError:
        raise BadRequest("There is no such act.") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest("A number is expected.")
    return int(text)
