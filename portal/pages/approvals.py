"""The inbox of approvals: its lists, one request, and the decision on one or on several alike.

Owns the way from a form to a decision: what the page showed goes back with it, so that nothing
else is approved. Who may decide, and what a decision does, is `renewal/identity/approvals.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.reach import act_reaches, reachable
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.audit.wording import one_line
from portal.pages.fields import fields, one_of
from portal.pages.gate import ACT, actor_of, demand, page
from portal.preferences import store
from renewal.identity import approval_requests, approvals, questions
from renewal.identity.approvals import ActRefused, Approval, Shown
from renewal.identity.claimants import mark_of
from renewal.identity.policies import policies
from renewal.identity.risks import Assessed, assess
from renewal.models import ApprovalRequest, Claimant
from renewal.rules.approval import RequestKind, RequestState
from renewal.selectors import inbox
from renewal.selectors.inbox import WORDS, Tab

MOST_AT_ONCE = 100
_REASON_LENGTH = 500


@page(Permission.AGENTS_READ, query=fields("tab", "cursor"))
def index(request: HttpRequest) -> HttpResponseBase:
    """The lists."""
    now = timezone.now()
    tab = _tab_of(request)
    found = inbox.page(tab, request.user, now=now, cursor=request.GET.get("cursor", ""))
    rules = policies(store.load())
    assessed = {
        a.request.pk: a for a in _assessed(request, [r for r in found.rows if _is_open(r)], now=now)
    }
    return render(
        request,
        "approvals/list.html",
        {
            "tab": tab,
            "tabs": list(WORDS.items()),
            "page": found,
            "rows": [
                {
                    "request": row,
                    "assessed": assessed.get(row.pk),
                    "needed": rules.needed(RequestKind(row.kind)),
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
    if len(reason) > _REASON_LENGTH:
        return _detail(request, row, error=f"At most {_REASON_LENGTH} characters.")
    if not reason and (is_override or decision == "disapprove"):
        return _detail(request, row, error="Say why: the request and the audit log keep it.")
    shown = request.POST.get("shown", "")
    if decision == "approve" and not shown and _is_conflict(row):
        return _detail(request, row, error="Several came forward: choose whom you approve.")
    try:
        said = _decide(request, row, decision, shown, reason, is_override=is_override)
    except ActRefused as refused:
        messages.error(request, str(refused))
        return redirect("approval", pk=pk)
    messages.success(request, f"{_name(row)}: {said}.")
    return redirect("approvals")


def _may_comment(request: HttpRequest, row: ApprovalRequest) -> bool:
    """Say whether somebody may approve or Reset this one."""
    acts = (Permission.AGENTS_APPROVE, Permission.AGENTS_RESET)
    return any(_reaches(request, row, permission) for permission in acts)


def _reaches(request: HttpRequest, row: ApprovalRequest, permission: Permission) -> bool:
    return holds(request.user, permission) and bool(
        reachable([row.orchestrator_id], *act_reaches(request.user, permission))
    )


@page(Permission.AGENTS_READ, methods=ACT, form=fields("text"))
def comment(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Say something to an open request."""
    row = _found(request, pk)
    if not _may_comment(request, row):
        demand(request, Permission.AGENTS_APPROVE)
        raise Http404("There is no such request.")
    try:
        approval_requests.comment(
            row, request.POST.get("text", ""), actor=actor_of(request), now=timezone.now()
        )
    except ActRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "Your comment is kept.")
    return redirect("approval", pk=pk)


@page(
    Permission.AGENTS_READ,
    Permission.AGENTS_APPROVE,
    methods=ACT,
    form=fields("decision", many=("requests",)),
)
def preview(request: HttpRequest) -> HttpResponseBase:
    """Show what a decision on several requests alike will do. Changes nothing."""
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
    if len(reason) > _REASON_LENGTH:
        return _preview(request, decision, keys, error=f"At most {_REASON_LENGTH} characters.")
    if decision == "disapprove" and not reason:
        return _preview(request, decision, keys, error="Say why: the audit log keeps it.")
    now = timezone.now()
    rows, left_out = inbox.chosen(request.user, keys, now=now)
    alike, odd = _alike(_assessed(request, rows, now=now))
    failed = len(left_out) + len(odd)
    done = 0
    for each in alike:
        shown = request.POST.get(f"shown-{each.request.pk}", "")
        try:
            _decide(request, each.request, decision, shown, reason, is_override=False)
            done += 1
        except ActRefused as refused:
            failed += 1
            messages.error(request, f"{_name(each.request)}: {refused}")
    if done:
        word = "approved" if decision == "approve" else "disapproved"
        messages.success(request, f"{done} {word}, as the preview showed.")
    if failed:
        messages.warning(request, f"{failed} not decided: they changed, or are not alike.")
    return redirect("approvals")


