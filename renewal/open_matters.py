"""What is still open around one orchestrator: whose turn it is, since when, why, and what is next.

Owns the matters of the orchestrator's page, so that nothing stays open without an owner (a request
that nobody fulfils, a certificate that nobody uses, a revocation that no CA carries out). Reads
what the page has gathered; decides and queries nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrators.credentials import ends_at, is_over, over_since
from orchestrators.models import EnrollmentClaim, Orchestrator, Reenrollment, Status
from portal.audit.models import AuditEntry
from renewal.explain import TO_USE_THE_NEW_ONE
from renewal.identity.claimants import is_usable
from renewal.models import ApprovalRequest, Claimant, Enrollment, Revocation
from renewal.revocations import OVERDUE_AFTER
from renewal.rules.approval import RequestState
from renewal.rules.lifecycle import EnrollmentState, RevocationState
from renewal.rules.periods import whole_second
from renewal.rules.retry import ENROLLMENT_TIME_LIMIT, TIME_LIMITS
from renewal.selectors.history import Impostor
from renewal.selectors.marks import TO_ENROL_AGAIN, uses_wrong_certificate

_OPERATOR = "an operator"
_ORCHESTRATOR = "the orchestrator"


@dataclass(frozen=True)
class Matter:
    """One thing that is not done yet. ``is_stuck``: it will not go on by itself as it should."""

    what: str
    owner: str
    since: datetime | None
    reason: str
    remedy: str = ""
    next_try: datetime | None = None
    ends: datetime | None = None
    """When it is over if nothing has come of it."""
    is_stuck: bool = False

    @property
    def goes_on_by_itself(self) -> bool:
        """Nobody who reads of it has to do anything before it goes on."""
        return self.owner != _OPERATOR


@dataclass(frozen=True)
class Around:
    """What the page gathered of other tables."""

    stuck_after: timedelta
    """What waits for the orchestrator's next session is stuck then: `periods.stuck_after`."""
    has_way_back: bool = False
    """With a delivered and unproven certificate it gets a session, and with no older one:
    `explain.Explanation.way_back`.
    """
    is_offline: bool = False
    """It bears the mark: `marks.is_offline`."""
    impostor: Impostor | None = None
    """Who named it without being it: `history.impostor_of`."""
    asked: AuditEntry | None = None
    """The row of the audit log that set the renewal request."""
    approval: ApprovalRequest | None = None
    claimants: Sequence[Claimant] = ()
    """Who came forward for it, while it is not approved."""
    claim: EnrollmentClaim | None = None
    enrollments: Sequence[Enrollment] = ()
    revocations: Sequence[Revocation] = ()
    obstacle: str = ""
    """Why a CSR would lead to no certificate now."""
    remedy: str = ""
    """What a person can do against the obstacle."""


def open_matters(orchestrator: Orchestrator, around: Around, *, now: datetime) -> list[Matter]:
    """Return what is open, the stuck ones first."""
    matters = [
        *_identity(orchestrator, around, now),
        *_impostor(orchestrator, around),
        *_silence(orchestrator, around),
        *_request(orchestrator, around, now),
        *_first_use(orchestrator, around, now),
        *_enrollments(around.enrollments, now),
        *_revocations(around.revocations, now),
    ]
    return sorted(matters, key=lambda matter: not matter.is_stuck)


