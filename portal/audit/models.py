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

from portal.audit import chain, mac
from portal.audit.acts import BULK_GROUP, BULK_JOB
from portal.audit.columns import (
    EARLIEST,
    LATEST,
    FindingsColumn,
    IdColumn,
    KeyColumn,
    MomentColumn,
    NumberColumn,
    ObjectColumn,
    TextColumn,
)
from portal.audit.findings import broke_off


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
    """A row that is written once. The database's triggers say so too."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, using: str | None = None, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AuditEntryImmutable("audit rows are never changed")
        super().save(force_insert=True, using=using)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AuditEntryImmutable("audit rows are never deleted")


class MacColumn(TextColumn):
    """The MAC of a row that the ORM writes: made of what it is about to write."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        told: str = super().pre_save(model_instance, add)
        if told:
            return told
        told = mac.made(
            {
                field.attname: field.to_python(getattr(model_instance, field.attname))
                for field in self.model._meta.concrete_fields
            }
        )
        setattr(model_instance, self.attname, told)
        return told


class AuditEntry(AppendOnly):
    """Who did what to which thing, from where, with its state before and after."""

    at = MomentColumn(default=timezone.now)
    # A row never changes, not even when its user goes.
    actor = KeyColumn(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False
    )
    actor_name = TextColumn(max_length=200)
    source_address = TextColumn(max_length=64, blank=True)
    request_id = TextColumn(max_length=64, blank=True)
    category = TextColumn(max_length=20, choices=Category.choices)
    action = TextColumn(max_length=60)
    object_type = TextColumn(max_length=40)
    object_id = TextColumn(max_length=64)
    object_name = TextColumn(max_length=255, blank=True)
    # Denormalized so that an orchestrator's timeline is one index scan, deleted or not.
    orchestrator_id = IdColumn(null=True)
    before = ObjectColumn(default=dict)
    after = ObjectColumn(default=dict)
    message = TextColumn(max_length=1000, blank=True)
    # Empty in rows that are older than it; those were sealed by then.
    mac = MacColumn(max_length=mac.LENGTH, editable=False)

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
        constraints = [
            # PostgreSQL knows moments that Python does not, as infinity.
            models.CheckConstraint(
                condition=Q(at__gte=EARLIEST, at__lt=LATEST), name="audit_at_is_a_moment"
            ),
            models.UniqueConstraint(
                fields=["mac"], condition=~Q(mac=""), name="audit_mac_is_of_one_row"
            ),
        ]


class AuditSeal(AppendOnly):
    """The place of one row in the chain.

    ``digest`` is of the row itself, ``link`` of the digest, the sequence number, the verdict and
    the link before it.
    """

    sequence = NumberColumn(primary_key=True)
    entry_id = NumberColumn(unique=True)
    digest = TextColumn(max_length=64)
    verdict = TextColumn(max_length=8)
    """What the row's MAC was when it was sealed (`chain.py`)."""
    link = TextColumn(max_length=64)

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["sequence"], name="audit_forged", condition=Q(verdict=chain.FORGED)
            )
        ]


class AuditBlock(AppendOnly):
    """A run of seals, signed: what stands in it cannot be made again without the key."""

    number = NumberColumn(primary_key=True)
    first_sequence = NumberColumn()
    # Not unique: whoever wrote the next one's number into an old block would stop the sealer.
    last_sequence = NumberColumn(db_index=True)
    highest_entry_id = NumberColumn()
    """The highest row number sealed up to here."""
    link = TextColumn(max_length=64)
    """Link of the last seal."""
    sealed_at = MomentColumn(db_index=True)
    key_id = TextColumn(max_length=16)
    signature = TextColumn(max_length=128)

    class Meta:
        default_permissions = ()


class AuditVerification(models.Model):
    """One run over the whole log, asked for on the page."""

    requested_by = TextColumn(max_length=200)
    requested_at = MomentColumn()
    started_at = MomentColumn(null=True)
    finished_at = MomentColumn(null=True)
    rows = NumberColumn(default=0)
    unsealed = NumberColumn(default=0)
    findings = FindingsColumn(default=list)
    more_findings = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()

    @property
    def broke_off(self) -> bool:
        return broke_off(self.findings)


class NotedRefusal(models.Model):
    """When a refusal was last written to the log: the lock and the memory of `refusals.py`."""

    object_type = TextColumn(max_length=40)
    object_id = TextColumn(max_length=64)
    noted_at = MomentColumn(db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["object_type", "object_id"], name="one_noted_refusal")
        ]
