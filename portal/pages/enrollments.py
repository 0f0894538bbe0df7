"""Enrollments of the whole fleet: what waits for which CA, what failed and why, and each of them.

Owns these pages. What is counted is `renewal/selectors/queue.py`'s, which ones a search finds
`renewal/selectors/enrollments.py`'s, and what an act does `renewal/enrollment/operator_acts.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from orchestrators.reach import act_reaches, within
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.audit.wording import LONGEST_REASON, one_line
from portal.pages import api_calls
from portal.pages.enrollment_cells import cells
from portal.pages.enrollment_words import LABELS, NO_CAUSE, STAGES, Line, has_failed, line_of
from portal.pages.fields import fields
from portal.pages.fleet_chips import Chip
from portal.pages.gate import ACT, actor_of, page
from renewal.enrollment import operator_acts
from renewal.identity.acting import ActRefused
from renewal.models import Certificate, CertificateAuthority, Enrollment, Template
from renewal.selectors import enrollments, queue
from renewal.selectors.counting import Count
from renewal.selectors.enrollments import Search, Span, Stage
from renewal.selectors.queue import Board

_A_DAY = Span(24, "h")


@page(Permission.AGENTS_READ, query=fields("cursor", *enrollments.NAMES))
def index(request: HttpRequest) -> HttpResponseBase:
    """The queues of the CAs, and the list."""
    now, far = timezone.now(), reach(request.user, Permission.AGENTS_READ)
    search = enrollments.search_from(request.GET.dict())
    found = enrollments.page(search, reach=far, now=now, cursor=request.GET.get("cursor", ""))
    board = queue.board(reach=far, now=now)
    authorities = {each.authority.pk: each.authority.name for each in board.queues}
    templates = dict(Template.objects.order_by("name").values_list("pk", "name"))
    lines = [line_of(row, now=now) for row in found.slice.rows]
    shown = _shown_certificates(request, found.slice.rows)
    return render(
        request,
        "enrollments/list.html",
        {
            "board": board,
            "is_limited": not far.everything,
            "search": search,
            "page": found.slice,
            "is_cut": found.is_cut,
            "most_found": enrollments.MOST_FOUND,
            "lines": lines,
            "cells": [cells(line, shown_certificates=shown, now=now) for line in lines],
            "stages": STAGES,
            "authorities": authorities,
            "templates": templates,
            "causes": _causes(board),
            "chips": _chips(search, authorities, templates),
            "may_retry": holds(request.user, Permission.AGENTS_RENEW),
        },
    )


@page(Permission.AGENTS_READ)
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One enrollment: where it is, whose turn it is, and what can be done."""
    now = timezone.now()
    row = enrollments.one(pk, reach(request.user, Permission.AGENTS_READ))
    if row is None:
        raise Http404("There is no such enrollment.")
    return render(request, "enrollments/detail.html", _told(request, line_of(row, now=now)))


