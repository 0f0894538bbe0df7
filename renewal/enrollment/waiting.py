"""How a Register waits for its enrollment without starving the others.

Owns the bound on waiting threads and the wake-up. One thread per process listens on the broker's
channel; each waiter re-reads its row every second as well, so a lost message or a broker that is
down costs a second, never the hold. The certificate itself always comes from the row.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from renewal import dispatch

log = logging.getLogger(__name__)

GRACE_SECONDS = 0.2
"""Waits this short are not bounded: a CA that answers at once needs no place."""
_REREAD_SECONDS = 1.0
_PLACES = max(1, int(os.environ.get("PORTAL_WEB_THREADS", "16")) // 4)


class Hub:
    """Wakes waiters by the key that the web chose before the row was visible."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, threading.Event] = {}
        self._thread: threading.Thread | None = None
        self._process = 0

    @contextmanager
    def expecting(self, key: str) -> Iterator[threading.Event]:
        """Register a waiter; enter before the intent is committed."""
        event = threading.Event()
        with self._lock:
            self._events[key] = event
            # A forked server inherits the object but not the thread.
            if self._thread is None or not self._thread.is_alive() or self._process != os.getpid():
                self._process = os.getpid()
                self._thread = threading.Thread(target=self._listen, name="waiting", daemon=True)
                self._thread.start()
        try:
            yield event
        finally:
            with self._lock:
                self._events.pop(key, None)

    def _listen(self) -> None:
        while True:
            try:
                client = redis.Redis.from_url(
                    dispatch.redis_url(), socket_connect_timeout=1, socket_timeout=None
                )
                with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(dispatch.DONE_CHANNEL)
                    for message in channel.listen():
                        self._wake(message["data"].decode("ascii", "replace"))
            except Exception as error:
                # Waiters read their rows each second meanwhile.
                log.debug("the wake-up channel is down: %s", error)
                time.sleep(_REREAD_SECONDS)

    def _wake(self, key: str) -> None:
        with self._lock:
            if event := self._events.get(key):
                event.set()


HUB = Hub()
_places = threading.BoundedSemaphore(_PLACES)


def wait(
    event: threading.Event,
    is_done: Callable[[], bool],
    *,
    hold_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Wait until ``is_done`` says so; False when the hold is over or no place is free.

    The first GRACE_SECONDS are free. No database connection holds a transaction meanwhile.
    """
    if _wait_until(event, is_done, clock() + min(GRACE_SECONDS, hold_seconds), clock):
        return True
    if hold_seconds <= GRACE_SECONDS or not _places.acquire(blocking=False):
        return False
    try:
        return _wait_until(event, is_done, clock() + hold_seconds - GRACE_SECONDS, clock)
    finally:
        _places.release()


def _wait_until(
    event: threading.Event, is_done: Callable[[], bool], end: float, clock: Callable[[], float]
) -> bool:
    while (left := end - clock()) > 0:
        event.wait(min(left, _REREAD_SECONDS))
        event.clear()
        if is_done():
            return True
    return is_done()
