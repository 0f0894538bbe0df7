"""What somebody holds, and why: each permission with its reach and the roles that grant it.

Owns the explanation for people; what counts is `reach.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group

from portal.access.catalogue import CATALOGUE, WHOLE_PORTAL, CatalogueEntry, Permission, granting
from portal.access.models import User
from portal.access.reach import NOTHING, Reach, grants_of
from portal.access.role_changes import RoleContent, limit_of


@dataclass(frozen=True)
class Source:
    """A role that grants a permission: by which access string, and how far."""

    role: str
    by: CatalogueEntry
    reach: Reach


@dataclass(frozen=True)
class Line:
    """One permission of somebody."""

    entry: CatalogueEntry
    reach: Reach
    sources: tuple[Source, ...]

    @property
    def is_held(self) -> bool:
        return not self.reach.is_nothing


def roles() -> list[tuple[Group, RoleContent]]:
    """Return every role with what it grants, by name: three queries."""
    rows = Group.objects.select_related("described").prefetch_related("permissions", "reach")
    return [(role, contained(role)) for role in rows.order_by("name")]


def contained(role: Group) -> RoleContent:
    """Return what a role grants whose permissions and limits are loaded."""
    known = {str(p) for p in Permission}
    held = {Permission(p.codename) for p in role.permissions.all() if p.codename in known}
    return RoleContent(frozenset(held), limit_of(role.reach.all()))


def explained(user: User) -> list[Line]:
    """Return the whole catalogue, as a user holds it (four queries)."""
    held = grants_of(user)
    mine = user.groups.prefetch_related("permissions", "reach").order_by("name")
    contents = [(role.name, contained(role)) for role in mine]
    return [
        Line(entry, held.get(entry.permission, NOTHING), tuple(_sources(entry, contents)))
        for entry in CATALOGUE
    ]


def granted_by(content: RoleContent, permission: Permission) -> CatalogueEntry | None:
    """Return by which access string a role grants a permission; None if it does not."""
    if permission in WHOLE_PORTAL and not content.limit.everything:
        return None
    by_string = {e.permission: e for e in CATALOGUE}
    if permission in content.permissions:
        return by_string[permission]
    shorter = sorted(granting(permission) & content.permissions)
    return by_string[shorter[0]] if shorter else None


def _sources(entry: CatalogueEntry, contents: list[tuple[str, RoleContent]]) -> list[Source]:
    found = []
    for name, content in contents:
        by = granted_by(content, entry.permission)
        if by is not None:
            found.append(Source(name, by, content.limit))
    return found
