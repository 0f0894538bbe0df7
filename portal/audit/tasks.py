"""Celery's tasks of the audit log.

Owns no rule. Runs on a schedule: each run does what is there to do and is safe to run twice.
"""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from portal.audit import refusals, requested, sealing


@shared_task(ignore_result=True)
def seal_audit_log() -> None:
    """Seal what was committed since the last look."""
    sealing.seal(now=timezone.now)


@shared_task(ignore_result=True)
def seal_whole_audit_log() -> None:
    """Seal also what a very long transaction brought."""
    sealing.seal(now=timezone.now, everything=True)


@shared_task(ignore_result=True)
def verify_audit_log() -> None:
    """Carry out the verifications that were asked for on the page."""
    requested.run(now=timezone.now)


@shared_task(ignore_result=True)
def forget_noted_refusals() -> None:
    """Delete what bounds the rows of refusals no more."""
    refusals.forget(now=timezone.now())


BEAT_SCHEDULE = {
    # A message that nobody took in time is not worth keeping: the next one does the same.
    "seal-audit-log": {
        "task": "portal.audit.tasks.seal_audit_log",
        "schedule": timedelta(seconds=1),
        "options": {"expires": 2},
    },
    "seal-whole-audit-log": {
        "task": "portal.audit.tasks.seal_whole_audit_log",
        "schedule": timedelta(hours=1),
        "options": {"expires": 600},
    },
    "forget-noted-refusals": {
        "task": "portal.audit.tasks.forget_noted_refusals",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 600},
    },
    "verify-audit-log": {
        "task": "portal.audit.tasks.verify_audit_log",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 10},
    },
}
