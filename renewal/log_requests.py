"""Asking an orchestrator for its log: one act among those of `renewal/rules/acts.py`.

Owns that what cannot be asked is refused as every act is. The job is `orchestrators/jobs.py`'s.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from orchestrators import jobs
from portal.audit.trail import Actor
from renewal.identity.acting import ActRefused, locked
from renewal.rules.acts import SENTENCES


def ask(pk: UUID, *, actor: Actor, now: datetime, message: str = "") -> bool:
    """Queue a job that fetches its log; False if one waits already.

    Raises ActRefused: ``logs_not_offered``, ``unknown``.
    """
    with transaction.atomic():
        orchestrator = locked(pk)
        try:
            _, is_new = jobs.request_logs(orchestrator, actor=actor, now=now, message=message)
        except jobs.LogsNotOffered:
            raise ActRefused("logs_not_offered", SENTENCES["logs_not_offered"]) from None
    return is_new
