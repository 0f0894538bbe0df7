"""Jobs of orchestrators: FetchLogs, from the request to the finished log.

Owns `Job` rows. A job is handed out with a session and can be worked on only inside one.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, UUIDField

from orchestrators.models import Job, JobState, Orchestrator
from orchestrators.protocol.answers import JobTicket
from orchestrators.protocol.requests import JobCompleteStatus, JobCompletion
from orchestrators.protocol.terms import Capability
from orchestrators.records import parse_agent_id
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.statements import Parameter, Select

CONFIGURATION_ENDPOINT = "/Jobs/FetchLogs/Configuration"
COMPLETION_ENDPOINT = "/Jobs/FetchLogs/Completion"


class LogsNotOffered(Exception):
    """The orchestrator cannot send its log; nothing was queued."""


def offers_logs(orchestrator: Orchestrator) -> bool:
    """Say whether it may send its log: whoever has never had a session has announced nothing."""
    known = {Capability.FETCH_LOGS.lower(), Capability.GUIDS[Capability.FETCH_LOGS].lower()}
    announced = {str(name).lower() for name in orchestrator.capabilities}
    return not orchestrator.had_session or bool(known & announced)


def request_logs(
    orchestrator: Orchestrator, *, actor: Actor, now: datetime, message: str = ""
) -> tuple[Job, bool]:
    """Queue a FetchLogs job and return it with True; one that waits already with False instead of
    a second one. Raises LogsNotOffered.
    """
    if not offers_logs(orchestrator):
        raise LogsNotOffered
    with transaction.atomic():
        if waiting := waiting_for_logs(orchestrator).first():
            return waiting, False
        job = Job.objects.create(
            orchestrator=orchestrator,
            capability=Capability.FETCH_LOGS,
            requested_at=now,
            requested_by=actor.name,
        )
        record(
            actor,
            Category.ORCHESTRATOR,
            "logs_requested",
            object_type="job",
            object_id=job.job_id,
            object_name=orchestrator.client_machine,
            orchestrator_id=orchestrator.pk,
            message=message,
        )
    return job, True


def waiting_for_logs(orchestrator: Orchestrator) -> QuerySet[Job]:
    """Return the FetchLogs job of an orchestrator that waits, if there is one."""
    return _waiting().filter(orchestrator=orchestrator)


def asked_for_logs(rows: QuerySet[Orchestrator]) -> set[UUID]:
    """Return those of some orchestrators for which a FetchLogs job waits."""
    of_them = _waiting().filter(orchestrator__in=rows.order_by().values("pk"))
    return set(of_them.values_list("orchestrator_id", flat=True))


def _waiting() -> QuerySet[Job]:
    return Job.objects.filter(capability=Capability.FETCH_LOGS, state=JobState.WAITING)


def _ticket(job_id: UUID, capability: str) -> JobTicket:
    return JobTicket(
        job_id=str(job_id),
        capability=capability,
        configuration_endpoint=CONFIGURATION_ENDPOINT,
        completion_endpoint=COMPLETION_ENDPOINT,
    )


_OPEN_JOBS = Select(
    lambda: (
        Job.objects.filter(
            orchestrator_id=Parameter("orchestrator", UUIDField()),
            state__in=[JobState.WAITING, JobState.IN_PROCESS],
        )
        .order_by("pk")
        .values_list("job_id", "capability")[:100]
    ),
    _ticket,
)


def tickets(orchestrator: Orchestrator) -> tuple[JobTicket, ...]:
    """Return the jobs to hand out with a session (one query)."""
    return tuple(_OPEN_JOBS.all(orchestrator=orchestrator.pk))


def start(orchestrator: Orchestrator, job_id: str, *, now: datetime) -> Job | None:
    """Begin a job of this orchestrator; None if it has none such (T6)."""
    job = _own(orchestrator, job_id)
    if job is None or job.state not in (JobState.WAITING, JobState.IN_PROCESS):
        return None
    Job.objects.filter(pk=job.pk, state=JobState.WAITING).update(
        state=JobState.IN_PROCESS, started_at=now
    )
    return job


def complete(
    orchestrator: Orchestrator, completion: JobCompletion, *, most_characters: int, now: datetime
) -> bool:
    """Finish a job of this orchestrator; False if it has none such, or it has ended already."""
    job = _own(orchestrator, completion.job_id)
    if job is None:
        return False
    status = completion.status if completion.status in set(JobCompleteStatus) else 0
    return bool(
        Job.objects.filter(pk=job.pk, state__in=[JobState.WAITING, JobState.IN_PROCESS]).update(
            state=JobState.COMPLETED,
            result=status,
            message=completion.message,
            log=completion.log[-most_characters:],
            finished_at=now,
        )
    )


def cancel_all(orchestrator: Orchestrator, *, now: datetime) -> int:
    """Cancel the open jobs of a record at its Reset; return how many."""
    return Job.objects.filter(
        orchestrator=orchestrator, state__in=[JobState.WAITING, JobState.IN_PROCESS]
    ).update(state=JobState.CANCELED, finished_at=now)


def _own(orchestrator: Orchestrator, job_id: str) -> Job | None:
    parsed = parse_agent_id(job_id)
    if parsed is None:
        return None
    return Job.objects.filter(job_id=parsed, orchestrator=orchestrator).first()
