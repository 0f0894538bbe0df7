"""Users, service accounts and API tokens.

Roles are Django groups with permissions of `catalogue.py`. Owns no rule about what a permission
is needed for: the faces ask `permissions.holds` and `reach.reach`.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractUser, Group
from django.db import models

from portal.access.catalogue import CATALOGUE, Permission, entry_for

TOKEN_PREFIX = "ocp_"  # noqa: S105 - recognizable by secret scanners, not a secret


class User(AbstractUser):
    """A person, or a service account: an identity that orchestrators run under and that can
    never sign in to the pages.
    """

    is_service_account = models.BooleanField(default=False)

    token_scope: frozenset[Permission] | None = None
    """What the token that this user came with lets through; None: all that the user holds."""

    class Meta:
        default_permissions = ()
        permissions = [(str(entry.permission), entry.allows) for entry in CATALOGUE]


class RoleDescription(models.Model):
    """What a role is for, in the words of whoever keeps it; a role without a row has none."""

    role = models.OneToOneField(Group, on_delete=models.CASCADE, related_name="described")
    text = models.CharField(max_length=500)

    class Meta:
        default_permissions = ()


class RoleReach(models.Model):
    """One limit of a role: a group of orchestrators, or a label that they bear.

    A role without a row reaches everything; one with rows reaches what any of them names. The
    group is known by its number only: what it holds is the business of `orchestrators`, and a
    number is never used twice, so that a limit to a group that is gone reaches nothing.
    """

    role = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="reach")
    orchestrator_group = models.BigIntegerField(null=True)
    label_key = models.CharField(max_length=63, blank=True)
    label_value = models.CharField(max_length=63, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["role", "orchestrator_group"], name="one_limit_for_each_group"
            ),
            models.UniqueConstraint(
                fields=["role", "label_key", "label_value"],
                condition=models.Q(orchestrator_group=None),
                name="one_limit_for_each_label",
            ),
            models.CheckConstraint(
                condition=models.Q(orchestrator_group__isnull=False, label_key="")
                | (models.Q(orchestrator_group__isnull=True) & ~models.Q(label_key="")),
                name="reach_names_a_group_or_a_label",
            ),
        ]


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self, now: datetime) -> ApiTokenQuerySet:
        return self.filter(expires_at__gt=now, revoked_at=None, user__is_active=True)


class ApiToken(models.Model):
    """A bearer token of the REST API: shown once, stored as SHA-256, expiring, revocable.

    ``scopes`` are codenames of permissions, null for all that the user holds; ``networks`` are in
    CIDR notation, none for every address.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_from = models.CharField(max_length=64, blank=True)
    scopes = models.JSONField(null=True)
    networks = models.JSONField(default=list)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"],
                condition=models.Q(revoked_at=None),
                name="one_live_token_per_name",
            )
        ]

    @property
    def access_strings(self) -> list[str] | None:
        """Access strings of the scopes; None if there is no limit."""
        if self.scopes is None:
            return None
        known = {str(p) for p in Permission}
        return sorted(
            entry_for(Permission(s)).access_string if s in known else s for s in self.scopes
        )

    @classmethod
    def issue(cls, **fields: Any) -> tuple[ApiToken, str]:
        """Make a token row; return it with the token itself, which is stored nowhere."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        return cls.objects.create(digest=digest_of(token), **fields), token


def digest_of(token: str) -> str:
    """Return the stored form of a token. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
