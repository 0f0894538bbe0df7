"""Making, changing, restoring and removing roles, and limiting them.

Owns what a valid role is and the audit rows of these acts. What the shipped roles hold is
`catalogue.py`'s; who may change roles is checked by the faces, how far by `guard.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as DjangoPermission

from portal.access.catalogue import ROLES, Permission
from portal.access.guard import AccountRefused, access_change, check_covers, check_revision
from portal.access.guard import revision as revision_of_state
from portal.access.models import RoleDescription, RoleReach, User
from portal.access.reach import EVERYTHING, NOTHING, Grants, Reach, combined
from portal.audit.models import Category
from portal.audit.trail import Actor, record

MOST_CHARACTERS = 100
MOST_IN_DESCRIPTION = 500
MOST_ROLES = 200
MOST_LIMITS = 100


@dataclass(frozen=True)
class RoleContent:
    """What a role grants, and how far."""

    permissions: frozenset[Permission]
    limit: Reach

    @property
    def grants(self) -> Grants:
        return combined([(self.permissions, self.limit)])


def content_of(role: Group) -> RoleContent:
    """Return what a role grants (two queries)."""
    codenames = role.permissions.filter(content_type__app_label="access")
    known = set(Permission)
    held = {
        Permission(name) for name in codenames.values_list("codename", flat=True) if name in known
    }
    return RoleContent(frozenset(held), limit_of(role.reach.all()))


def revision(role: Group) -> str:
    """Return what tells one state of a role from another."""
    return revision_of_state(_told(role, content_of(role), description_of(role)))


def description_of(role: Group) -> str:
    """Return what a role is for; a query unless ``described`` was selected with it."""
    try:
        return role.described.text
    except RoleDescription.DoesNotExist:
        return ""


def limit_of(rows: Iterable[RoleReach]) -> Reach:
    """Return the reach that rows of one role make."""
    found = NOTHING
    for row in rows:
        if row.orchestrator_group is not None:
            found |= Reach(groups=frozenset({row.orchestrator_group}))
        else:
            found |= Reach(labels=frozenset({(row.label_key, row.label_value)}))
    return EVERYTHING if found.is_nothing else found


def save_role(
    name: str,
    *,
    permissions: Iterable[Permission] | None = None,
    limit: Reach | None = None,
    description: str | None = None,
    pk: int | None = None,
    expected: str | None = None,
    giver: User | None,
    actor: Actor,
) -> tuple[Group, bool]:
    """Make a role, or change the one with this number or else this name; say if it changed.

    What is None stays as it is; a new role grants nothing and has no limit. ``giver`` is None for
    whoever runs the host. ``expected``: change only what still has this `revision`. Raises
    AccountRefused.
    """
    name = _checked(name)
    if description is not None:
        description = _checked_description(description)
    if limit is not None and len(limit.groups) + len(limit.labels) > MOST_LIMITS:
        raise AccountRefused("role_invalid", f"A role has at most {MOST_LIMITS} limits.")
    if limit is not None and limit.is_nothing:
        raise AccountRefused("role_invalid", "A limit names a group or a label.")
    with access_change(giver):
        role = Group.objects.filter(name=name).first() if pk is None else _the_role(pk)
        before = content_of(role) if role else None
        described = description_of(role) if role else ""
        told = _told(role, before, described) if role and before else {}
        check_revision(told, expected)
        if Group.objects.filter(name__iexact=name).exclude(pk=role.pk if role else 0).exists():
            raise AccountRefused("role_name_taken", f"There is a role {name!r} already.")
        if role is not None and role.name != name and role.name in ROLES:
            raise AccountRefused("shipped_role", "A shipped role keeps its name.")
        if role is None and Group.objects.count() >= MOST_ROLES:
            raise AccountRefused("too_many_roles", f"There are {MOST_ROLES} roles already.")
        start = before or RoleContent(frozenset(), EVERYTHING)
        after = RoleContent(
            start.permissions if permissions is None else frozenset(permissions),
            start.limit if limit is None else limit,
        )
        check_covers(giver, start.grants, f"The role {name}")
        check_covers(giver, after.grants, f"The role {name}")
        purpose = described if description is None else description
        if role is not None and role.name == name and (before, described) == (after, purpose):
            return role, False
        role = role or Group(name=name)
        role.name = name
        role.save()
        _store(role, after)
        if purpose != described:
            RoleDescription.objects.filter(role=role).delete()
            if purpose:
                RoleDescription.objects.create(role=role, text=purpose)
            # What was selected with the role is not what is stored by now.
            role = Group.objects.get(pk=role.pk)
        action = "role_changed" if told else "role_added"
        _audit(role, action, actor, told, _told(role, after, purpose))
    return role, True


def restore_role(pk: int, *, giver: User | None, actor: Actor) -> bool:
    """Give a shipped role back what it was shipped with. Raises AccountRefused."""
    name = _the_role(pk).name
    if name not in ROLES:
        raise AccountRefused("not_shipped", f"{name} is no shipped role.")
    _, changed = save_role(
        name, permissions=ROLES[name], limit=EVERYTHING, pk=pk, giver=giver, actor=actor
    )
    return changed


def delete_role(pk: int, *, giver: User | None, actor: Actor) -> None:
    """Remove a role, also from everybody who has it. Raises AccountRefused."""
    with access_change(giver):
        role = _the_role(pk)
        if role.name in ROLES:
            raise AccountRefused(
                "shipped_role", "A shipped role cannot be removed; take it from its users instead."
            )
        content = content_of(role)
        check_covers(giver, content.grants, f"The role {role.name}")
        holders = list(role.user_set.order_by("username").values_list("username", flat=True)[:100])
        told = {**_told(role, content, description_of(role)), "users": holders}
        _audit(role, "role_removed", actor, told, {})
        role.delete()


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MOST_CHARACTERS or not name.isprintable():
        raise AccountRefused(
            "role_invalid", f"A role's name has 1 to {MOST_CHARACTERS} printable characters."
        )
    return name


def _checked_description(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > MOST_IN_DESCRIPTION or not text.isprintable():
        raise AccountRefused(
            "role_invalid",
            f"A role's description has at most {MOST_IN_DESCRIPTION} printable characters.",
        )
    return text


def _the_role(pk: int) -> Group:
    role = Group.objects.filter(pk=pk).first()
    if role is None:
        raise AccountRefused("unknown_role", "There is no such role.")
    return role


def _store(role: Group, content: RoleContent) -> None:
    role.permissions.set(
        DjangoPermission.objects.filter(
            content_type__app_label="access", codename__in=sorted(content.permissions)
        )
    )
    RoleReach.objects.filter(role=role).delete()
    RoleReach.objects.bulk_create(
        [RoleReach(role=role, orchestrator_group=pk) for pk in sorted(content.limit.groups)]
        + [
            RoleReach(role=role, label_key=k, label_value=v)
            for k, v in sorted(content.limit.labels)
        ]
    )


def _told(role: Group, content: RoleContent, description: str) -> dict[str, object]:
    return {
        "name": role.name,
        "description": description,
        "permissions": sorted(content.permissions),
        "limited_to_groups": sorted(content.limit.groups),
        "limited_to_labels": [f"{k}={v}" for k, v in sorted(content.limit.labels)],
    }


def _audit(
    role: Group,
    action: str,
    actor: Actor,
    before: dict[str, object],
    after: dict[str, object],
) -> None:
    record(
        actor,
        Category.ACCESS,
        action,
        object_type="role",
        object_id=role.pk,
        object_name=role.name,
        before=before,
        after=after,
    )
