"""Writing audit rows: `Actor` says who, `record` writes one row in the caller's transaction.

Rows of one request id belong together: what one request or one bulk act did is one group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from portal.audit.models import AuditEntry, Category
from portal.audit.wording import one_line


@dataclass(frozen=True)
class Actor:
    """Who causes a change. ``user_id`` is None for orchestrators and the portal itself."""

    name: str
    user_id: int | None = None
    source_address: str = ""
    request_id: str = ""


PORTAL = Actor(name="portal")
"""Sweeps and tasks that act on nobody's behalf."""


def record(
    actor: Actor,
    category: Category,
    action: str,
    *,
    object_type: str,
    object_id: object,
    object_name: str = "",
    orchestrator_id: UUID | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    message: str = "",
) -> AuditEntry:
    """Write one audit row in the transaction that is open (C9, S46 in docs/promises.md)."""
    return AuditEntry.objects.create(
        **_who(actor),
        category=category,
        action=action,
        object_type=object_type,
        object_id=str(object_id)[:64],
        object_name=one_line(object_name)[:255],
        orchestrator_id=orchestrator_id,
        before=dict(before or {}),
        after=dict(after or {}),
        message=one_line(message)[:1000],
    )


def record_each(
    actor: Actor,
    category: Category,
    action: str,
    told: Iterable[tuple[UUID, str, Mapping[str, Any], Mapping[str, Any]]],
    *,
    message: str = "",
) -> None:
    """Write a row for each of many orchestrators in one statement: id, name, before and after."""
    AuditEntry.objects.bulk_create(
        AuditEntry(
            **_who(actor),
            category=category,
            action=action,
            object_type="orchestrator",
            object_id=str(pk),
            object_name=one_line(name)[:255],
            orchestrator_id=pk,
            before=dict(before),
            after=dict(after),
            message=one_line(message)[:1000],
        )
        for pk, name, before, after in told
    )


def _who(actor: Actor) -> dict[str, Any]:
    return {
        "actor_id": actor.user_id,
        "actor_name": one_line(actor.name)[:200],
        "source_address": actor.source_address[:64],
        "request_id": actor.request_id[:64],
    }
