"""The dated things that come for one orchestrator if nobody does anything.

Owns their words and order. The dates are those of the rules that were weighed for the certificate
in use (`rules/reasons.py`), of its session and of its claim; nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrators.credentials import ends_at
from orchestrators.models import AgentSession, EnrollmentClaim
from renewal.rules.reasons import Bearing, Reason

_TURNS = {
    "Warning period": ("Its warning period begins: it is told to renew (A0100007).", "warning"),
    "Expiry period": (
        "Its expiry period begins: no session without a new certificate (A0100008).",
        "required",
    ),
    "Validity": ("Its certificate expires: only a Reset leads on.", "failed"),
}


@dataclass(frozen=True)
class Moment:
    """One thing to come."""

    at: datetime
    what: str
    tone: str


def moments(
    reasons: tuple[Reason, ...],
    *,
    session: AgentSession | None,
    claim: EnrollmentClaim | None,
    has_newer: bool,
    now: datetime,
) -> list[Moment]:
    """Return what comes, the nearest first.

    ``claim``: one that is not over. ``has_newer``: another certificate was delivered since and
    leads on.
    """
    found = []
    if session is not None and session.ended_at is None:
        found.append(
            Moment(session.expires_at, "Its session ends, and it registers again.", "neutral")
        )
    if claim is not None:
        found.append(Moment(ends_at(claim), "Its time to enrol ends.", "required"))
    for reason in reasons:
        if reason.turns_at is None:
            continue
        what, tone = _TURNS[reason.rule]
        if reason.bearing is Bearing.BLOCKS:
            what, tone = "Its certificate becomes valid.", "healthy"
        elif reason.rule == "Validity" and has_newer:
            what = "Its certificate expires: only the newer one that it was given leads on."
        found.append(Moment(reason.turns_at, what, tone))
    return sorted((m for m in found if m.at > now), key=lambda m: m.at)
