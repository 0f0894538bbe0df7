"""For which orchestrators no CSR leads to a certificate, as the CA or the template that is chosen
for them cannot be used.

Owns these questions of many at once. What is chosen for one is `renewal/configuration.py`'s; what
their service accounts lack is `renewal/readiness.py`'s.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from orchestrators.models import Orchestrator, OrchestratorGroup, Status
from renewal.configuration import CA_SETTING, TEMPLATE_SETTING, Chosen, NotConfigured
from renewal.models import CertificateAuthority, GroupIssuance


@dataclass(frozen=True)
class Unserved:
    """Orchestrators for which the same CA or template cannot be used."""

    number: int
    why: str
    disabled: CertificateAuthority | None
    """The CA that was chosen for them, if it is disabled."""


def unserved_among(
    rows: QuerySet[Orchestrator], standard: Chosen | NotConfigured
) -> list[Unserved]:
    """Return for whom of some records no CSR leads to a certificate, by what stands against it.

    ``standard`` is `configuration.by_settings`. One query, and up to two while something is wrong.
    """
    found = []
    if isinstance(standard, NotConfigured):
        number = rows.filter(_as_the_settings(standard)).count()
        found.append(Unserved(number, str(standard), standard.disabled))
    of_groups = GroupIssuance.objects.filter(authority__enabled=False).select_related("authority")
    by_group = {each.group_id: each.authority for each in of_groups if each.authority is not None}
    if by_group:
        counted = rows.filter(group__in=by_group).order_by().values_list("group")
        numbers: Counter[CertificateAuthority] = Counter()
        for group, number in counted.annotate(number=Count("pk")):
            numbers[by_group[group]] += number
        found += [
            Unserved(number, f"The CA {authority.name!r} is disabled.", authority)
            for authority, number in sorted(numbers.items(), key=lambda each: each[0].name)
        ]
    return [each for each in found if each.number]


def concerns_anybody(problem: NotConfigured) -> bool:
    """Say whether an approved orchestrator comes upon what is wrong with the settings: where every
    group chooses for itself, nobody does. Asked by group: a fleet has few.
    """
    approved = Orchestrator.objects.filter(status=Status.APPROVED)
    if approved.filter(group=None).exists():
        return True
    members = Exists(approved.filter(group=OuterRef("pk")))
    return OrchestratorGroup.objects.filter(
        _as_the_settings(problem, "issuance__"), members
    ).exists()


def _as_the_settings(problem: NotConfigured, path: str = "group__issuance__") -> Q:
    """Return the condition of those that come upon what is wrong with the settings, and whose group
    chooses no CA that is disabled.
    """
    found = Q()
    own, none = Q(**{f"{path}authority__enabled": True}), Q(**{f"{path}authority": None})
    if problem.disabled is not None or CA_SETTING in problem.settings:
        found |= none
    if TEMPLATE_SETTING in problem.settings:
        found |= Q(**{f"{path}template": None}) & (own | none)
    return found


def is_chosen_by_a_group() -> Exists:
    """Return the condition of the CAs that a group with approved orchestrators in it chooses."""
    members = Orchestrator.objects.filter(group=OuterRef("group"), status=Status.APPROVED)
    return Exists(GroupIssuance.objects.filter(Exists(members), authority=OuterRef("pk")))
