"""Numbers of the whole fleet, for monitoring: exact, in a constant number of statements.

Owns what is counted. Unlike the first page's counts these have no cap, so they cost a scan of the
fleet: whoever publishes them keeps them for a while. Records of the demonstration fleet do not
count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q

from orchestrators.models import Orchestrator, Status
from renewal.models import CertificateAuthority, Enrollment, Revocation
from renewal.rules.lifecycle import OPEN_ENROLLMENT, OPEN_REVOCATION
from renewal.rules.periods import Periods
from renewal.selectors.marks import (
    Mark,
    csr_refused,
    failed_enrollments,
    marked,
    overdue_revocations,
)
from renewal.selectors.states import RenewalState, having

EXPIRING_WITHIN_DAYS = (1, 7, 30, 180)
_MARKS = (Mark.UNUSED, Mark.WRONG_CERTIFICATE, Mark.OFFLINE)
_REAL = Q(orchestrator__isnull=True) | Q(orchestrator__demonstration=False)


@dataclass(frozen=True)
class Measures:
    """One reading."""

    by_state: Mapping[RenewalState, int]
    by_mark: Mapping[Mark, int]
    expiring: Mapping[int, int]
    """Days to how many approved records' certificates end within them."""
    next_expiry: datetime | None
    """The first moment at which an orchestrator would be locked out if nothing happened."""
    open_enrollments: Mapping[str, int]
    oldest_open_enrollment: datetime | None
    failed_enrollments: int
    refused_csrs: int
    """Records of which a CSR was refused within a day before any CA was asked."""
    open_revocations: Mapping[str, int]
    overdue_revocations: int
    authorities: list[CertificateAuthority]


def read(periods: Periods, *, now: datetime) -> Measures:
    """Count everything once."""
    valid = Q(status=Status.APPROVED, certificate_not_after__gte=now)
    counted = Orchestrator.objects.filter(demonstration=False).aggregate(
        **{
            f"state_{s.name}": Count("pk", filter=having(s, periods, now=now)) for s in RenewalState
        },
        **{
            f"mark_{mark.name}": Count("pk", filter=marked(mark, periods, now=now))
            for mark in _MARKS
        },
        **{
            f"within_{days}": Count(
                "pk", filter=valid & Q(certificate_not_after__lte=now + timedelta(days=days))
            )
            for days in EXPIRING_WITHIN_DAYS
        },
        refused_csrs=Count("pk", filter=csr_refused(now)),
        next_expiry=Min("certificate_not_after", filter=valid),
    )
    enrollments = Enrollment.objects.filter(_REAL, state__in=sorted(OPEN_ENROLLMENT))
    revocations = Revocation.objects.filter(_REAL, state__in=sorted(OPEN_REVOCATION))
    waiting = list(
        enrollments.values("state").annotate(number=Count("pk"), oldest=Min("created_at"))
    )
    return Measures(
        by_state={s: counted[f"state_{s.name}"] for s in RenewalState},
        by_mark={mark: counted[f"mark_{mark.name}"] for mark in _MARKS},
        expiring={days: counted[f"within_{days}"] for days in EXPIRING_WITHIN_DAYS},
        next_expiry=counted["next_expiry"],
        open_enrollments={
            state: sum(row["number"] for row in waiting if row["state"] == state)
            for state in sorted(OPEN_ENROLLMENT)
        },
        oldest_open_enrollment=min((row["oldest"] for row in waiting), default=None),
        failed_enrollments=failed_enrollments(now).filter(_REAL).count(),
        refused_csrs=counted["refused_csrs"],
        open_revocations=dict.fromkeys(map(str, sorted(OPEN_REVOCATION)), 0)
        | dict(revocations.values_list("state").annotate(number=Count("pk"))),
        overdue_revocations=overdue_revocations(now).filter(_REAL).count(),
        authorities=list(CertificateAuthority.objects.filter(enabled=True).order_by("name")),
    )
