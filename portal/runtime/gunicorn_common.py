"""What all of the portal's gunicorn configurations share: limits, header rules, logging.

Owns the bounds on a request's line and headers. The files ``gunicorn_agents.py``,
``gunicorn_pages.py`` and ``gunicorn_proxied.py`` take these values and add their port.
"""

from __future__ import annotations

import os

BIND_VARIABLE = "PORTAL_BIND"
WORKERS_VARIABLE = "PORTAL_WEB_PROCESSES"
THREADS_VARIABLE = "PORTAL_WEB_THREADS"

# A forwarded certificate: PEM of up to 16 KiB, URL-encoded.
HEADER_BYTES = 32 * 1024
# A query of the API has 2,000 characters, of which many are encoded; gunicorn takes no more.
REQUEST_LINE_BYTES = 8190
HEADER_FIELDS = 60
# Agents poll each five minutes by default; a shorter time costs each of them a handshake a poll.
KEEP_ALIVE_SECONDS = 330
GRACEFUL_SECONDS = 30


def whole_number(variable: str, default: int) -> int:
    """Return an environment variable as a positive number."""
    value = os.environ.get(variable, "") or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{variable} is {value!r}; it must be a positive whole number")
    return int(value)
