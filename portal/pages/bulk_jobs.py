"""Bulk jobs: their list, how far each is and what became of its items; canceled, taken up again.

Owns the pages. What a job does is `renewal/bulk`'s; how one is made is `bulk.py`'s.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.pages import api_calls
from portal.pages.act_catalogue import ACTS
from portal.pages.bulk_words import (
    ASKED_LABELS,
    ITEM_LABELS,
    JOB_LABELS,
    LEFT,
    LOG_LABELS,
    OLD_LABELS,
    SINCE_LABELS,
    all_of,
)
from portal.pages.fields import NOTHING, fields, one_of
from portal.pages.gate import ACT, actor_of, demand, page, refuse
from portal.preferences import store
from renewal.bulk import selectors, service, since
from renewal.bulk.service import PERMISSIONS, BulkRefused
from renewal.models import BulkJob
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import RETRIED, BulkState, ItemState
from renewal.selectors import fleet
from renewal.selectors.filters import (
    FilterInvalid,
    filters_of_query,
)
from renewal.selectors.states import Label


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
    row = job_of(request, pk)
    seen = reach(request.user, Permission.AGENTS_READ)
    wanted = one_of(request.GET, "item", set(ItemState))
    state = ItemState(wanted) if wanted else None
    reason = request.GET.get("reason", "")[:40].replace("\x00", "")
    # Of a job whose outcomes are not counted, none leads anywhere.
    known = {*since.Since, *since.Old} if since.is_counted(row) else set()
    place = one_of(request.GET, "since", known) if known else ""
    now = timezone.now()
    items = selectors.items_of(
        row,
        seen,
        state=state,
        reason=reason,
        place=since.place_of(place),
        now=now,
        cursor=request.GET.get("cursor", ""),
    )
    names = fleet.names_of((item.orchestrator_id for item in items.rows), seen)
    left = row.skipped + row.failed + (row.left if not row.is_open else 0)
    is_own = row.requested_by_id == request.user.pk
    may_act = holds(request.user, PERMISSIONS[Act(row.act)])
    asks = ACTS[row.act].is_renewal
    of_logs = row.act == Act.LOGS
    labels = LOG_LABELS if of_logs else ASKED_LABELS if asks else ITEM_LABELS
    if not row.is_open:
        labels = labels | {ItemState.WAITING: LEFT}
    places = since.places(row, items.rows, seen, now=now) if asks else {}
    counts = since.counts(row, seen, now=now) if since.is_counted(row) else {}
    revokes_old = bool(counts) and store.load().flag("RevokeOldClientAuthCertificate")
    renewed, kept = counts.get(since.Since.RENEWED, 0), counts.get(since.Old.KEPT, 0)
    may_cancel = row.is_open and may_act and selectors.may_cancel(request.user, row)
    may_retry = bool(not row.is_open and is_own and may_act and left)
    return render(
        request,
        "bulk/job.html",
        {
            "api_calls": api_calls.of_job(row.pk, cancel=may_cancel, retry=may_retry),
            "job": row,
            "title": all_of(Act(row.act), row.total),
            "label": JOB_LABELS[BulkState(row.state)],
            "is_own": is_own,
            "days_of": _whose_days(row),
            "page": items,
            "items": [
                (
                    item,
                    names.get(item.orchestrator_id),
                    labels[ItemState(item.state)],
                    _labels_of(places.get(item.orchestrator_id)),
                    places.get(item.orchestrator_id),
                )
                for item in items.rows
            ],
            "asks": asks,
            "leads_to": "orchestrator_logs" if of_logs else "orchestrator",
            "asked": row.changed + row.unchanged,
            "most_counted": since.MOST_COUNTED,
            "since": [
                (each, label, counts[each]) for each, label in SINCE_LABELS.items() if counts
            ],
            "old": [(each, label, counts[each]) for each, label in OLD_LABELS.items()]
            if kept < renewed or (renewed and revokes_old)
            else [],
            "renewed": renewed,
            "revokes_old": revokes_old,
            "is_moving": not row.is_open and any(counts.get(each) for each in since.ON_THE_WAY),
            "place": place,
            "states": [(each, labels[each], _count(row, each)) for each in ItemState],
            "state": state,
            "reason": reason,
            "reasons": sorted(selectors.reasons_of(row).items(), key=lambda pair: -pair[1])
            if any((row.skipped, row.failed))
            else [],
            "may_cancel": may_cancel,
            "may_retry": may_retry,
            "left": left,
            "retried": sorted(RETRIED),
        },
    )


@page(Permission.AGENTS_READ, methods=ACT, form=NOTHING)
def cancel(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Stop a job; the answer comes when nothing more is done."""
    row = job_of(request, pk)
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
    row = job_of(request, pk)
    demand(request, PERMISSIONS[Act(row.act)])
    try:
        service.retry(row.pk, user=request.user, actor=actor_of(request), now=timezone.now())
    except BulkRefused as refused:
        messages.error(request, str(refused))
    return redirect("bulk_job", pk=row.pk)


def _labels_of(there: since.Whereabouts | None) -> list[Label]:
    """Return where one is; of a renewed one also how its old certificate ends, if it is revoked."""
    if there is None:
        return []
    step = SINCE_LABELS[there.since]
    if there.old is None or there.old is since.Old.KEPT:
        return [step]
    return [step, OLD_LABELS[there.old]]


def _count(row: BulkJob, state: ItemState) -> int:
    return row.left if state is ItemState.WAITING else int(getattr(row, state))


def job_of(request: HttpRequest, pk: int) -> BulkJob:
    """Return a job that the visitor may see. Raises Http404."""
    rows = selectors.visible(request.user, reach(request.user, Permission.AGENTS_READ))
    row = rows.filter(pk=pk).first() if pk < 2**63 else None
    if row is None:
        raise Http404("There is no such bulk job.")
    return row


def _whose_days(row: BulkJob) -> str:
    """Return the zone in which the days of a job's filters are meant; empty if they name none."""
    try:
        ends = filters_of_query(row.query).ends
    except FilterInvalid:
        return ""
    return row.time_zone if ends is not None and ends.is_of_a_zone else ""
