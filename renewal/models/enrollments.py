"""Intents: enrollments and revocations. Rows, not messages, are the truth.

A row is committed before any CA is called; tasks carry at most its id. States and events are
`renewal/rules/lifecycle.py`'s; only `renewal/enrollments.py` and `renewal/revocations.py` write
them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Left

from orchestrators.models import Orchestrator
from renewal.models.authorities import CertificateAuthority, Template
from renewal.models.certificates import Certificate
from renewal.rules.lifecycle import (
    FAILED_ENROLLMENT,
    IN_FLIGHT,
    OPEN_ENROLLMENT,
    EnrollmentState,
    RevocationState,
)

CAUSE_LENGTH = 100
"""Failures are counted by so much of their last error's beginning."""
_OPEN = Q(state__in=sorted(s.value for s in OPEN_ENROLLMENT))
_FAILED = Q(state__in=sorted(s.value for s in FAILED_ENROLLMENT))


class Enrollment(models.Model):
    """The intent to have one CSR enrolled; the only source of a CA call."""

    orchestrator = models.ForeignKey(
        Orchestrator, null=True, on_delete=models.SET_NULL, related_name="enrollments"
    )
    for_operator = models.BooleanField(default=False)
    """An operator's own request: no orchestrator is behind it."""
    generation = models.PositiveIntegerField(default=0)
    flag_counter = models.PositiveIntegerField(default=0)
    spki_sha256 = models.CharField(max_length=64, db_index=True)
    csr_der = models.BinaryField()
    subject_der = models.BinaryField()
    sans = models.JSONField(default=list)
    authority = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, db_index=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, db_index=False)
    chosen_by = models.CharField(max_length=120)
    """What decided CA and template (S33): settings, or later group or handler."""
    requested_by = models.CharField(max_length=200)
    service_account = models.CharField(max_length=150, blank=True)
    extended_key_usages = models.JSONField(default=list)
    serial_number = models.CharField(max_length=40, unique=True)
    """Fixed here, with the dates, so that a row signed twice is the same certificate."""
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()

    state = models.CharField(
        max_length=12,
        choices=[(s.value, s.value.capitalize()) for s in EnrollmentState],
        default=EnrollmentState.WAITING,
    )
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    lease_holder = models.CharField(max_length=40, blank=True)
    ca_reference = models.CharField(max_length=200, blank=True)
    called_at = models.DateTimeField(null=True)
    """The last moment at which a CA was asked; null: never."""
    late = models.BooleanField(default=False)
    """The orchestrator had stopped waiting when the certificate came."""
    last_error_code = models.CharField(max_length=8, blank=True)
    last_error = models.CharField(max_length=1000, blank=True)
    certificate = models.OneToOneField(
        Certificate, null=True, on_delete=models.SET_NULL, related_name="enrollment"
    )
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in EnrollmentState]),
                name="enrollment_state_known",
            ),
            # What a CA is still asked for from before a Reset must not block the return.
            models.UniqueConstraint(
                fields=["orchestrator", "generation"],
                condition=Q(state__in=sorted(["waiting", *(s.value for s in IN_FLIGHT)])),
                name="one_open_enrollment_per_generation",
            ),
        ]
        indexes = [
            models.Index(fields=["orchestrator", "id"], name="enrollment_of"),
            models.Index(
                fields=["next_attempt_at", "id"],
                condition=Q(state__in=["waiting", "submitted", "pending", "unknown"]),
                name="enrollment_open",
            ),
            # With whose they are: lists of the orchestrators that failed read no row of these.
            models.Index(
                fields=["finished_at"],
                include=["orchestrator"],
                condition=_FAILED,
                name="enrollment_failed",
            ),
            # Each filter of the page of enrollments, in the order of its list. Of what is open few
            # rows are there at a time, and the queue of a CA is counted without reading them.
            models.Index(fields=["authority", "id"], name="enrollment_by_ca"),
            models.Index(fields=["template", "id"], name="enrollment_by_template"),
            models.Index(
                fields=["authority", "created_at"],
                include=["state", "next_attempt_at", "orchestrator"],
                condition=_OPEN,
                name="enrollment_queue",
            ),
            models.Index(
                fields=["state", "created_at", "id"], condition=_OPEN, name="enrollment_open_since"
            ),
            models.Index(
                fields=["state", "finished_at", "id"],
                condition=Q(finished_at__isnull=False),
                name="enrollment_ended",
            ),
            models.Index(
                Left("last_error", CAUSE_LENGTH),
                "finished_at",
                "id",
                condition=_FAILED,
                name="enrollment_cause",
            ),
        ]


class Revocation(models.Model):
    """The intent to have one certificate revoked at its CA, with its own reference to it."""

    certificate = models.OneToOneField(
        Certificate, on_delete=models.CASCADE, related_name="revocation"
    )
    orchestrator = models.ForeignKey(
        Orchestrator, null=True, on_delete=models.SET_NULL, related_name="revocations"
    )
    reason = models.CharField(max_length=30)
    cause = models.CharField(max_length=200)
    requested_by = models.CharField(max_length=200)
    by_service_account = models.BooleanField(default=False)
    """Automatic after a renewal: the service account needs the permission (S49)."""
    state = models.CharField(
        max_length=12,
        choices=[(s.value, s.value.capitalize()) for s in RevocationState],
        default=RevocationState.WAITING,
    )
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RevocationState]),
                name="revocation_state_known",
            )
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at", "id"],
                condition=Q(state__in=["waiting", "submitted", "failed"]),
                name="revocation_open",
            ),
            models.Index(fields=["finished_at"], condition=Q(state="done"), name="revocation_done"),
            # What lists of the orchestrators with an overdue one read, without the rows themselves.
            models.Index(
                fields=["created_at"],
                include=["orchestrator", "state"],
                condition=Q(state__in=["waiting", "submitted", "failed"]),
                name="revocation_overdue",
            ),
        ]
