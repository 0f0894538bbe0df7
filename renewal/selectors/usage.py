"""What uses a CA or a template: who chooses it, and which requests are under way or failed.

Owns these questions, within a reach. What a registration handler names is known only when it is
asked, and is not foreseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from orchestrators.groups import visible
from orchestrators.models import OrchestratorGroup
from orchestrators.reach import within
from portal.access.reach import Reach
from portal.preferences.store import Preferences
from renewal.configuration import CA_SETTING, TEMPLATE_SETTING
from renewal.models import CertificateAuthority, Enrollment, GroupIssuance, Template
from renewal.rules.lifecycle import OPEN_ENROLLMENT
from renewal.selectors.counting import Count, counted
from renewal.selectors.marks import failed_enrollments

MOST_CHOICES = 100
_MOST_REQUESTS = 5

Used = CertificateAuthority | Template


@dataclass(frozen=True)
class Choice:
    """Who chooses a CA and a template for CSRs. ``group``: None for the two settings, which count
    for every orchestrator whose group chooses nothing else.
    """

    group: OrchestratorGroup | None
    authority: CertificateAuthority | None
    template: Template | None


@dataclass(frozen=True)
class Usage:
    """What uses a CA or a template."""

    choices: Sequence[Choice]
    is_cut: bool
    """There are more groups than are told."""
    open: Count
    failed: Count
    """Requests of orchestrators that failed for good within a day."""
    open_requests: Sequence[Enrollment]
    failed_requests: Sequence[Enrollment]

    @property
    def is_chosen(self) -> bool:
        return bool(self.choices)


def usage(used: Used, preferences: Preferences, *, reach: Reach, now: datetime) -> Usage:
    """Return what uses a CA or a template: a constant number of queries."""
    choices = _choices(used, preferences, reach)
    of_it = {_kind(used): used}
    waiting = within(
        Enrollment.objects.filter(**of_it, state__in=sorted(OPEN_ENROLLMENT)),
        reach,
        by="orchestrator",
    )
    failed = within(failed_enrollments(now).filter(**of_it), reach, by="orchestrator")
    related = ("orchestrator", "authority", "template")
    return Usage(
        choices=choices[:MOST_CHOICES],
        is_cut=len(choices) > MOST_CHOICES,
        open=counted(waiting),
        failed=counted(failed),
        open_requests=list(
            waiting.select_related(*related).order_by("next_attempt_at", "id")[:_MOST_REQUESTS]
        ),
        failed_requests=list(
            failed.select_related(*related).order_by("-finished_at", "-id")[:_MOST_REQUESTS]
        ),
    )


def _choices(used: Used, preferences: Preferences, reach: Reach) -> list[Choice]:
    by_settings = Choice(
        None,
        CertificateAuthority.objects.filter(name=preferences.text(CA_SETTING)).first(),
        Template.objects.filter(name=preferences.text(TEMPLATE_SETTING)).first(),
    )
    kind = _kind(used)
    other = "template" if kind == "authority" else "authority"
    is_set = getattr(by_settings, kind) == used
    chosen = Q(**{kind: used})
    if is_set:
        # A group that chooses only the other of both takes this one from the settings.
        chosen |= Q(**{f"{kind}__isnull": True, f"{other}__isnull": False})
    rows = (
        GroupIssuance.objects.filter(chosen, group__in=visible(reach).order_by().values("pk"))
        .select_related("group", "authority", "template")
        .order_by("group__name_key")[: MOST_CHOICES + 1]
    )
    return [
        *([by_settings] if is_set else []),
        *(
            Choice(
                row.group,
                row.authority or by_settings.authority,
                row.template or by_settings.template,
            )
            for row in rows
        ),
    ]


def _kind(used: Used) -> str:
    return "authority" if isinstance(used, CertificateAuthority) else "template"