@page(Permission.AGENTS_READ, Permission.AGENTS_RENEW, methods=ACT, form=fields("message"))
def retry(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Have an enrollment tried now."""
    row, message = _to_act_on(request, pk), _message(request)
    try:
        operator_acts.retry_now(
            row.pk, actor=actor_of(request), now=timezone.now(), message=message
        )
    except ActRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _asked_soon(row.authority))
    return redirect("enrollment", pk=row.pk)


@page(Permission.AGENTS_READ, Permission.AGENTS_RENEW, methods=ACT, form=fields("message"))
def give_up(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Discard an enrollment that no CA has."""
    row, message = _to_act_on(request, pk), _message(request)
    try:
        operator_acts.give_up(row.pk, actor=actor_of(request), now=timezone.now(), message=message)
    except ActRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(
            request, "The request was given up: the orchestrator's next CSR makes a new one."
        )
    return redirect("enrollment", pk=row.pk)


@page(Permission.AGENTS_READ, Permission.AGENTS_RENEW, methods=ACT, form=fields("ca"))
def retry_queue(request: HttpRequest) -> HttpResponseBase:
    """Have all that waits for a CA tried now."""
    number = request.POST.get("ca", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadRequest("'ca' is the number of a CA.")
    authority = get_object_or_404(CertificateAuthority, pk=int(number))
    try:
        retried = operator_acts.retry_queue(
            _actable(request), authority, actor=actor_of(request), now=timezone.now()
        )
    except ActRefused as refused:
        messages.error(request, str(refused))
    else:
        if retried:
            messages.success(request, f"{retried:,} of {authority.name}: {_asked_soon(authority)}")
        else:
            messages.info(request, f"Nothing waits for a later try at {authority.name}.")
    return redirect(f"{reverse('enrollments')}?state=open&ca={authority.pk}")


def _asked_soon(authority: CertificateAuthority) -> str:
    resume = authority.resume_at
    if resume is not None and resume > timezone.now():
        return "The CA failed several times and is left alone for a moment; it is asked after that."
    return "A worker asks the CA as soon as there is room."


def _actable(request: HttpRequest) -> QuerySet[Enrollment]:
    reaches = act_reaches(request.user, Permission.AGENTS_RENEW)
    return within(Enrollment.objects.all(), *reaches, by="orchestrator")


def _to_act_on(request: HttpRequest, pk: int) -> Enrollment:
    row = enrollments.one(pk, *act_reaches(request.user, Permission.AGENTS_RENEW))
    if row is None:
        raise Http404("There is no such enrollment.")
    return row


def _message(request: HttpRequest) -> str:
    message = one_line(request.POST.get("message", ""))
    if len(message) > LONGEST_REASON:
        raise BadRequest(f"A reason has at most {LONGEST_REASON} characters.")
    return message


def _told(request: HttpRequest, line: Line) -> dict[str, Any]:
    row, now = line.row, timezone.now()
    may_act = enrollments.one(row.pk, *act_reaches(request.user, Permission.AGENTS_RENEW))
    no_retry = operator_acts.why_no_retry(row, now=now)
    kept = operator_acts.why_not_given_up(row)
    return {
        "line": line,
        "row": row,
        "may_act": may_act is not None,
        "no_retry": no_retry,
        "kept": kept,
        "has_failed": has_failed(row),
        "shown_certificates": _shown_certificates(request, [row]),
        "api_calls": api_calls.of_enrollment(row.pk, retry=not no_retry, give_up=not kept)
        if may_act is not None
        else [],
    }


def _shown_certificates(request: HttpRequest, rows: list[Enrollment]) -> set[int]:
    """Return the certificates of enrollments that the visitor may look at."""
    ids = [row.certificate_id for row in rows if row.certificate_id is not None]
    far = reach(request.user, Permission.CERTIFICATES_READ)
    if far.everything:
        return set(ids)
    seen = within(Certificate.objects.filter(pk__in=ids), far, by="orchestrator_id")
    return set(seen.values_list("pk", flat=True))


@dataclass(frozen=True)
class CauseLine:
    """One cause for which enrollments failed within a day, with the list behind its number."""

    text: str
    where: str
    number: Count
    query: str


def _causes(board: Board) -> list[CauseLine]:
    found = []
    for each in board.queues:
        ca, is_capped = each.authority, each.failed.is_capped
        failed = Search(stage=Stage.FAILED, ca=ca.pk, ended=_A_DAY)
        for cause in each.causes:
            search = replace(
                failed, stage=Stage(cause.state), cause=cause.text or enrollments.NO_CAUSE
            )
            found.append(
                CauseLine(
                    f"{cause.text or NO_CAUSE}{'…' if cause.is_cut else ''}",
                    f"{LABELS[cause.state].word} at {ca.name}",
                    Count(cause.count, is_capped),
                    enrollments.query_of(search),
                )
            )
        if each.others_failed > 0:
            count = Count(each.others_failed, is_capped)
            where = f"at {ca.name}: all that failed there"
            found.append(CauseLine("Other causes", where, count, enrollments.query_of(failed)))
    return found


def _chips(
    search: Search, authorities: Mapping[int, str], templates: Mapping[int, str]
) -> list[Chip]:
    found: list[tuple[str, str, Search]] = []
    if search.query:
        found.append(("Search", search.query, replace(search, query="")))
    if search.stage is not None:
        found.append(("State", STAGES[search.stage], replace(search, stage=None)))
    if search.ca is not None:
        name = authorities.get(search.ca, "no CA of that number")
        found.append(("CA", name, replace(search, ca=None)))
    if search.template is not None:
        name = templates.get(search.template, "no template of that number")
        found.append(("Template", name, replace(search, template=None)))
    if search.cause:
        said = NO_CAUSE if search.cause == enrollments.NO_CAUSE else search.cause
        found.append(("Cause", said, replace(search, cause="")))
    if search.older is not None:
        found.append(("Open for more than", search.older.words, replace(search, older=None)))
    if search.ended is not None:
        is_span = isinstance(search.ended, enrollments.Span)
        words = f"within {search.ended.words}" if is_span else search.ended.words
        found.append(("Ended", words, replace(search, ended=None)))
    if search.demonstration is not None:
        words = "demonstration" if search.demonstration else "real"
        found.append(("Fleet", words, replace(search, demonstration=None)))
    return [Chip(name, value, enrollments.query_of(rest)) for name, value, rest in found]
