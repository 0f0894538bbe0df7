"""Seeing the portal as a role or another user sees it, without being able to change anything.

Owns who may look through whose eyes (only who holds all of it anyway, so that nothing is gained),
what is kept of it in the session, and the audit rows. That nothing is changed meanwhile is the
faces' to enforce: whatever is not a read is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction

from portal.access.catalogue import Permission
from portal.access.guard import AccountRefused, beyond, check_covers
from portal.access.models import User
from portal.access.permissions import holds
from portal.access.reach import Grants, grants_of
from portal.access.role_changes import content_of
from portal.audit.models import Category
from portal.audit.trail import Actor, record

SESSION_KEY = "view_as"


@dataclass(frozen=True)
class Viewing:
    """Whose eyes are lent, and the user that pages ask for permissions meanwhile."""

    kind: str
    name: str
    user: User


def begin(session: Any, viewer: User, kind: str, pk: int, *, actor: Actor) -> Viewing:
    """Look through the eyes of a role or user from now on. Raises AccountRefused."""
    target = _target(viewer, kind, pk)
    if target is None:
        raise AccountRefused("unknown_view", "There is no such role or user to view as.")
    check_covers(viewer, _grants(target), f"The {kind} {target.name}")
    with transaction.atomic():
        _audit("view_as_begun", kind, pk, target.name, actor)
        session[SESSION_KEY] = [kind, pk]
    return target


def current(session: Any, viewer: User) -> Viewing | None:
    """Return whose eyes are lent now; what the viewer may see no longer ends it."""
    kept = session.get(SESSION_KEY)
    if kept is None:
        return None
    target = _target(viewer, *kept) if holds(viewer, Permission.SECURITY_READ) else None
    if target is None or beyond(grants_of(viewer), _grants(target)):
        del session[SESSION_KEY]
        return None
    return target


def end(session: Any, viewer: User, *, actor: Actor) -> None:
    """See with one's own eyes again."""
    kept = session.pop(SESSION_KEY, None)
    if kept is not None:
        kind, pk = kept
        target = _target(viewer, kind, pk)
        _audit("view_as_ended", kind, pk, target.name if target else "", actor)


def _target(viewer: User, kind: str, pk: int) -> Viewing | None:
    if kind == "role":
        role = Group.objects.filter(pk=pk).first()
        if role is None:
            return None
        # Never stored: it stands for the viewer, with nothing but the role's permissions.
        eyes = User(pk=viewer.pk, username=viewer.username)
        eyes._grants = content_of(role).grants  # type: ignore[attr-defined]
        return Viewing(kind, role.name, eyes)
    user = User.objects.filter(pk=pk, is_active=True, is_service_account=False).first()
    return Viewing("user", user.username, user) if user else None


def _grants(viewing: Viewing) -> Grants:
    return grants_of(viewing.user)


def _audit(action: str, kind: str, pk: int, name: str, actor: Actor) -> None:
    record(actor, Category.ACCESS, action, object_type=kind, object_id=pk, object_name=name)
