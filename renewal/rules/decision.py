"""What a Register is answered: the one decision of this product. PURE.

`decide` turns facts (gathered by the caller, `now` among them) into a reply, a reason and
effects. The agent endpoint, "what happens at the next session" and dry runs all call it; nothing
else compares a date with a period or a flag with a level. Each branch names its row of the
decision table in docs/agent-protocol.md. What the table does not know is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum

from orchestrators.protocol.codes import Code
from orchestrators.protocol.messages import ResultStatus
from orchestrators.registration.rules import Outcome as Ruling
from renewal.rules.movement import flag_after_proof
from renewal.rules.periods import Level, Periods, is_valid, whole_second, window
from renewal.rules.standing import ACCEPTED, DROPPED, UNPROVEN, Standing

DEFAULT_PERIODS = Periods()


class Caller(StrEnum):
    """What the caller proved. A client certificate always decides over a credential."""

    CERTIFICATE = "certificate"
    BOOTSTRAP = "bootstrap"
    NOBODY = "nobody"


class Status(Enum):
    """Status of an orchestrator's record."""

    NEW = 1
    APPROVED = 2
    DISAPPROVED = 3


class Effect(StrEnum):
    """What the caller of `decide` has to do, in this order."""

    REFRESH_NEW = "refresh_new"
    """Create or refresh the New record and note who came forward."""
    APPROVE = "approve"
    """A rule or handler allows this first registration: approve it, then decide again."""
    DISAPPROVE = "disapprove"
    """A rule or handler denies this first registration."""
    BIND = "bind"
    """The certificate that the approval named becomes current."""
    PROMOTE = "promote"
    """The presented certificate is proven: see `movement.on_promotion`."""
    ENROLL = "enroll"
    """Enrol the CSR, then decide again with the outcome."""
    TOUCH = "touch"
    """Note last contact and the thumbprint used."""
    AUDIT = "audit"
    """The refusal is worth an audit row."""
    OPEN_SESSION = "open_session"


@dataclass(frozen=True)
class CertificateFacts:
    """The presented certificate; its chain is trusted, its key proven by TLS."""

    not_before: datetime
    not_after: datetime
    counted_from: datetime
    revoked: bool = False
    standing: Standing | None = None
    """None: this portal has never seen it, or only with an orchestrator that is deleted."""
    intent_flag_counter: int | None = None


@dataclass(frozen=True)
class RecordFacts:
    """The record that the certificate belongs to, or else the one that the body names."""

    status: Status
    flag: int = 0
    flag_counter: int = 0
    had_session: bool = True
    has_open_claim: bool = False
    is_claim_over: bool = False
    """The caller's claim was not used in its time."""
    was_reset: bool = False
    """It was approved once: what comes now is a return."""


@dataclass(frozen=True)
class RegistrationFacts:
    """What handlers and rules say of a first registration, and what speaks against acting on it."""

    ruling: Ruling = Ruling.DEFER
    source: str = ""
    """The rule or handler, in words."""
    obstacle: str = ""
    """Why an operator has to look at it all the same; empty: nothing speaks against approval."""
    is_contested: bool = False
    """Somebody else came forward for the same New record."""


@dataclass(frozen=True)
class CsrFacts:
    """The CSR of this request; ``refused`` is the CSR door's code."""

    refused: Code | None = None
    detail: str = ""


class Outcome(StrEnum):
    """What became of the enrollment of this request."""

    NOT_TRIED = "not_tried"
    DELIVERED = "delivered"
    WAITING = "waiting"
    """The CA is slow, down or limited."""
    REFUSED = "refused"


