"""Every act of an operator on an orchestrator: its words, permission and service.

Owns the catalogue, so that list, detail page and confirmation speak of the same acts. How they are
asked and told is `acts.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrators.models import Orchestrator, Reenrollment, Status
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.audit.trail import Actor
from renewal import log_requests
from renewal.identity import approvals
from renewal.identity.approvals import Approval, Shown
from renewal.selectors.fleet import FleetRow
from renewal.selectors.states import RenewalState

_WITHOUT_SESSION = frozenset({RenewalState.EXPIRED, RenewalState.ENROLLING})


@dataclass(frozen=True)
class Order:
    """One confirmed act on one orchestrator."""

    actor: Actor
    now: datetime
    message: str
    at_once: bool = False
    shown: Shown | None = None
    also_revoke: tuple[int, ...] = ()
    generation: int | None = None


@dataclass(frozen=True)
class Act:
    """One thing that an operator can do."""

    name: str
    label: str
    icon: str
    permission: Permission
    consequence: str
    consequence_of_many: str
    done: str
    unchanged: str
    perform: Callable[[UUID, Order], bool | Approval]
    statuses: frozenset[int]
    is_dangerous: bool = False
    is_renewal: bool = False
    needs_reason: bool = False
    in_session: str = ""
    """What an orchestrator does about it in its next session, and not before."""
    has_tab: bool = False
    """The orchestrator's page has a tab for it."""

    def fits(self, orchestrator: Orchestrator) -> bool:
        """Say whether the act makes sense for a record as it is."""
        if self.name == "clear":
            return orchestrator.flag != Reenrollment.NONE
        return orchestrator.status in self.statuses

    def helps(self, row: FleetRow) -> bool:
        """Say whether it leads on from the state of a record that it fits.

        A renewal is asked for in a session: one whose certificate has expired gets none, and one
        without a certificate has its first one to enrol anyway.
        """
        return not self.is_renewal or row.state not in _WITHOUT_SESSION


def _approve(pk: UUID, order: Order) -> Approval:
    return approvals.approve(
        pk, actor=order.actor, now=order.now, shown=order.shown, message=order.message
    )


def _disapprove(pk: UUID, order: Order) -> bool:
    return approvals.disapprove(
        pk, actor=order.actor, now=order.now, message=order.message, generation=order.generation
    )


def _reset(pk: UUID, order: Order) -> bool:
    approvals.reset(
        pk,
        actor=order.actor,
        now=order.now,
        message=order.message,
        also_revoke=order.also_revoke,
        generation=order.generation,
    )
    return True


def _logs(pk: UUID, order: Order) -> bool:
    return log_requests.ask(pk, actor=order.actor, now=order.now, message=order.message)


def _renewal(flag: Reenrollment) -> Callable[[UUID, Order], bool]:
    def perform(pk: UUID, order: Order) -> bool:
        return approvals.request_renewal(
            pk,
            flag,
            actor=order.actor,
            now=order.now,
            at_once=order.at_once,
            message=order.message,
        )

    return perform


_ALL = frozenset({int(s) for s in Status})
_APPROVED = frozenset({int(Status.APPROVED)})

ACTS: dict[str, Act] = {
    act.name: act
    for act in (
        Act(
            "approve",
            "Approve",
            "check",
            Permission.AGENTS_APPROVE,
            "What was seen of it is what you approve: from its next request on it may work.",
            "What was seen of each is what you approve: from its next request on it may work.",
            "approved",
            "was approved already",
            _approve,
            frozenset({int(Status.NEW), int(Status.DISAPPROVED)}),
        ),
        Act(
            "request",
            "Request renewal",
            "refresh",
            Permission.AGENTS_RENEW,
            "It works on and is told to renew (A0100007); in its expiry period it must renew "
            "anyway.",
            "They work on and are told to renew (A0100007); who is in its expiry period must renew "
            "anyway.",
            "is asked to renew",
            "nothing changed",
            _renewal(Reenrollment.REQUESTED),
            _APPROVED,
            is_renewal=True,
            in_session="renew",
        ),
        Act(
            "require",
            "Require renewal",
            "flag-3",
            Permission.AGENTS_RENEW,
            "It gets no new session until it takes a new certificate (A0100008), as in the expiry "
            "period.",
            "Each gets no new session until it takes a new certificate (A0100008), as in the "
            "expiry period.",
            "must renew",
            "nothing changed",
            _renewal(Reenrollment.REQUIRED),
            _APPROVED,
            is_renewal=True,
            in_session="renew",
        ),
        Act(
            "clear",
            "Clear the request",
            "x",
            Permission.AGENTS_RENEW,
            "Nothing is asked of it any more; its certificate's own periods go on to count.",
            "Nothing is asked of them any more; their certificates' own periods go on to count.",
            "is asked no more",
            "was not asked",
            _renewal(Reenrollment.NONE),
            _ALL,
        ),
        Act(
            "logs",
            "Fetch the log",
            "file-text",
            Permission.AGENTS_LOGS,
            "A job goes out with its next session and brings the end of its log to its page.",
            "A job goes out with the next session of each and brings the end of its log to its "
            "page.",
            "is asked for its log",
            "its log was asked for already",
            _logs,
            _ALL,
            in_session="send it",
            has_tab=True,
        ),
        Act(
            "disapprove",
            "Disapprove",
            "ban",
            Permission.AGENTS_APPROVE,
            "Its session ends at once and it gets no other. Its certificates stay what they are: "
            "approving it again restores them.",
            "Their sessions end at once and they get no other. Their certificates stay what they "
            "are: approving an orchestrator again restores its own.",
            "disapproved",
            "was disapproved already",
            _disapprove,
            frozenset({int(Status.NEW), int(Status.APPROVED)}),
            is_dangerous=True,
        ),
        Act(
            "reset",
            "Reset",
            "rotate-2",
            Permission.AGENTS_RESET,
            "It becomes New: session, thumbprints, renewal request, last error and open jobs are "
            "removed. It may come back with any valid certificate of a trusted issuer, and must "
            "be approved again.",
            "They become New: sessions, thumbprints, renewal requests, last errors and open jobs "
            "are removed. Each may come back with any valid certificate of a trusted issuer, and "
            "must be approved again.",
            "reset",
            "nothing changed",
            _reset,
            _ALL,
            is_dangerous=True,
            needs_reason=True,
        ),
    )
}


def acts_for(user: Any) -> list[Act]:
    """Return the acts that a user may perform."""
    return [act for act in ACTS.values() if holds(user, act.permission)]
