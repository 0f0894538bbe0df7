"""What the first page tells: capped counts, health of the CAs, what is still to be set up.

Owns the counting. No count costs more than its cap, and records of the demonstration fleet never
enter the counts of the real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from orchestrators.models import Orchestrator
from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.configuration import TEMPLATE_SETTING, Chosen, NotConfigured
from renewal.models import CertificateAuthority, Enrollment, Template, TrustAnchor
from renewal.rules.lifecycle import OPEN_ENROLLMENT
from renewal.rules.periods import Periods
from renewal.selectors.counting import Count, counted
from renewal.selectors.filters import Filters, matching
from renewal.selectors.marks import Mark, claims_over, overdue_revocations
from renewal.selectors.spans import Ends
from renewal.selectors.state_counts import Tally, tally
from renewal.selectors.states import RenewalState, state_of

M = TypeVar("M", bound=Model)

DEMONSTRATION_CAP = 500
ENDS_WITHIN_DAYS = (7, 30, 180)


@dataclass(frozen=True)
class Overview:
    """Everything that the first page counts."""

    tally: Tally
    ends_within: Mapping[int, Count]
    """Days to the approved orchestrators whose certificate in use ends within them."""
    required_by_operator: Count
    unused: Count
    wrong_certificate: Count
    offline: Count
    cannot_enroll: Count
    failed_enrollments: Count
    open_enrollments: Count
    overdue_revocations: Count
    demonstration: Mapping[RenewalState, int]
    authorities: list[CertificateAuthority]


def overview(periods: Periods, *, reach: Reach, now: datetime) -> Overview:
    """Gather the counts of the first page within the reach: a bounded number of queries."""

    # Without a demonstration fleet nothing is left out, and indexes alone tell most numbers.
    is_mixed = Orchestrator.objects.filter(demonstration=True).exists()

    of_real = Filters(demonstration=False if is_mixed else None)

    def real(**narrowed: Any) -> Count:
        filters = replace(of_real, **narrowed)
        return counted(matching(filters, periods, reach=reach, now=now))

    def ending() -> Mapping[int, Count]:
        found: dict[int, Count] = {}
        last = Count(0)
        for days in ENDS_WITHIN_DAYS:
            # A longer span holds all of a shorter one: past the cap nothing more is to be learned.
            last = found[days] = last if last.is_capped else real(ends=Ends(days=days))
        return found

    def seen(rows: QuerySet[M]) -> QuerySet[M]:
        return within(rows, reach, by="orchestrator")

    of_the_real = Q(orchestrator__isnull=True) | Q(orchestrator__demonstration=False)
    demonstration = within(Orchestrator.objects.filter(demonstration=True), reach)
    return Overview(
        tally=tally(of_real, periods, reach=reach, now=now),
        ends_within=ending(),
        required_by_operator=real(mark=Mark.REQUIRED),
        unused=real(mark=Mark.UNUSED),
        wrong_certificate=real(mark=Mark.WRONG_CERTIFICATE),
        offline=real(mark=Mark.OFFLINE),
        # A record has one open claim at most.
        cannot_enroll=counted(seen(claims_over(now).filter(orchestrator__demonstration=False))),
        failed_enrollments=real(mark=Mark.ENROLLMENT_FAILED),
        # As the list behind it: beside a demonstration fleet only what an orchestrator asked for.
        open_enrollments=counted(
            seen(
                Enrollment.objects.filter(
                    Q(orchestrator__demonstration=False) if is_mixed else Q(),
                    state__in=sorted(OPEN_ENROLLMENT),
                )
            )
        ),
        overdue_revocations=counted(seen(overdue_revocations(now).filter(of_the_real))),
        demonstration=Counter(
            state_of(o, periods, now=now) for o in demonstration[:DEMONSTRATION_CAP]
        ),
        authorities=list(CertificateAuthority.objects.order_by("name")[:20]),
    )


@dataclass(frozen=True)
class SetUp:
    """What a portal needs before the first orchestrator can renew."""

    authority: CertificateAuthority | None
    """The one chosen for submitted CSRs; without a whole choice, the first that could be chosen."""
    has_template: bool
    lacking: frozenset[str]
    """Those of the two settings for submitted CSRs that choose nothing."""
    has_anchor: bool
    has_orchestrator: bool

    @property
    def has_authority(self) -> bool:
        return self.authority is not None and self.authority.enabled

    @property
    def has_settings(self) -> bool:
        return not self.lacking

    @property
    def is_complete(self) -> bool:
        return (
            self.has_authority
            and self.has_template
            and self.has_settings
            and self.has_anchor
            and self.has_orchestrator
        )


def set_up(standard: Chosen | NotConfigured) -> SetUp:
    """Return what is set up. ``standard`` is `configuration.by_settings`."""
    authority: CertificateAuthority | None
    if isinstance(standard, Chosen):
        authority, lacking = standard.authority, frozenset[str]()
    else:
        first = CertificateAuthority.objects.order_by("-enabled", "pk").first
        authority, lacking = standard.disabled or first(), standard.settings
    return SetUp(
        authority=authority,
        has_template=TEMPLATE_SETTING not in lacking or Template.objects.exists(),
        lacking=lacking,
        has_anchor=TrustAnchor.objects.filter(enabled=True).exists(),
        has_orchestrator=Orchestrator.objects.filter(demonstration=False).exists(),
    )