# --- one decision ------------------------------------------------------------------------------


def _decide(
    request: HttpRequest,
    row: ApprovalRequest,
    decision: str,
    shown: str,
    reason: str,
    *,
    is_override: bool,
) -> str:
    """Decide one request with what was shown of it; return what came of it. Raises ActRefused."""
    actor, now = actor_of(request), timezone.now()
    if decision == "disapprove":
        approvals.disapprove(
            row.orchestrator_id, actor=actor, now=now, message=reason, request=row.pk
        )
        return "disapproved"
    answer = approvals.approve(
        row.orchestrator_id,
        actor=actor,
        now=now,
        shown=_shown(row, shown),
        message=reason,
        is_override=is_override,
    )
    if answer is Approval.APPROVED:
        return "approved"
    if answer is Approval.VOTED:
        return "your approval counts, others must follow"
    return "you approved it before"


def _shown(row: ApprovalRequest, token: str) -> Shown:
    """Read what the page showed: ``claimant:mark``; nothing for what a record holds."""
    claimant, _, mark = token.partition(":")
    if not token:
        # It showed nobody: whoever came since is not approved unseen.
        return Shown(claimant=0, request=row.pk)
    if not (claimant.isascii() and claimant.isdigit() and len(claimant) < 19 and mark):
        raise BadRequest("What the page showed cannot be read.")
    return Shown(claimant=int(claimant), mark=mark, request=row.pk)


def token_of(claimant: Claimant) -> str:
    """Return what a page shows of a claimant, as it is sent back with the approval."""
    return f"{claimant.pk}:{mark_of(claimant)}"


# --- the pages ---------------------------------------------------------------------------------


def _detail(request: HttpRequest, row: ApprovalRequest, *, error: str = "") -> HttpResponseBase:
    now = timezone.now()
    rules = policies(store.load())
    kind = RequestKind(row.kind)
    actor = actor_of(request)
    me = approval_requests.key_of(actor)
    assessed = _assessed(request, [row], now=now)[0] if _is_open(row) else None
    votes = inbox.votes_of(row)
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
                {"claimant": c, "token": token_of(c), "is_chosen": c == assessed.chosen}
                for c in assessed.candidates
            ]
            if assessed
            else [],
            # A New record has none.
            "holds_again": row.orchestrator.thumbprint if _is_open(row) else "",
            "votes": votes,
            "needed": rules.needed(kind),
            "roles": rules.roles(kind),
            "counted": sum(v.voided_at is None for v in votes),
            "has_voted": any(v.voter_key == me and v.voided_at is None for v in votes),
            "is_barred": rules.differs_from_resetter
            and rules.bars(questions.of(row.orchestrator), approver=me),
            "may_decide": is_mine and _is_open(row),
            "may_override": _reaches(request, row, Permission.APPROVALS_OVERRIDE),
            "may_comment": _is_open(row) and _may_comment(request, row),
            "comments": inbox.comments_of(row),
            "error": error,
            "reason": request.POST.get("reason", ""),
        },
        status=400 if error else 200,
    )


def _preview(
    request: HttpRequest, decision: str, keys: Sequence[int], *, error: str = ""
) -> HttpResponseBase:
    now = timezone.now()
    if not keys:
        messages.warning(request, "No request was selected.")
        return redirect("approvals")
    rows, left_out = inbox.chosen(request.user, keys, now=now)
    alike, odd = _alike(_assessed(request, rows, now=now))
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


def _alike(assessed: Sequence[Assessed]) -> tuple[list[Assessed], list[tuple[Assessed, str]]]:
    """Part requests into those that one decision fits and the others, each with why.

    Alike: the same kind and service account as the first, one who came forward, and no hint.
    """
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


def _tab_of(request: HttpRequest) -> Tab:
    if given := one_of(request.GET, "tab", set(Tab)):
        return Tab(given)
    return Tab.WAITING if holds(request.user, Permission.AGENTS_APPROVE) else Tab.ALL


def _found(request: HttpRequest, pk: int) -> ApprovalRequest:
    row = inbox.one(request.user, pk)
    if row is None:
        raise Http404("There is no such request.")
    return row


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


def _is_open(row: ApprovalRequest) -> bool:
    return row.state == RequestState.OPEN


def _assessed(
    request: HttpRequest, rows: Sequence[ApprovalRequest], *, now: datetime
) -> list[Assessed]:
    return assess(rows, seen=reach(request.user, Permission.AGENTS_READ), now=now)


def _is_conflict(row: ApprovalRequest) -> bool:
    return _is_open(row) and assess([row], now=timezone.now())[0].is_conflict


def _name(row: ApprovalRequest) -> str:
    return row.orchestrator.client_machine or "without a name"
