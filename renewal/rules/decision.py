"""What a Register is answered: the one decision of this product. PURE.

`decide` turns facts (`facts.py`; gathered by the caller, `now` among them) into a reply
(`replies.py`), a reason and effects; strangers and first enrollments go on in `strangers.py`. The
agent endpoint, "what happens at the next session" and dry runs all call it; nothing else compares
a date with a period or a flag with a level. Each branch names its row of the decision table in
docs/agent-protocol.md. What the table does not know is refused.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from renewal.rules.facts import (
    DEFAULT_PERIODS,
    Caller,
    CertificateFacts,
    CsrFacts,
    Decision,
    Effect,
    EnrollmentFacts,
    Facts,
    Outcome,
    RecordFacts,
    RegistrationFacts,
    Status,
)
from renewal.rules.movement import flag_after_proof
from renewal.rules.periods import Level, Periods, window
from renewal.rules.replies import (
    enrollment_barrier,
    failed,
    granted,
    must_renew,
    refused,
    refused_csr,
    should_renew,
    unusable,
    why,
    without_certificate,
)
from renewal.rules.standing import ACCEPTED, DROPPED, UNPROVEN, Standing
from renewal.rules.strangers import (
    decide_bootstrap,
    decide_unknown_certificate,
    waiting_for_approval,
)

__all__ = [
    "DEFAULT_PERIODS",
    "Caller",
    "CertificateFacts",
    "CsrFacts",
    "Decision",
    "Effect",
    "EnrollmentFacts",
    "Facts",
    "Outcome",
    "RecordFacts",
    "RegistrationFacts",
    "Status",
    "current_level",
    "decide",
]


def decide(facts: Facts) -> Decision:
    """Return the answer to a Register (the decision table in docs/agent-protocol.md)."""
    if facts.record is not None and not _is_known(facts.record):
        return failed("The record's status or flag is not known.")
    if facts.caller is Caller.NOBODY:
        return Decision(
            row="20",
            status=ResultStatus.ERROR,
            code=Code.UNAUTHENTICATED,
            http_status=401,
            reason="Neither a client certificate nor a valid credential was presented.",
        )
    if facts.caller is Caller.BOOTSTRAP:
        return decide_bootstrap(facts)
    if facts.caller is Caller.CERTIFICATE and facts.certificate is not None:
        if facts.certificate.standing is None or facts.certificate.standing is Standing.OWN:
            return decide_unknown_certificate(facts, facts.certificate)
        return _decide_known_certificate(facts, facts.certificate)
    return failed("The caller could not be classified.")


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


def _is_known(record: RecordFacts) -> bool:
    return record.status in set(Status) and record.flag in set(Level)


# --- an approved orchestrator with a certificate of its own -----------------------------------


def _decide_known_certificate(facts: Facts, certificate: CertificateFacts) -> Decision:
    record = facts.record
    if record is None:
        return failed("A certificate with a standing belongs to no record.")
    if refusal := unusable(facts, certificate):
        return refusal
    if facts.names_other_record:
        return refused(
            "2a",
            Code.NOT_YOUR_RECORD,
            "The body names another existing orchestrator.",
            Effect.AUDIT,
        )
    if record.status is not Status.APPROVED:
        return waiting_for_approval("14", facts)
    standing = certificate.standing
    if standing in DROPPED or standing is Standing.ARCHIVED:
        return refused(
            "17",
            Code.CERTIFICATE_DROPPED,
            "The certificate has been replaced and is no longer accepted.",
            Effect.TOUCH,
            Effect.AUDIT,
        )
    if standing is Standing.SEEN:
        return refused(
            "19",
            Code.CERTIFICATE_NOT_BOUND,
            "The orchestrator was approved with another certificate.",
            Effect.AUDIT,
        )
    if standing not in ACCEPTED:
        return failed(f"The standing {standing!r} is not known.")
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
        return must_renew("10", cleared, level, "The issued certificate must itself be renewed.")
    if level is Level.EXPIRY:
        # A record's very first session is never refused for its own certificate's short life.
        return should_renew("10", cleared, level, (Effect.PROMOTE,))
    if level is Level.WARNING:
        return should_renew("9", cleared, level, (Effect.PROMOTE,))
    return granted("9", cleared, level, "First session with the new certificate.", Effect.PROMOTE)


def _decide_legacy(facts: Facts, record: RecordFacts, level: Level) -> Decision:
    """Rows 6 to 8: a newer certificate was issued; the reply with it may have been lost."""
    if facts.csr is not None:
        return _decide_enrollment(facts, record, level, (), row="8")
    if level is Level.EXPIRY:
        reason = f"A newer certificate was issued. {why(record, level)}"
        return must_renew("7", record, level, reason)
    return should_renew("6", record, level, ())


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
            return must_renew(row or "3", record, level, why(record, level), before)
        if level is Level.WARNING:
            return should_renew(row or "2", record, level, before)
        return granted(row or "1", record, level, "Nothing is due.", *before)
    if level is not Level.NONE:
        return _decide_enrollment(facts, record, level, before, row=row or "5")
    if facts.issued_recently and facts.enrollment.outcome is Outcome.NOT_TRIED:
        decision = granted(
            row or "4", record, level, "A CSR came unasked too soon; no CA was asked.", *before
        )
        return replace(decision, code=Code.NOT_DUE)
    return _decide_enrollment(facts, record, level, before, row=row or "4")


def _decide_enrollment(
    facts: Facts, record: RecordFacts, level: Level, before: tuple[Effect, ...], *, row: str
) -> Decision:
    """A CSR that may be enrolled: rows 4, 5, 8, 11 when it works, 12 and 13 when not."""
    outcome = facts.enrollment
    if refusal := enrollment_barrier(facts):
        code, detail, reason = refusal
        # Refused at level 0 the session goes on all the same, with the refusal as a warning.
        base = without_certificate("13", record, level, before, reason)
        status = ResultStatus.ERROR if level is Level.EXPIRY else ResultStatus.WARNING
        effects = (*base.effects, *refused_csr(facts))
        return replace(base, status=status, code=code, detail=detail, effects=effects)
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
        pending = without_certificate(row, record, level, before, "The CSR goes to the CA.")
        return replace(pending, effects=(*before, Effect.ENROLL, *pending.effects[len(before) :]))
    waiting = without_certificate(
        "12", record, level, before, "The CA is slow, down or limited; the orchestrator asks again."
    )
    return replace(waiting, code=waiting.code or Code.ENROLLMENT_WAITING, detail=outcome.detail)