def _identity(orchestrator: Orchestrator, around: Around, now: datetime) -> Iterator[Matter]:
    approval, claim = around.approval, around.claim
    if orchestrator.status == Status.NEW:
        since = approval.opened_at if approval and approval.state == RequestState.OPEN else None
        # That it has called before says nothing: the call may have been another certificate's.
        if not around.claimants:
            yield Matter("Registration", _ORCHESTRATOR, since, "Nobody has come forward yet.")
        elif not any(is_usable(claimant, now) for claimant in around.claimants):
            yield Matter(
                "Registration",
                _ORCHESTRATOR,
                since,
                "Who came forward is not valid any more, and cannot be approved.",
                "Have it come with a valid certificate.",
            )
        else:
            yield Matter(
                "Approval", _OPERATOR, since, "It came forward and waits.", "Approve or Disapprove."
            )
        return
    if orchestrator.status != Status.APPROVED:
        return
    not_after = orchestrator.certificate_not_after
    if not_after is not None and whole_second(now) > not_after and not around.has_way_back:
        yield Matter(
            "Expired certificate",
            _OPERATOR,
            not_after,
            "An expired certificate cannot renew itself.",
            "Reset it, and approve its return with a valid certificate.",
            is_stuck=True,
        )
    if claim is not None and not_after is None:
        if is_over(claim, orchestrator, now=now):
            is_late = not claim.is_open(now)
            yield Matter(
                "First enrollment",
                _OPERATOR,
                over_since(claim, now=now),
                "Its time to enrol is over."
                if is_late
                else "Its bootstrap credential cannot be used any more.",
                TO_ENROL_AGAIN,
                is_stuck=True,
            )
        else:
            yield Matter(
                "First enrollment",
                _ORCHESTRATOR,
                claim.opened_at,
                "It has sent no CSR that led to a certificate yet.",
                ends=ends_at(claim),
            )
    if uses_wrong_certificate(orchestrator):
        yield Matter(
            "Wrong certificate",
            _OPERATOR,
            orchestrator.last_seen,
            "The thumbprint used last is neither the expected nor the legacy one: a copy of the "
            "machine, or an old file that was restored.",
            "Find out which machine called; Reset it if the identity has changed.",
            is_stuck=True,
        )


def _impostor(orchestrator: Orchestrator, around: Around) -> Iterator[Matter]:
    impostor = around.impostor
    if impostor is None or orchestrator.status != Status.APPROVED:
        return
    refusal = impostor.refusal
    itself = (
        "The orchestrator itself has called since with its own: somebody else uses its name."
        if impostor.has_called_since
        else "With its own it has not called since."
    )
    yield Matter(
        "Called with a certificate not its own",
        _OPERATOR,
        refusal.at,
        f"A call in its name came with the {refusal.actor_name} from {refusal.source_address}, "
        f"which is not its own, and was refused. {itself}",
        "Find out which machine calls. If it is this orchestrator, configure the expected "
        "certificate on it, or Reset it here and approve its return.",
        is_stuck=not impostor.has_called_since,
    )


def _silence(orchestrator: Orchestrator, around: Around) -> Iterator[Matter]:
    """Who does not call is told nothing: what the rules say of its certificate is not the cause."""
    if not around.is_offline:
        return
    yield Matter(
        "Offline: does not call",
        _OPERATOR,
        orchestrator.last_seen,
        "One that runs comes back within the length of a session. Until it does, it learns of "
        "nothing that is asked of it, and cannot renew.",
        "See whether its machine and its service run, and whether they reach the agents' address.",
        is_stuck=True,
    )


def _request(orchestrator: Orchestrator, around: Around, now: datetime) -> Iterator[Matter]:
    if orchestrator.flag == Reenrollment.NONE or orchestrator.status != Status.APPROVED:
        return
    since = around.asked.at if around.asked else None
    seen = orchestrator.last_seen
    if around.obstacle:
        reason = around.obstacle
        again = "The orchestrator tries again by itself."
        remedy = f"{around.remedy or 'Remove what stands against it.'} {again}"
    elif seen is None or (since and seen < since):
        reason = "It has not called since: it learns of it at its next session."
        remedy = "Look after the machine if it should have called."
    else:
        reason = "It has called since, and sent no CSR that led to a certificate in use."
        remedy = "Look at its log for why it sends none."
    if around.asked:
        why = f", “{around.asked.message}”" if around.asked.message else ""
        reason = f"Asked for by {around.asked.actor_name}{why}. {reason}"
    yield Matter(
        f"Renewal {orchestrator.get_flag_display().lower()}",
        _OPERATOR if around.obstacle else _ORCHESTRATOR,
        since,
        reason,
        remedy,
        is_stuck=bool(around.obstacle) or (since is not None and now - since > around.stuck_after),
    )


