"""One orchestrator's past: its certificates step by step, and the log of what was done to it.

Owns the reading for the orchestrator's page. Bounded: the newest rows, older ones by cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from orchestrators.models import Orchestrator, Status
from orchestrators.protocol.codes import Code
from portal.audit.models import AuditEntry
from renewal.models import Certificate, Claimant, Enrollment, Revocation
from renewal.rules.lifecycle import OPEN_REVOCATION, RevocationState
from renewal.rules.periods import days_left
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing
from renewal.selectors.keyset import Segment, Slice, cut

MOST_CERTIFICATES = 30
EVENTS_PER_PAGE = 60
_MOST_REFUSALS = 10
_REFUSAL_IS_NEWS = timedelta(days=1)
_NOT_ITSELF = frozenset(
    f"refused_{code.value}" for code in (Code.CERTIFICATE_NOT_BOUND, Code.NAME_TAKEN)
)
_ENDED = frozenset({Standing.SUPERSEDED, Standing.DISCARDED, Standing.ARCHIVED, Standing.REJECTED})


@dataclass(frozen=True)
class Step:
    """One step in the life of a certificate; ``at`` is None while it is still to come."""

    word: str
    at: datetime | None
    note: str = ""
    tone: str = "done"


@dataclass(frozen=True)
class CertificateHistory:
    """One certificate of an orchestrator with what happened around it."""

    certificate: Certificate
    enrollment: Enrollment | None
    revocation: Revocation | None
    days_left: int

    @property
    def authenticates(self) -> bool:
        return self.certificate.standing in ACCEPTED and self.certificate.revoked_at is None

    @property
    def standing_word(self) -> str:
        return Standing(self.certificate.standing).value.capitalize()

    @property
    def steps(self) -> list[Step]:
        """Return requested, issued, first used, given way, revoked: in this order."""
        certificate, standing = self.certificate, Standing(self.certificate.standing)
        steps: list[Step] = []
        if self.enrollment is not None:
            steps.append(
                Step(
                    "CSR received", self.enrollment.created_at, f"by {self.enrollment.requested_by}"
                )
            )
            steps.append(
                Step("Issued", certificate.delivered_at or certificate.created_at, _issuer_of(self))
            )
        else:
            steps.append(Step("First seen", certificate.created_at))
        if certificate.proven_at is not None:
            steps.append(
                Step("First used", certificate.proven_at, "installed: a session has proven it")
            )
        elif standing in UNPROVEN:
            steps.append(Step("First use", None, "no session has proven it yet", "open"))
        if standing in _ENDED:
            steps.append(Step(self.standing_word, certificate.standing_since))
        if self.revocation is not None:
            steps.append(_revocation_step(self.revocation))
        elif certificate.revoked_at is not None:
            steps.append(Step("Revoked", certificate.revoked_at, certificate.revocation_reason))
        return steps


def _issuer_of(history: CertificateHistory) -> str:
    authority = history.certificate.authority
    return f"by {authority.name}" if authority else ""


def _revocation_step(revocation: Revocation) -> Step:
    if revocation.state == RevocationState.DONE:
        why = f"{revocation.reason}: {revocation.cause}, asked by {revocation.requested_by}"
        return Step("Revoked at its CA", revocation.finished_at, why)
    if revocation.state == RevocationState.LAPSED:
        return Step("Expired before its revocation", revocation.finished_at)
    if revocation.state == RevocationState.FAILED:
        return Step("Revocation failed", revocation.finished_at, revocation.last_error, "failed")
    note = revocation.last_error or "the CA has not been reached yet"
    return Step("Revocation recorded", revocation.created_at, note, "open")


def certificates_of(orchestrator: Orchestrator, *, now: datetime) -> list[CertificateHistory]:
    """Return the newest certificates of a record, newest first (one query)."""
    rows = (
        Certificate.objects.filter(orchestrator=orchestrator)
        .select_related("enrollment", "revocation", "authority", "predecessor")
        .defer("der", "predecessor__der", "enrollment__csr_der", "enrollment__subject_der")
        .order_by("-id")[:MOST_CERTIFICATES]
    )
    return [
        CertificateHistory(
            certificate=row,
            enrollment=getattr(row, "enrollment", None),
            revocation=getattr(row, "revocation", None),
            days_left=days_left(row.not_after, now),
        )
        for row in rows
    ]


def requests_of(orchestrator: Orchestrator) -> list[AuditEntry]:
    """Return the newest renewal requests of operators, newest first."""
    rows = AuditEntry.objects.filter(orchestrator_id=orchestrator.pk, action="renewal_requested")
    return list(rows.order_by("-id")[:MOST_CERTIFICATES])


def request_of(orchestrator: Orchestrator) -> AuditEntry | None:
    """Return who asked for the newest renewal, and why."""
    rows = AuditEntry.objects.filter(orchestrator_id=orchestrator.pk, action="renewal_requested")
    return rows.order_by("-id").first()


def disapproval_of(orchestrator: Orchestrator) -> AuditEntry | None:
    """Return who disapproved it last, and why; None if it is not disapproved (no query then)."""
    if orchestrator.status != Status.DISAPPROVED:
        return None
    rows = AuditEntry.objects.filter(orchestrator_id=orchestrator.pk, action="disapproved")
    return rows.order_by("-id").first()


@dataclass(frozen=True)
class Impostor:
    """Somebody named a record without being it, and was refused."""

    refusal: AuditEntry
    has_called_since: bool
    """The orchestrator itself has, with a certificate of its own."""


def impostor_of(orchestrator: Orchestrator, *, now: datetime) -> Impostor | None:
    """Return the newest one of a record.

    Such a call moves nothing of the record (rows 19 and 19a of the decision table), so the log
    alone tells it. One that is older than a day and than the record's own last contact is over.
    """
    rows = AuditEntry.objects.filter(object_type="refusal", object_id=str(orchestrator.pk))
    newest = rows.order_by("-id")[:_MOST_REFUSALS]
    refusal = next((row for row in newest if row.action in _NOT_ITSELF), None)
    if refusal is None:
        return None
    has_called = orchestrator.last_seen is not None and orchestrator.last_seen > refusal.at
    if has_called and refusal.at <= now - _REFUSAL_IS_NEWS:
        return None
    return Impostor(refusal, has_called)


def steps_with_request(entry: CertificateHistory, asked: Sequence[AuditEntry]) -> list[Step]:
    """Return a certificate's steps, an operator's request that it answered the first of them.

    The newest one before its CSR and after the certificate before it was delivered.
    """
    if entry.enrollment is None:
        return entry.steps
    predecessor = entry.certificate.predecessor
    since = predecessor.delivered_at if predecessor else None
    for request in asked:
        if since is not None and request.at < since:
            break
        if request.at <= entry.enrollment.created_at:
            why = f": {request.message}" if request.message else ""
            return [Step("Requested", request.at, f"by {request.actor_name}{why}"), *entry.steps]
    return entry.steps


def enrollments_of(orchestrator: Orchestrator) -> list[Enrollment]:
    """Return the newest requests to a CA, newest first."""
    return list(
        Enrollment.objects.filter(orchestrator=orchestrator)
        .select_related("authority", "template", "certificate")
        .defer("csr_der", "subject_der", "certificate__der")
        .order_by("-id")[:20]
    )


def revocations_of(orchestrator: Orchestrator) -> list[Revocation]:
    """Return the newest revocations, newest first."""
    rows = Revocation.objects.filter(orchestrator=orchestrator).select_related("certificate")
    return list(rows.defer("certificate__der").order_by("-id")[:20])


def open_revocations(orchestrator: Orchestrator) -> list[Revocation]:
    """Return the revocations that no CA has carried out yet, oldest first."""
    rows = Revocation.objects.filter(orchestrator=orchestrator, state__in=sorted(OPEN_REVOCATION))
    return list(rows.order_by("id")[:10])


def enrollments_without_certificate(orchestrator: Orchestrator) -> list[Enrollment]:
    """Return the newest requests that (so far) led to no certificate."""
    return list(
        Enrollment.objects.filter(orchestrator=orchestrator, certificate=None)
        .select_related("authority", "template")
        .defer("csr_der", "subject_der")
        .order_by("-id")[:10]
    )


def events_of(orchestrator_id: UUID, *, cursor: str = "") -> Slice[AuditEntry]:
    """Return a page of the record's audit rows, newest first."""
    rows = AuditEntry.objects.filter(orchestrator_id=orchestrator_id)
    return cut([Segment(rows, ("-id",))], cursor=cursor, size=EVENTS_PER_PAGE)


def claimants_of(orchestrator: Orchestrator) -> list[Claimant]:
    """Return everybody who came forward for this generation of a record."""
    return list(
        Claimant.objects.filter(orchestrator=orchestrator, generation=orchestrator.generation)
        .select_related("certificate", "credential")
        .order_by("first_seen", "pk")
    )
