"""Which registration handlers of this deployment fail or hang: for alerts.

Owns the queries. What counts as failing is `HandlerHealth.is_failing`; calls are `chain.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from orchestrators.registration.models import HandlerHealth


def failing_handlers() -> list[HandlerHealth]:
    """Return the handlers whose last call failed, in the order of the chain (at most one query).

    A handler that the deployment names no more is not told.
    """
    paths = [path[:300] for path in settings.CONFIG.registration_handlers]
    if not paths:
        return []
    rows = {row.path: row for row in HandlerHealth.objects.filter(path__in=paths)}
    return [rows[path] for path in paths if path in rows and rows[path].is_failing]


def handlers_without_place(*, since: datetime) -> list[HandlerHealth]:
    """Return the handlers of the deployment that were not asked since then, because calls of them
    hang (at most one query).
    """
    paths = [path[:300] for path in settings.CONFIG.registration_handlers]
    if not paths:
        return []
    rows = HandlerHealth.objects.filter(path__in=paths, without_place_at__gt=since)
    return list(rows.order_by("path"))
