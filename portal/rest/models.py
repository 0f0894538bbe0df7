"""Replies that are kept, so that a write which is sent again is done once.

Owns the row; when one is made and told again is `writing.py`'s.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models

KEPT_FOR = timedelta(hours=24)


class KeptReply(models.Model):
    """The reply to a call with an Idempotency-Key; ``status`` is null until the call has ended."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key_digest = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    """SHA-256 over method, path, parameters and body: another call must not get this reply."""
    created_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "key_digest"], name="one_reply_for_each_key")
        ]
