"""Refused calls in the audit log, bounded: the same refusal within ten minutes is one row.

Owns the bound, so that nobody fills the log by being refused, however many calls come at once. What
is refused, the faces say.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from portal.audit.models import Category, NotedRefusal
from portal.audit.trail import Actor, record

_WINDOW = timedelta(minutes=10)
_KEPT = timedelta(days=1)
_MOST_DELETED = 1000


def note(
    actor: Actor, action: str, *, object_type: str, object_id: str, message: str, now: datetime
) -> None:
    """Write one row for a refusal, unless the same one was written a moment ago."""
    with transaction.atomic():
        if _is_first(object_type, object_id[:64], now):
            record(
                actor,
                Category.REFUSAL,
                action,
                object_type=object_type,
                object_id=object_id,
                message=message,
            )


def forget(*, now: datetime) -> None:
    """Delete what bounds nothing any more."""
    old = NotedRefusal.objects.filter(noted_at__lt=now - _KEPT)
    keys = list(old.order_by("noted_at").values_list("pk", flat=True)[:_MOST_DELETED])
    old.filter(pk__in=keys).delete()


def _is_first(object_type: str, object_id: str, now: datetime) -> bool:
    """Take the turn of a refusal by compare-and-swap; of many callers at once, one does."""
    row, is_made = NotedRefusal.objects.get_or_create(
        object_type=object_type, object_id=object_id, defaults={"noted_at": now}
    )
    if is_made:
        return True
    if row.noted_at > now - _WINDOW:
        return False
    mine = NotedRefusal.objects.filter(pk=row.pk, noted_at=row.noted_at)
    return bool(mine.update(noted_at=now))
