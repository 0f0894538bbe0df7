"""The audit log: one append-only row per state change, written in the change's own transaction.

Owns the table and the rule that rows are never changed. Does not decide what is worth a row:
services do (plain registers, heartbeats and sessions are not).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


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


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def update(self, **kwargs: Any) -> int:
        raise AuditEntryImmutable("audit rows are never changed")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AuditEntryImmutable("audit rows are never deleted")


class AuditEntry(models.Model):
    """Who did what to which thing, from where, with its state before and after."""

    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, db_constraint=False
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

    objects = AuditQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["orchestrator_id", "id"], name="audit_timeline"),
            models.Index(fields=["object_type", "object_id", "id"], name="audit_object"),
            models.Index(fields=["category", "action", "id"], name="audit_action"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AuditEntryImmutable("audit rows are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AuditEntryImmutable("audit rows are never deleted")
