"""The one question about permissions: does this user hold this one?

Roles and their contents are data, and how they combine is `reach.py`'s; which act needs which
permission is said by the faces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portal.access.catalogue import Permission, entry_for
from portal.access.reach import reach

if TYPE_CHECKING:
    from portal.access.models import User


class PermissionMissing(Exception):
    """The actor lacks ``permission``; the message names its access string."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        super().__init__(f"Permission {entry_for(permission).access_string} is missing.")


def holds(user: Any, permission: Permission) -> bool:
    """Say whether ``user`` is active and holds ``permission`` itself or by a shorter grant."""
    return not reach(user, permission).is_nothing


def require(user: Any, permission: Permission) -> None:
    """Raise PermissionMissing unless ``user`` holds ``permission``."""
    if not holds(user, permission):
        raise PermissionMissing(permission)


def missing(user: User | None, *permissions: Permission) -> tuple[Permission, ...]:
    """Return those of ``permissions`` that ``user`` lacks; all of them for no user."""
    if user is None:
        return permissions
    return tuple(p for p in permissions if not holds(user, p))
