"""Facts for the decision, said as briefly as a row of its table.

Owns defaults: an approved orchestrator with a fresh one-year certificate. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from orchestrators.protocol.codes import Code
from renewal.rules.decision import (
    Caller,
    CertificateFacts,
    CsrFacts,
    EnrollmentFacts,
    Facts,
    Outcome,
    RecordFacts,
    Status,
)
from renewal.rules.periods import Level
from renewal.rules.standing import Standing

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
YEAR = 365 * DAY

LEFT = {Level.NONE: 300 * DAY, Level.WARNING: 100 * DAY, Level.EXPIRY: 20 * DAY}
"""What a one-year certificate has left at each level."""

DELIVERED = EnrollmentFacts(Outcome.DELIVERED)
WAITING = EnrollmentFacts(Outcome.WAITING, detail="The CA is down.")
REFUSED = EnrollmentFacts(Outcome.REFUSED, Code.ENROLLMENT_REFUSED, "not this name")


APPROVED = RecordFacts(Status.APPROVED)


def certificate(
    standing: Standing | None = Standing.CURRENT,
    *,
    left: timedelta = LEFT[Level.NONE],
    lifetime: timedelta = YEAR,
    revoked: bool = False,
    intent_flag_counter: int | None = None,
) -> CertificateFacts:
    not_after = NOW + left
    return CertificateFacts(
        not_before=not_after - lifetime,
        not_after=not_after,
        counted_from=not_after - lifetime,
        revoked=revoked,
        standing=standing,
        intent_flag_counter=intent_flag_counter,
    )


def approved(**changes: object) -> RecordFacts:
    return replace(RecordFacts(Status.APPROVED), **changes)  # type: ignore[arg-type]


def presents(
    standing: Standing | None = Standing.CURRENT,
    level: Level = Level.NONE,
    *,
    csr: bool | CsrFacts = False,
    record: RecordFacts | None = APPROVED,
    **changes: object,
) -> Facts:
    """A certificate of that standing in the window of that level."""
    facts = Facts(
        now=NOW,
        caller=Caller.CERTIFICATE,
        certificate=certificate(standing, left=LEFT[level]),
        record=record,
        csr=csr if isinstance(csr, CsrFacts) else (CsrFacts() if csr else None),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def bootstraps(
    record: RecordFacts | None = None, *, csr: bool | CsrFacts = True, **changes: object
) -> Facts:
    """A bootstrap credential; by default with a CSR, as agents enrol."""
    facts = Facts(
        now=NOW,
        caller=Caller.BOOTSTRAP,
        record=record,
        csr=csr if isinstance(csr, CsrFacts) else (CsrFacts() if csr else None),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Expected:
    """What a row of the table says."""

    row: str
    status: int
    code: Code | None = None
    session: bool = False
    certificate: bool = False
    agent_id: bool | None = None
    """None: with the session."""
    effects: tuple[str, ...] | None = None
