"""Marks: what a row says beside its state, as a word and as a filter.

Owns the words, when a record bears one, and the queries behind those that other tables tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import Combinable
from django.db.models.lookups import IsNull

from orchestrators.models import EnrollmentClaim, Orchestrator, Reenrollment, Status
from orchestrators.protocol.codes import RENEWAL_CODES
from renewal.models import Enrollment, Revocation
from renewal.readiness import cannot_renew
from renewal.revocations import OVERDUE_AFTER
from renewal.rules.contact import is_silent, silent_before
from renewal.rules.lifecycle import FAILED_ENROLLMENT, RevocationState
from renewal.rules.periods import Periods
from renewal.selectors.states import Label, RenewalState

Moment = datetime | Combinable
"""The present as a value, or as what stands for it in a statement that is prepared."""
TO_ENROL_AGAIN = (
    "Reset it, have it come with a valid bootstrap credential or certificate, and approve its "
    "return."
)
"""What leads on from `Mark.CANNOT_ENROLL`."""
FAILED_WITHIN = timedelta(days=1)
"""What failed is news for so long."""
_OVERDUE = frozenset({RevocationState.WAITING, RevocationState.SUBMITTED, RevocationState.FAILED})


class Mark(StrEnum):
    """Something that a row says beside its state."""

    UNUSED = "unused"
    REQUESTED = "requested"
    REQUIRED = "required"
    WRONG_CERTIFICATE = "wrong-certificate"
    REVOCATION = "revocation"
    ENROLLMENT_FAILED = "enrollment-failed"
    NAME_DIFFERS = "name-differs"
    ERROR = "error"
    RETURNING = "returning"
    CANNOT_ENROLL = "cannot-enrol"
    CANNOT_RENEW = "cannot-renew"
    OFFLINE = "offline"


TOLD_ELSEWHERE = frozenset({Mark.REVOCATION, Mark.ENROLLMENT_FAILED})
"""Marks that rows of another table give."""
MARKS: dict[Mark, Label] = {
    Mark.UNUSED: Label(
        "Issued, not used",
        "progress-check",
        "waiting",
        "A new certificate was delivered; no session has proven it yet.",
    ),
    Mark.REQUESTED: Label(
        "Requested", "flag-3", "warning", "An operator requested a new certificate."
    ),
    Mark.REQUIRED: Label(
        "By an operator", "flag-3", "required", "An operator requires a new certificate."
    ),
    Mark.WRONG_CERTIFICATE: Label(
        "Wrong certificate",
        "urgent",
        "failed",
        "The thumbprint used last is neither the expected nor the legacy one.",
    ),
    Mark.REVOCATION: Label(
        "Revocation overdue",
        "alert-triangle",
        "failed",
        "The CA has not revoked an old certificate yet.",
    ),
    Mark.ENROLLMENT_FAILED: Label(
        "Enrollment failed",
        "circle-x",
        "failed",
        "A request was refused, rejected or given up within the last 24 hours.",
    ),
    Mark.NAME_DIFFERS: Label(
        "Other name seen",
        "user-check",
        "warning",
        "It now calls itself by another name; the name counts only once accepted.",
    ),
    Mark.ERROR: Label(
        "Error", "circle-x", "failed", "Its last request was answered with an error."
    ),
    Mark.RETURNING: Label(
        "Return after Reset", "rotate-2", "waiting", "It was Reset; its return needs approval."
    ),
    Mark.CANNOT_ENROLL: Label(
        "Cannot enrol",
        "clock-x",
        "failed",
        f"Its time to enrol, or its bootstrap credential, is over. {TO_ENROL_AGAIN}",
    ),
    Mark.CANNOT_RENEW: Label(
        "Cannot renew",
        "lock",
        "failed",
        "Its service account may not have a certificate enrolled for it: no CSR of its own leads "
        "to a new one.",
    ),
    Mark.OFFLINE: Label(
        "Offline",
        "history",
        "neutral",
        "Has not called for two lengths of a session, counted in whole days of UTC: it learns of "
        "nothing, and cannot renew.",
    ),
}


@dataclass(frozen=True)
class Around:
    """What other tables say of a record."""

    is_overdue: bool
    has_failed: bool
    is_live: bool
    cannot_enroll: bool = False
    cannot_renew: bool = False


def marks_of(
    orchestrator: Orchestrator,
    state: RenewalState,
    around: Around,
    periods: Periods,
    *,
    now: datetime,
) -> Iterable[Mark]:
    if state is RenewalState.WAITING and orchestrator.reset_at is not None:
        yield Mark.RETURNING
    if around.cannot_enroll:
        yield Mark.CANNOT_ENROLL
    if around.cannot_renew and orchestrator.status == Status.APPROVED:
        yield Mark.CANNOT_RENEW
    if orchestrator.awaiting_first_use_since is not None and state is not RenewalState.UNUSED:
        yield Mark.UNUSED
    if orchestrator.flag == Reenrollment.REQUESTED:
        yield Mark.REQUESTED
    if orchestrator.flag == Reenrollment.REQUIRED:
        yield Mark.REQUIRED
    if uses_wrong_certificate(orchestrator):
        yield Mark.WRONG_CERTIFICATE
    if around.is_overdue:
        yield Mark.REVOCATION
    if around.has_failed:
        yield Mark.ENROLLMENT_FAILED
    if orchestrator.client_machine_seen:
        yield Mark.NAME_DIFFERS
    if is_offline(orchestrator, periods, now=now):
        yield Mark.OFFLINE


def overdue_revocations(now: Moment) -> QuerySet[Revocation]:
    """Return the revocations that failed, or that no CA has carried out in time (S46)."""
    return Revocation.objects.filter(is_overdue_revocation(now))


def is_overdue_revocation(now: Moment, path: str = "") -> Q:
    """Return the condition of an overdue revocation, which ``path`` leads to."""
    late = Q(**{f"{path}state": RevocationState.FAILED}) | Q(
        **{f"{path}created_at__lt": now - OVERDUE_AFTER}
    )
    # Which states it can be in stands by itself: so an index of these alone is read.
    return late & Q(**{f"{path}state__in": sorted(_OVERDUE)})


def failed_enrollments(now: Moment) -> QuerySet[Enrollment]:
    """Return the requests of orchestrators that failed for good within a day."""
    return Enrollment.objects.filter(
        orchestrator__isnull=False,
        state__in=sorted(FAILED_ENROLLMENT),
        finished_at__gt=now - FAILED_WITHIN,
    )


def was_refused(orchestrator: Orchestrator, now: datetime) -> bool:
    """Say whether a CSR of its was refused within a day before any CA was asked."""
    at = orchestrator.csr_refused_at
    return at is not None and at > now - FAILED_WITHIN


def csr_refused(now: datetime) -> Q:
    """Return the condition of the orchestrators that `was_refused` holds for."""
    return Q(csr_refused_at__gt=now - FAILED_WITHIN)


def failed_orchestrators(now: datetime) -> QuerySet[Any, Any]:
    """Return the ids of the orchestrators whose request failed within a day, at a CA or before."""
    # Two index scans; an OR would read every record.
    refused = Orchestrator.objects.filter(csr_refused(now))
    return failed_enrollments(now).values("orchestrator_id").union(refused.values("pk"))


def claims_over(now: Moment) -> QuerySet[EnrollmentClaim]:
    """Return the claims of approved records without a certificate that can be used no more."""
    return EnrollmentClaim.objects.filter(
        _is_over(now),
        closed_at=None,
        generation=F("orchestrator__generation"),
        orchestrator__status=Status.APPROVED,
        orchestrator__certificate_not_after=None,
        orchestrator__awaiting_first_use_since=None,
    )


def _is_over(now: Moment) -> Q:
    """What `credentials.is_over` says, of claims that are not closed."""
    bound = Q(credential__one_time=True, credential__bound_to__isnull=False)
    return (
        Q(expires_at__lte=now)
        | Q(credential__expires_at__lte=now)
        | Q(credential__revoked_at__isnull=False)
        | Q(credential__spent_at__isnull=False)
        | (bound & ~Q(credential__bound_to=F("orchestrator")))
    )


def marked(mark: Mark, periods: Periods, *, now: datetime) -> Q:
    if mark is Mark.OFFLINE:
        return Q(status=Status.APPROVED, seen_on__lt=silent_before(periods.offline_after, now))
    if mark is Mark.UNUSED:
        return Q(awaiting_first_use_since__isnull=False)
    if mark is Mark.REQUESTED:
        return Q(flag=Reenrollment.REQUESTED)
    if mark is Mark.REQUIRED:
        return Q(flag=Reenrollment.REQUIRED)
    if mark is Mark.WRONG_CERTIFICATE:
        return (
            Q(status=Status.APPROVED)
            & ~Q(last_thumbprint_used="")
            & ~Q(last_thumbprint_used=F("thumbprint"))
            & ~Q(last_thumbprint_used=F("legacy_thumbprint"))
        )
    if mark is Mark.REVOCATION:
        return Q(pk__in=overdue_revocations(now).values("orchestrator_id"))
    if mark is Mark.ENROLLMENT_FAILED:
        return Q(pk__in=failed_orchestrators(now))
    if mark is Mark.NAME_DIFFERS:
        return ~Q(client_machine_seen="")
    if mark is Mark.CANNOT_ENROLL:
        # As `claims_over`, but led by the records without an end, which an index has by name.
        claims = EnrollmentClaim.objects.filter(
            _is_over(now),
            closed_at=None,
            orchestrator=OuterRef("pk"),
            generation=OuterRef("generation"),
        )
        # Looked up for each record, in the order of the list, until the page is full.
        return Q(
            IsNull(Subquery(claims.values("pk")[:1]), False),
            status=Status.APPROVED,
            certificate_not_after=None,
            awaiting_first_use_since=None,
        )
    if mark is Mark.CANNOT_RENEW:
        return Q(status=Status.APPROVED) & cannot_renew()
    if mark is Mark.RETURNING:
        return Q(status=Status.NEW, reset_at__isnull=False)
    return Q(last_error_at__isnull=False) & ~Q(last_error_code__in=sorted(RENEWAL_CODES))


def is_offline(orchestrator: Orchestrator, periods: Periods, *, now: datetime) -> bool:
    """Say whether an approved one has not called for so long; one that never did is not offline."""
    return orchestrator.status == Status.APPROVED and is_silent(
        orchestrator.seen_on, periods.offline_after, now
    )


def uses_wrong_certificate(orchestrator: Orchestrator) -> bool:
    """Say whether an approved one used a thumbprint that is neither expected nor legacy (S52)."""
    return (
        orchestrator.status == Status.APPROVED
        and bool(orchestrator.last_thumbprint_used)
        and orchestrator.last_thumbprint_used
        not in (orchestrator.thumbprint, orchestrator.legacy_thumbprint)
    )
