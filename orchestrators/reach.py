"""Which orchestrators a reach means: what lies outside does not exist for its holder.

Owns the one condition that every list, page, reply and act narrows its rows with. How far a user
reaches is said by `portal/access/reach.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from orchestrators.models import Orchestrator, OrchestratorLabel
from portal.access.catalogue import Permission
from portal.access.reach import EVERYTHING, Reach, grants_of, reach

if TYPE_CHECKING:
    from portal.access.models import User

M = TypeVar("M", bound=Model)


def within(rows: QuerySet[M], *reaches: Reach, by: str = "pk") -> QuerySet[M]:
    """Narrow ``rows`` to what every one of ``reaches`` holds.

    ``by`` is the column with the orchestrator's id, or the relation to it where rows are joined
    with their orchestrators anyway. No query of its own, and none per row. Rows of no orchestrator
    are seen by who reaches everything.
    """
    group = {"pk": "group_id", "orchestrator": "orchestrator__group_id"}.get(by, "")
    for each in dict.fromkeys(reaches):
        if each.everything:
            continue
        if group and each.groups and not each.labels:
            # The group stands in the orchestrator's row and in the indexes of the lists.
            rows = rows.filter(**{f"{group}__in": sorted(each.groups)})
        else:
            rows = rows.filter(**{f"{by}__in": _ids(each)})
    return rows


def act_reaches(user: User | Any, permission: Permission) -> tuple[Reach, Reach]:
    """Return what an act needs: to see the orchestrator, and to reach it with the act itself."""
    return reach(user, Permission.AGENTS_READ), reach(user, permission)


def acting_reaches(author: User | None, permission: Permission) -> tuple[Reach, ...]:
    """Return what an act of ``author`` needs; nothing limits whoever runs the host (None)."""
    return act_reaches(author, permission) if author is not None else ()


def held_within(ids: Iterable[UUID], author: User | None) -> dict[Reach, set[UUID]]:
    """Return which of ``ids`` each limit of what ``author`` holds reaches (a query for each)."""
    if author is None:
        return {}
    wanted = list(ids)
    limits = {each for each in grants_of(author).values() if not each.everything}
    return {each: reachable(wanted, each) for each in limits}


def reachable(ids: Iterable[UUID], *reaches: Reach) -> set[UUID]:
    """Return those of ``ids`` that exist within the reaches (one query)."""
    rows = within(Orchestrator.objects.filter(pk__in=list(ids)), *reaches)
    return set(rows.values_list("pk", flat=True))


def lacking_for(orchestrator: Orchestrator, *permissions: Permission) -> tuple[Permission, ...]:
    """Return those that the service account of a record lacks for this record: a role of its may
    be limited to others.
    """
    account = orchestrator.service_account
    return tuple(p for p in permissions if not may_see(orchestrator, reach(account, p)))


def may_see(orchestrator: Orchestrator, *reaches: Reach) -> bool:
    """Say whether a record lies within the reaches; a query only for labels."""
    narrowed = [each for each in reaches if each != EVERYTHING]
    if not narrowed:
        return True
    if any(each.is_nothing for each in narrowed):
        return False
    if all(orchestrator.group_id in each.groups for each in narrowed):
        return True
    return bool(reachable([orchestrator.pk], *narrowed))


def _ids(limit: Reach) -> QuerySet[Any, Any] | list[UUID]:
    """Return the ids within a reach as a subquery, so that the planner joins from either side."""
    grouped = Orchestrator.objects.filter(group_id__in=sorted(limit.groups)).order_by()
    labelled = OrchestratorLabel.objects.filter(_any_of(limit.labels)).order_by()
    if limit.groups and limit.labels:
        return grouped.values("pk").union(labelled.values("orchestrator_id"), all=True)
    if limit.groups:
        return grouped.values("pk")
    if limit.labels:
        return labelled.values("orchestrator_id")
    return []


def _any_of(labels: Iterable[tuple[str, str]]) -> Q:
    return Q(*(Q(key=key, value=value) for key, value in sorted(labels)), _connector=Q.OR)
