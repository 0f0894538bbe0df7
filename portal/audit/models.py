"""The audit log: one append-only row per state change, and the chain of seals over the rows.

Owns the tables and the rule that rows are never changed (I15 in docs/promises.md). Does not decide
what is worth a row: services do (plain registers, heartbeats and sessions are not).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from portal.audit.acts import BULK_GROUP, BULK_JOB


class Category(models.TextChoices):
    """What kind of thing a row is about."""

    ORCHESTRATOR = "orchestrator", "Orchestrator"
    CERTIFICATE = "certificate", "Certificate"
    ENROLLMENT = "enrollment", "Enrollment"
    AUTHORITY = "authority", "Certificate authority"
    SETTING = "setting", "Application setting"
    ACCESS = "access", "Access"
    REFUSAL = "refusal", "Refusal"


class AuditEntryImmutable(RuntimeError):
    """Somebody tried to change or delete an audit row."""


class AppendOnlyQuerySet(models.QuerySet[Any]):
    def update(self, **kwargs: Any) -> int:
        raise AuditEntryImmutable("audit rows are never changed")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AuditEntryImmutable("audit rows are never deleted")


class AppendOnly(models.Model):
    """A row that is written once. On PostgreSQL triggers say so too."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, using: str | None = None, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AuditEntryImmutable("audit rows are never changed")
        super().save(force_insert=True, using=using)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AuditEntryImmutable("audit rows are never deleted")


class AuditEntry(AppendOnly):
    """Who did what to which thing, from where, with its state before and after."""

    at = models.DateTimeField(default=timezone.now)
    # A row never changes, not even when its user goes.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False
    )
    actor_name = models.CharField(max_length=200)
    source_address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    category = models.CharField(max_length=20, choices=Category.choices)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(max_length=255, blank=True)
    # Denormalized so that an orchestrator's timeline is one index scan, deleted or not.
    orchestrator_id = models.UUIDField(null=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    message = models.CharField(max_length=1000, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["orchestrator_id", "id"], name="audit_timeline"),
            models.Index(fields=["object_type", "object_id", "id"], name="audit_object"),
            models.Index(fields=["category", "action", "id"], name="audit_action"),
            models.Index(fields=["actor_name", "id"], name="audit_actor"),
            models.Index(fields=["request_id", "id"], name="audit_group"),
            models.Index(fields=["at"], name="audit_at"),
            # The list without what bulk jobs did row by row (`search.folded`).
            models.Index(
                fields=["id"],
                name="audit_folded",
                condition=~Q(request_id__startswith=BULK_GROUP) | Q(object_type=BULK_JOB),
            ),
        ]


class AuditSeal(AppendOnly):
    """The place of one row in the chain.

    ``digest`` is of the row itself, ``link`` of the digest, the sequence number and the link
    before it.
    """

    sequence = models.BigIntegerField(primary_key=True)
    entry_id = models.BigIntegerField(unique=True)
    digest = models.CharField(max_length=64)
    link = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()


class AuditBlock(AppendOnly):
    """A run of seals, signed: what stands in it cannot be made again without the key."""

    number = models.BigIntegerField(primary_key=True)
    first_sequence = models.BigIntegerField(unique=True)
    last_sequence = models.BigIntegerField(unique=True)
    highest_entry_id = models.BigIntegerField()
    """The highest row number sealed up to here."""
    link = models.CharField(max_length=64)
    """Link of the last seal."""
    sealed_at = models.DateTimeField(db_index=True)
    key_id = models.CharField(max_length=16)
    signature = models.CharField(max_length=128)

    class Meta:
        default_permissions = ()


class AuditVerification(models.Model):
    """One run over the whole log, asked for on the page."""

    requested_by = models.CharField(max_length=200)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    rows = models.BigIntegerField(default=0)
    unsealed = models.BigIntegerField(default=0)
    findings = models.JSONField(default=list)
    more_findings = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()


class NotedRefusal(models.Model):
    """When a refusal was last written to the log: the lock and the memory of `refusals.py`."""

    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    noted_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["object_type", "object_id"], name="one_noted_refusal")
        ]
