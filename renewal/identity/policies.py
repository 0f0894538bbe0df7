"""The settings that say how a request for approval is decided.

Owns their translation, and that they name roles that exist; what they mean is
`renewal/rules/approval.py`'s.
"""

from __future__ import annotations

from django.contrib.auth.models import Group

from portal.preferences.definitions import BY_NAME
from portal.preferences.store import Preferences, register_validator
from portal.preferences.typed import SettingInvalid
from renewal.rules.approval import Policies

_ROLES_FIRST, _ROLES_AGAIN = "ApprovalRolesForFirstRegistration", "ApprovalRolesForReturn"
ROLE_SETTINGS = (_ROLES_FIRST, _ROLES_AGAIN)
"""The settings that name roles."""
MOST_ROLES = 5


def policies(preferences: Preferences) -> Policies:
    """Return the policies as the settings have them."""
    return Policies(
        differs_from_resetter=preferences.flag("ApproverDiffersFromResetter"),
        needed_first=preferences.number("ApprovalsForFirstRegistration"),
        needed_again=preferences.number("ApprovalsForReturn"),
        roles_first=preferences.names(_ROLES_FIRST),
        roles_again=preferences.names(_ROLES_AGAIN),
    )


def register_validators() -> None:
    """Let the settings refuse roles that do not exist, one named twice, and too many."""
    for name in ROLE_SETTINGS:
        register_validator(name, _known_roles)


def _known_roles(text: str) -> None:
    names = BY_NAME[_ROLES_FIRST].parse(text)
    assert isinstance(names, tuple)
    if len(names) > MOST_ROLES or len(set(names)) != len(names):
        raise SettingInvalid(f"Name at most {MOST_ROLES} roles, each once.")
    known = set(Group.objects.filter(name__in=names).values_list("name", flat=True))
    if unknown := [name for name in names if name not in known]:
        raise SettingInvalid(f"There is no role {unknown[0][:100]!r}.")
