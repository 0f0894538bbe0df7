"""What is answered to whoever has no certificate of an approved orchestrator. PURE.

Owns rows 14, 16 to 16b, 18, 19 and 19a of the decision table in docs/agent-protocol.md: who waits
for approval, and the first enrollment under a claim. `decision.py` sends the callers here.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from orchestrators.registration.rules import Outcome as Ruling
from renewal.rules.facts import (
    CertificateFacts,
    Decision,
    Effect,
    Facts,
    Outcome,
    RecordFacts,
    Status,
)
from renewal.rules.replies import enrollment_barrier, refused, refused_csr, unusable


def waiting_for_approval(row: str, facts: Facts) -> Decision:
    """Rows 14 and 18. Handlers and rules decide a first registration, never a return."""
    record, said = facts.record, facts.registration
    if record is not None and record.status is Status.DISAPPROVED:
        return refused(row, Code.DISAPPROVED, "The orchestrator was disapproved.", Effect.TOUCH)
    is_first = record is None or not record.was_reset
    if is_first and said.ruling is Ruling.DENY:
        reason = f"Denied by {said.source}."
        if said.is_contested:
            # Whoever else waits for this record is not to suffer from this caller.
            return refused(row, Code.REGISTRATION_DENIED, reason, Effect.AUDIT)
        return refused(row, Code.REGISTRATION_DENIED, reason, Effect.REFRESH_NEW, Effect.DISAPPROVE)
    if is_first and said.ruling is Ruling.ALLOW and facts.has_name:
        if not said.obstacle and not said.is_contested:
            return refused(
                row,
                Code.NOT_APPROVED,
                f"Allowed by {said.source}.",
                Effect.REFRESH_NEW,
                Effect.APPROVE,
            )
        obstacle = said.obstacle or "Somebody else came forward for the same orchestrator."
        return refused(
            row,
            Code.NOT_APPROVED,
            f"Allowed by {said.source}, but an operator has to look at it: {obstacle}",
            Effect.REFRESH_NEW,
        )
    return refused(
        row, Code.NOT_APPROVED, "The orchestrator waits for approval.", Effect.REFRESH_NEW
    )


def decide_unknown_certificate(facts: Facts, certificate: CertificateFacts) -> Decision:
    if refusal := unusable(facts, replace(certificate, standing=None)):
        return refusal
    if facts.record is None or facts.record.status is Status.NEW:
        return waiting_for_approval("18", facts)
    if facts.record.status is Status.DISAPPROVED:
        # Somebody else's disapproved record: its last contact is not this caller's to move.
        return refused("14", Code.DISAPPROVED, "The orchestrator was disapproved.", Effect.AUDIT)
    return refused(
        "19",
        Code.CERTIFICATE_NOT_BOUND,
        "An approved orchestrator is named with a certificate that is not its own.",
        Effect.AUDIT,
    )


def decide_bootstrap(facts: Facts) -> Decision:
    if facts.credential_refused:
        return refused(
            "20",
            Code.CREDENTIAL_SPENT,
            "The bootstrap credential cannot be used for this orchestrator.",
            Effect.AUDIT,
        )
    if not facts.has_name:
        return refused(
            "14", Code.NAME_MISSING, "An empty ClientMachine finds no record.", Effect.AUDIT
        )
    record = facts.record
    if record is None or record.status is Status.NEW:
        return waiting_for_approval("14", facts)
    if record.status is Status.DISAPPROVED:
        # A credential proves no record to be its own: nothing of this one moves.
        return refused("14", Code.DISAPPROVED, "The orchestrator was disapproved.", Effect.AUDIT)
    if record.is_claim_over:
        return refused(
            "16b",
            Code.CLAIM_OVER,
            "The claim that the approval opened was not used in its time.",
            Effect.TOUCH,
            Effect.AUDIT,
        )
    if not record.has_open_claim:
        return refused(
            "19a",
            Code.NAME_TAKEN,
            "A bootstrap credential cannot act for an approved orchestrator.",
            Effect.AUDIT,
        )
    return _decide_claim(facts, record)


def _decide_claim(facts: Facts, record: RecordFacts) -> Decision:
    """Rows 16 and 16a: first enrollment under the claim that the approval opened."""
    if facts.csr is None:
        return refused(
            "16a", Code.CLAIM_NEEDS_CSR, "The claim is open and no CSR was sent.", Effect.TOUCH
        )
    if refusal := enrollment_barrier(facts):
        code, detail, reason = refusal
        return refused("16a", code, reason, Effect.TOUCH, *refused_csr(facts), detail=detail)
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
    return refused(
        "16a",
        outcome.code or Code.ENROLLMENT_WAITING,
        "The certificate of the first enrollment is not there yet.",
        *effects,
        detail=outcome.detail,
    )
