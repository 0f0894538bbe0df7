"""How many orchestrators a setting counts for: now, and what other renewal periods would change.

Owns which setting concerns whom. Records of the demonstration fleet do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.db.models import Q

from orchestrators.models import Orchestrator, Status
from orchestrators.reach import within
from portal.access.reach import Reach
from renewal import census
from renewal.rules.forecast import forecast
from renewal.rules.periods import Periods
from renewal.selectors.counting import Count, counted
from renewal.selectors.states import RenewalState

PERIODS = {
    "ClientCertificateWarningDays": "warning",
    "ClientCertificateExpiryDays": "expiry",
    "ClientCertificateWarningLifetimeDivisor": "warning_divisor",
    "ClientCertificateExpiryLifetimeDivisor": "expiry_divisor",
}
"""The settings that are periods, and which part each is."""


class Whom(StrEnum):
    """Whom a setting concerns; the value says it."""

    APPROVED = "approved"
    WAITING = "waiting for approval"
    UNUSED = "with a new certificate that is not used yet"


_CONCERNS = {
    "RevokeOldClientAuthCertificate": Whom.UNUSED,
    "UnusedCertificateGraceMinutes": Whom.UNUSED,
    "FirstEnrollmentClaimDays": Whom.WAITING,
    "ApproverDiffersFromResetter": Whom.WAITING,
    "ApprovalsForFirstRegistration": Whom.WAITING,
    "ApprovalsForReturn": Whom.WAITING,
    "ApprovalRolesForFirstRegistration": Whom.WAITING,
    "ApprovalRolesForReturn": Whom.WAITING,
    "ApprovalRequestDays": Whom.WAITING,
    "NewOrchestratorsPerHour": None,
    "RegistrationHandlerTimeoutSeconds": None,
    "BulkJobDays": None,
}
_CONDITIONS = {
    Whom.APPROVED: Q(status=Status.APPROVED),
    Whom.WAITING: Q(status=Status.NEW),
    Whom.UNUSED: Q(awaiting_first_use_since__isnull=False),
}


def whom(setting: str) -> Whom | None:
    """Return whom a setting concerns; None: no orchestrator that is there."""
    return _CONCERNS.get(setting, Whom.APPROVED)


def numbers(reach: Reach, *, now: datetime) -> Mapping[Whom, Count]:
    """Return how many orchestrators within a reach are of each kind: one bounded query for each,
    and where one of them met its bound, another for what the last census counted.
    """
    real = within(Orchestrator.objects.filter(demonstration=False), reach)
    found = {kind: counted(real.filter(condition)) for kind, condition in _CONDITIONS.items()}
    if not any(count.is_capped for count in found.values()):
        return found
    if (picture := census.latest(reach, now=now)) is None:
        return found
    waiting = picture.states.get(RenewalState.WAITING, 0)
    others = waiting + picture.states.get(RenewalState.DISAPPROVED, 0)
    known = {Whom.APPROVED: sum(picture.states.values()) - others, Whom.WAITING: waiting}
    return {kind: count.with_census(known.get(kind)) for kind, count in found.items()}


@dataclass(frozen=True)
class Preview:
    """What other periods would change at once."""

    counted_at: datetime
    due: tuple[int, int]
    """Asked to renew: with the periods in force, and with the others."""
    must: tuple[int, int]
    """Without a session until they have renewed, likewise."""


def preview(
    setting: str, value: int, in_force: Periods, *, reach: Reach, now: datetime
) -> Preview | None:
    """Return what a value of one of the periods would change within a reach; None before its first
    census.
    """
    picture = census.latest(reach, now=now)
    if picture is None:
        return None
    days = timedelta(days=value)
    tried = {
        "warning": replace(in_force, warning=days),
        "expiry": replace(in_force, expiry=days),
        "warning_divisor": replace(in_force, warning_divisor=value),
        "expiry_divisor": replace(in_force, expiry_divisor=value),
    }[PERIODS[setting]]
    today = now.astimezone(UTC).date()
    before = forecast(picture.lots, in_force, today=today)
    after = forecast(picture.lots, tried, today=today)
    return Preview(
        picture.counted_at, (before.due_now, after.due_now), (before.must_now, after.must_now)
    )
