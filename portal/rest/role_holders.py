"""Who has a role, as bodies and replies have it.

Owns the shapes in which existing clients name holders. Who may give a role to whom is
`portal/access/guard.py`'s; the endpoints are `security.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NotRequired, TypedDict

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Prefetch, Q
from rest_framework.request import Request

from portal.access import accounts
from portal.access.models import User
from portal.rest import shapes
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.identities import (
    WITH_ROLES,
    IdentityResponse,
    IdentityRole,
    identity_response,
    identity_type,
)
from portal.rest.refusals import actor_of

MOST_SHOWN = 1000
"""Holders of a role that one answer has, and one call sets."""
_FIRST_HOLDERS = "first_holders"


class RoleHolder(TypedDict):
    """Who has a role."""

    Id: int
    AccountName: str
    IdentityType: str
    SID: str


class Holder(TypedDict):
    """Who gets a role, by Id or by AccountName; the other members are only read and may be sent
    back as they are.
    """

    Id: NotRequired[int]
    AccountName: NotRequired[str]
    SID: NotRequired[str]
    Name: NotRequired[str]
    IdentityType: NotRequired[str]
    Valid: NotRequired[bool]
    Roles: NotRequired[list[IdentityRole]]


class HolderIds(TypedDict):
    """Who gets a role, as some existing clients send it."""

    Ids: list[int]


_ONLY_READ = tuple(Holder.__annotations__)


def given(body: object) -> list[Holder]:
    """Read who gets a role, in either shape. Raises ApiError."""
    if isinstance(body, dict):
        return [{"Id": pk} for pk in shapes.read(body, HolderIds)["Ids"]]
    return shapes.read_list(body, Holder, may_be_empty=True)


@transaction.atomic
def give(request: Request, role: Group, holders: Sequence[Holder]) -> None:
    """Let exactly these have a role. Raises ApiError, AccountRefused."""
    if role.user_set.count() > MOST_SHOWN:
        raise ApiError(
            ErrorCode.LIST_TOO_LONG,
            f"More than {MOST_SHOWN} have this role: no list names them all.",
        )
    wanted = _named(holders)
    present = {user.username: user for user in role.user_set.all()}
    for name in sorted(wanted.keys() ^ present.keys()):
        user = wanted.get(name) or present[name]
        roles = set(user.groups.values_list("name", flat=True)) ^ {role.name}
        accounts.save_user(name, roles=sorted(roles), giver=request.user, actor=actor_of(request))


def _named(holders: Sequence[Holder]) -> dict[str, User]:
    """Return by name whom a list names; what it says besides must be so. Raises ApiError."""
    ids = {each["Id"] for each in holders if "Id" in each}
    names = {each["AccountName"] for each in holders if "AccountName" in each}
    rows = User.objects.filter(Q(pk__in=ids) | Q(username__in=names)).prefetch_related(*WITH_ROLES)
    by_id = {user.pk: user for user in rows}
    by_name = {user.username: user for user in by_id.values()}
    wanted: dict[str, User] = {}
    for each in holders:
        if "AccountName" in each:
            user = by_name.get(each["AccountName"])
        else:
            user = by_id.get(each.get("Id", 0))
        if user is None:
            raise ApiError(ErrorCode.IDENTITY_UNKNOWN, "There is no such identity.", status=400)
        shapes.unchanged(each, identity_response(user), _ONLY_READ)
        wanted[user.username] = user
    return wanted


def holders_of(role: Group) -> list[IdentityResponse]:
    """Return who has a role, as identities."""
    rows = role.user_set.prefetch_related(*WITH_ROLES).order_by("username")
    return [identity_response(user) for user in rows[:MOST_SHOWN]]


def first_holders() -> Prefetch[str]:
    """Return what loads the first holders of each role, in one query."""
    rows = User.objects.order_by("username")[:MOST_SHOWN]
    return Prefetch("user_set", rows, to_attr=_FIRST_HOLDERS)


def shown_first(role: Group) -> list[RoleHolder]:
    """Return the first holders of a role; a query unless `first_holders` was prefetched."""
    found: Iterable[User] | None = getattr(role, _FIRST_HOLDERS, None)
    rows = role.user_set.order_by("username")[:MOST_SHOWN] if found is None else found
    return [_holder(user) for user in rows]


def _holder(user: User) -> RoleHolder:
    return {
        "Id": user.pk,
        "AccountName": user.username,
        "IdentityType": identity_type(user),
        "SID": "",
    }
