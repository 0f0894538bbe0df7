"""Celery's tasks: each fetches `now`, calls one function and is safe to run twice.

Owns no rule. Messages carry at most a row id; the sweeps find every row that no message reached.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from portal.preferences import store
from renewal import census, crl, dispatch, own_certificates, retention, revocations
from renewal.bulk.work import run as work_on_bulk_job
from renewal.bulk.work import waiting as free_bulk_jobs
from renewal.enrollment import lookups, sweeping, work
from renewal.identity import approval_expiry, trust
from renewal.rules.alarms import LOOKED_AFTER_EVERY

log = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def drain_enrollments() -> None:
    """Enrol everything that waits for CAs that answer at once."""
    work.drain(now=timezone.now())


@shared_task(ignore_result=True)
def enroll_one(enrollment_id: int) -> None:
    """Enrol one CSR with a CA that takes its time."""
    work.enroll_one(enrollment_id, now=timezone.now())


@shared_task(ignore_result=True)
def revoke_certificate(revocation_id: int) -> None:
    """Carry out one recorded revocation."""
    revocations.run(revocation_id, now=timezone.now())


@shared_task(ignore_result=True)
def publish_crl(authority_id: int) -> None:
    """Sign a new CRL."""
    crl.publish(authority_id, now=timezone.now())


@shared_task(ignore_result=True)
def sweep_enrollments() -> None:
    """Find enrollments that were lost and set them going again; no CA is asked here."""
    rows = sweeping.sweep(now=timezone.now())
    for authority_id in lookups.to_be_asked(now=timezone.now()):
        dispatch.ask(authority_id)
    if any(at_once for _, at_once in rows):
        work.drain(now=timezone.now())
    for pk, at_once in rows:
        if not at_once:
            dispatch.enroll(pk)


@shared_task(ignore_result=True)
def ask_authority(authority_id: int) -> None:
    """Ask one CA about requests whose outcome is unknown or that it answers later."""
    lookups.ask(authority_id, now=timezone.now())


@shared_task(ignore_result=True)
def sweep_revocations() -> None:
    """Find revocations that were lost or deferred and set them going again."""
    for pk in revocations.sweep(now=timezone.now()):
        dispatch.revoke(pk)


@shared_task(ignore_result=True)
def run_bulk_job(job_id: int) -> None:
    """Work on one bulk job for a while."""
    if work_on_bulk_job(job_id, now=timezone.now()):
        dispatch.bulk(job_id)


@shared_task(ignore_result=True)
def sweep_bulk_jobs() -> None:
    """Find bulk jobs that no worker holds and set them going again."""
    for pk in free_bulk_jobs():
        dispatch.bulk(pk)


@shared_task(ignore_result=True)
def publish_crls() -> None:
    """Renew the CRLs that are a day old or lack a revocation."""
    for pk in crl.due(now=timezone.now()):
        try:
            crl.publish(pk, now=timezone.now())
        except Exception:
            # One broken CA must not keep the others from their CRLs.
            log.exception("the CRL of authority %s could not be renewed", pk)


@shared_task(ignore_result=True)
def renew_own_certificates() -> None:
    """Renew the portal's own server and issuing certificates when they are due."""
    own_certificates.renew_due(now=timezone.now())


@shared_task(ignore_result=True)
def refresh_trust_anchors() -> None:
    """Write the anchors' file again if it is not what the rows say."""
    trust.export_anchors()


@shared_task(ignore_result=True)
def expire_approval_requests() -> None:
    """Close the requests for approval that nobody touched for too long."""
    approval_expiry.expire(store.load(), now=timezone.now())


@shared_task(ignore_result=True)
def take_census() -> None:
    """Count the fleet again for the pages that show it, if it is time."""
    census.take_due(now=timezone.now())


@shared_task(ignore_result=True)
def tidy() -> None:
    """Throw away what nobody will look at again."""
    retention.tidy(now=timezone.now())


BEAT_SCHEDULE = {
    "sweep-enrollments": {
        "task": "renewal.tasks.sweep_enrollments",
        "schedule": timedelta(seconds=10),
    },
    "sweep-revocations": {
        "task": "renewal.tasks.sweep_revocations",
        "schedule": timedelta(seconds=30),
    },
    "expire-approval-requests": {
        "task": "renewal.tasks.expire_approval_requests",
        "schedule": timedelta(minutes=30),
    },
    "sweep-bulk-jobs": {
        "task": "renewal.tasks.sweep_bulk_jobs",
        "schedule": timedelta(seconds=15),
    },
    "take-census": {"task": "renewal.tasks.take_census", "schedule": timedelta(seconds=60)},
    "tidy": {"task": "renewal.tasks.tidy", "schedule": timedelta(hours=6)},
    "renew-own-certificates": {
        "task": "renewal.tasks.renew_own_certificates",
        "schedule": LOOKED_AFTER_EVERY,
    },
    "publish-crls": {"task": "renewal.tasks.publish_crls", "schedule": timedelta(minutes=1)},
    "refresh-trust-anchors": {
        "task": "renewal.tasks.refresh_trust_anchors",
        "schedule": timedelta(seconds=60),
    },
}
"""The beat schedule, in code; `portal/celery.py` hands it to Celery."""
