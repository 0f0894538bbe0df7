"""What came of the renewals that a job asked for: asked is not renewed.

Owns where each orchestrator of such a job is since then. A renewal is complete only once a session
has used the new certificate; that it was asked for and delivered is not enough. What becomes of the
certificate that it replaced is told apart, and not of the ones before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from orchestrators.models import Orchestrator
from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.models import BulkItem, BulkJob, Certificate, Enrollment
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import ItemState
from renewal.rules.lifecycle import OPEN_ENROLLMENT, RevocationState
from renewal.selectors.marks import is_overdue_revocation

MOST_COUNTED = 10_000
"""Of a larger job the page costs no walk through all that it asked."""
_ASKED = (ItemState.CHANGED, ItemState.UNCHANGED)


class Since(StrEnum):
    """Where an orchestrator is since a job asked it to renew; the first that holds."""

    RENEWED = "renewed"
    """A session has used a certificate that was delivered since."""
    DELIVERED = "delivered"
    """A new certificate was delivered; no session has used it."""
    WITH_CA = "with-ca"
    """It has sent a CSR since; its certificate is awaited."""
    WITHDRAWN = "withdrawn"
    """It is not asked any more, and has no new certificate."""
    CALLED = "called"
    """It has called since, and has no new certificate yet."""
    SILENT = "silent"
    """It has not called since."""


class Old(StrEnum):
    """What became of the certificate that a complete renewal replaced; the first that holds."""

    REVOKED = "old-revoked"
    """Its CA has revoked it."""
    OVERDUE = "old-overdue"
    """Its revocation failed, or no CA has carried it out in time."""
    ASKED = "old-asked"
    """Its revocation is recorded; the CA was not told yet."""
    KEPT = "old-kept"
    """Nothing is to be revoked at a CA of this portal, or it expired before."""


Place = Since | Old
"""Where one orchestrator is. A renewed one's is an `Old`; `Since.RENEWED` means any of these."""
ON_THE_WAY = (Since.DELIVERED, Since.WITH_CA, Since.CALLED, Since.SILENT, Old.OVERDUE, Old.ASKED)
"""Where one is of whom more may still come because of the job."""


class Whereabouts(NamedTuple):
    """Where one orchestrator is, and when it called last (None: never)."""

    since: Since
    old: Old | None
    """Of a renewed one."""
    last_seen: datetime | None


def place_of(text: str) -> Place | None:
    """Return the place of that value; None if there is none."""
    known: dict[str, Place] = {each.value: each for kind in (Since, Old) for each in kind}
    return known.get(text)


def is_counted(job: BulkJob) -> bool:
    """Say whether a job asks for renewals, and of few enough to be counted."""
    asks = job.act in (Act.REQUEST, Act.REQUIRE)
    return asks and 0 < job.changed + job.unchanged <= MOST_COUNTED


def counts(job: BulkJob, reach: Reach, *, now: datetime) -> dict[Place, int]:
    """Return how many of those within the reach are where.

    Each is in one `Since`, and each renewed one in one `Old` besides.
    """
    asked = BulkItem.objects.filter(job=job, state__in=_ASKED)
    rows = _placed(job, reach, now).filter(pk__in=asked.values("orchestrator_id"))
    found = dict(rows.values_list("place").annotate(number=Count("pk")).order_by())
    old: dict[Place, int] = {each: found.get(each, 0) for each in Old}
    since: dict[Place, int] = {each: found.get(each, 0) for each in Since}
    return since | old | {Since.RENEWED: sum(old.values())}


def narrowed(
    items: QuerySet[BulkItem], job: BulkJob, reach: Reach, place: Place, *, now: datetime
) -> QuerySet[Any]:
    """Narrow a job's items to those that it asked and that are in one place now."""
    places = sorted(Old) if place is Since.RENEWED else [place]
    there = _placed(job, reach, now).filter(place__in=places).values("pk")
    return items.filter(state__in=_ASKED, orchestrator_id__in=there)


def places(
    job: BulkJob, items: Iterable[BulkItem], reach: Reach, *, now: datetime
) -> dict[UUID, Whereabouts]:
    """Return where the orchestrators of a few items are; whom the job did not ask is nowhere."""
    asked = [item.orchestrator_id for item in items if item.state in _ASKED]
    rows = _placed(job, reach, now).filter(pk__in=asked).values_list("pk", "place", "last_seen")
    return {pk: _whereabouts(place_of(place), last_seen) for pk, place, last_seen in rows}


def _whereabouts(place: Place | None, last_seen: datetime | None) -> Whereabouts:
    if isinstance(place, Since):
        return Whereabouts(place, None, last_seen)
    return Whereabouts(Since.RENEWED, place, last_seen)


def _placed(job: BulkJob, reach: Reach, now: datetime) -> QuerySet[Any]:
    """Annotate the records with ``place``."""
    new = Certificate.objects.filter(orchestrator=OuterRef("pk"), delivered_at__gte=job.created_at)
    asked_ca = Enrollment.objects.filter(
        orchestrator=OuterRef("pk"),
        generation=OuterRef("generation"),
        state__in=sorted(OPEN_ENROLLMENT),
        created_at__gte=job.created_at,
    )
    # The first that was used, for a later one replaced another certificate; else one that was not.
    first = new.order_by(F("proven_at").asc(nulls_last=True), "pk")
    place = Coalesce(
        Subquery(first.values(place=_with_new(now))[:1]),
        Case(
            When(Exists(asked_ca), then=Value(Since.WITH_CA)),
            When(flag=0, then=Value(Since.WITHDRAWN)),
            When(last_seen__gte=job.created_at, then=Value(Since.CALLED)),
            default=Value(Since.SILENT),
            output_field=CharField(),
        ),
    )
    rows: QuerySet[Any] = Orchestrator.objects.annotate(place=place)
    return within(rows, reach)


def _with_new(now: datetime) -> Case:
    """Return the place of whom a new certificate was delivered to: by what it replaced, if used."""
    state = "predecessor__revocation__state"
    return Case(
        When(proven_at=None, then=Value(Since.DELIVERED)),
        When(Q(**{state: RevocationState.DONE}), then=Value(Old.REVOKED)),
        When(is_overdue_revocation(now, "predecessor__revocation__"), then=Value(Old.OVERDUE)),
        When(
            Q(**{f"{state}__in": [RevocationState.WAITING, RevocationState.SUBMITTED]}),
            then=Value(Old.ASKED),
        ),
        default=Value(Old.KEPT),
        output_field=CharField(),
    )
