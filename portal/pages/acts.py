"""What operators do to orchestrators, one or many: asked first, then done, then told.

Owns the confirmation page and the result of each item; the acts are `act_catalogue.py`'s. Each item
is one call of one service, in a transaction of its own: one that is refused does not
stop the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators import selectors as records
from orchestrators.models import Status
from orchestrators.reach import act_reaches
from orchestrators.records import parse_agent_id
from portal.access.catalogue import Permission
from portal.pages.act_catalogue import ACTS, Act, Order
from portal.pages.gate import ACT, BOTH, actor_of, demand, page
from portal.preferences import store
from renewal.configuration import periods
from renewal.identity import claimants
from renewal.identity.approvals import ActRefused, Approval, Shown
from renewal.models import Claimant
from renewal.selectors import fleet, history

MOST_AT_ONCE = 200
_REASON_LENGTH = 500
_RESULT_KEY = "act_result"
_NO_SUCH = "There is no such orchestrator."


@dataclass(frozen=True)
class Candidate:
    """One orchestrator of a confirmation page, with what an approval would name."""

    row: fleet.FleetRow
    claimant: Claimant | None = None
    problem: str = ""

    @property
    def shown(self) -> str:
        """What the page shows, as it is sent back with the approval."""
        if self.claimant is None:
            return ""
        certificate = self.claimant.certificate
        fingerprint = certificate.fingerprint_sha256 if certificate else ""
        return f"{self.claimant.pk}:{fingerprint}:{claimants.mark_of(self.claimant)}"


@page(Permission.AGENTS_READ, methods=BOTH)
def confirm(request: HttpRequest) -> HttpResponseBase:
    """Show what an act will do before it is done. Changes nothing."""
    given = request.POST if request.method == "POST" else request.GET
    act = _act_of(given.get("act", ""))
    demand(request, act.permission)
    ids = _ids_of(given.getlist("ids"))
    if not ids:
        messages.warning(request, "No orchestrator was selected.")
        return redirect("orchestrators")
    return _ask(request, act, ids, chosen=given.get("claimant", ""))


@page(Permission.AGENTS_READ, methods=ACT)
def perform(request: HttpRequest) -> HttpResponseBase:
    """Do what was confirmed: one service call for each orchestrator."""
    act = _act_of(request.POST.get("act", ""))
    demand(request, act.permission)
    ids = _ids_of(request.POST.getlist("ids"))
    if not ids:
        raise BadRequest("No orchestrator was named.")
    message = request.POST.get("message", "").strip()
    if act.needs_reason and not message:
        return _ask(request, act, ids, error="Say why: the audit log keeps it.")
    if len(message) > _REASON_LENGTH:
        return _ask(request, act, ids, error=f"At most {_REASON_LENGTH} characters.")
    orders = {pk: _order(request, act, pk, message) for pk in ids}
    names = fleet.names_of(ids, *act_reaches(request.user, act.permission))
    if len(ids) == 1 and not names:
        raise Http404(_NO_SUCH)
    outcomes = [
        {
            "id": str(pk),
            "name": names[pk] or "without a name",
            **_one(act, pk, orders[pk]),
        }
        if pk in names
        else {"id": str(pk), "name": str(pk), "ok": False, "text": _NO_SUCH, "reason": "unknown"}
        for pk in ids
    ]
    if len(ids) == 1:
        only = outcomes[0]
        level = messages.success if only["ok"] else messages.error
        level(request, f"{only['name']}: {only['text']}.".replace("..", "."))
        return redirect("orchestrator", pk=ids[0])
    request.session[_RESULT_KEY] = {"act": act.name, "outcomes": outcomes}
    return redirect("act_result")


@page(Permission.AGENTS_READ)
def result(request: HttpRequest) -> HttpResponseBase:
    """What became of each item of the last act."""
    stored = request.session.get(_RESULT_KEY)
    if not stored:
        return redirect("orchestrators")
    outcomes = stored["outcomes"]
    failed = sum(not outcome["ok"] for outcome in outcomes)
    return render(
        request,
        "orchestrators/result.html",
        {
            "act": ACTS[stored["act"]],
            "outcomes": sorted(outcomes, key=lambda o: o["ok"]),
            "failed": failed,
            "succeeded": len(outcomes) - failed,
        },
    )


def _one(act: Act, pk: UUID, order: Order) -> dict[str, Any]:
    try:
        changed = act.perform(pk, order)
    except ActRefused as refused:
        return {"ok": False, "text": str(refused), "reason": refused.reason}
    text = act.done if changed else act.unchanged
    if changed is Approval.VOTED:
        text = "your approval counts; others must follow"
    return {"ok": True, "text": text, "reason": ""}


def _order(request: HttpRequest, act: Act, pk: UUID, message: str) -> Order:
    return Order(
        actor=actor_of(request),
        now=timezone.now(),
        message=message,
        at_once=act.is_renewal and request.POST.get("at_once") == "now",
        shown=_shown_of(request.POST.get(f"shown-{pk}", "")) if act.name == "approve" else None,
        also_revoke=_numbers(request.POST.getlist("revoke")) if act.name == "reset" else (),
    )


def _ask(
    request: HttpRequest, act: Act, ids: Sequence[UUID], *, chosen: str = "", error: str = ""
) -> HttpResponseBase:
    now = timezone.now()
    reaches = act_reaches(request.user, act.permission)
    rows = fleet.chosen(ids, periods(store.load()), *reaches, now=now)
    if not rows:
        raise Http404(_NO_SUCH)
    candidates = [Candidate(row) for row in rows]
    if act.name == "approve":
        seen = history.usable_claimants((row.orchestrator for row in rows), now=now)
        candidates = [_candidate(row, seen[row.orchestrator.pk], chosen) for row in rows]
    only = rows[0].orchestrator if len(rows) == 1 else None
    return render(
        request,
        "orchestrators/act.html",
        {
            "act": act,
            "candidates": candidates,
            "only": only,
            "error": error,
            "message": request.POST.get("message", ""),
            "certificates": [
                entry
                for entry in history.certificates_of(only, now=now)
                if entry.certificate.revoked_at is None and entry.days_left >= 0
            ]
            if act.name == "reset" and only
            else [],
            "open_jobs": sum(j.state in records.OPEN_JOBS for j in records.jobs_of(only))
            if act.name == "reset" and only
            else 0,
        },
        status=400 if error else 200,
    )


def _candidate(row: fleet.FleetRow, seen: Sequence[Claimant], chosen: str) -> Candidate:
    """Return what an approval would name; conflicts are decided on the orchestrator's own page."""
    if row.orchestrator.status == Status.APPROVED:
        return Candidate(row, problem="It is approved already.")
    if row.orchestrator.status == Status.DISAPPROVED and row.orchestrator.thumbprint:
        return Candidate(row)
    expected = int(chosen) if chosen.isascii() and chosen.isdigit() else None
    try:
        claimant = claimants.choose(seen, expected=expected, fingerprint=None)
    except claimants.NobodyCameForward:
        return Candidate(row, problem="Nothing valid has been seen of it yet: let it register.")
    except claimants.ClaimantConflict:
        return Candidate(row, problem="Several strangers came forward: choose one on its page.")
    except claimants.ClaimantChanged:
        return Candidate(row, problem="That one is not there any more: look again on its page.")
    return Candidate(row, claimant=claimant)


def _act_of(name: str) -> Act:
    if name not in ACTS:
        raise BadRequest("There is no such act.")
    return ACTS[name]


def _ids_of(values: Sequence[str]) -> list[UUID]:
    if len(values) > MOST_AT_ONCE:
        raise BadRequest(f"At most {MOST_AT_ONCE} orchestrators at once.")
    ids = [parse_agent_id(value) for value in values]
    if None in ids:
        raise BadRequest("An orchestrator's id is not a GUID.")
    return list(dict.fromkeys(pk for pk in ids if pk is not None))


def _numbers(values: Sequence[str]) -> tuple[int, ...]:
    if any(not (v.isascii() and v.isdigit() and len(v) < 19) for v in values):
        raise BadRequest("A certificate's number is not a number.")
    return tuple(int(v) for v in values)


def _shown_of(value: str) -> Shown | None:
    claimant, _, seen = value.partition(":")
    fingerprint, _, mark = seen.partition(":")
    if not (claimant.isascii() and claimant.isdigit() and len(claimant) < 19):
        return None
    return Shown(claimant=int(claimant), fingerprint=fingerprint or None, mark=mark or None)
