"""The replies to a Register, as the decision gives them. PURE.

Owns what a session, a warning, an order to renew and a refusal consist of (status, code, reason and
effects), and the refusals that hold for every caller. Which of them a caller gets is
`decision.py`'s.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from renewal.rules.facts import CertificateFacts, Decision, Effect, Facts, Outcome, RecordFacts
from renewal.rules.periods import Level, is_valid, whole_second
from renewal.rules.standing import Standing


def refused(
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


def failed(reason: str) -> Decision:
    return refused("-", Code.DECISION_FAILED, reason, Effect.AUDIT)


def granted(row: str, record: RecordFacts, level: Level, reason: str, *before: Effect) -> Decision:
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


def should_renew(
    row: str, record: RecordFacts, level: Level, before: tuple[Effect, ...]
) -> Decision:
    reason = why(record, level) if row != "6" else "A newer certificate was issued: renew again."
    return replace(
        granted(row, record, level, reason, *before),
        status=ResultStatus.WARNING,
        code=Code.SHOULD_RENEW,
    )


def must_renew(
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


def without_certificate(
    row: str, record: RecordFacts, level: Level, before: tuple[Effect, ...], reason: str
) -> Decision:
    """The reply of each level while there is no certificate to give."""
    if level is Level.EXPIRY:
        return must_renew(row, record, level, reason, before)
    session = granted(row, record, level, reason, *before)
    if level is Level.WARNING:
        return replace(session, status=ResultStatus.WARNING, code=Code.SHOULD_RENEW)
    return session


def why(record: RecordFacts, level: Level) -> str:
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


def unusable(facts: Facts, certificate: CertificateFacts) -> Decision | None:
    """Row 17: its own certificate, but expired, not yet valid, revoked or dropped."""
    # One that was merely seen with a record is not that record's: its last contact stays.
    own = certificate.standing not in (None, Standing.SEEN)
    effects = (Effect.TOUCH, Effect.AUDIT) if own else (Effect.AUDIT,)
    if certificate.revoked:
        return refused("17", Code.CERTIFICATE_REVOKED, "The certificate is revoked.", *effects)
    if whole_second(facts.now) > certificate.not_after:
        return refused(
            "17",
            Code.CERTIFICATE_EXPIRED,
            f"The certificate expired at {certificate.not_after:%Y-%m-%d %H:%M:%S} UTC and cannot "
            "renew itself.",
            *effects,
        )
    if not is_valid(
        not_before=certificate.not_before, not_after=certificate.not_after, now=facts.now
    ):
        return refused(
            "17",
            Code.CERTIFICATE_NOT_YET_VALID,
            f"The certificate is valid from {certificate.not_before:%Y-%m-%d %H:%M:%S} UTC.",
            *effects,
        )
    return None


def refused_csr(facts: Facts) -> tuple[Effect, ...]:
    """Return what becomes of a refused CSR; a request that a CA refused has told of itself."""
    return () if facts.enrollment.outcome is Outcome.REFUSED else (Effect.REFUSE_CSR,)


def enrollment_barrier(facts: Facts) -> tuple[Code, str, str] | None:
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