def _first_use(orchestrator: Orchestrator, around: Around, now: datetime) -> Iterator[Matter]:
    since = orchestrator.awaiting_first_use_since
    if since is None:
        return
    seen = orchestrator.last_seen
    # Who called with it and got no session has not proven it, but has it.
    has_come = bool(orchestrator.thumbprint) and (
        orchestrator.last_thumbprint_used == orchestrator.thumbprint
    )
    if has_come:
        reason = "It has called with the new one, and got no session with it yet."
    elif seen is not None and seen > since:
        reason = "It has called since with an older certificate: the new one is not installed."
    else:
        reason = "It has not called since."
    if around.has_way_back:
        reason += " Its old one gets no session any more."
    if around.has_way_back and not has_come:
        yield Matter(
            "Issued, not used",
            _OPERATOR,
            since,
            reason,
            TO_USE_THE_NEW_ONE,
            is_stuck=True,
        )
        return
    not_after = orchestrator.certificate_not_after
    is_old_one_over = not_after is None or whole_second(now) > not_after
    remedy = "Look at its log"
    if not is_old_one_over:
        remedy += "; its old certificate stays accepted until it ends or the new one is used"
    yield Matter(
        "Issued, not used",
        _ORCHESTRATOR,
        since,
        reason,
        f"{remedy}.",
        is_stuck=now - since > around.stuck_after,
    )


def _enrollments(enrollments: Iterable[Enrollment], now: datetime) -> Iterator[Matter]:
    for enrollment in enrollments:
        if (matter := matter_of(enrollment, now=now)) is not None:
            yield matter


_OWNERS = {
    EnrollmentState.PENDING: "whoever approves at the CA",
    EnrollmentState.UNKNOWN: "the CA",
    EnrollmentState.SUBMITTED: "the CA",
    EnrollmentState.WAITING: "the portal",
}


def matter_of(enrollment: Enrollment, *, now: datetime) -> Matter | None:
    """Return what is open about an enrollment (read with its CA); None: it has ended."""
    state = EnrollmentState(enrollment.state)
    if state not in _OWNERS:
        return None
    ca = enrollment.authority
    if state is not EnrollmentState.SUBMITTED and not ca.enabled:
        is_with_ca = state is not EnrollmentState.WAITING
        return Matter(
            "Enrollment",
            _OPERATOR,
            enrollment.created_at,
            f"The CA {ca.name} is disabled: nobody asks it.",
            "Enable the CA: it may have the request, which cannot be given up."
            if is_with_ca
            else "Enable the CA, or give the request up and choose another one.",
            is_stuck=True,
        )
    again = None if state is EnrollmentState.SUBMITTED else enrollment.next_attempt_at
    if again is not None and ca.resume_at is not None:
        # A CA that failed several times is left alone for a moment, whatever waits for it.
        again = max(again, ca.resume_at)
    limit = TIME_LIMITS.get(state)
    remedy = ""
    if enrollment.last_error and limit is not None:
        hours = limit // timedelta(hours=1)
        length = f"{hours} hours" if hours <= 48 else f"{hours // 24} days"
        remedy = f"It is tried again by itself for {length}."
    return Matter(
        "Enrollment",
        f"the CA {ca.name}" if enrollment.attempts and enrollment.last_error else _OWNERS[state],
        enrollment.created_at,
        enrollment.last_error or f"The request is {enrollment.get_state_display().lower()}.",
        remedy,
        again,
        is_stuck=_is_stuck(state, enrollment, now),
    )


def _is_stuck(state: EnrollmentState, enrollment: Enrollment, now: datetime) -> bool:
    age = now - enrollment.created_at
    if state is EnrollmentState.PENDING:
        # A person decides at the CA: that it takes hours is no fault.
        return age > ENROLLMENT_TIME_LIMIT
    return bool(enrollment.last_error) or age > OVERDUE_AFTER


def _revocations(revocations: Iterable[Revocation], now: datetime) -> Iterator[Matter]:
    for revocation in revocations:
        state = RevocationState(revocation.state)
        if state in (RevocationState.DONE, RevocationState.LAPSED):
            continue
        is_late = state is RevocationState.FAILED or now - revocation.created_at > OVERDUE_AFTER
        yield Matter(
            "Revocation overdue" if is_late else "Revocation",
            "the CA",
            revocation.created_at,
            revocation.last_error or "The CA has not been reached yet.",
            "It is tried again by itself; look after the CA." if is_late else "",
            revocation.next_attempt_at,
            is_stuck=is_late,
        )
