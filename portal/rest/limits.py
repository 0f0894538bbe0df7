"""How many calls a token, a user and an address may make in a minute.

Owns the quotas, the counting (in the broker, so that all processes count together) and the headers
(RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers; Retry-After of RFC 9110
§10.2.3). While the broker does not answer, each process counts for itself: a limit never becomes an
error of the server. Guessing of passwords has a bound of its own in `portal/access`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import redis
from django.conf import settings

from portal.access.models import ApiToken
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.refusals import network_of
from renewal.dispatch import redis_url

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60
_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Quota:
    """``calls`` in a window of WINDOW_SECONDS; ``name`` stands in the headers."""

    name: str
    calls: int


@dataclass(frozen=True)
class Spent:
    """What is left of a quota, and for how many seconds."""

    quota: Quota
    remaining: int
    reset: int
    is_exceeded: bool


def judge(quota: Quota, count: int, now: float) -> Spent:
    """Return what the ``count``-th call of a window leaves. PURE; ``now`` in Unix seconds."""
    reset = max(1, math.ceil((math.floor(now / WINDOW_SECONDS) + 1) * WINDOW_SECONDS - now))
    return Spent(quota, max(0, quota.calls - count), reset, count > quota.calls)


def spend_address(request: Any) -> list[Spent]:
    """Count a call for its address; none for a peer without one. Raises ApiError."""
    address = network_of(request.META.get("REMOTE_ADDR", ""))
    quota = Quota("address", settings.CONFIG.api_calls_per_address)
    return [] if address == "-" else _spend(quota, address)


def spend_caller(request: Any) -> list[Spent]:
    """Count a call for its token, or for its user without one. Raises ApiError."""
    if not request.user.is_authenticated:
        return []
    is_token = isinstance(request.auth, ApiToken)
    quota = Quota("token" if is_token else "user", settings.CONFIG.api_calls_per_caller)
    return _spend(quota, str(request.auth.pk if is_token else request.user.pk))


def headers(spent: list[Spent]) -> dict[str, str]:
    """Return the headers that tell quotas and what is left of them."""
    if not spent:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{s.quota.name}";q={s.quota.calls};w={WINDOW_SECONDS}' for s in spent
        ),
        "RateLimit": ", ".join(f'"{s.quota.name}";r={s.remaining};t={s.reset}' for s in spent),
    }


class TooManyRequests(ApiError):
    """A quota is used up; ``wait`` (seconds) becomes Retry-After."""

    def __init__(self, spent: Spent) -> None:
        super().__init__(
            ErrorCode.TOO_MANY_REQUESTS,
            f"More than {spent.quota.calls} calls in {WINDOW_SECONDS} seconds for this "
            f"{spent.quota.name}. Ask again in {spent.reset} seconds.",
        )
        self.wait = spent.reset
        self.spent = spent


def _spend(quota: Quota, who: str) -> list[Spent]:
    if quota.calls <= 0:
        return []
    now = time.time()
    window = math.floor(now / WINDOW_SECONDS)
    count = _shared(f"portal:rate:{quota.name}:{who}:{window}", lambda: _own(quota, who, window))
    spent = judge(quota, count, now)
    if spent.is_exceeded:
        raise TooManyRequests(spent)
    return [spent]


@lru_cache(maxsize=2)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=0.1, socket_timeout=0.1)


_quiet_until = 0.0


def _shared(key: str, otherwise: Callable[[], int]) -> int:
    """Count in the broker; after a failure it is left alone for a moment."""
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return otherwise()
    try:
        with _client(redis_url()).pipeline(transaction=False) as pipe:
            pipe.incr(key)
            pipe.expire(key, 2 * WINDOW_SECONDS)
            return int(pipe.execute()[0])
    except Exception as error:
        _quiet_until = time.monotonic() + _PAUSE_SECONDS
        log.warning("the broker does not count calls (%s); this process does", error)
        return otherwise()


_lock = Lock()
_counts: dict[tuple[str, str], int] = {}
_counted_window = 0


def _own(quota: Quota, who: str, window: int) -> int:
    """Count in this process; a new window forgets the one before."""
    global _counted_window
    with _lock:
        if window != _counted_window:
            _counts.clear()
            _counted_window = window
        found = _counts.get((quota.name, who), 0) + 1
        _counts[quota.name, who] = found
        return found
