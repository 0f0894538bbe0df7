"""Who may be asked for something and gets no session to do it in.

Owns why, and how many of some records it holds for. What an operator reads of it is the pages'.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from orchestrators.models import Orchestrator
from renewal.models import Certificate
from renewal.rules.periods import Periods
from renewal.rules.standing import UNPROVEN
from renewal.selectors.states import RenewalState, having


class Deaf(StrEnum):
    """Why an orchestrator gets no session."""

    EXPIRED = "expired"
    RETURNING = "returning"
    """Expired too, but it was given a certificate that lets it in: it has yet to use that one."""
    WAITING = "waiting"
    DISAPPROVED = "disapproved"


def deaf_among(rows: QuerySet[Orchestrator], periods: Periods, *, now: datetime) -> dict[Deaf, int]:
    """Count who of some records gets no session, by why: exactly, in one query that reads them
    all.
    """
    expired = having(RenewalState.EXPIRED, periods, now=now)
    unproven = Certificate.objects.filter(
        orchestrator=OuterRef("pk"),
        standing__in=sorted(UNPROVEN),
        revoked_at=None,
        not_after__gte=now,
    )
    # In this order: few await a first use, and only theirs are looked for.
    delivered = Q(awaiting_first_use_since__isnull=False) & Q(Exists(unproven))
    conditions = {
        Deaf.EXPIRED: expired & ~delivered,
        Deaf.RETURNING: expired & delivered,
        Deaf.WAITING: having(RenewalState.WAITING, periods, now=now),
        Deaf.DISAPPROVED: having(RenewalState.DISAPPROVED, periods, now=now),
    }
    numbers = rows.order_by().aggregate(
        **{why.value: Count("pk", filter=condition) for why, condition in conditions.items()}
    )
    return {why: numbers[why.value] for why in Deaf if numbers[why.value]}