@dataclass(frozen=True)
class EnrollmentFacts:
    """Outcome of the enrollment, or why it may not be tried now."""

    outcome: Outcome = Outcome.NOT_TRIED
    code: Code | None = None
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything a Register is decided on."""

    now: datetime
    caller: Caller
    periods: Periods = DEFAULT_PERIODS
    certificate: CertificateFacts | None = None
    record: RecordFacts | None = None
    names_other_record: bool = False
    """The body names another existing record than the one the certificate belongs to."""
    has_name: bool = True
    csr: CsrFacts | None = None
    missing_permission: str = ""
    issued_recently: bool = False
    """A certificate was issued within the interval of unasked renewals."""
    credential_refused: bool = False
    """The bootstrap credential is spent, expired, revoked or bound to another record."""
    enrollment: EnrollmentFacts = EnrollmentFacts()
    registration: RegistrationFacts = RegistrationFacts()


@dataclass(frozen=True)
class Decision:
    """The reply, why, and what to do. ``row`` is the row of the decision table."""

    row: str
    status: ResultStatus
    reason: str
    code: Code | None = None
    detail: str = ""
    grants_session: bool = False
    gives_certificate: bool = False
    reveals_agent_id: bool = False
    effects: tuple[Effect, ...] = ()
    http_status: int = 200
    level: Level = Level.NONE
    flag: int = 0
    """The flag that counts for this reply, after clearing."""


def decide(facts: Facts) -> Decision:
    """Return the answer to a Register (the decision table in docs/agent-protocol.md)."""
    if facts.record is not None and not _is_known(facts.record):
        return _failed("The record's status or flag is not known.")
    if facts.caller is Caller.NOBODY:
        return Decision(
            row="20",
            status=ResultStatus.ERROR,
            code=Code.UNAUTHENTICATED,
            http_status=401,
            reason="Neither a client certificate nor a valid credential was presented.",
        )
    if facts.caller is Caller.BOOTSTRAP:
        return _decide_bootstrap(facts)
    if facts.caller is Caller.CERTIFICATE and facts.certificate is not None:
        if facts.certificate.standing is None or facts.certificate.standing is Standing.OWN:
            return _decide_unknown_certificate(facts, facts.certificate)
        return _decide_known_certificate(facts, facts.certificate)
    return _failed("The caller could not be classified.")


def current_level(
    record: RecordFacts, certificate: CertificateFacts, periods: Periods, now: datetime
) -> Level:
    """Return the level: the greater of the flag and the window of the certificate."""
    return max(
        Level(record.flag),
        window(
            periods,
            counted_from=certificate.counted_from,
            not_after=certificate.not_after,
            now=now,
        ),
    )


# --- refusals -------------------------------------------------------------------------------


def _refused(
    row: str, code: Code, reason: str, *effects: Effect, detail: str = "", **more: object
) -> Decision:
    decision = Decision(
        row=row,
        status=ResultStatus.ERROR,
        code=code,
        reason=reason,
        detail=detail,
        effects=effects,
    )
    return replace(decision, **more)  # type: ignore[arg-type]


def _failed(reason: str) -> Decision:
    return _refused("-", Code.DECISION_FAILED, reason, Effect.AUDIT)


def _is_known(record: RecordFacts) -> bool:
    return record.status in set(Status) and record.flag in set(Level)


def _unusable(facts: Facts, certificate: CertificateFacts) -> Decision | None:
    """Row 17: its own certificate, but expired, not yet valid, revoked or dropped."""
    # One that was merely seen with a record is not that record's: its last contact stays.
    own = certificate.standing not in (None, Standing.SEEN)
    effects = (Effect.TOUCH, Effect.AUDIT) if own else (Effect.AUDIT,)
    if certificate.revoked:
        return _refused("17", Code.CERTIFICATE_REVOKED, "The certificate is revoked.", *effects)
    if whole_second(facts.now) > certificate.not_after:
        return _refused(
            "17",
            Code.CERTIFICATE_EXPIRED,
            f"The certificate expired at {certificate.not_after:%Y-%m-%d %H:%M:%S} UTC and cannot "
            "renew itself.",
            *effects,
        )
    if not is_valid(
        not_before=certificate.not_before, not_after=certificate.not_after, now=facts.now
    ):
        return _refused(
            "17",
            Code.CERTIFICATE_NOT_YET_VALID,
            f"The certificate is valid from {certificate.not_before:%Y-%m-%d %H:%M:%S} UTC.",
            *effects,
        )
    return None


def _waiting_for_approval(row: str, facts: Facts) -> Decision:
    """Rows 14 and 18. Handlers and rules decide a first registration, never a return."""
    record, said = facts.record, facts.registration
    if record is not None and record.status is Status.DISAPPROVED:
        return _refused(row, Code.DISAPPROVED, "The orchestrator was disapproved.", Effect.TOUCH)
    is_first = record is None or not record.was_reset
    if is_first and said.ruling is Ruling.DENY:
        reason = f"Denied by {said.source}."
        if said.is_contested:
            # Whoever else waits for this record is not to suffer from this caller.
            return _refused(row, Code.REGISTRATION_DENIED, reason, Effect.AUDIT)
        return _refused(
            row, Code.REGISTRATION_DENIED, reason, Effect.REFRESH_NEW, Effect.DISAPPROVE
        )
    if is_first and said.ruling is Ruling.ALLOW and facts.has_name:
        if not said.obstacle and not said.is_contested:
            return _refused(
                row,
                Code.NOT_APPROVED,
                f"Allowed by {said.source}.",
                Effect.REFRESH_NEW,
                Effect.APPROVE,
            )
        obstacle = said.obstacle or "Somebody else came forward for the same orchestrator."
        return _refused(
            row,
            Code.NOT_APPROVED,
            f"Allowed by {said.source}, but an operator has to look at it: {obstacle}",
            Effect.REFRESH_NEW,
        )
    return _refused(
        row, Code.NOT_APPROVED, "The orchestrator waits for approval.", Effect.REFRESH_NEW
    )


# --- callers without a binding --------------------------------------------------------------


def _decide_unknown_certificate(facts: Facts, certificate: CertificateFacts) -> Decision:
    if refusal := _unusable(facts, replace(certificate, standing=None)):
        return refusal
    if facts.record is None or facts.record.status is Status.NEW:
        return _waiting_for_approval("18", facts)
    if facts.record.status is Status.DISAPPROVED:
        # Somebody else's disapproved record: its last contact is not this caller's to move.
        return _refused("14", Code.DISAPPROVED, "The orchestrator was disapproved.", Effect.AUDIT)
    return _refused(
        "19",
        Code.CERTIFICATE_NOT_BOUND,
        "An approved orchestrator is named with a certificate that is not its own.",
        Effect.AUDIT,
    )


def _decide_bootstrap(facts: Facts) -> Decision:
    if facts.credential_refused:
        return _refused(
            "20",
            Code.CREDENTIAL_SPENT,
            "The bootstrap credential cannot be used for this orchestrator.",
            Effect.AUDIT,
        )
    if not facts.has_name:
        return _refused(
            "14", Code.NAME_MISSING, "An empty ClientMachine finds no record.", Effect.AUDIT
        )
    record = facts.record
    if record is None or record.status is Status.NEW:
        return _waiting_for_approval("14", facts)
    if record.status is Status.DISAPPROVED:
        # A credential proves no record to be its own: nothing of this one moves.
        return _refused("14", Code.DISAPPROVED, "The orchestrator was disapproved.", Effect.AUDIT)
    if record.is_claim_over:
        return _refused(
            "16b",
            Code.CLAIM_OVER,
            "The claim that the approval opened was not used in its time.",
            Effect.TOUCH,
            Effect.AUDIT,
        )
    if not record.has_open_claim:
        return _refused(
            "19a",
            Code.NAME_TAKEN,
            "A bootstrap credential cannot act for an approved orchestrator.",
            Effect.AUDIT,
        )
    return _decide_claim(facts, record)


def _decide_claim(facts: Facts, record: RecordFacts) -> Decision:
    """Rows 16 and 16a: first enrollment under the claim that the approval opened."""
    if facts.csr is None:
        return _refused(
            "16a", Code.CLAIM_NEEDS_CSR, "The claim is open and no CSR was sent.", Effect.TOUCH
        )
    if refusal := _enrollment_barrier(facts):
        code, detail, reason = refusal
        return _refused("16a", code, reason, Effect.TOUCH, detail=detail)
    outcome = facts.enrollment
    if outcome.outcome is Outcome.DELIVERED:
        return Decision(
            row="16",
            status=ResultStatus.SUCCESS,
            reason="First enrollment: token, AgentId and certificate together.",
            grants_session=True,
            gives_certificate=True,
            reveals_agent_id=True,
            effects=(Effect.TOUCH, Effect.OPEN_SESSION),
            flag=record.flag,
        )
    effects: tuple[Effect, ...] = (Effect.TOUCH,)
    if outcome.outcome is Outcome.NOT_TRIED:
        effects = (Effect.ENROLL, Effect.TOUCH)
    return _refused(
        "16a",
        outcome.code or Code.ENROLLMENT_WAITING,
        "The certificate of the first enrollment is not there yet.",
        *effects,
        detail=outcome.detail,
    )


# --- an approved orchestrator with a certificate of its own -----------------------------------


def _decide_known_certificate(facts: Facts, certificate: CertificateFacts) -> Decision:
    record = facts.record
    if record is None:
        return _failed("A certificate with a standing belongs to no record.")
    if refusal := _unusable(facts, certificate):
        return refusal
    if facts.names_other_record:
        return _refused(
            "2a",
            Code.NOT_YOUR_RECORD,
            "The body names another existing orchestrator.",
            Effect.AUDIT,
        )
    if record.status is not Status.APPROVED:
        return _waiting_for_approval("14", facts)
    standing = certificate.standing
    if standing in DROPPED or standing is Standing.ARCHIVED:
        return _refused(
            "17",
            Code.CERTIFICATE_DROPPED,
            "The certificate has been replaced and is no longer accepted.",
            Effect.TOUCH,
            Effect.AUDIT,
        )
    if standing is Standing.SEEN:
        return _refused(
            "19",
            Code.CERTIFICATE_NOT_BOUND,
            "The orchestrator was approved with another certificate.",
            Effect.AUDIT,
        )
    if standing not in ACCEPTED:
        return _failed(f"The standing {standing!r} is not known.")
    if standing in UNPROVEN:
        return _decide_unproven(facts, record, certificate)
    level = current_level(record, certificate, facts.periods, facts.now)
    if standing is Standing.LEGACY:
        return _decide_legacy(facts, record, level)
    if standing is Standing.NAMED:
        return _decide_current(facts, record, level, (Effect.BIND,), row="15")
    return _decide_current(facts, record, level, ())


def _decide_unproven(facts: Facts, record: RecordFacts, certificate: CertificateFacts) -> Decision:
    """Rows 9 to 11: the first use of an issued certificate."""
    cleared = replace(
        record,
        flag=flag_after_proof(
            flag=record.flag,
            flag_counter=record.flag_counter,
            intent_flag_counter=certificate.intent_flag_counter,
        ),
    )
    level = current_level(cleared, certificate, facts.periods, facts.now)
    if facts.csr is not None:
        return _decide_current(facts, cleared, level, (Effect.PROMOTE,), row="11")
    if level is Level.EXPIRY and record.had_session:
        return _must_renew("10", cleared, level, "The issued certificate must itself be renewed.")
    if level is Level.EXPIRY:
        # A record's very first session is never refused for its own certificate's short life.
        return _should_renew("10", cleared, level, (Effect.PROMOTE,))
    if level is Level.WARNING:
        return _should_renew("9", cleared, level, (Effect.PROMOTE,))
    return _granted("9", cleared, level, "First session with the new certificate.", Effect.PROMOTE)


def _decide_legacy(facts: Facts, record: RecordFacts, level: Level) -> Decision:
    """Rows 6 to 8: a newer certificate was issued; the reply with it may have been lost."""
    if facts.csr is not None:
        return _decide_enrollment(facts, record, level, (), row="8")
    if level is Level.EXPIRY:
        reason = f"A newer certificate was issued. {_why(record, level)}"
        return _must_renew("7", record, level, reason)
    return _should_renew("6", record, level, ())


def _decide_current(
    facts: Facts,
    record: RecordFacts,
    level: Level,
    before: tuple[Effect, ...],
    row: str = "",
) -> Decision:
    """Rows 1 to 5, and what rows 11 and 15 come to."""
    if facts.csr is None:
        if level is Level.EXPIRY:
            return _must_renew(row or "3", record, level, _why(record, level), before)
        if level is Level.WARNING:
            return _should_renew(row or "2", record, level, before)
        return _granted(row or "1", record, level, "Nothing is due.", *before)
    if level is not Level.NONE:
        return _decide_enrollment(facts, record, level, before, row=row or "5")
    if facts.issued_recently and facts.enrollment.outcome is Outcome.NOT_TRIED:
        decision = _granted(
            row or "4", record, level, "A CSR came unasked too soon; no CA was asked.", *before
        )
        return replace(decision, code=Code.NOT_DUE)
    return _decide_enrollment(facts, record, level, before, row=row or "4")


def _decide_enrollment(
    facts: Facts, record: RecordFacts, level: Level, before: tuple[Effect, ...], *, row: str
) -> Decision:
    """A CSR that may be enrolled: rows 4, 5, 8, 11 when it works, 12 and 13 when not."""
    outcome = facts.enrollment
    if refusal := _enrollment_barrier(facts):
        code, detail, reason = refusal
        # Refused at level 0 the session goes on all the same, with the refusal as a warning.
        base = _without_certificate("13", record, level, before, reason)
        status = ResultStatus.ERROR if level is Level.EXPIRY else ResultStatus.WARNING
        return replace(base, status=status, code=code, detail=detail)
    if outcome.outcome is Outcome.DELIVERED:
        return Decision(
            row=row,
            status=ResultStatus.SUCCESS,
            reason="The CSR was enrolled; the certificate comes with a session.",
            grants_session=True,
            gives_certificate=True,
            reveals_agent_id=True,
            effects=(*before, Effect.TOUCH, Effect.OPEN_SESSION),
            level=level,
            flag=record.flag,
        )
    if outcome.outcome is Outcome.NOT_TRIED:
        pending = _without_certificate(row, record, level, before, "The CSR goes to the CA.")
        return replace(pending, effects=(*before, Effect.ENROLL, *pending.effects[len(before) :]))
    waiting = _without_certificate(
        "12", record, level, before, "The CA is slow, down or limited; the orchestrator asks again."
    )
    return replace(waiting, code=waiting.code or Code.ENROLLMENT_WAITING, detail=outcome.detail)


def _enrollment_barrier(facts: Facts) -> tuple[Code, str, str] | None:
    """Return code, detail and reason if the CSR may not go to a CA, or the CA refused it."""
    if facts.csr is not None and facts.csr.refused is not None:
        return facts.csr.refused, facts.csr.detail, "The CSR was refused."
    if facts.missing_permission:
        return (
            Code.PERMISSION_MISSING,
            f"Missing: {facts.missing_permission}.",
            "The service account lacks a permission.",
        )
    if facts.enrollment.outcome is Outcome.REFUSED:
        code = facts.enrollment.code or Code.ENROLLMENT_REFUSED
        return code, facts.enrollment.detail, "The enrollment was refused."
    return None


# --- replies --------------------------------------------------------------------------------


def _granted(row: str, record: RecordFacts, level: Level, reason: str, *before: Effect) -> Decision:
    return Decision(
        row=row,
        status=ResultStatus.SUCCESS,
        reason=reason,
        grants_session=True,
        reveals_agent_id=True,
        effects=(*before, Effect.TOUCH, Effect.OPEN_SESSION),
        level=level,
        flag=record.flag,
    )


def _should_renew(
    row: str, record: RecordFacts, level: Level, before: tuple[Effect, ...]
) -> Decision:
    reason = _why(record, level) if row != "6" else "A newer certificate was issued: renew again."
    return replace(
        _granted(row, record, level, reason, *before),
        status=ResultStatus.WARNING,
        code=Code.SHOULD_RENEW,
    )


def _must_renew(
    row: str, record: RecordFacts, level: Level, reason: str, before: tuple[Effect, ...] = ()
) -> Decision:
    return Decision(
        row=row,
        status=ResultStatus.ERROR,
        code=Code.MUST_RENEW,
        reason=reason,
        effects=(*before, Effect.TOUCH),
        level=level,
        flag=record.flag,
    )


def _without_certificate(
    row: str, record: RecordFacts, level: Level, before: tuple[Effect, ...], reason: str
) -> Decision:
    """The reply of each level while there is no certificate to give."""
    if level is Level.EXPIRY:
        return _must_renew(row, record, level, reason, before)
    granted = _granted(row, record, level, reason, *before)
    if level is Level.WARNING:
        return replace(granted, status=ResultStatus.WARNING, code=Code.SHOULD_RENEW)
    return granted


def _why(record: RecordFacts, level: Level) -> str:
    if record.flag >= level:
        return (
            "An operator requires a new certificate."
            if level is Level.EXPIRY
            else "An operator requested a new certificate."
        )
    return (
        "The certificate is in its expiry period."
        if level is Level.EXPIRY
        else "The certificate is in its warning period."
    )
