"""Verifications that somebody asked for on the page: asked, run by a worker, kept.

Owns the rows; what a run looks at is `verification.py`'s. One run at a time is enough for a log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from portal.audit import sealing, verification
from portal.audit.findings import BROKEN_OFF, Report
from portal.audit.models import AuditVerification, Category
from portal.audit.trail import PORTAL, Actor, record

log = logging.getLogger(__name__)

_GIVEN_UP_AFTER = timedelta(hours=1)
"""A run that has not ended by then died with its worker."""


def request(actor: Actor, *, now: datetime) -> AuditVerification:
    """Ask for a run; one that is open already serves this asker too."""
    still_open = AuditVerification.objects.filter(
        finished_at=None, requested_at__gt=now - _GIVEN_UP_AFTER
    )
    if (found := still_open.order_by("pk").first()) is not None:
        return found
    with transaction.atomic():
        made = AuditVerification.objects.create(requested_by=actor.name[:200], requested_at=now)
        _tell(made, actor, "audit_verification_requested")
    return made


def newest() -> AuditVerification | None:
    """Return the newest run, asked for, running or done."""
    return AuditVerification.objects.order_by("-pk").first()


def newest_finished() -> AuditVerification | None:
    """Return the newest run that is done."""
    return AuditVerification.objects.exclude(finished_at=None).order_by("-finished_at").first()


def run(*, now: Callable[[], datetime]) -> None:
    """Carry out what was asked for."""
    started = now()
    open_runs = AuditVerification.objects.filter(
        Q(started_at=None) | Q(started_at__lt=started - _GIVEN_UP_AFTER), finished_at=None
    )
    for row in open_runs.order_by("pk")[:5]:
        taken = AuditVerification.objects.filter(pk=row.pk, started_at=row.started_at)
        if not taken.update(started_at=started):
            continue
        report = _report(now)
        with transaction.atomic():
            AuditVerification.objects.filter(pk=row.pk).update(
                finished_at=now(),
                rows=report.rows,
                unsealed=report.unsealed,
                findings=report.told(),
                more_findings=report.more_findings,
            )
            found = [finding.kind for finding in report.findings]
            _tell(row, PORTAL, "audit_verified", rows=report.rows, findings=found)


def _report(now: Callable[[], datetime]) -> Report:
    """Return what a run found, also if it broke off: whoever asked for it waits for its end."""
    config = settings.CONFIG
    try:
        sealing.seal(now=now)
        return verification.verify(
            keys_in=config.audit_folder, checkpoints_file=config.audit_checkpoints, now=now()
        )
    except Exception:
        log.exception("the verification of the audit log broke off")
        report = Report()
        report.add(BROKEN_OFF)
        return report


def _tell(row: AuditVerification, actor: Actor, action: str, **after: object) -> None:
    """The result is in the chain too: a row of this table could be written by anybody."""
    record(actor, Category.ACCESS, action, object_type="audit", object_id=row.pk, after=after)
