"""The one question about permissions: does this user hold this one?

Owns how grants combine (a shorter access string grants what is below it). Roles and their
contents are data; which act needs which permission is said by the faces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Permission as DjangoPermission

from portal.access.catalogue import Permission, entry_for, granting

if TYPE_CHECKING:
    from portal.access.models import User


class PermissionMissing(Exception):
    """The actor lacks ``permission``; the message names its access string."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        super().__init__(f"Permission {entry_for(permission).access_string} is missing.")


def holds(user: Any, permission: Permission) -> bool:
    """Say whether ``user`` is active and holds ``permission`` itself or by a shorter grant."""
    if not user.is_active:
        return False
    return user.is_superuser or not granting(permission).isdisjoint(_granted(user))


def require(user: Any, permission: Permission) -> None:
    """Raise PermissionMissing unless ``user`` holds ``permission``."""
    if not holds(user, permission):
        raise PermissionMissing(permission)


def missing(user: User | None, *permissions: Permission) -> tuple[Permission, ...]:
    """Return those of ``permissions`` that ``user`` lacks; all of them for no user."""
    if user is None:
        return permissions
    return tuple(p for p in permissions if not holds(user, p))


def _granted(user: Any) -> frozenset[str]:
    """Return the codenames granted to a user, directly or by a role.

    One query, kept on the user object only: the next request loads another one, so that a role
    taken away counts at once (I21 in docs/promises.md).
    """
    known: frozenset[str] | None = getattr(user, "_granted_codenames", None)
    if known is None:
        catalogued = DjangoPermission.objects.filter(content_type__app_label="access").order_by()
        names = catalogued.values_list("codename", flat=True)
        known = frozenset(names.filter(user=user.pk).union(names.filter(group__user=user.pk)))
        user._granted_codenames = known
    return known
