"""The time zone in which a visitor reads times: that of the browser.

Owns the cookie's reading. Everything is stored and compared in UTC; only what a page shows is
turned. A browser without the script shows UTC.
"""

from __future__ import annotations

import re
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest

ZONE_COOKIE = "zone"
UTC_ZONE = ZoneInfo("UTC")
_NAME = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}", re.ASCII)


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the visitor's zone; UTC if the cookie names none that is known."""
    name = request.COOKIES.get(ZONE_COOKIE, "")
    return _zone(name) if len(name) <= 64 and _NAME.fullmatch(name) else UTC_ZONE


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC_ZONE
