"""Telling workers that there is work. Every function may fail silently: the sweeper guarantees.

Owns the messages (at most a row id) and the "done" channel on which waiting Registers listen.
Nothing here is the truth: flushing the broker loses no work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings

log = logging.getLogger(__name__)

DONE_CHANNEL = "portal:enrollments-done"
_DRAIN_QUEUED = "portal:drain-queued"
_QUEUED_FOR_SECONDS = 5
_PAUSE_SECONDS = 2.0


def redis_url() -> str:
    """Return the broker's URL in the form of redis-py."""
    return str(settings.CONFIG.broker_url).replace("redis+socket://", "unix://")


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        redis_url(), socket_connect_timeout=0.2, socket_timeout=0.5, health_check_interval=0
    )


_quiet_until = 0.0


def _quietly(act: Callable[[], Any], what: str) -> None:
    """Do it, or leave it to the sweeper; after a failure the broker is left alone for a moment.

    Without the pause every request of a busy portal would wait its share of a second for a broker
    that is known to be down.
    """
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        act()
    except Exception as error:
        _quiet_until = time.monotonic() + _PAUSE_SECONDS
        log.warning("the broker did not take %s (%s); the sweeper will", what, error)


def drain() -> None:
    """Ask for a drain of waiting enrollments, unless one is queued already.

    The mark has a lifetime, so that a lost message blocks nothing for longer than that.
    """

    def act() -> None:
        if _client().set(_DRAIN_QUEUED, 1, nx=True, ex=_QUEUED_FOR_SECONDS):
            from renewal.tasks import drain_enrollments

            drain_enrollments.apply_async(retry=False)

    _quietly(act, "a drain")


def drain_started() -> None:
    """Take the mark away before rows are claimed, so that a later row queues a new drain."""
    _quietly(lambda: _client().delete(_DRAIN_QUEUED), "the start of a drain")


def enroll(enrollment_id: int) -> None:
    """Ask for one enrollment with a CA that does not answer at once."""

    def act() -> None:
        from renewal.tasks import enroll_one

        enroll_one.apply_async(args=[enrollment_id], retry=False)

    _quietly(act, f"enrollment {enrollment_id}")


def ask(authority_id: int) -> None:
    """Ask for a look at what one CA still owes an answer for."""

    def act() -> None:
        from renewal.tasks import ask_authority

        ask_authority.apply_async(args=[authority_id], retry=False)

    _quietly(act, f"the look-ups at authority {authority_id}")


def revoke(revocation_id: int) -> None:
    """Ask for one revocation."""

    def act() -> None:
        from renewal.tasks import revoke_certificate

        revoke_certificate.apply_async(args=[revocation_id], retry=False)

    _quietly(act, f"revocation {revocation_id}")


def bulk(job_id: int) -> None:
    """Ask for the work on one bulk job."""

    def act() -> None:
        from renewal.tasks import run_bulk_job

        run_bulk_job.apply_async(args=[job_id], retry=False)

    _quietly(act, f"bulk job {job_id}")


def publish_crl(authority_id: int) -> None:
    """Ask for a new CRL."""

    def act() -> None:
        from renewal.tasks import publish_crl as task

        task.apply_async(args=[authority_id], retry=False)

    _quietly(act, f"the CRL of authority {authority_id}")


def announce(serial_number: str) -> None:
    """Wake the Register that waits for an enrollment, known by its intended serial number."""
    _quietly(lambda: _client().publish(DONE_CHANNEL, serial_number), "an announcement")


def census() -> None:
    """Ask for the fleet to be counted."""

    def act() -> None:
        from renewal.tasks import take_census

        take_census.apply_async(retry=False)

    _quietly(act, "a census")
