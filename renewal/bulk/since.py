"""What came of the renewals that a job asked for: asked is not renewed.

Owns where each orchestrator of such a job is since then. A renewal is complete only once a session
has used the new certificate; that it was asked for and delivered is not enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Case, CharField, Count, Exists, OuterRef, QuerySet, Value, When

from orchestrators.models import Orchestrator
from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.models import BulkItem, BulkJob, Certificate
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import ItemState

MOST_COUNTED = 10_000
"""Of a larger job the page costs no walk through all that it asked."""
_ASKED = (ItemState.CHANGED, ItemState.UNCHANGED)


class Since(StrEnum):
    """Where an orchestrator is since a job asked it to renew; the first that holds."""

    RENEWED = "renewed"
    """A session has used a certificate that was delivered since."""
    DELIVERED = "delivered"
    """A new certificate was delivered; no session has used it."""
    WITHDRAWN = "withdrawn"
    """It is not asked any more, and has no new certificate."""
    CALLED = "called"
    """It has called since, and has no new certificate yet."""
    SILENT = "silent"
    """It has not called since."""


UNFINISHED = (Since.DELIVERED, Since.CALLED, Since.SILENT)
"""Where one is that may still renew because of the job."""


class Place(NamedTuple):
    """Where one orchestrator is, and when it called last (None: never)."""

    since: Since
    last_seen: datetime | None


def is_counted(job: BulkJob) -> bool:
    """Say whether a job asks for renewals, and of few enough to be counted."""
    asks = job.act in (Act.REQUEST, Act.REQUIRE)
    return asks and 0 < job.changed + job.unchanged <= MOST_COUNTED


def counts(job: BulkJob, reach: Reach) -> dict[Since, int]:
    """Return how many of those within the reach are where, each in one place."""
    asked = BulkItem.objects.filter(job=job, state__in=_ASKED)
    rows = _placed(job, reach).filter(pk__in=asked.values("orchestrator_id"))
    found = dict(rows.values_list("since").annotate(number=Count("pk")).order_by())
    return {since: found.get(since, 0) for since in Since}


def narrowed(items: QuerySet[BulkItem], job: BulkJob, reach: Reach, place: Since) -> QuerySet[Any]:
    """Narrow a job's items to those that it asked and that are in one place now."""
    there = _placed(job, reach).filter(since=place).values("pk")
    return items.filter(state__in=_ASKED, orchestrator_id__in=there)


def places(job: BulkJob, items: Iterable[BulkItem], reach: Reach) -> dict[UUID, Place]:
    """Return where the orchestrators of a few items are; whom the job did not ask is nowhere."""
    asked = [item.orchestrator_id for item in items if item.state in _ASKED]
    rows = _placed(job, reach).filter(pk__in=asked).values_list("pk", "since", "last_seen")
    return {pk: Place(Since(since), last_seen) for pk, since, last_seen in rows}


def _placed(job: BulkJob, reach: Reach) -> QuerySet[Any]:
    """Annotate the records with ``since``."""
    new = Certificate.objects.filter(orchestrator=OuterRef("pk"), delivered_at__gte=job.created_at)
    delivered, proven = Exists(new), Exists(new.filter(proven_at__isnull=False))
    place = Case(
        When(proven, then=Value(Since.RENEWED)),
        When(delivered, then=Value(Since.DELIVERED)),
        When(flag=0, then=Value(Since.WITHDRAWN)),
        When(last_seen__gte=job.created_at, then=Value(Since.CALLED)),
        default=Value(Since.SILENT),
        output_field=CharField(),
    )
    rows: QuerySet[Any] = Orchestrator.objects.annotate(since=place)
    return within(rows, reach)
