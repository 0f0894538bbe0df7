"""What operators do to orchestrators, one or many: asked first, then done, then told.

Owns the confirmation page and the act on one orchestrator; the acts are `act_catalogue.py`'s.
Several are a job, whose pages are `bulk.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from orchestrators import jobs
from orchestrators import selectors as records
from orchestrators.models import Orchestrator, Reenrollment
from orchestrators.reach import act_reaches, reachable, within
from orchestrators.records import parse_agent_id
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.audit.wording import LONGEST_REASON, one_line
from portal.pages import api_calls, bulk
from portal.pages.act_catalogue import ACTS, Act, Order
from portal.pages.fields import fields, one_of
from portal.pages.gate import ACT, BOTH, actor_of, demand, note_policy, page
from portal.preferences import store
from portal.preferences.store import Preferences
from renewal.bulk import service
from renewal.bulk.selection import BY_GENERATION, Foreseen, Selection, shown_as
from renewal.configuration import periods
from renewal.identity import prospects
from renewal.identity.approvals import ActRefused, Approval, Shown
from renewal.models import Claimant
from renewal.readiness import Lacking
from renewal.rules import acts
from renewal.rules.acts import CHANGE, SENTENCES, UNCHANGED, Outcome, Verdict
from renewal.selectors import fleet, history
from renewal.selectors.filters import filters_of_query, query_of
from renewal.selectors.unserved import Unserved

MOST_AT_ONCE = 200
_NO_SUCH = "There is no such orchestrator."


@dataclass(frozen=True)
class Candidate:
    """One orchestrator of a confirmation page, with what an approval would name."""

    row: fleet.FleetRow
    claimant: Claimant | None = None
    problem: str = ""
    """Why an approval would change nothing."""

    @property
    def shown(self) -> str:
        """What the page shows, as it is sent back with an act of `BY_GENERATION`."""
        entry = shown_as(self.row.orchestrator, CHANGE, self.claimant)
        return f"{entry.generation}:{entry.claimant or ''}:{entry.fingerprint}:{entry.mark}"


_ASKED = fields("act", "scope", "query", "claimant", many=("ids",))


@page(Permission.AGENTS_READ, methods=BOTH, form=_ASKED, query=_ASKED)
def confirm(request: HttpRequest) -> HttpResponseBase:
    """Show what an act will do before it is done. Changes nothing."""
    given = request.POST if request.method == "POST" else request.GET
    act = _act_of(given.get("act", ""))
    demand(request, act.permission)
    if one_of(given, "scope", ("all",)):
        query = query_of(filters_of_query(given.get("query", "")))
        joined = f"&{query}" if query else ""
        return redirect(f"{reverse('bulk_preview')}?act={act.name}{joined}")
    ids = _ids_of(given.getlist("ids"))
    if not ids:
        messages.warning(request, "No orchestrator was selected.")
        return redirect("orchestrators")
    return _ask(request, act, ids, chosen=given.get("claimant", ""))


@page(
    Permission.AGENTS_READ,
    methods=ACT,
    form=fields("act", "message", "at_once", "once", many=("ids", "revoke"), each={"shown": "ids"}),
)
def perform(request: HttpRequest) -> HttpResponseBase:
    """Do what was confirmed: one orchestrator at once, several as a job."""
    act = _act_of(request.POST.get("act", ""))
    demand(request, act.permission)
    ids = _ids_of(request.POST.getlist("ids"))
    if not ids:
        raise BadRequest("No orchestrator was named.")
    message = one_line(request.POST.get("message", ""))
    if act.needs_reason and not message:
        return _ask(request, act, ids, error="Say why: the audit log keeps it.")
    if act.name == "require" and not message and _lacking(request, act, ids, store.load()):
        return _ask(request, act, ids, error=bulk.LOCKS_OUT)
    if len(message) > LONGEST_REASON:
        return _ask(request, act, ids, error=f"At most {LONGEST_REASON} characters.")
    if len(ids) > 1:
        return _job(request, act, ids, message)
    pk = ids[0]
    order = _order(request, act, pk, message)
    if order.also_revoke:
        demand(request, Permission.CERTIFICATES_REVOKE)
        if not _may_revoke(request, pk):
            raise Http404(_NO_SUCH)
    names = fleet.names_of(ids, *act_reaches(request.user, act.permission))
    if not names:
        raise Http404(_NO_SUCH)
    name = names[pk] or "without a name"
    is_done, text = _one(request, act, pk, order)
    level = messages.success if is_done else messages.error
    level(request, f"{name}: {text}.".replace("..", "."))
    return redirect("orchestrator", pk=pk)


def _job(request: HttpRequest, act: Act, ids: Sequence[UUID], message: str) -> HttpResponseBase:
    """Make several ticked ones a job; a small one is done when its page comes."""
    order = service.Order(
        acts.Act(act.name), Selection(ids=tuple(ids)), message, at_once=_at_once(request, act)
    )
    shown = [_foreseen(pk, request.POST.get(f"shown-{pk}", "")) for pk in ids]
    job = service.submit_ticked(
        order,
        shown,
        once=bulk.hexadecimal(request.POST.get("once", "")),
        user=request.user,
        actor=actor_of(request),
        now=timezone.now(),
    )
    return bulk.follow(request, job)


def _lacking(
    request: HttpRequest, act: Act, ids: Sequence[UUID], preferences: Preferences
) -> list[Lacking | Unserved]:
    if not act.is_renewal:
        return []
    return bulk.lacking_of(_reached(request, act, ids), preferences)


def _reached(request: HttpRequest, act: Act, ids: Sequence[UUID]) -> QuerySet[Orchestrator]:
    rows = Orchestrator.objects.filter(pk__in=list(ids))
    return within(rows, *act_reaches(request.user, act.permission))


def _foreseen(pk: UUID, value: str) -> Foreseen:
    """Read what the page showed of one: nobody, where that makes no sense or is missing."""
    generation, claimant, fingerprint, mark = (*value.split(":")[:4], "", "", "", "")[:4]
    return Foreseen(
        pk,
        CHANGE,
        _number(claimant, 18),
        bulk.hexadecimal(fingerprint),
        bulk.hexadecimal(mark),
        _number(generation, 9),
    )


def _one(request: HttpRequest, act: Act, pk: UUID, order: Order) -> tuple[bool, str]:
    try:
        changed = act.perform(pk, order)
    except ActRefused as refused:
        note_policy(request, refused)
        return False, str(refused)
    if changed is Approval.VOTED:
        return True, "your approval counts; others must follow"
    return True, act.done if changed else act.unchanged


def _order(request: HttpRequest, act: Act, pk: UUID, message: str) -> Order:
    shown = _foreseen(pk, request.POST.get(f"shown-{pk}", ""))
    return Order(
        actor=actor_of(request),
        now=timezone.now(),
        message=message,
        at_once=_at_once(request, act),
        shown=shown.as_shown,
        generation=shown.generation,
        also_revoke=_numbers(request.POST.getlist("revoke")) if act.name == "reset" else (),
    )


def _at_once(request: HttpRequest, act: Act) -> bool:
    at_once = one_of(request.POST, "at_once", ("now",)) == "now"
    if at_once and not act.is_renewal:
        raise BadRequest("Only a renewal is asked for at once.")
    return at_once


def _ask(
    request: HttpRequest, act: Act, ids: Sequence[UUID], *, chosen: str = "", error: str = ""
) -> HttpResponseBase:
    now = timezone.now()
    reaches = act_reaches(request.user, act.permission)
    preferences = store.load()
    rows = fleet.chosen(ids, periods(preferences), *reaches, now=now)
    if not rows:
        raise Http404(_NO_SUCH)
    is_approval = act.name == "approve"
    lacking = _lacking(request, act, ids, preferences)
    candidates = (
        _candidates(request, rows, chosen, now)
        if is_approval
        else [Candidate(row, problem=_problem_of(act, row)) for row in rows]
    )
    only = rows[0].orchestrator if len(rows) == 1 else None
    return render(
        request,
        "orchestrators/act.html",
        {
            "act": act,
            "candidates": candidates,
            "is_fenced": acts.Act(act.name) in BY_GENERATION,
            "is_possible": not all(candidate.problem for candidate in candidates),
            "once": service.new_once(),
            "lacking": lacking,
            "deaf": bulk.deaf_of(_reached(request, act, ids), preferences)
            if act.in_session
            else [],
            "locks_out": bool(lacking) and act.name == "require",
            "eased": sum(row.orchestrator.flag == Reenrollment.REQUIRED for row in rows)
            if act.name == "request"
            else 0,
            "silent": sum(row.is_offline for row in rows) if act.in_session else 0,
            "only": only,
            "api_calls": api_calls.of_act(act.name, [row.orchestrator.pk for row in rows]),
            "error": error,
            "message": request.POST.get("message", ""),
            "certificates": [
                entry
                for entry in history.certificates_of(only, now=now)
                if entry.certificate.revoked_at is None and entry.days_left >= 0
            ]
            if act.name == "reset" and only and _may_revoke(request, only.pk)
            else [],
            "open_jobs": sum(j.state in records.OPEN_JOBS for j in records.jobs_of(only))
            if act.name == "reset" and only
            else 0,
        },
        status=400 if error else 200,
    )


def _problem_of(act: Act, row: fleet.FleetRow) -> str:
    is_offered = act.name != "logs" or jobs.offers_logs(row.orchestrator)
    return "" if is_offered else SENTENCES["logs_not_offered"]


def _may_revoke(request: HttpRequest, pk: UUID) -> bool:
    return bool(reachable([pk], reach(request.user, Permission.CERTIFICATES_REVOKE)))


def _candidates(
    request: HttpRequest, rows: Sequence[fleet.FleetRow], chosen: str, now: datetime
) -> list[Candidate]:
    """Return whom an approval of each would name; conflicts are decided on the record's page."""
    expected = int(chosen) if chosen.isascii() and chosen.isdigit() and len(chosen) < 19 else None
    shown = {row.orchestrator.pk: Shown(claimant=expected) for row in rows}
    approver = prospects.under_policies(actor_of(request))
    found = prospects.of([row.orchestrator for row in rows], approver, shown=shown, now=now)
    return [
        Candidate(row, claimant=prospect.claimant, problem=_problem(prospect.verdict))
        for row, prospect in zip(rows, found, strict=True)
    ]


def _problem(verdict: Verdict) -> str:
    if verdict == UNCHANGED:
        return "It is approved already."
    return "" if verdict.outcome is Outcome.CHANGE else SENTENCES[verdict.reason]


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


def _number(text: str, most: int) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= most
    return int(text) if is_number else None
