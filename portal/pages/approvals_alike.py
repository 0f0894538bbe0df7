"""One decision on several requests: the preview, and what it showed.

Owns which requests one decision fits. The decision on each is `approval_decision.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.audit.wording import LONGEST_REASON, one_line
from portal.pages.approval_decision import (
    assessed_for,
    decide_one,
    name_of,
    token_of,
)
from portal.pages.fields import fields
from portal.pages.gate import ACT, note_policy, page
from renewal.identity.approvals import ActRefused
from renewal.identity.risks import Assessed
from renewal.selectors import inbox

MOST_AT_ONCE = 100


@page(
    Permission.AGENTS_READ,
    Permission.AGENTS_APPROVE,
    methods=ACT,
    form=fields("decision", many=("requests",)),
)
def preview(request: HttpRequest) -> HttpResponseBase:
    """Show what a decision on several requests will do. Changes nothing."""
    decision = _several(request)
    return _preview(request, decision, _keys(request))


@page(
    Permission.AGENTS_READ,
    Permission.AGENTS_APPROVE,
    methods=ACT,
    form=fields("decision", "reason", many=("requests",), each={"shown": "requests"}),
)
def decide_several(request: HttpRequest) -> HttpResponseBase:
    """Do what the preview showed: each request by itself, in a transaction of its own."""
    decision, keys = _several(request), _keys(request)
    reason = one_line(request.POST.get("reason", ""))
    if len(reason) > LONGEST_REASON:
        return _preview(request, decision, keys, error=f"At most {LONGEST_REASON} characters.")
    if decision == "disapprove" and not reason:
        return _preview(request, decision, keys, error="Say why: the audit log keeps it.")
    now = timezone.now()
    rows, left_out = inbox.chosen(request.user, keys, now=now)
    alike, odd = _fitting(assessed_for(request, rows, now=now), decision)
    failed = len(left_out) + len(odd)
    done = 0
    for each in alike:
        shown = request.POST.get(f"shown-{each.request.pk}", "")
        try:
            decide_one(request, each.request, decision, shown, reason, is_override=False)
            done += 1
        except ActRefused as refused:
            note_policy(request, refused)
            failed += 1
            messages.error(request, f"{name_of(each.request)}: {refused}")
    if done:
        word = "approved" if decision == "approve" else "disapproved"
        messages.success(request, f"{done} {word}, as the preview showed.")
    if failed:
        messages.warning(request, f"{failed} not decided: they changed, or are not alike.")
    return redirect("approvals")


def _preview(
    request: HttpRequest, decision: str, keys: Sequence[int], *, error: str = ""
) -> HttpResponseBase:
    now = timezone.now()
    if not keys:
        messages.warning(request, "No request was selected.")
        return redirect("approvals")
    rows, left_out = inbox.chosen(request.user, keys, now=now)
    alike, odd = _fitting(assessed_for(request, rows, now=now), decision)
    context: dict[str, Any] = {
        "decision": decision,
        "alike": [
            {"assessed": a, "token": token_of(a.chosen) if a.chosen is not None else ""}
            for a in alike
        ],
        "odd": odd,
        "left_out": left_out,
        "error": error,
        "reason": request.POST.get("reason", ""),
    }
    return render(request, "approvals/several.html", context, status=400 if error else 200)


def _fitting(
    assessed: Sequence[Assessed], decision: str
) -> tuple[list[Assessed], list[tuple[Assessed, str]]]:
    """Part requests into those that one decision fits and the others, each with why.

    To disapprove lets nobody in, so it fits all. To approve fits those alike: the same kind and
    service account as the first, one who came forward, and no hint.
    """
    if decision == "disapprove":
        return list(assessed), []
    alike: list[Assessed] = []
    odd: list[tuple[Assessed, str]] = []
    for each in assessed:
        first = alike[0] if alike else each
        account = each.request.orchestrator.service_account_id
        if each.hints:
            odd.append((each, each.hints[0].sentence))
        elif each.request.kind != first.request.kind:
            odd.append((each, "It asks for something else."))
        elif account != first.request.orchestrator.service_account_id:
            odd.append((each, "It runs under another service account."))
        else:
            alike.append(each)
    return alike, odd


def _several(request: HttpRequest) -> str:
    decision = request.POST.get("decision", "")
    if decision not in ("approve", "disapprove"):
        raise BadRequest("A decision is to approve or to disapprove.")
    return decision


def _keys(request: HttpRequest) -> list[int]:
    values = request.POST.getlist("requests")
    if len(values) > MOST_AT_ONCE:
        raise BadRequest(f"At most {MOST_AT_ONCE} requests at once.")
    if any(not (v.isascii() and v.isdigit() and len(v) < 19) for v in values):
        raise BadRequest("A request's number is not a number.")
    return list(dict.fromkeys(int(v) for v in values))
