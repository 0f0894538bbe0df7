"""What each tab of an orchestrator's page shows; each pays for its own queries alone.

Owns the gathering. Rows come from `renewal/selectors`, the outlook from `renewal/explain.py`, what
is open from `renewal/open_matters.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.http import HttpRequest

from orchestrators import credentials, groups, jobs
from orchestrators import selectors as records
from orchestrators.models import EnrollmentClaim, Orchestrator, Status
from orchestrators.protocol.terms import AgentPlatform
from portal.access import effective
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.pages import api_calls
from portal.pages.application_settings import shown
from portal.pages.timeline import told
from portal.preferences.definitions import BY_NAME
from portal.preferences.store import Preferences
from renewal import readiness
from renewal.configuration import periods
from renewal.explain import Explanation, explain
from renewal.foreseen import moments
from renewal.identity.claimants import is_usable
from renewal.models import Claimant, Enrollment
from renewal.open_matters import Around, Matter, open_matters
from renewal.rules.lifecycle import OPEN_ENROLLMENT
from renewal.rules.periods import stuck_after
from renewal.rules.reasons import Reason
from renewal.selectors import history, inbox
from renewal.selectors.marks import is_offline

_ON_ORCHESTRATORS = (
    Permission.AGENTS_READ,
    Permission.AGENTS_APPROVE,
    Permission.AGENTS_RESET,
    Permission.AGENTS_RENEW,
    Permission.AGENTS_LOGS,
)


@dataclass(frozen=True)
class Visit:
    """One request for a tab."""

    request: HttpRequest
    orchestrator: Orchestrator
    preferences: Preferences
    now: datetime

    @cached_property
    def claimants(self) -> list[Claimant]:
        """Who came forward for it, while it is not approved."""
        is_approved = self.orchestrator.status == Status.APPROVED
        return [] if is_approved else history.claimants_of(self.orchestrator)

    @cached_property
    def claim(self) -> EnrollmentClaim | None:
        return records.claim_of(self.orchestrator)

    @cached_property
    def explanation(self) -> Explanation:
        """What its next session would be answered; read at most once for all of a page."""
        return explain(
            self.orchestrator,
            self.preferences,
            now=self.now,
            claim=self.claim,
            claimants=self.claimants,
        )


@dataclass(frozen=True)
class Tab:
    """One tab: its address below the orchestrator's, and what it shows."""

    slug: str
    label: str
    gather: Callable[[Visit], Mapping[str, Any]]
    permission: Permission | None = None

    @property
    def view(self) -> str:
        return f"orchestrator_{self.slug}" if self.slug else "orchestrator"

    @property
    def template(self) -> str:
        return f"orchestrators/tab_{self.slug or 'overview'}.html"


@dataclass(frozen=True)
class ReasonLine:
    """One rule with the value of its setting, and the share of the lifetime that bounds it."""

    reason: Reason
    setting: str
    share: str


def _overview(visit: Visit) -> Mapping[str, Any]:
    orchestrator, now = visit.orchestrator, visit.now
    claimants, claim, explanation = visit.claimants, visit.claim, visit.explanation
    is_claim_over = claim is not None and credentials.is_over(claim, orchestrator, now=now)
    likeliest = explanation.outlooks[0] if explanation.outlooks else None
    approval = inbox.latest_of(orchestrator.pk)
    sessions = records.sessions_of(orchestrator)[:1]
    around = Around(
        stuck_after=stuck_after(visit.preferences.session_length),
        has_way_back=explanation.way_back is not None,
        is_offline=is_offline(orchestrator, periods(visit.preferences), now=now),
        impostor=history.impostor_of(orchestrator, now=now),
        asked=history.request_of(orchestrator) if orchestrator.flag else None,
        approval=approval,
        claimants=claimants,
        claim=claim,
        enrollments=history.enrollments_without_certificate(orchestrator),
        revocations=history.open_revocations(orchestrator),
        obstacle=explanation.prospect.obstacle if explanation.prospect else "",
        remedy=explanation.prospect.remedy if explanation.prospect else "",
    )
    matters = open_matters(orchestrator, around, now=now)
    return {
        "explanation": explanation,
        "likeliest": likeliest,
        "reasons": [
            _reason_line(reason, visit.preferences)
            for reason in (likeliest.reasons if likeliest else ())
        ],
        "moments": moments(
            likeliest.reasons if likeliest else (),
            session=sessions[0] if sessions else None,
            claim=None if is_claim_over else claim,
            has_newer=any(o.leads_on for o in explanation.outlooks[1:]),
            now=now,
        ),
        "matters": matters,
        "look_again": _look_again(matters, around.enrollments),
        "claim": claim,
        "is_claim_over": is_claim_over,
        "claim_ends": claim and _ends(claim, is_over=is_claim_over, now=now),
        "approval": approval,
        "claimants": [(c, is_usable(c, now)) for c in claimants],
        "nobody_to_approve": orchestrator.status == Status.NEW
        and not any(is_usable(c, now) for c in claimants),
        "session": sessions[0] if sessions else None,
        "platform": _platform(orchestrator),
        "labels": list(orchestrator.labels.order_by("key")),
        **_group(visit),
    }


def _ends(claim: EnrollmentClaim, *, is_over: bool, now: datetime) -> datetime | None:
    return credentials.over_since(claim, now=now) if is_over else credentials.ends_at(claim)


