"""Clones and duplicates in the fleet as it is: one certificate at two hosts, one name twice.

Detection only: nothing is changed, and whether it is a clone is for a person to say. Bounded, and
two statements for each question. What two hosts are is `renewal/rules/risks.py`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, QuerySet

from orchestrators.models import AgentSession, Orchestrator, Status
from orchestrators.reach import within
from portal.access.reach import EVERYTHING, Reach
from renewal.rules.risks import Place, is_two_hosts, placed

MOST_FOUND = 200
_MOST_SESSIONS = 10_000
LOOKED_BACK = timedelta(days=30)


@dataclass(frozen=True)
class SameName:
    """Records whose names differ in nothing but a start stamp: probably one host."""

    name: str
    records: Sequence[UUID]


@dataclass(frozen=True)
class TwoHosts:
    """One orchestrator whose certificate opens sessions from several addresses in turn."""

    orchestrator: UUID
    name: str
    addresses: Sequence[str]


def same_names(*, seen: Reach = EVERYTHING) -> list[SameName]:
    """Return the names that several records have that work or want to, the most first."""
    rows = within(_real(), seen).exclude(claim_key="")
    several = (
        rows.values("claim_key")
        .annotate(number=Count("pk"))
        .filter(number__gt=1)
        .order_by("-number", "claim_key")
    )
    keys = [row["claim_key"] for row in several[:MOST_FOUND]]
    found: dict[str, list[UUID]] = defaultdict(list)
    for key, pk in (
        rows.filter(claim_key__in=keys)
        .order_by("created_at", "pk")
        .values_list("claim_key", "pk")[:_MOST_SESSIONS]
    ):
        found[key].append(pk)
    return [SameName(key, found[key]) for key in keys]


def two_hosts(*, seen: Reach = EVERYTHING, now: datetime) -> list[TwoHosts]:
    """Return the orchestrators whose sessions of the last days came from two hosts in turn.

    A host that moved has two addresses, one after the other, and is not told.
    """
    recent = AgentSession.objects.filter(
        started_at__gt=now - LOOKED_BACK, orchestrator__in=within(_real(), seen)
    ).exclude(address="")
    several = (
        recent.values("orchestrator")
        .annotate(number=Count("address", distinct=True))
        .filter(number__gt=1)
        .order_by("-number", "orchestrator")
    )
    keys = [row["orchestrator"] for row in several[:MOST_FOUND]]
    names: dict[UUID, str] = {}
    places: dict[tuple[UUID, str], list[Place]] = defaultdict(list)
    sessions = recent.filter(orchestrator__in=keys).order_by("started_at", "pk")
    for pk, name, thumbprint, address, at in sessions.values_list(
        "orchestrator", "orchestrator__client_machine", "thumbprint", "address", "started_at"
    )[:_MOST_SESSIONS]:
        names[pk] = name
        known = places[pk, thumbprint]
        # One name: only the addresses tell hosts apart here.
        places[pk, thumbprint] = placed(known, name="", address=address, at=at.isoformat())
    found: dict[UUID, TwoHosts] = {}
    for (pk, _), seen_at in places.items():
        if is_two_hosts(seen_at):
            addresses = sorted({address for _, address, *_ in seen_at})
            found.setdefault(pk, TwoHosts(pk, names[pk], addresses))
    return [found[pk] for pk in keys if pk in found]


def _real() -> QuerySet[Orchestrator]:
    return Orchestrator.objects.filter(
        status__in=[Status.NEW, Status.APPROVED], demonstration=False
    )
