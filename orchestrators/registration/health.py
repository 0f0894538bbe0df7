"""Which registration handlers of this deployment fail: for alerts.

Owns the one query. What counts as failing is `HandlerHealth.is_failing`; calls are `chain.py`'s.
"""

from __future__ import annotations

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