def _look_again(matters: Sequence[Matter], enrollments: Sequence[Enrollment]) -> int:
    """Return after how many seconds what is open is looked at again; 0: nothing goes on by itself.

    A CA answers within seconds, an orchestrator calls every few minutes at most.
    """
    if any(each.state in OPEN_ENROLLMENT and each.authority.enabled for each in enrollments):
        return 5
    return 30 if any(matter.goes_on_by_itself for matter in matters) else 0


def _certificate(visit: Visit) -> Mapping[str, Any]:
    entries = history.certificates_of(visit.orchestrator, now=visit.now)
    used = visit.orchestrator.last_thumbprint_used
    accepted = [entry for entry in entries if entry.authenticates]
    ordered = sorted(accepted, key=lambda e: e.certificate.thumbprint != used)
    return {"certificates": entries, "in_use": ordered[0] if ordered else None}


def _timeline(visit: Visit) -> Mapping[str, Any]:
    pk = visit.orchestrator.pk
    events = history.events_of(pk, cursor=visit.request.GET.get("cursor", ""))
    asked = history.requests_of(visit.orchestrator)
    return {
        "lanes": [
            (entry, history.steps_with_request(entry, asked))
            for entry in history.certificates_of(visit.orchestrator, now=visit.now)
        ],
        "events": [told(entry) for entry in events.rows],
        "events_following": events.following,
    }


def _requests(visit: Visit) -> Mapping[str, Any]:
    orchestrator = visit.orchestrator
    enrollments = history.enrollments_of(orchestrator)
    revocations = history.revocations_of(orchestrator)
    shown_jobs = records.jobs_of(orchestrator)
    return {
        "enrollments": enrollments,
        "revocations": revocations,
        "sessions": records.sessions_of(orchestrator),
        "jobs": shown_jobs,
        "is_running": any(e.state in OPEN_ENROLLMENT for e in enrollments)
        or any(job.state in records.OPEN_JOBS for job in shown_jobs),
    }


def _logs(visit: Visit) -> Mapping[str, Any]:
    fetched = records.jobs_of(visit.orchestrator)
    done = next((job for job in fetched if job.finished_at), None)
    newest = (
        records.job(
            visit.orchestrator.pk, done.job_id, reach(visit.request.user, Permission.AGENTS_READ)
        )
        if done
        else None
    )
    offers_logs = jobs.offers_logs(visit.orchestrator)
    may_ask = offers_logs and holds(visit.request.user, Permission.AGENTS_LOGS)
    return {
        "jobs": fetched,
        "newest": newest,
        "offers_logs": offers_logs,
        "api_calls": api_calls.of_act("logs", [visit.orchestrator.pk]) if may_ask else [],
        "is_running": any(job.state in records.OPEN_JOBS for job in fetched),
    }


def _parameters(visit: Visit) -> Mapping[str, Any]:
    record = visit.orchestrator
    may_name = holds(visit.request.user, Permission.AGENTS_APPROVE)
    return {
        "api_calls": api_calls.of_names(record.pk, record.extra_names) if may_name else [],
        "platform": _platform(record),
        "labels": list(record.labels.order_by("key")),
        **_group(visit),
    }


def _access(visit: Visit) -> Mapping[str, Any]:
    orchestrator, user = visit.orchestrator, visit.request.user
    roles = []
    if holds(user, Permission.SECURITY_READ):
        labels = {(label.key, label.value) for label in orchestrator.labels.all()}
        for role, content in effective.roles():
            if not content.limit.holds(orchestrator.group_id, labels):
                continue
            granted = [effective.granted_by(content, each) for each in _ON_ORCHESTRATORS]
            if any(granted):
                roles.append((role, [entry is not None for entry in granted]))
    return {
        "readiness": readiness.of_orchestrator(orchestrator, visit.preferences),
        "roles": roles,
    }


def _audit(visit: Visit) -> Mapping[str, Any]:
    rows = history.events_of(visit.orchestrator.pk, cursor=visit.request.GET.get("cursor", ""))
    return {
        "entries": [told(entry) for entry in rows.rows],
        "events_following": rows.following,
    }


TABS = {
    tab.slug: tab
    for tab in (
        Tab("", "Overview", _overview),
        Tab("certificate", "Certificate", _certificate),
        Tab("timeline", "Timeline", _timeline),
        Tab("requests", "Requests and jobs", _requests),
        Tab("logs", "Logs", _logs),
        Tab("parameters", "Parameters", _parameters),
        Tab("access", "Access", _access),
        Tab("audit", "Audit", _audit, Permission.AUDITING_READ),
    )
}


def _group(visit: Visit) -> Mapping[str, Any]:
    known = reach(visit.request.user, Permission.AGENTS_READ)
    return {"may_see_group": groups.may_know(visit.orchestrator.group_id, known)}


def _platform(orchestrator: Orchestrator) -> str:
    known = orchestrator.platform in set(AgentPlatform)
    return (
        AgentPlatform(orchestrator.platform).name.capitalize()
        if known
        else str(orchestrator.platform)
    )


_DIVISORS = {
    "ClientCertificateWarningDays": "ClientCertificateWarningLifetimeDivisor",
    "ClientCertificateExpiryDays": "ClientCertificateExpiryLifetimeDivisor",
}


def _reason_line(reason: Reason, preferences: Preferences) -> ReasonLine:
    if not reason.setting:
        return ReasonLine(reason, "", "")
    value = str(preferences.values[reason.setting])
    divisor = preferences.number(_DIVISORS[reason.setting])
    return ReasonLine(reason, shown(BY_NAME[reason.setting], value), f"1/{divisor}")
