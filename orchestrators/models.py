"""Who the orchestrators are and whether they may work: records, sessions, credentials, jobs.

Owns no certificate: which ones authenticate a record, and how that changes, is `renewal`'s. The
three thumbprint columns are what pages and API show, written by `renewal` in the transaction that
moves a certificate.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.expressions import Combinable

from orchestrators import indexes
from orchestrators.registration.models import AutoRegistrationRule, HandlerHealth
from orchestrators.statuses import Reenrollment, Status

__all__ = [
    "AgentSession",
    "AutoRegistrationRule",
    "BootstrapCredential",
    "EnrollmentClaim",
    "HandlerHealth",
    "Job",
    "JobState",
    "Orchestrator",
    "OrchestratorGroup",
    "OrchestratorLabel",
    "Reenrollment",
    "Status",
]


class OrchestratorGroup(models.Model):
    """A named set of orchestrators; each is in one at most. Roles can be limited to groups."""

    name = models.CharField(max_length=100)
    name_key = models.CharField(max_length=100, unique=True)
    """Canonical name."""
    description = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ()


class Orchestrator(models.Model):
    """One orchestrator. Its id is the AgentId of the protocol."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client_machine = models.CharField(max_length=255, blank=True)
    name_key = models.CharField(max_length=255, blank=True, db_index=True)
    """Canonical client_machine."""
    claim_key = models.CharField(max_length=255, blank=True, db_index=True)
    """Canonical client_machine without a start stamp: finds New records and claims."""
    name_skeleton = models.CharField(max_length=255, blank=True)
    """What client_machine looks like: finds names that a person would take for one another."""
    client_machine_seen = models.CharField(max_length=255, blank=True)
    """A different name in a later body: a hint, never an own name."""
    extra_names = models.JSONField(default=list, blank=True)
    """Names that an operator added; certificates may carry them."""
    service_account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False
    )
    group = models.ForeignKey(
        OrchestratorGroup,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="orchestrators",
        db_index=False,
    )
    platform = models.PositiveSmallIntegerField(default=0)
    version = models.CharField(max_length=64, blank=True)
    capabilities = models.JSONField(default=list, blank=True)
    client_parameters = models.JSONField(default=dict, blank=True)

    status = models.PositiveSmallIntegerField(choices=Status.choices, default=Status.NEW)
    generation = models.PositiveIntegerField(default=0)
    """Raised by Reset, Disapprove and Delete; fences enrollments that are in flight."""
    flag = models.PositiveSmallIntegerField(choices=Reenrollment.choices, default=0)
    flag_counter = models.PositiveIntegerField(default=0)
    """Raised by each setting of the flag; intents store it."""
    had_session = models.BooleanField(default=False)

    thumbprint = models.CharField(max_length=40, blank=True)
    legacy_thumbprint = models.CharField(max_length=40, blank=True)
    last_thumbprint_used = models.CharField(max_length=40, blank=True)
    certificate_not_after = models.DateTimeField(null=True)
    """notAfter of the certificate in use (bound or proven, not one that was merely issued)."""
    certificate_counted_from = models.DateTimeField(null=True)
    awaiting_first_use_since = models.DateTimeField(null=True)
    """Delivery of the newest certificate that no session has proven."""
    csr_refused_at = models.DateTimeField(null=True)
    """When a CSR of its was refused last before any CA was asked."""

    last_seen = models.DateTimeField(null=True)
    seen_on = models.DateField(null=True)
    """Day (UTC) of last_seen, written with it: changes once a day, so that an index can have it."""
    last_address = models.CharField(max_length=64, blank=True)
    last_error_code = models.CharField(max_length=8, blank=True)
    last_error_message = models.CharField(max_length=1000, blank=True)
    last_error_at = models.DateTimeField(null=True)
    reset_at = models.DateTimeField(null=True)
    announced_thumbprint = models.CharField(max_length=40, blank=True, default="")
    """SHA-1 of the certificate with which an imported record may come forward and is approved."""
    announced_by = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()
    demonstration = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["name_key"],
                condition=Q(status=Status.APPROVED) & ~Q(name_key=""),
                name="one_approved_record_per_name",
            ),
            models.UniqueConstraint(
                fields=["announced_thumbprint"],
                condition=~Q(announced_thumbprint=""),
                name="one_record_per_announced_thumbprint",
            ),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="orchestrator_status_known"
            ),
            models.CheckConstraint(
                condition=Q(flag__in=Reenrollment.values), name="orchestrator_flag_known"
            ),
        ]
        indexes = indexes.OF_ORCHESTRATORS


