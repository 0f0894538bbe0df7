"""How far a permission reaches: all orchestrators, or those of some groups and labels.

Owns how the limits of several roles combine (a union), and the one lookup of what a user is
granted. Knows no orchestrators: which rows a reach means is said by `orchestrators/reach.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Permission as DjangoPermission
from django.db.models import BigIntegerField, CharField, F, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from portal.access.catalogue import WHOLE_PORTAL, Permission, granting
from portal.access.models import RoleReach
from portal.statements import Among, Parameter, Select


@dataclass(frozen=True)
class Reach:
    """Everything, or the orchestrators of these groups (by number) and with these labels."""

    everything: bool = False
    groups: frozenset[int] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_nothing(self) -> bool:
        return not (self.everything or self.groups or self.labels)

    def __or__(self, other: Reach) -> Reach:
        if self.everything or other.everything:
            return EVERYTHING
        return Reach(groups=self.groups | other.groups, labels=self.labels | other.labels)

    def covers(self, other: Reach) -> bool:
        """Say whether ``other`` reaches nothing beyond this one, whatever the fleet looks like."""
        if self.everything:
            return True
        return not other.everything and other.groups <= self.groups and other.labels <= self.labels

    def holds(self, group: int | None, labels: Iterable[tuple[str, str]]) -> bool:
        """Say whether an orchestrator of this group and with these labels is within it."""
        return self.everything or group in self.groups or not self.labels.isdisjoint(labels)


EVERYTHING = Reach(everything=True)
NOTHING = Reach()

Grants = Mapping[Permission, Reach]
"""What somebody holds: each permission, also by a shorter grant, with its reach."""


def reach(user: Any, permission: Permission) -> Reach:
    """Return how far ``permission`` reaches for ``user``; NOTHING if it is not held."""
    return grants_of(user).get(permission, NOTHING)


def is_limited(user: Any) -> bool:
    """Say whether anything that a user holds is for some orchestrators only."""
    return any(not far.everything for far in grants_of(user).values())


def grants_of(user: Any) -> Grants:
    """Return what a user holds.

    One query, kept on the user object only: the next request loads another one, so that a role
    taken away counts at once (I21 in docs/promises.md). Who came with a token that has scopes holds
    no more than these let through.
    """
    if not user.is_active:
        return {}
    held = _held(user)
    scope = getattr(user, "token_scope", None)
    return held if scope is None else narrowed(held, scope)


def narrowed(held: Grants, scope: Collection[Permission]) -> Grants:
    """Return what is left of grants within a scope: never more than they were."""
    return {permission: far for permission, far in held.items() if permission in scope}


def _held(user: Any) -> Grants:
    if user.is_superuser:
        return dict.fromkeys(Permission, EVERYTHING)
    known: Grants | None = getattr(user, "_grants", None)
    if known is None:
        known = {}
        if user.pk is not None:
            known = _granted([user.pk], _OF_ONE.all(user=user.pk))[user.pk]
        user._grants = known
    return known


def combined(roles: Iterable[tuple[Iterable[str], Reach]]) -> Grants:
    """Return what roles grant together, each given by its codenames and its reach."""
    held: dict[str, Reach] = {}
    for codenames, limit in roles:
        for codename in codenames:
            if limit.everything or codename not in WHOLE_PORTAL:
                held[codename] = held.get(codename, NOTHING) | limit
    found: dict[Permission, Reach] = {}
    for permission in Permission:
        for grant in granting(permission):
            if grant in held and (held[grant].everything or permission not in WHOLE_PORTAL):
                found[permission] = found.get(permission, NOTHING) | held[grant]
    return found


_NO_NUMBER = Value(0, BigIntegerField())
_NO_TEXT = Value("", CharField())


def grants_of_each(users: Iterable[Any]) -> dict[int, Grants]:
    """Return what each of these users holds, as `grants_of` does, with one query in all."""
    active = [user for user in users if user.is_active]
    found: dict[int, Grants] = {user.pk: _held(user) for user in active if user.is_superuser}
    return found | _loaded([user.pk for user in active if not user.is_superuser])


def _loaded(users: Collection[int]) -> dict[int, Grants]:
    return _granted(users, _OF_SOME.all(users=list(users))) if users else {}


def _rows(which: Callable[[str], Any]) -> QuerySet[Any, Any]:
    """Select permissions and limits of users' roles, and permissions of their own, at once: user,
    codename, role, group, key and value of a label.

    ``which``: the condition of a column that has a user's number.
    """
    catalogued = DjangoPermission.objects.filter(content_type__app_label="access").order_by()
    no_limit = (_NO_NUMBER, _NO_TEXT, _NO_TEXT)
    own = catalogued.filter(which("user__pk")).values_list(
        F("user__pk"), F("codename"), _NO_NUMBER, *no_limit
    )
    by_role = catalogued.filter(which("group__user__pk")).values_list(
        F("group__user__pk"), F("codename"), F("group__pk"), *no_limit
    )
    limits = RoleReach.objects.filter(which("role__user__pk")).values_list(
        F("role__user__pk"),
        _NO_TEXT,
        F("role_id"),
        Coalesce(F("orchestrator_group"), _NO_NUMBER),
        F("label_key"),
        F("label_value"),
    )
    return own.union(by_role, limits, all=True)


# Every request asks this of its caller.
_OF_ONE = Select(
    lambda: _rows(lambda column: Q(**{column: Parameter("user", BigIntegerField())})),
    lambda *columns: columns,
)
# Every page of the list asks this of the service accounts that it shows.
_OF_SOME = Select(
    lambda: _rows(lambda column: Among(column, "users", BigIntegerField())),
    lambda *columns: columns,
)


def _granted(users: Iterable[int], rows: Iterable[tuple[Any, ...]]) -> dict[int, Grants]:
    codenames: dict[int, dict[int, set[str]]] = {pk: defaultdict(set) for pk in users}
    reaches: dict[tuple[int, int], Reach] = {}
    for user, codename, role, group, key, value in rows:
        if codename:
            codenames[user][role].add(codename)
        else:
            reaches[user, role] = reaches.get((user, role), NOTHING) | _limit(group, key, value)
    return {
        user: combined(
            (names, reaches.get((user, role), EVERYTHING)) for role, names in roles.items()
        )
        for user, roles in codenames.items()
    }


def _limit(group: int, key: str, value: str) -> Reach:
    if key:
        return Reach(labels=frozenset({(key, value)}))
    return Reach(groups=frozenset({group}))
