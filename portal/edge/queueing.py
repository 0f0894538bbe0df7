"""How long a request waited for a thread before anything was done for it.

Owns the figure; the server's worker sets it for the thread that serves the request. What it means
is a rule's (`renewal/rules/limits.py`).
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import timedelta

WAITED_SECONDS: ContextVar[float] = ContextVar("waited_seconds", default=0.0)


def waited() -> timedelta:
    """Return how long the request that is being served stood in line."""
    return timedelta(seconds=WAITED_SECONDS.get())
