"""The stored values of the application settings; a missing row means the default."""

from __future__ import annotations

from django.db import models


class Setting(models.Model):
    """One changed setting, as text."""

    name = models.CharField(max_length=80, unique=True)
    value = models.TextField(blank=True)
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=200)

    class Meta:
        default_permissions = ()
