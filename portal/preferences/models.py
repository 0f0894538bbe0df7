"""What is stored of preferences: the application's settings, and how each person wants lists.

A missing row means the default.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Setting(models.Model):
    """One changed setting, as text."""

    name = models.CharField(max_length=80, unique=True)
    value = models.TextField(blank=True)
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=200)

    class Meta:
        default_permissions = ()


class SavedView(models.Model):
    """A list as one person wants to find it again: a name for its query."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views"
    )
    page = models.CharField(max_length=40)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField()
    is_default = models.BooleanField(default=False)
    """The list opens with it where its address names no filter."""

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "page", "name"], name="one_view_of_each_name"),
            models.UniqueConstraint(
                fields=["user", "page"],
                condition=models.Q(is_default=True),
                name="one_default_view_for_each_list",
            ),
        ]


class Layout(models.Model):
    """How one person wants the rows of a list: which columns, in which order, how dense."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="layouts"
    )
    page = models.CharField(max_length=40)
    columns = models.JSONField(default=list)
    """Keys of the columns that are shown, in order."""
    is_compact = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "page"], name="one_layout_for_each_list")
        ]
