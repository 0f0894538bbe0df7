"""Leases: how long a worker may hold a row before another one takes it up.

Owns the arithmetic of every lease's column. It is the database's clock alone that sets
and ends a lease: workers on hosts whose clocks differ never take a row from one another too early.
When a row is *due* is no lease; that compares with the caller's ``now``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, Q, Value
from django.db.models.functions import Now


def lasting(length: timedelta) -> ExpressionWrapper[Any]:
    """Return the end of a lease that begins now, as a value for an update."""
    return ExpressionWrapper(
        Now() + Value(length, output_field=DurationField()), output_field=DateTimeField()
    )


def running() -> Q:
    """Select rows that a worker holds."""
    return Q(lease_until__gt=Now())


def ended(column: str = "lease_until") -> Q:
    """Select rows whose worker did not come back."""
    return Q((f"{column}__lt", Now()))


def free(column: str = "lease_until") -> Q:
    """Select rows that nobody holds (any more)."""
    return Q((column, None)) | ended(column)
