"""What happened before what: I8 (legacy cleared, then revoked) and I9 (when a flag is cleared).

Owns these two predicates over rows and the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from orchestrators.models import Orchestrator, Reenrollment
from portal.audit.models import AuditEntry
from renewal.invariants.report import Violation, told
from renewal.models import Certificate, Revocation
from renewal.rules.standing import ACCEPTED, Standing

_FLAG_SET = "renewal_requested"
_FLAG_ACTS = [_FLAG_SET, "renewal_request_cleared", "flag_cleared", "reset"]


def cleared_before_revoked(now: datetime) -> Iterator[Violation]:
    """I8: a certificate gives way only to one that a session proved in the same moment, and is
    recorded for automatic revocation only once it has given way.
    """
    proof = Certificate.objects.filter(
        orchestrator=OuterRef("orchestrator"), proven_at=OuterRef("standing_since")
    ).exclude(pk=OuterRef("pk"))
    replaced = Certificate.objects.filter(
        standing=Standing.SUPERSEDED, orchestrator__isnull=False
    ).exclude(Exists(proof))
    yield from told(
        "I8",
        "certificate",
        _keys(replaced),
        "This certificate was replaced without a session with a newer one.",
    )
    early = Revocation.objects.filter(
        by_service_account=True, certificate__standing__in=sorted(ACCEPTED)
    )
    yield from told(
        "I8",
        "revocation",
        _keys(early),
        "This automatic revocation was recorded before the legacy thumbprint was cleared.",
    )
    before = Revocation.objects.filter(
        by_service_account=True,
        certificate__standing=Standing.SUPERSEDED,
        created_at__lt=F("certificate__standing_since"),
    )
    yield from told(
        "I8",
        "revocation",
        _keys(before),
        "This automatic revocation is older than the clearing of the legacy thumbprint.",
    )


def flag(now: datetime) -> Iterator[Violation]:
    """I9: a flag is set by an operator, and cleared by an operator or by the proof of a certificate
    whose intent is newer than it.
    """
    acts = AuditEntry.objects.filter(orchestrator_id=OuterRef("pk"), action__in=_FLAG_ACTS)
    touched = Orchestrator.objects.filter(~Q(flag=Reenrollment.NONE) | Q(flag_counter__gt=0))
    last = touched.annotate(last_act=Subquery(acts.order_by("-pk").values("action")[:1]))
    yield from told(
        "I9",
        "orchestrator",
        _keys(last.filter(flag=Reenrollment.NONE, last_act=_FLAG_SET)),
        "The flag is gone without a newer certificate, an operator or a Reset.",
    )
    yield from told(
        "I9",
        "orchestrator",
        _keys(
            last.exclude(flag=Reenrollment.NONE).filter(
                ~Q(last_act=_FLAG_SET) | Q(last_act__isnull=True)
            )
        ),
        "The flag is set without anybody having set it.",
    )
    proven = Certificate.objects.filter(
        orchestrator=OuterRef("pk"),
        standing__in=[Standing.CURRENT, Standing.LEGACY],
        proven_at__isnull=False,
        intent_flag_counter__gte=OuterRef("flag_counter"),
    )
    yield from told(
        "I9",
        "orchestrator",
        _keys(touched.exclude(flag=Reenrollment.NONE).filter(Exists(proven))),
        "The flag is still set although a certificate that is newer than it was proven.",
    )


def _keys(rows: QuerySet[Any, Any]) -> Iterable[object]:
    return rows.order_by("pk").values_list("pk", flat=True)
