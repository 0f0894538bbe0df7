"""Certificates as somebody sees them who may not see each orchestrator that they belong to.

Owns what is left of them: beyond the reach of the permission to see orchestrators, a certificate is
nobody's, and whoever asked for it is an orchestrator without a name. Costs one query at most for a
page, and none where that reach covers the one by which the certificates were read.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from orchestrators.models import Orchestrator
from orchestrators.reach import reachable, within
from portal.access.reach import Reach
from renewal.models import Certificate

SOMEBODY = "an orchestrator"
_BY_AN_ORCHESTRATOR = "orchestrator "
"""How the name of an actor begins that is an orchestrator (`portal/agent_api/acting.py`)."""


def hide_beyond(rows: Iterable[Certificate], agents: Reach, *, given: Reach) -> None:
    """Take from certificates, read within ``given``, the orchestrators beyond ``agents``.

    The rows are for showing alone from then on.
    """
    for row in _beyond(list(rows), agents, given):
        row.orchestrator = None
        for asked in (getattr(row, "enrollment", None), getattr(row, "revocation", None)):
            if asked is not None:
                asked.requested_by = nameless(asked.requested_by)


def hide_name_beyond(row: Certificate, agents: Reach, *, given: Reach) -> None:
    """Take the name alone: what becomes of its user is told before a certificate is revoked."""
    for each in _beyond([row], agents, given):
        assert each.orchestrator is not None
        each.orchestrator.client_machine = ""


def nameless(actor_name: str) -> str:
    """Return who acted; of an orchestrator, that it was one."""
    return SOMEBODY if actor_name.startswith(_BY_AN_ORCHESTRATOR) else actor_name


def nobodys_or_within(agents: Reach) -> Q:
    """Return the condition for certificates whose orchestrator, if any, is shown."""
    seen = within(Orchestrator.objects.order_by(), agents).values("pk")
    return Q(orchestrator=None) | Q(orchestrator__in=seen)


def by_no_orchestrator() -> Q:
    """Return the condition for audit rows whose actor is shown by name in any case."""
    return ~Q(actor_name__startswith=_BY_AN_ORCHESTRATOR)


def _beyond(rows: list[Certificate], agents: Reach, given: Reach) -> list[Certificate]:
    if agents.covers(given):
        return []
    held = [row for row in rows if row.orchestrator_id is not None]
    known = reachable({row.orchestrator_id for row in held if row.orchestrator_id}, agents)
    return [row for row in held if row.orchestrator_id not in known]