class OrchestratorLabel(models.Model):
    """A word that an operator put on an orchestrator: one value for each key."""

    orchestrator = models.ForeignKey(
        Orchestrator, on_delete=models.CASCADE, related_name="labels", db_index=False
    )
    key = models.CharField(max_length=63)
    value = models.CharField(max_length=63)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["orchestrator", "key"], name="one_value_for_each_label")
        ]
        indexes = [
            models.Index(fields=["key", "value", "orchestrator"], name="label_bearers"),
        ]


class AgentSessionQuerySet(models.QuerySet["AgentSession"]):
    def live(self, now: datetime | Combinable) -> AgentSessionQuerySet:
        return self.filter(ended_at=None, expires_at__gt=now)


class AgentSession(models.Model):
    """One session of an orchestrator. The token is stored as SHA-256 only."""

    orchestrator = models.ForeignKey(
        Orchestrator, on_delete=models.CASCADE, related_name="agent_sessions"
    )
    token_digest = models.CharField(max_length=64, unique=True)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=40, blank=True)
    heartbeat_minutes = models.PositiveIntegerField()
    thumbprint = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=64, blank=True)

    objects = AgentSessionQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["orchestrator"], condition=Q(ended_at=None), name="one_session_at_a_time"
            )
        ]


class BootstrapCredential(models.Model):
    """What a new orchestrator proves itself with before it has a certificate.

    A Basic account (secret stored as SHA-256; it is random or at least 20 characters) or a
    bootstrap certificate (known by its SHA-256 fingerprint). It can create or refresh a New
    record and nothing else, except under a claim.
    """

    name = models.CharField(max_length=150, unique=True)
    secret_digest = models.CharField(max_length=64, blank=True)
    fingerprint_sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    service_account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    one_time = models.BooleanField(default=False)
    """Bound to the first record that it names; spent at that record's first session."""
    bound_to = models.ForeignKey(Orchestrator, null=True, on_delete=models.SET_NULL)
    record_limit = models.PositiveIntegerField(default=1000)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    spent_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=~Q(secret_digest="") | ~Q(fingerprint_sha256=""),
                name="bootstrap_credential_proves_something",
            )
        ]


class EnrollmentClaim(models.Model):
    """The right of one credential to enrol for one approved record until its first session."""

    orchestrator = models.ForeignKey(Orchestrator, on_delete=models.CASCADE, related_name="claims")
    generation = models.PositiveIntegerField()
    credential = models.ForeignKey(BootstrapCredential, on_delete=models.CASCADE)
    claim_key = models.CharField(max_length=255)
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["orchestrator"],
                condition=Q(closed_at=None),
                name="one_open_claim_per_record",
            )
        ]

    def is_open(self, now: datetime) -> bool:
        """Say whether it may be used: it is not closed and its time is not over."""
        return self.closed_at is None and self.expires_at > now


class JobState(models.IntegerChoices):
    """Status of a job, with Keyfactor's numbers."""

    WAITING = 1, "Waiting"
    IN_PROCESS = 2, "In process"
    COMPLETED = 3, "Completed"
    CANCELED = 6, "Canceled"


class Job(models.Model):
    """One run of a job. FetchLogs is the only type that this portal hands out."""

    job_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    """JobId of the protocol; the row's own number is its AuditId."""
    orchestrator = models.ForeignKey(Orchestrator, on_delete=models.CASCADE, related_name="jobs")
    capability = models.CharField(max_length=100)
    state = models.PositiveSmallIntegerField(choices=JobState.choices, default=JobState.WAITING)
    result = models.PositiveSmallIntegerField(default=0)
    message = models.TextField(blank=True)
    log = models.TextField(blank=True)
    requested_at = models.DateTimeField()
    requested_by = models.CharField(max_length=200)
    handed_out_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["orchestrator", "state"], name="job_open"),
        ]
