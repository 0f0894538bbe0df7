"""Bulk jobs: one act on many orchestrators, with what became of each.

States are `renewal/rules/bulk_lifecycle.py`'s; only `renewal/bulk` writes these rows.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.audit.acts import BULK_GROUP
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import OPEN_BULK, BulkState, ItemState


class BulkJob(models.Model):
    """One act on a frozen selection."""

    act = models.CharField(max_length=12, choices=[(a.value, a.value) for a in Act])
    at_once = models.BooleanField(default=False)
    """A renewal request ends the present session."""
    query = models.CharField(max_length=1000, blank=True)
    """The list's filters as their canonical query; empty for a hand-made selection."""
    time_zone = models.CharField(max_length=64, blank=True)
    """Whose days ``query`` names, if it names any; empty for a job from before this was kept."""
    is_filtered = models.BooleanField(default=False)
    total = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    """SHA-256 over what was confirmed, and when it was shown: of one user, of one job."""
    reason = models.CharField(max_length=500, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="bulk_jobs"
    )
    requested_by_name = models.CharField(max_length=200)
    source_address = models.CharField(max_length=64, blank=True)
    state = models.CharField(
        max_length=12,
        choices=[(s.value, s.value.capitalize()) for s in BulkState],
        default=BulkState.WAITING,
    )
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    lease_holder = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in BulkState]), name="bulk_job_state_known"
            )
        ]
        indexes = [
            models.Index(
                fields=["id"],
                condition=Q(state__in=sorted(OPEN_BULK)),
                name="bulk_job_open",
            ),
            models.Index(fields=["requested_by", "id"], name="bulk_job_of_user"),
        ]

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_BULK

    @property
    def looked_at(self) -> int:
        return self.changed + self.unchanged + self.skipped + self.failed

    @property
    def left(self) -> int:
        return max(self.total - self.looked_at, 0)

    @property
    def percent(self) -> int:
        return 100 * self.looked_at // self.total if self.total else 100

    @property
    def audit_group(self) -> str:
        """The request id that all audit rows of the job share."""
        return f"{BULK_GROUP}{self.pk}"


class BulkItem(models.Model):
    """One orchestrator of a job. The record may be deleted; the row stays."""

    job = models.ForeignKey(BulkJob, on_delete=models.CASCADE, related_name="items")
    orchestrator_id = models.UUIDField()
    claimant = models.BigIntegerField(null=True)
    """Whom an approval names, as it was previewed."""
    fingerprint = models.CharField(max_length=64, blank=True)
    mark = models.CharField(max_length=64, blank=True)
    """`claimants.mark_of` the one whom an approval names: its proof and its name."""
    generation = models.PositiveIntegerField(null=True)
    """The record's, as it was previewed: a later Reset or Disapprove makes the act void."""
    state = models.CharField(
        max_length=12,
        choices=[(s.value, s.value.capitalize()) for s in ItemState],
        default=ItemState.WAITING,
    )
    reason = models.CharField(max_length=40, blank=True)
    message = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["job", "orchestrator_id"], name="one_item_per_orchestrator"
            ),
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in ItemState]), name="bulk_item_state_known"
            ),
        ]
        indexes = [models.Index(fields=["job", "state", "id"], name="bulk_item_state")]
