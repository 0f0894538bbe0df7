"""What nobody may do with access: give what they do not hold, leave nobody to manage it, shut
themselves out, or overwrite what somebody else did meanwhile.

Owns these rules and the lock under which access changes, one change after the other. What a change
is belongs to `accounts.py` and `role_changes.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q

from portal.access.catalogue import Permission, entry_for
from portal.access.models import User
from portal.access.reach import EVERYTHING, NOTHING, Grants, grants_of

BEYOND_OWN_PERMISSIONS = "beyond_own_permissions"


class AccountRefused(ValueError):
    """Access cannot be changed like this; ``reason`` is stable, the message for a person."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def beyond(own: Grants, asked: Grants) -> list[Permission]:
    """Return the permissions of ``asked`` that ``own`` does not hold with as much reach."""
    return [p for p, wanted in asked.items() if not own.get(p, NOTHING).covers(wanted)]


def check_covers(giver: User | None, asked: Grants, what: str) -> None:
    """Refuse a giver who does not hold all of ``asked``; None is whoever runs the host.

    Raises AccountRefused.
    """
    if giver is None:
        return
    lacking = beyond(grants_of(giver), asked)
    if not lacking:
        return
    names = ", ".join(entry_for(p).access_string for p in lacking[:3])
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    raise AccountRefused(
        BEYOND_OWN_PERMISSIONS,
        f"{what} holds {names}{more}, which you do not hold with the same reach: nobody gives, "
        "takes or uses more than they have.",
    )


def revision(state: Mapping[str, object]) -> str:
    """Return what tells one state of an account or a role from another."""
    text = json.dumps(state, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_revision(state: Mapping[str, object], expected: str | None) -> None:
    """Refuse to change what is not as it was read. Raises AccountRefused."""
    if expected is not None and revision(state) != expected:
        raise AccountRefused(
            "changed_since",
            "Somebody has changed it since you opened it. Look at it again, then decide.",
        )


@contextmanager
def access_change(giver: User | None = None) -> Iterator[None]:
    """One change of access in one transaction, while no other one happens.

    Raises AccountRefused if there was an administrator before it and none after it, and if
    ``giver`` managed access before it and does not after it: a slip of the hand that only
    somebody else could undo.
    """
    with transaction.atomic():
        # The rows of all roles are the lock: changes of access are rare and short.
        list(Group.objects.select_for_update().order_by("pk").values_list("pk", flat=True))
        had_one = has_administrator()
        is_giver_in = giver is not None and _manages_access(giver)
        yield
        if had_one and not has_administrator():
            raise AccountRefused(
                "last_administrator",
                "Afterwards nobody who can sign in would hold every permission without a limit: "
                "make somebody else an administrator first.",
            )
        if giver is not None and is_giver_in and not _manages_access(giver):
            raise AccountRefused(
                "own_access",
                "Afterwards you could not manage access any more: whoever can do so as well may "
                "take it from you.",
            )


def _manages_access(person: User) -> bool:
    return Permission.SECURITY_MODIFY in grants_of(User.objects.get(pk=person.pk))


def has_administrator() -> bool:
    """Say whether an active person with a password holds everything without a limit."""
    codename = Permission.SECURITY_MODIFY
    people = (
        User.objects.filter(is_active=True, is_service_account=False)
        .exclude(Q(password__startswith=UNUSABLE_PASSWORD_PREFIX) | Q(password=""))
        .filter(
            Q(is_superuser=True)
            | Q(groups__permissions__codename=codename)
            | Q(user_permissions__codename=codename)
        )
        .distinct()
    )
    return any(is_administrator(grants_of(person)) for person in people)


def is_administrator(grants: Grants) -> bool:
    """Say whether somebody holds every permission without a limit."""
    return all(grants.get(permission) == EVERYTHING for permission in Permission)
