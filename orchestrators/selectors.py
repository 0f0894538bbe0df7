"""Reads of orchestrators for pages and API: sessions, jobs, bootstrap credentials.

Owns no change and nothing of certificates; reads that join those are `renewal/selectors`'s.
"""

from __future__ import annotations

from uuid import UUID

from orchestrators.models import (
    AgentSession,
    BootstrapCredential,
    EnrollmentClaim,
    Job,
    JobState,
    Orchestrator,
)
from orchestrators.reach import within
from portal.access.reach import Reach

OPEN_JOBS = (JobState.WAITING, JobState.IN_PROCESS)


def orchestrator(pk: UUID, *reaches: Reach) -> Orchestrator | None:
    """Return a record within the reaches, with its service account and group."""
    rows = Orchestrator.objects.select_related("service_account", "group").filter(pk=pk)
    return within(rows, *reaches).first()


def sessions_of(orchestrator: Orchestrator) -> list[AgentSession]:
    """Return the newest sessions of a record, newest first."""
    return list(AgentSession.objects.filter(orchestrator=orchestrator).order_by("-id")[:10])


def jobs_of(orchestrator: Orchestrator) -> list[Job]:
    """Return the newest jobs of a record, newest first, without their logs."""
    return list(Job.objects.filter(orchestrator=orchestrator).defer("log").order_by("-id")[:10])


def job(orchestrator_id: UUID, job_id: UUID, *reaches: Reach) -> Job | None:
    """Return one job of a record within the reaches, with its log."""
    rows = Job.objects.select_related("orchestrator").filter(
        job_id=job_id, orchestrator_id=orchestrator_id
    )
    return within(rows, *reaches, by="orchestrator_id").first()


def claim_of(orchestrator: Orchestrator) -> EnrollmentClaim | None:
    """Return the claim of a record's first enrollment: open, or over unused."""
    return (
        EnrollmentClaim.objects.select_related("credential")
        .filter(orchestrator=orchestrator, generation=orchestrator.generation, closed_at=None)
        .first()
    )


def bootstrap_credentials() -> list[BootstrapCredential]:
    """Return the newest bootstrap credentials, newest first."""
    return list(
        BootstrapCredential.objects.select_related("bound_to", "service_account").order_by("-id")[
            :50
        ]
    )
