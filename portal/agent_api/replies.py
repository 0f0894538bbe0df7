"""The reply to a Register, from what its transactions came to.

Owns the mapping of a decision to the wire, and of an enrollment's row to its outcome.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from orchestrators.models import Orchestrator
from orchestrators.protocol.answers import SessionGrant, problem, register_reply, success
from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from portal.preferences.store import Preferences
from renewal.gather import Gathered
from renewal.models import Certificate, Enrollment
from renewal.rules.decision import (
    Decision,
    EnrollmentFacts,
    Outcome,
)
from renewal.rules.lifecycle import EnrollmentState


@dataclass
class Step:
    """What one transaction came to."""

    gathered: Gathered
    decision: Decision
    waits_for: Enrollment | None = None
    certificate: Certificate | None = None
    orchestrator: Orchestrator | None = None
    token: str = ""
    jobs: tuple[Any, ...] = ()


def reply_to(step: Step, preferences: Preferences) -> dict[str, Any]:
    """Return the reply's body: the result, and with a token the session."""
    decision = step.decision
    if decision.code is not None:
        result = problem(decision.status, decision.code, decision.detail)
    elif decision.status is ResultStatus.SUCCESS:
        result = success()
    else:
        result = problem(ResultStatus.ERROR, Code.DECISION_FAILED)
    grant = None
    if step.token and step.orchestrator is not None:
        grant = SessionGrant(
            token=step.token,
            agent_id=str(step.orchestrator.pk),
            heartbeat_minutes=preferences.heartbeat_minutes,
            client_machine=step.orchestrator.client_machine,
            certificate=(
                base64.b64encode(bytes(step.certificate.der)).decode()
                if step.certificate is not None
                else None
            ),
            client_parameters=step.orchestrator.client_parameters,
            jobs=step.jobs,
        )
    return register_reply(result, grant)


def outcome_of(row: Enrollment) -> EnrollmentFacts:
    """Return what an enrollment without a certificate came to, in words for its orchestrator."""
    state = EnrollmentState(row.state)
    if state is EnrollmentState.REFUSED:
        return EnrollmentFacts(Outcome.REFUSED, Code.ENROLLMENT_REFUSED, row.last_error)
    if state is EnrollmentState.REJECTED:
        return EnrollmentFacts(
            Outcome.REFUSED, Code.ENROLLMENT_REFUSED, "The CA's answer was not usable."
        )
    if state is EnrollmentState.DISCARDED:
        return EnrollmentFacts(Outcome.WAITING, detail="A newer request took its place.")
    name = row.authority.name
    if row.last_error:
        again = f" It is tried again after {row.next_attempt_at:%Y-%m-%d %H:%M} UTC."
        return EnrollmentFacts(
            Outcome.WAITING, detail=f"The CA {name} did not issue: {row.last_error}.{again}"
        )
    if row.called_at is None:
        waits = "The request waits for a worker of the portal"
    else:
        waits = f"The CA {name} has not answered yet"
    return EnrollmentFacts(Outcome.WAITING, detail=f"{waits}; ask again with the same CSR.")
