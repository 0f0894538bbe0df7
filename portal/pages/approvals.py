"""The inbox of approvals: its lists, one request with its comments, and the decision on it.

Owns these pages. The way from a form to a decision is `approval_decision.py`'s, one decision on
several requests `approvals_alike.py`'s.
"""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.reach import act_reaches, reachable
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.audit.wording import LONGEST_REASON, one_line
from portal.pages import api_calls
from portal.pages.approval_decision import (
    assessed_for,
    decide_one,
    name_of,
    token_of,
)
from portal.pages.fields import fields, one_of
from portal.pages.gate import ACT, actor_of, demand, note_policy, page
from portal.preferences import store
from renewal.identity import approval_comments, approval_requests, questions
from renewal.identity.approvals import ActRefused
from renewal.identity.policies import policies
from renewal.identity.risks import assess
from renewal.models import ApprovalRequest
from renewal.rules.approval import RequestState
from renewal.selectors import inbox
from renewal.selectors.inbox import WORDS, Tab


@page(Permission.AGENTS_READ, query=fields("tab", "cursor"))
def index(request: HttpRequest) -> HttpResponseBase:
    """The lists."""
    now = timezone.now()
    tab = _tab_of(request)
    found = inbox.page(tab, request.user, now=now, cursor=request.GET.get("cursor", ""))
    rules = policies(store.load())
    assessed = {
        a.request.pk: a
        for a in assessed_for(request, [r for r in found.rows if _is_open(r)], now=now)
    }
    asked = questions.of_each([row.orchestrator for row in found.rows if _is_open(row)])
    return render(
        request,
        "approvals/list.html",
        {
            "tab": tab,
            "tabs": list(WORDS.items()),
            "page": found,
            "can_choose": tab is Tab.WAITING,
            "rows": [
                {
                    "request": row,
                    "assessed": assessed.get(row.pk),
                    "needed": rules.needed(asked[row.orchestrator_id]) if _is_open(row) else 1,
                }
                for row in found.rows
            ],
        },
    )


@page(Permission.AGENTS_READ)
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One request: what is asked, what was seen, what is odd, who said what."""
    return _detail(request, _found(request, pk))


@page(
    Permission.AGENTS_READ,
    Permission.AGENTS_APPROVE,
    methods=ACT,
    form=fields("decision", "reason", "shown", "override"),
)
def decide(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Approve or disapprove what the page showed."""
    row = _found(request, pk)
    if not reachable([row.orchestrator_id], *act_reaches(request.user, Permission.AGENTS_APPROVE)):
        raise Http404("There is no such request.")
    reason = one_line(request.POST.get("reason", ""))
    is_override = one_of(request.POST, "override", ("yes",)) == "yes"
    if is_override:
        demand(request, Permission.APPROVALS_OVERRIDE)
        if not reachable([row.orchestrator_id], reach(request.user, Permission.APPROVALS_OVERRIDE)):
            raise Http404("There is no such request.")
    decision = request.POST.get("decision", "")
    if decision not in ("approve", "disapprove"):
        raise BadRequest("A decision is to approve or to disapprove.")
    if len(reason) > LONGEST_REASON:
        return _detail(request, row, error=f"At most {LONGEST_REASON} characters.")
    if not reason and (is_override or decision == "disapprove"):
        return _detail(request, row, error="Say why: the request and the audit log keep it.")
    shown = request.POST.get("shown", "")
    if decision == "approve" and not shown and _is_conflict(row):
        return _detail(request, row, is_unchosen=True)
    try:
        said = decide_one(request, row, decision, shown, reason, is_override=is_override)
    except ActRefused as refused:
        note_policy(request, refused)
        messages.error(request, str(refused))
        return redirect("approval", pk=pk)
    messages.success(request, f"{name_of(row)}: {said}.")
    return redirect("approvals")


def _reaches(request: HttpRequest, row: ApprovalRequest, permission: Permission) -> bool:
    return holds(request.user, permission) and bool(
        reachable([row.orchestrator_id], *act_reaches(request.user, permission))
    )


@page(Permission.AGENTS_READ, methods=ACT, form=fields("text"))
def comment(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Say something to an open request."""
    row = _found(request, pk)
    if not approval_comments.may_comment(request.user, row):
        demand(request, Permission.AGENTS_APPROVE)
        raise Http404("There is no such request.")
    try:
        approval_comments.comment(
            row, request.POST.get("text", ""), actor=actor_of(request), now=timezone.now()
        )
    except ActRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "Your comment is kept.")
    return redirect("approval", pk=pk)


def _detail(
    request: HttpRequest, row: ApprovalRequest, *, error: str = "", is_unchosen: bool = False
) -> HttpResponseBase:
    """Show a request; after a decision that was refused, with what was typed and chosen.

    ``error`` is the reason's; ``is_unchosen`` says that nobody was chosen of several.
    """
    now = timezone.now()
    rules = policies(store.load())
    question = questions.of(row.orchestrator)
    actor = actor_of(request)
    me = approval_requests.key_of(actor)
    assessed = assessed_for(request, [row], now=now)[0] if _is_open(row) else None
    votes = inbox.votes_of(row)
    shown = request.POST.get("shown", "")
    has_voted = any(v.voter_key == me and v.voided_at is None for v in votes)
    is_barred = rules.bars(question, approver=me)
    may_override = _reaches(request, row, Permission.APPROVALS_OVERRIDE)
    # A New record has none.
    holds_again = row.orchestrator.thumbprint if _is_open(row) else ""
    is_mine = bool(
        reachable([row.orchestrator_id], *act_reaches(request.user, Permission.AGENTS_APPROVE))
    )
    return render(
        request,
        "approvals/detail.html",
        {
            "row": row,
            "orchestrator": row.orchestrator,
            "assessed": assessed,
            "candidates": [
                {
                    "claimant": c,
                    "token": token_of(c),
                    "is_chosen": token_of(c) == shown if shown else c == assessed.chosen,
                }
                for c in assessed.candidates
            ]
            if assessed
            else [],
            "holds_again": holds_again,
            "votes": votes,
            "needed": rules.needed(question),
            "roles": rules.roles(question),
            "counted": sum(v.voided_at is None for v in votes),
            "has_voted": has_voted,
            "is_barred": is_barred,
            # Whose approval would come to nothing is not offered one.
            "may_approve": bool((assessed and assessed.candidates) or holds_again)
            and (may_override or not (has_voted or is_barred)),
            "may_decide": is_mine and _is_open(row),
            "api_calls": api_calls.of_approval(row.orchestrator_id, row.pk)
            if is_mine and _is_open(row)
            else [],
            "may_override": may_override,
            "may_comment": _is_open(row) and approval_comments.may_comment(request.user, row),
            "comments": inbox.comments_of(row),
            "error": error,
            "is_unchosen": is_unchosen,
            "is_override": "override" in request.POST,
            "reason": request.POST.get("reason", ""),
        },
        status=400 if error or is_unchosen else 200,
    )


def _tab_of(request: HttpRequest) -> Tab:
    if given := one_of(request.GET, "tab", set(Tab)):
        return Tab(given)
    return Tab.WAITING if holds(request.user, Permission.AGENTS_APPROVE) else Tab.ALL


def _found(request: HttpRequest, pk: int) -> ApprovalRequest:
    row = inbox.one(request.user, pk)
    if row is None:
        raise Http404("There is no such request.")
    return row


def _is_open(row: ApprovalRequest) -> bool:
    return row.state == RequestState.OPEN


def _is_conflict(row: ApprovalRequest) -> bool:
    return _is_open(row) and assess([row], now=timezone.now())[0].is_conflict
