"""Making and changing users.

Owns what a valid account is and the audit rows of these acts. Roles are made by `role_changes.py`,
tokens by `tokens.py`; who may change accounts is checked by the faces, and how far by `guard.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from portal.access.guard import AccountRefused, access_change, beyond, check_covers, check_revision
from portal.access.guard import revision as revision_of_state
from portal.access.models import User
from portal.access.reach import Grants, grants_of
from portal.audit.models import Category
from portal.audit.trail import PORTAL, Actor, record

_RESERVED = frozenset({PORTAL.name, "anonymous"})
_RESERVED_STARTS = (
    "command (",
    "orchestrator ",
    "registration handler ",
    "auto-registration rule ",
)
"""How the audit log names who acts without being a user."""


def save_user(
    username: str,
    *,
    actor: Actor,
    is_service_account: bool = False,
    roles: Sequence[str] | None = None,
    email: str | None = None,
    is_active: bool | None = None,
    password: str | None = None,
    giver: User | None = None,
    expected: str | None = None,
) -> tuple[User, bool]:
    """Create or change a user; return it and whether anything changed. Raises AccountRefused.

    What is None stays as it is. A new user without a password can use tokens only; a service
    account never has one. ``giver`` must hold what the user holds before and after; None is
    whoever runs the host. ``expected``: change only what still has this `revision`.
    """
    _check_username(username)
    if email:
        _check_email(email)
    with access_change(giver):
        user = User.objects.select_for_update().filter(username=username).first()
        before = _state(user) if user is not None else {}
        check_revision(before, expected)
        if user is not None:
            check_covers(giver, _potential(user), f"The user {username}")
        if user is None:
            _check_new_username(username)
            user = User(username=username, is_service_account=is_service_account)
            user.set_unusable_password()
        elif is_service_account and not user.is_service_account:
            raise AccountRefused(
                "not_a_service_account", f"{username!r} is a person's account and stays one."
            )
        groups = _groups(roles) if roles is not None else None
        if email is not None:
            user.email = email
        if is_active is not None:
            user.is_active = is_active
        sets_password = password is not None and _takes_password(user, password)
        user.save()
        if groups is not None:
            user.groups.set(groups)
            check_covers(giver, _potential(user), f"With these roles, {username}")
        after = _state(user)
        if before == after and not sets_password:
            return user, False
        record(
            actor,
            Category.ACCESS,
            "user_changed" if before else "user_added",
            object_type="user",
            object_id=user.pk,
            object_name=username,
            before=before,
            after={**after, **({"password": "set"} if sets_password else {})},
        )
    return user, True


def revision(user: User) -> str:
    """Return what tells one state of an account from another."""
    return revision_of_state(_state(user))


def may_give(giver: User | None, account: User) -> bool:
    """Say whether what an account holds is within what the giver of it holds; None is the host."""
    return giver is None or not beyond(grants_of(giver), _potential(account))


def _potential(user: User) -> Grants:
    """Return what a user holds now, or would hold if active."""
    fresh = User.objects.get(pk=user.pk)
    fresh.is_active = True
    return grants_of(fresh)


def _check_username(username: str) -> None:
    # A backslash is allowed: DOMAIN\user (Basic credentials of existing clients).
    if not username.strip() or len(username) > 150 or not username.isprintable():
        raise AccountRefused("username_invalid", "A user name has 1 to 150 printable characters.")
    if ":" in username:
        raise AccountRefused("username_invalid", "A user name has no colon (RFC 7617 §2).")


def _check_new_username(username: str) -> None:
    """Refuse a name that reads in the audit log as somebody else's."""
    lowered = username.strip().casefold()
    if lowered in _RESERVED or lowered.startswith(_RESERVED_STARTS):
        raise AccountRefused(
            "username_invalid", f"{username!r} is how the audit log names the portal's own doings."
        )
    if User.objects.filter(username__iexact=username.strip()).exists():
        raise AccountRefused(
            "username_taken", f"There is a user {username.strip()!r} in another spelling."
        )


def _check_email(email: str) -> None:
    try:
        validate_email(email)
    except ValidationError:
        raise AccountRefused("email_invalid", f"{email!r} is not a mail address.") from None


def _groups(roles: Sequence[str]) -> list[Group]:
    found = {group.name: group for group in Group.objects.filter(name__in=roles)}
    for role in roles:
        if role not in found:
            known = ", ".join(Group.objects.order_by("name").values_list("name", flat=True))
            raise AccountRefused("unknown_role", f"There is no role {role!r}; there are {known}.")
    return list(found.values())


def _takes_password(user: User, password: str) -> bool:
    """Set the password unless it is the user's already; say whether it was set."""
    if user.is_service_account:
        raise AccountRefused(
            "service_account_password", "A service account never signs in and has no password."
        )
    if user.has_usable_password() and user.check_password(password):
        return False
    try:
        validate_password(password, user)
    except ValidationError as problem:
        raise AccountRefused("password_refused", " ".join(problem.messages)) from None
    user.set_password(password)
    return True


def _state(user: User) -> dict[str, object]:
    return {
        "email": user.email,
        "active": user.is_active,
        "service_account": user.is_service_account,
        "roles": sorted(user.groups.values_list("name", flat=True)),
    }
