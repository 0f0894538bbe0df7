"""The renewal state of an orchestrator as a list shows it: one word, one filter.

Owns the words and their order of precedence, and the translation of each into a database filter
that a test keeps equal to the word. How urgent a renewal is comes from `rules/decision.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import (
    Case,
    CharField,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Q,
    Value,
    When,
)
from django.db.models.lookups import LessThanOrEqual

from orchestrators.models import Orchestrator, Reenrollment, Status
from renewal.gather import record_facts
from renewal.rules.decision import CertificateFacts, current_level
from renewal.rules.periods import Level, Periods, whole_second


class RenewalState(StrEnum):
    """What an operator has to know first. Every record is in exactly one state."""

    WAITING = "waiting"
    ENROLLING = "enrolling"
    EXPIRED = "expired"
    REQUIRED = "required"
    UNUSED = "unused"
    WARNING = "warning"
    OK = "ok"
    DISAPPROVED = "disapproved"


@dataclass(frozen=True)
class Label:
    """How a state is shown: never by colour alone."""

    word: str
    icon: str
    tone: str
    meaning: str


LABELS: dict[RenewalState, Label] = {
    RenewalState.WAITING: Label(
        "Waiting", "hourglass", "waiting", "Waits for an operator's approval; has no session."
    ),
    RenewalState.ENROLLING: Label(
        "No certificate yet",
        "send",
        "waiting",
        "It is approved, and its first certificate is still to come.",
    ),
    RenewalState.EXPIRED: Label(
        "Expired",
        "clock-x",
        "failed",
        "The certificate in use has expired and cannot renew itself: only one that was delivered "
        "since, or a Reset, leads on.",
    ),
    RenewalState.REQUIRED: Label(
        "Required",
        "alert-octagon",
        "required",
        "Gets no session with the certificate that it uses now: only a newer one leads on.",
    ),
    RenewalState.UNUSED: Label(
        "Issued, not used",
        "progress-check",
        "waiting",
        "A new certificate was delivered; no session has proven it yet.",
    ),
    RenewalState.WARNING: Label(
        "Warning",
        "alert-triangle",
        "warning",
        "Works on, and is told at each session that it should renew.",
    ),
    RenewalState.OK: Label("OK", "circle-check", "healthy", "Nothing is due."),
    RenewalState.DISAPPROVED: Label(
        "Disapproved", "ban", "neutral", "An operator does not let it work."
    ),
}


def state_of(orchestrator: Orchestrator, periods: Periods, *, now: datetime) -> RenewalState:
    """Return the state of a record."""
    if orchestrator.status == Status.NEW:
        return RenewalState.WAITING
    if orchestrator.status != Status.APPROVED:
        return RenewalState.DISAPPROVED
    unused = orchestrator.awaiting_first_use_since is not None
    not_after = orchestrator.certificate_not_after
    if not_after is None:
        return RenewalState.UNUSED if unused else RenewalState.ENROLLING
    if whole_second(now) > not_after:
        return RenewalState.EXPIRED
    level = level_of(orchestrator, periods, now=now)
    if level is Level.EXPIRY:
        return RenewalState.REQUIRED
    if unused:
        return RenewalState.UNUSED
    return RenewalState.WARNING if level is Level.WARNING else RenewalState.OK


def having(state: RenewalState, periods: Periods, *, now: datetime) -> Q:
    """Return the filter for the records in ``state``."""
    if state is RenewalState.WAITING:
        return Q(status=Status.NEW)
    if state is RenewalState.DISAPPROVED:
        return Q(status=Status.DISAPPROVED)
    approved = Q(status=Status.APPROVED)
    unused = Q(awaiting_first_use_since__isnull=False)
    absent = Q(certificate_not_after__isnull=True)
    if state is RenewalState.ENROLLING:
        return approved & absent & ~unused
    moment = whole_second(now)
    if state is RenewalState.EXPIRED:
        return approved & Q(certificate_not_after__lt=moment)
    valid = approved & Q(certificate_not_after__gte=moment)
    required = Q(flag=Reenrollment.REQUIRED) | _in_expiry(periods, moment)
    if state is RenewalState.REQUIRED:
        return valid & required
    if state is RenewalState.UNUSED:
        return approved & unused & (absent | (Q(certificate_not_after__gte=moment) & ~required))
    warned = Q(flag=Reenrollment.REQUESTED) | _within(
        moment, periods.warning, periods.warning_divisor
    )
    calm = valid & ~unused & ~required
    return calm & (warned if state is RenewalState.WARNING else ~warned)


def state_expression(periods: Periods, *, now: datetime) -> Case:
    """Return the state of a record, in the database: `state_of`, question by question.

    Each state by its whole condition (`having`) would take longer to write down than a page of
    records takes to read.
    """
    moment = whole_second(now)
    unused = Q(awaiting_first_use_since__isnull=False)
    absent = Q(certificate_not_after__isnull=True)
    required = Q(flag=Reenrollment.REQUIRED) | _in_expiry(periods, moment)
    warned = Q(flag=Reenrollment.REQUESTED) | _within(
        moment, periods.warning, periods.warning_divisor
    )
    questions = (
        (Q(status=Status.NEW), RenewalState.WAITING),
        (~Q(status=Status.APPROVED), RenewalState.DISAPPROVED),
        (absent & unused, RenewalState.UNUSED),
        (absent, RenewalState.ENROLLING),
        (Q(certificate_not_after__lt=moment), RenewalState.EXPIRED),
        (required, RenewalState.REQUIRED),
        (unused, RenewalState.UNUSED),
        (warned, RenewalState.WARNING),
    )
    return Case(
        *(When(condition, then=Value(state.value)) for condition, state in questions),
        default=Value(RenewalState.OK.value),
        output_field=CharField(),
    )


def parts(state: RenewalState, periods: Periods, *, now: datetime) -> list[Q]:
    """Return what `having` does, cut where the warning or expiry period cannot reach any more.

    The parts exclude one another and follow one another by the end of the certificate in use; an
    index bounds each, so that a state which nobody is in costs no walk through the fleet.
    """
    moment = whole_second(now)
    found = having(state, periods, now=now)
    approved = Q(status=Status.APPROVED)
    unused = Q(awaiting_first_use_since__isnull=False)
    odd = Q(certificate_not_after__lte=F("certificate_counted_from"))
    if state is RenewalState.REQUIRED:
        near = moment + min(periods.expiry, periods.warning)
        later = approved & Q(certificate_not_after__gt=near)
        return [
            found & Q(certificate_not_after__lte=near),
            later & (Q(flag=Reenrollment.REQUIRED) | odd),
        ]
    near = moment + periods.warning
    later = approved & Q(certificate_not_after__gt=near) & ~unused & ~odd
    if state is RenewalState.WARNING:
        return [
            found & Q(certificate_not_after__lte=near),
            later & Q(flag=Reenrollment.REQUESTED),
        ]
    if state is RenewalState.OK:
        return [
            found & Q(certificate_not_after__lte=near),
            later & Q(flag=Reenrollment.NONE),
        ]
    return [found]


def at_level(level: Level, periods: Periods, *, now: datetime) -> Q:
    """Return the filter for the records at ``level``: the greater of the flag and the window of
    the certificate in use, whatever their status; without a certificate the flag alone.
    """
    moment = whole_second(now)
    absent = Q(certificate_not_after__isnull=True)
    expiry = _in_expiry(periods, moment)
    warning = expiry | _within(moment, periods.warning, periods.warning_divisor)
    if level is Level.EXPIRY:
        return Q(flag=Reenrollment.REQUIRED) | (~absent & expiry)
    if level is Level.WARNING:
        requested = Q(flag=Reenrollment.REQUESTED) & (absent | ~expiry)
        return requested | (Q(flag=Reenrollment.NONE) & ~absent & warning & ~expiry)
    return Q(flag=Reenrollment.NONE) & (absent | ~warning)


def level_of(orchestrator: Orchestrator, periods: Periods, *, now: datetime) -> Level:
    """Return the level of a record, as `at_level` finds it."""
    not_after = orchestrator.certificate_not_after
    if not_after is None:
        return Level(orchestrator.flag)
    counted_from = orchestrator.certificate_counted_from or not_after
    certificate = CertificateFacts(
        not_before=counted_from, not_after=not_after, counted_from=counted_from
    )
    return current_level(record_facts(orchestrator), certificate, periods, now)


def _in_expiry(periods: Periods, moment: datetime) -> Q:
    """The expiry period is never longer than the warning period."""
    both = _within(moment, periods.expiry, periods.expiry_divisor) & _within(
        moment, periods.warning, periods.warning_divisor
    )
    return both | Q(certificate_not_after__lte=F("certificate_counted_from"))


def _within(moment: datetime, period: timedelta, divisor: int) -> Q:
    """Time left <= period, and <= lifetime / divisor (multiplied out: no division in SQL)."""
    left = ExpressionWrapper(
        (F("certificate_not_after") - Value(moment, DateTimeField())), DurationField()
    )
    lifetime = ExpressionWrapper(
        F("certificate_not_after") - F("certificate_counted_from"), DurationField()
    )
    return Q(certificate_not_after__lte=moment + period) & Q(
        LessThanOrEqual(ExpressionWrapper(left * Value(divisor), DurationField()), lifetime)
    )
