"""The census: what counting the whole fleet found, kept for the pages that show it.

Owns the rows alone; what is counted, and when again, is `renewal/census.py`'s.
"""

from __future__ import annotations

from django.db import models


class Census(models.Model):
    """The last count of what one reach holds. It is a copy: losing it loses nothing."""

    key = models.CharField(max_length=64, unique=True)
    """``everything``, or the SHA-256 of a reach's limits."""
    limits = models.JSONField(default=dict)
    """``{"groups": [number, …], "labels": [[key, value], …]}``; empty for everything."""
    wanted_at = models.DateTimeField()
    """When somebody looked last, to the hour; one that nobody looks at is not renewed."""
    begun_at = models.DateTimeField(null=True)
    counted_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0)
    """How long the last count took."""
    contents = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
