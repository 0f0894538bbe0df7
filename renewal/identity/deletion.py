"""Deleting a record that may work no longer.

Owns what goes with a record and what stays: certificates, enrollments and revocations stay as
history of nobody, the audit log stays whole; sessions, jobs, claims and approval requests go.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from orchestrators import credentials
from orchestrators.models import BootstrapCredential, Job, JobState, Status
from portal.access.catalogue import Permission, entry_for
from portal.audit.trail import Actor
from portal.preferences import store
from renewal.identity import questions, standings
from renewal.identity.acting import ActRefused, audit, drop_waiting_enrollments, locked, state_of
from renewal.identity.policies import policies

_EASED = (
    "By policy its return is decided more strictly than a first registration, which it would be "
    f"after this: deleting it needs {entry_for(Permission.APPROVALS_OVERRIDE).access_string} too."
)


def delete(
    orchestrator_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    force: bool = False,
    may_override: bool = False,
) -> None:
    """Delete a disapproved record; ``force`` deletes its open jobs with it.

    Where the policies judge its return more strictly than a first registration, that is for those
    who ``may_override`` them: its host comes back as somebody unknown (C13 in docs/promises.md).

    Its certificates authenticate nobody from then on: who comes with one is a stranger. What a CA
    still answers for it is revoked on arrival. Raises ActRefused.
    """
    with transaction.atomic():
        orchestrator = locked(orchestrator_id)
        if orchestrator.status != Status.DISAPPROVED:
            raise ActRefused(
                "not_disapproved",
                "Only a disapproved orchestrator is deleted: disapprove it first.",
            )
        open_jobs = Job.objects.filter(
            orchestrator=orchestrator, state__in=[JobState.WAITING, JobState.IN_PROCESS]
        )
        if not force and open_jobs.exists():
            raise ActRefused("has_jobs", "It has jobs that are not done; force deletes them too.")
        is_eased = policies(store.load()).is_eased_by_deletion(questions.of(orchestrator))
        if is_eased and not may_override:
            raise ActRefused("return_eased", _EASED)
        before = state_of(orchestrator)
        drop_waiting_enrollments(orchestrator, actor, now=now)
        # A credential that is bound to one record must not be free for another one.
        bound = BootstrapCredential.objects.filter(
            bound_to=orchestrator, one_time=True, spent_at=None
        )
        for credential in bound.order_by("pk"):
            credentials.revoke(credential, actor=actor, now=now)
        standings.archive_all(orchestrator, now=now)
        message = "Against the policies of its return." if is_eased else ""
        audit(orchestrator, "deleted", actor, before=before, after={}, message=message)
        orchestrator.delete()
