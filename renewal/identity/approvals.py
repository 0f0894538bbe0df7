"""Operators' acts on a record: approve, disapprove, reset, request a renewal.

Owns these state changes whole: the record, its certificates, its claims and its request for
approval change in one transaction, with the audit row. Who may act is checked by the faces; who
may decide which request, by the policies (`renewal/rules/approval.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from orchestrators import credentials, jobs, sessions
from orchestrators.models import Orchestrator, Reenrollment, Status
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.audit.wording import one_line
from renewal import revocations
from renewal.identity import approval_requests, claimants, naming, prospects, risks, standings
from renewal.identity.acting import ActRefused, audit, drop_waiting_enrollments, locked, state_of
from renewal.identity.approval_requests import Named
from renewal.identity.naming import Shown
from renewal.identity.prospects import Approver, Prospect
from renewal.models import Certificate
from renewal.rules.acts import FLAGS, SENTENCES, VOTE, Act, ActFacts, Outcome, changes_nothing
from renewal.rules.approval import Approval, RequestKind

__all__ = [
    "ActRefused",
    "Approval",
    "Shown",
    "approve",
    "approve_by_rule",
    "disapprove",
    "request_renewal",
    "reset",
]

_ACTS = {Reenrollment(flag): act for act, flag in FLAGS.items()}


def approve(
    orchestrator_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    shown: Shown | None = None,
    message: str = "",
    is_override: bool = False,
) -> Approval:
    """Let an orchestrator work, or count one vote for it. Raises ActRefused.

    New: what was seen is named (a certificate) or gets a claim (a credential). Disapproved with
    thumbprints: current, legacy and newest issued hold again as they were. ``is_override``: against
    the policies, with a reason (C13 in docs/promises.md).
    """
    shown = shown or Shown()
    message = one_line(message)
    if is_override and not message:
        raise ActRefused("reason_needed", "To override the policies, say why.")
    with transaction.atomic():
        orchestrator = locked(orchestrator_id)
        request = approval_requests.open_of(orchestrator)
        if shown.request is not None and (request is None or request.pk != shown.request):
            raise ActRefused("decided", "This request was decided or withdrawn: look again.")
        approver = Approver() if is_override else prospects.under_policies(actor)
        (prospect,) = prospects.of(
            [orchestrator], approver, shown={orchestrator.pk: shown}, now=now
        )
        named = _permitted(prospect)
        if named is None:
            return Approval.UNCHANGED
        _check_shown(orchestrator, shown.generation)
        if request is None:
            cause = approval_requests.cause_of(actor, message)
            request = approval_requests.ensure_open(orchestrator, cause, now=now)
        if not is_override:
            approval_requests.vote(request, named, actor, message=message, now=now)
        if prospect.verdict == VOTE:
            voted: dict[str, object] = {
                "approvals": prospect.approvals,
                "needed": prospect.approvals + prospect.lacking,
                "named": named.text,
            }
            if prospect.lacking_roles:
                voted["roles_needed"] = list(prospect.lacking_roles)
            audit(orchestrator, "approval_vote", actor, before={}, after=voted, message=message)
            return Approval.VOTED
        before = state_of(orchestrator)
        naming.let_work(orchestrator, named, now=now)
        approval_requests.approve(
            request, named, actor, message=message, now=now, is_override=is_override
        )
        action = "approved_by_override" if is_override else "approved"
        audit(orchestrator, action, actor, before=before, message=message)
    return Approval.APPROVED


def _permitted(prospect: Prospect) -> Named | None:
    """Return what an approval names; None if it would change nothing. Raises ActRefused."""
    verdict = prospect.verdict
    if verdict.outcome is Outcome.SKIP:
        raise ActRefused(verdict.reason, SENTENCES[verdict.reason])
    return prospect.named if verdict.outcome is Outcome.CHANGE else None


def approve_by_rule(
    orchestrator_id: UUID,
    rule_name: str,
    *,
    seen: claimants.Seen,
    actor: Actor,
    now: datetime,
    message: str = "",
) -> None:
    """Approve a FIRST registration at once, because a rule or a handler says so.

    A rule decides alone: how many people must approve does not count for it. Runs after
    `claimants.note`, in the transaction of the Register. Raises ActRefused, with nothing changed,
    for a return after Reset or Disapprove, for anybody but ``seen``, and for a name that an
    approved record has, looks like or had: those are for a person to decide (T8, T30).
    """
    with transaction.atomic():
        orchestrator = locked(orchestrator_id)
        request = approval_requests.open_of(orchestrator)
        if (
            request is None
            or request.kind != RequestKind.FIRST
            or orchestrator.status != Status.NEW
            or orchestrator.reset_at is not None
            or orchestrator.generation != 0
        ):
            raise ActRefused("not_first", "Only a first registration may be approved by a rule.")
        candidates = claimants.usable(orchestrator, now=now)
        if len(candidates) > 1:
            raise ActRefused("conflict", "Several strangers came forward: a person must choose.")
        if not candidates or not claimants.is_of(candidates[0], seen):
            raise ActRefused("nobody_seen", "Whoever calls did not come forward for this record.")
        if risks.bars_a_rule(request, now=now):
            # Without the hint itself: it names records that a reader of this one may not see.
            raise ActRefused("risk", "It may be taken for another: a person must look at its name.")
        (prospect,) = prospects.of([orchestrator], Approver(), now=now)
        named = _permitted(prospect)
        if named is None:
            raise ActRefused("not_first", "Only a first registration may be approved by a rule.")
        before = state_of(orchestrator)
        naming.let_work(orchestrator, named, now=now)
        approval_requests.approve(request, named, actor, message=message, now=now, rule=rule_name)
        audit(orchestrator, "approved", actor, before=before, message=message)


def disapprove(
    orchestrator_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    message: str = "",
    request: int | None = None,
    generation: int | None = None,
) -> bool:
    """Let an orchestrator work no longer, from the next request on; False if it was so already.

    Certificates stay what they are: approving again restores them. ``request``: the open request
    that a page showed; ``generation``: the record's that was shown. Raises ActRefused.
    """
    message = one_line(message)
    with transaction.atomic():
        orchestrator = locked(orchestrator_id)
        asked = approval_requests.open_of(orchestrator)
        if request is not None and (asked is None or asked.pk != request):
            raise ActRefused("decided", "This request was decided or withdrawn: look again.")
        facts = ActFacts(status=orchestrator.status, is_asked=asked is not None)
        if changes_nothing(Act.DISAPPROVE, facts):
            return False
        _check_shown(orchestrator, generation)
        if asked is not None:
            approval_requests.disapprove(asked, actor, message=message, now=now)
        before = state_of(orchestrator)
        is_return = orchestrator.status == Status.DISAPPROVED
        # Also of a return that is refused: an approval that was shown before is not given after.
        orchestrator.status = Status.DISAPPROVED
        orchestrator.generation += 1
        orchestrator.save(update_fields=["status", "generation"])
        # Approving it again needs no new contact, nor does a claim that was open.
        claimants.follow(orchestrator, generation=orchestrator.generation - 1)
        credentials.follow(orchestrator, generation=orchestrator.generation - 1)
        if is_return:
            audit(orchestrator, "return_refused", actor, before=before, message=message)
            return True
        sessions.end_sessions(orchestrator, reason="disapproved", now=now)
        drop_waiting_enrollments(orchestrator, actor, now=now)
        audit(orchestrator, "disapproved", actor, before=before, message=message)
    return True


def reset(
    orchestrator_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    message: str = "",
    also_revoke: Iterable[int] = (),
    generation: int | None = None,
) -> None:
    """Make a record New again: thumbprints, flag, last error, sessions and jobs leave it.

    Its certificates stay readable as history and may come back; ``also_revoke`` names those (by
    row) that are revoked at once (S28 to S32 in docs/promises.md); ``generation``: the record's
    that was shown. Raises ActRefused.
    """
    message = one_line(message)
    with transaction.atomic():
        orchestrator = locked(orchestrator_id)
        _check_shown(orchestrator, generation)
        before = state_of(orchestrator)
        wanted = set(also_revoke)
        to_revoke = list(
            Certificate.objects.filter(orchestrator=orchestrator, pk__in=wanted, revoked_at=None)
        )
        if len(to_revoke) != len(wanted):
            raise ActRefused(
                "certificate_unknown", "A certificate to revoke is not this orchestrator's."
            )
        approval_requests.open_for_reset(orchestrator, actor, reason=message, now=now)
        orchestrator.status = Status.NEW
        orchestrator.generation += 1
        orchestrator.flag = Reenrollment.NONE
        orchestrator.flag_counter += 1
        orchestrator.thumbprint = orchestrator.legacy_thumbprint = ""
        orchestrator.last_thumbprint_used = ""
        orchestrator.certificate_not_after = orchestrator.certificate_counted_from = None
        orchestrator.awaiting_first_use_since = None
        orchestrator.last_error_code = orchestrator.last_error_message = ""
        orchestrator.last_error_at = orchestrator.csr_refused_at = None
        orchestrator.had_session = False
        orchestrator.reset_at = now
        orchestrator.save()
        sessions.end_sessions(orchestrator, reason="reset", now=now)
        jobs.cancel_all(orchestrator, now=now)
        standings.close_claims(orchestrator, now=now)
        drop_waiting_enrollments(orchestrator, actor, now=now)
        audit(orchestrator, "reset", actor, before=before, message=message)
        standings.archive_all(orchestrator, now=now)
        for certificate in to_revoke:
            revocations.request(
                certificate,
                reason="cessationOfOperation",
                cause="revoked with the Reset of its orchestrator",
                by_service_account=False,
                actor=actor,
                now=now,
            )


def request_renewal(
    orchestrator_id: UUID,
    flag: Reenrollment,
    *,
    actor: Actor,
    now: datetime,
    at_once: bool = False,
    message: str = "",
) -> bool:
    """Set or clear the flag (S18 to S21); ``at_once`` ends the session so that the next
    heartbeat leads to a Register. Works for any status; return whether anything changed.

    Setting the same flag again counts as a new request: a certificate whose intent is older does
    not clear it. Raises ActRefused.
    """
    message = one_line(message)
    with transaction.atomic():
        orchestrator = locked(orchestrator_id)
        facts = ActFacts(status=orchestrator.status, flag=orchestrator.flag)
        if changes_nothing(_ACTS[flag], facts):
            return False
        before = {"flag": orchestrator.flag}
        orchestrator.flag = flag
        orchestrator.flag_counter += 1
        orchestrator.save(update_fields=["flag", "flag_counter"])
        if at_once and flag != Reenrollment.NONE:
            sessions.end_sessions(orchestrator, reason="renewal requested now", now=now)
        record(
            actor,
            Category.ORCHESTRATOR,
            "renewal_request_cleared" if flag == Reenrollment.NONE else "renewal_requested",
            object_type="orchestrator",
            object_id=orchestrator.pk,
            object_name=orchestrator.client_machine,
            orchestrator_id=orchestrator.pk,
            before=before,
            after={"flag": int(flag), "at_once": at_once},
            message=message,
        )
    return True


def _check_shown(orchestrator: Orchestrator, generation: int | None) -> None:
    """Refuse an act on a record that was Reset or disapproved since it was shown."""
    if generation is not None and generation != orchestrator.generation:
        raise ActRefused(
            "moved_on", "It was Reset or disapproved since it was shown: look at it again."
        )
