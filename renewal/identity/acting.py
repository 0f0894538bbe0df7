"""What every act on a record needs: its row locked, its state for the audit log, a refusal.

Owns no act: those are in `approvals.py`, and the others beside it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from orchestrators.models import Orchestrator, Status
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal.rules.lifecycle import EnrollmentState


class ActRefused(ValueError):
    """The act is not possible; ``reason`` is stable, the message is for a person."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def locked(orchestrator_id: UUID) -> Orchestrator:
    """Return the record with its row locked. Raises ActRefused."""
    found = (
        Orchestrator.objects.select_for_update(of=("self",))
        .select_related("service_account")
        .filter(pk=orchestrator_id)
        .first()
    )
    if found is None:
        raise ActRefused("unknown", "There is no such orchestrator.")
    return found


def state_of(orchestrator: Orchestrator) -> dict[str, object]:
    """Return a record's state as an audit row keeps it."""
    return {
        "status": Status(orchestrator.status).label,
        "thumbprint": orchestrator.thumbprint,
        "legacy_thumbprint": orchestrator.legacy_thumbprint,
        "flag": orchestrator.flag,
        "generation": orchestrator.generation,
    }


def audit(
    orchestrator: Orchestrator,
    action: str,
    actor: Actor,
    *,
    before: dict[str, object],
    message: str,
    after: dict[str, object] | None = None,
) -> None:
    """Write the audit row of an act on a record."""
    record(
        actor,
        Category.ORCHESTRATOR,
        action,
        object_type="orchestrator",
        object_id=orchestrator.pk,
        object_name=orchestrator.client_machine,
        orchestrator_id=orchestrator.pk,
        before=before,
        after=state_of(orchestrator) if after is None else after,
        message=message,
    )


def drop_waiting_enrollments(orchestrator: Orchestrator, actor: Actor, *, now: datetime) -> None:
    """Discard what no CA has been asked for; what is in flight is fenced by its generation."""
    for row in orchestrator.enrollments.filter(state=EnrollmentState.WAITING):
        dropped = orchestrator.enrollments.filter(pk=row.pk, state=EnrollmentState.WAITING).update(
            state=EnrollmentState.DISCARDED, finished_at=now
        )
        if dropped:
            record(
                actor,
                Category.ENROLLMENT,
                "enrollment_dropped",
                object_type="enrollment",
                object_id=row.pk,
                orchestrator_id=orchestrator.pk,
            )
