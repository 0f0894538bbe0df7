"""Who holds which certificate: I2 (at most so many), I3 (the accept set), I4 (one owner).

Owns these three predicates over rows. That a record has at most one certificate of each standing
is the database's own constraint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from orchestrators.models import Orchestrator, Status
from renewal.invariants.report import Violation, told
from renewal.models import Certificate
from renewal.rules.standing import ACCEPTED, IN_USE, UNPROVEN, Standing

_IN_USE = sorted(IN_USE)


def at_most_one_beyond(now: datetime) -> Iterator[Violation]:
    """I2: one certificate in use and at most two unproven ones; those given up are revoked."""
    accepted = Certificate.objects.filter(standing__in=_IN_USE, orchestrator__isnull=False)
    several = (
        accepted.order_by()
        .values("orchestrator")
        .annotate(count=Count("pk"))
        .filter(count__gt=1)
        .values_list("orchestrator", flat=True)
    )
    yield from told(
        "I2", "orchestrator", several, "Several certificates are in use at once for this record."
    )
    yield from told(
        "I2",
        "certificate",
        _keys(_left_alive(now).filter(standing=Standing.DISCARDED)),
        "This certificate was given up unused and is not revoked.",
    )


def accept_set(now: datetime) -> Iterator[Violation]:
    """I3: only certificates of an approved (or disapproved) record are accepted, and the record
    shows the ones that are.
    """
    accepted = Certificate.objects.filter(standing__in=sorted(ACCEPTED))
    yield from told(
        "I3",
        "certificate",
        _keys(accepted.filter(Q(orchestrator=None) | Q(orchestrator__status=Status.NEW))),
        "This certificate would be accepted, but belongs to no record that was ever approved.",
    )
    yield from told(
        "I3",
        "certificate",
        _keys(Certificate.objects.filter(standing__in=sorted(UNPROVEN), delivered_at=None)),
        "This certificate is accepted as issued, but was never delivered.",
    )
    shown = Orchestrator.objects.annotate(
        expected=Coalesce(
            _held([Standing.ISSUED], "thumbprint"), _held(_IN_USE, "thumbprint"), Value("")
        ),
        legacy=Coalesce(_held([Standing.LEGACY], "thumbprint"), Value("")),
        ends=_held(_IN_USE, "not_after"),
    )
    yield from told(
        "I3",
        "orchestrator",
        _keys(shown.exclude(thumbprint=F("expected"))),
        "The record's thumbprint is not that of the newest certificate that it may use.",
    )
    yield from told(
        "I3",
        "orchestrator",
        _keys(shown.exclude(legacy_thumbprint=F("legacy"))),
        "The record's legacy thumbprint is not that of its legacy certificate.",
    )
    yield from told(
        "I3",
        "orchestrator",
        _keys(
            shown.exclude(
                Q(certificate_not_after=F("ends"))
                | Q(certificate_not_after__isnull=True, ends__isnull=True)
            )
        ),
        "The record's end of validity is not that of the certificate in use.",
    )


def one_owner(now: datetime) -> Iterator[Violation]:
    """I4: a thumbprint and a public key belong to one orchestrator at most, ever."""
    owned = Certificate.objects.filter(orchestrator__isnull=False).exclude(standing=Standing.SEEN)
    for column, sentence in (
        ("spki_sha256", "These certificates of different orchestrators have one public key."),
        ("thumbprint", "These certificates of different orchestrators have one thumbprint."),
    ):
        shared = (
            owned.order_by()
            .values(column)
            .annotate(owners=Count("orchestrator", distinct=True))
            .filter(owners__gt=1)
            .values_list(column, flat=True)
        )
        yield from told("I4", "certificate", _groups(owned, column, shared), sentence)


def _left_alive(now: datetime) -> QuerySet[Certificate]:
    """Return certificates of this portal's CAs that are valid and that nobody revokes."""
    return Certificate.objects.filter(
        authority__isnull=False, revoked_at=None, not_after__gt=now, revocation=None
    )


def _held(standings: list[Standing], column: str) -> Subquery:
    held = Certificate.objects.filter(orchestrator=OuterRef("pk"), standing__in=standings)
    return Subquery(held.order_by("pk").values(column)[:1])


def _groups(
    rows: QuerySet[Certificate], column: str, values: Iterable[str]
) -> Iterator[tuple[int, ...]]:
    for value in values:
        keys = rows.filter(**{column: value}).order_by("pk").values_list("pk", flat=True)
        yield tuple(keys[:20])


def _keys(rows: QuerySet[Certificate] | QuerySet[Orchestrator]) -> Iterable[object]:
    return rows.order_by("pk").values_list("pk", flat=True)
