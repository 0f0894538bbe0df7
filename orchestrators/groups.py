"""Groups of orchestrators: made, changed, removed, and who is in them.

Owns these acts with their audit rows. A group is what roles can be limited to, and what can choose
CA and template; those are `portal/access`'s and `renewal`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from orchestrators.labels import GroupingRefused, check_reach, locked
from orchestrators.models import Orchestrator, OrchestratorGroup
from orchestrators.names import canonical
from orchestrators.reach import acting_reaches, held_within
from portal.access.catalogue import Permission
from portal.access.models import RoleReach, User
from portal.access.reach import Reach
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.audit.wording import one_line

MOST_CHARACTERS = 100
MOST_DESCRIPTION = 500
MOST_GROUPS = 1000
"""So that every list of groups is one page."""


def visible(reach: Reach) -> QuerySet[OrchestratorGroup]:
    """Return the groups that somebody with this reach may know of, by name."""
    rows = OrchestratorGroup.objects.order_by("name_key")
    return rows if reach.everything else rows.filter(pk__in=sorted(reach.groups))


def may_know(pk: int | None, reach: Reach) -> bool:
    """Say whether somebody with this reach may know of a group."""
    return pk is not None and (reach.everything or pk in reach.groups)


def visible_names(*reaches: Reach) -> list[str]:
    """Return the names of the groups that somebody may know of by each of these reaches."""
    rows = OrchestratorGroup.objects.order_by("name_key")
    for each in reaches:
        rows = rows & visible(each)
    return list(rows.values_list("name", flat=True))


def named(name: str, reach: Reach) -> OrchestratorGroup:
    """Return a group by name. Raises GroupingRefused."""
    found = visible(reach).filter(name_key=canonical(name)[:MOST_CHARACTERS]).first()
    if found is None:
        raise GroupingRefused("unknown_group", f"There is no group {name[:MOST_CHARACTERS]!r}.")
    return found


@transaction.atomic
def save_group(
    name: str,
    *,
    description: str | None = None,
    pk: int | None = None,
    is_new: bool = False,
    actor: Actor,
    now: datetime,
) -> tuple[OrchestratorGroup, bool]:
    """Make a group, or change the one with this number or else this name; say if it changed.

    ``is_new``: make one only. Raises GroupingRefused.
    """
    name = " ".join(name.split())
    key = canonical(name)
    if not key or max(len(name), len(key)) > MOST_CHARACTERS or not name.isprintable():
        raise GroupingRefused(
            "group_invalid", f"A group's name has 1 to {MOST_CHARACTERS} printable characters."
        )
    if description is not None and len(description) > MOST_DESCRIPTION:
        raise GroupingRefused("group_invalid", f"At most {MOST_DESCRIPTION} characters.")
    rows = OrchestratorGroup.objects.select_for_update()
    group = rows.filter(pk=pk).first() if pk is not None else rows.filter(name_key=key).first()
    if pk is not None and group is None:
        raise GroupingRefused("unknown_group", "There is no such group.")
    taken = OrchestratorGroup.objects.filter(name_key=key).exclude(
        pk=group.pk if group and not is_new else 0
    )
    if taken.exists():
        raise GroupingRefused("group_name_taken", f"There is a group {name!r} already.")
    before = _shown(group) if group else {}
    if group is None:
        if OrchestratorGroup.objects.count() >= MOST_GROUPS:
            raise GroupingRefused("too_many_groups", f"There are {MOST_GROUPS} groups already.")
        group = OrchestratorGroup(created_at=now)
    if not before or pk is not None:
        group.name, group.name_key = name, key
    if description is not None:
        group.description = one_line(description)
    after = _shown(group)
    if before == after:
        return group, False
    group.save()
    _audit(group, "group_changed" if before else "group_added", actor, before, after)
    return group, True


@transaction.atomic
def delete_group(pk: int, *, actor: Actor) -> None:
    """Remove an empty group that no role is limited to. Raises GroupingRefused."""
    group = OrchestratorGroup.objects.select_for_update().filter(pk=pk).first()
    if group is None:
        raise GroupingRefused("unknown_group", "There is no such group.")
    if Orchestrator.objects.filter(group=group).exists():
        raise GroupingRefused(
            "group_not_empty", f"{group.name} has orchestrators: move them to another group first."
        )
    roles = sorted(
        RoleReach.objects.filter(orchestrator_group=pk).values_list("role__name", flat=True)
    )
    if roles:
        raise GroupingRefused(
            "group_limits_roles", f"Roles are limited to {group.name}: {', '.join(roles)}."
        )
    _audit(group, "group_removed", actor, _shown(group), {})
    group.delete()


@transaction.atomic
def assign(
    ids: Iterable[UUID],
    group: OrchestratorGroup | None,
    *,
    author: User | None = None,
    actor: Actor,
) -> tuple[set[UUID], set[UUID]]:
    """Put records into a group, or into none; return the records found and those that changed.

    A record outside the reach of ``author`` (None: whoever runs the host) is not found. Nothing is
    done if one would leave that reach, or come within the reach of something else that the author
    holds. Raises GroupingRefused.
    """
    limits = acting_reaches(author, Permission.AGENTS_MODIFY)
    records = list(locked(ids, *limits).select_related("group"))
    held = held_within((o.pk for o in records), author)
    moved = [o for o in records if o.group_id != (group.pk if group else None)]
    Orchestrator.objects.filter(pk__in=[o.pk for o in moved]).update(group=group)
    for orchestrator in moved:
        record(
            actor,
            Category.ORCHESTRATOR,
            "group_assigned",
            object_type="orchestrator",
            object_id=orchestrator.pk,
            object_name=orchestrator.client_machine,
            orchestrator_id=orchestrator.pk,
            before={"group": orchestrator.group.name if orchestrator.group else ""},
            after={"group": group.name if group else ""},
        )
    check_reach({o.pk for o in moved}, limits, held)
    return {o.pk for o in records}, {o.pk for o in moved}


def _shown(group: OrchestratorGroup) -> dict[str, object]:
    return {"name": group.name, "description": group.description}


def _audit(
    group: OrchestratorGroup,
    action: str,
    actor: Actor,
    before: dict[str, object],
    after: dict[str, object],
) -> None:
    record(
        actor,
        Category.ACCESS,
        action,
        object_type="group",
        object_id=group.pk,
        object_name=group.name,
        before=before,
        after=after,
    )
