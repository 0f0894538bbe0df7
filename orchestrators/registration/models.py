"""Rows of auto-registration: the rules in their order, and how the handlers fare.

Owns no meaning: a row becomes a `rules.Rule`, which is judged there. Conditions name accounts,
roles and credentials by name: one that is gone makes its condition false, never drops it.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orchestrators.registration.rules import Assignment, Outcome, Rule, parse_network


class AutoRegistrationRule(models.Model):
    """One rule. ``position`` orders; of equal ones the older row comes first."""

    name = models.CharField(max_length=100, unique=True)
    description = models.CharField(max_length=500, blank=True)
    position = models.PositiveIntegerField()
    enabled = models.BooleanField(default=True)
    outcome = models.CharField(max_length=5, choices=[(o.value, o.value.title()) for o in Outcome])
    name_patterns = models.JSONField(default=list)
    networks = models.JSONField(default=list)
    service_account = models.CharField(max_length=150, blank=True)
    role = models.CharField(max_length=150, blank=True)
    credential = models.CharField(max_length=150, blank=True)
    parameters = models.JSONField(default=list)
    """Pairs of key and pattern."""
    assign_service_account = models.CharField(max_length=150, blank=True)
    assign_group = models.BigIntegerField(null=True)
    """Number of an orchestrator group; one that is gone leaves registrations to an operator."""
    assign_labels = models.JSONField(default=dict)
    hits = models.PositiveBigIntegerField(default=0)
    last_hit_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1)
    """Raised by each change; a form of an older version is refused."""
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=[o.value for o in Outcome]), name="rule_outcome_known"
            )
        ]

    @property
    def rule(self) -> Rule:
        """Return the row as the pure function reads it."""
        return Rule(
            name=self.name,
            outcome=Outcome(self.outcome),
            id=self.pk or 0,
            is_enabled=self.enabled,
            name_patterns=tuple(self.name_patterns),
            networks=tuple(parse_network(text) for text in self.networks),
            service_account=self.service_account,
            role=self.role,
            credential=self.credential,
            parameters=tuple((key, pattern) for key, pattern in self.parameters),
            assignment=Assignment(
                service_account=self.assign_service_account,
                group_id=self.assign_group,
                labels=dict(self.assign_labels),
            ),
        )


class HandlerHealth(models.Model):
    """What became of the calls of one registration handler, known by its dotted path."""

    path = models.CharField(max_length=300, unique=True)
    last_answer_at = models.DateTimeField(null=True)
    """Written at most once a minute and process."""
    failures = models.PositiveBigIntegerField(default=0)
    time_outs = models.PositiveBigIntegerField(default=0)
    last_error = models.CharField(max_length=1000, blank=True)
    last_error_at = models.DateTimeField(null=True)
    without_place_at = models.DateTimeField(null=True)
    """When it was last not asked, because its earlier calls had not come back."""

    class Meta:
        default_permissions = ()

    @property
    def is_failing(self) -> bool:
        """The last thing that is known of it is a failure."""
        if self.last_error_at is None:
            return False
        return self.last_answer_at is None or self.last_error_at > self.last_answer_at
