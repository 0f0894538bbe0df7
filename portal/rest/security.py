"""The endpoints under /Security: roles, and the identities (users) that have them.

Owns the way from a request to `portal/access` and back. What nobody may give, take or leave undone
is `portal/access/guard.py`'s, on the pages and here alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NotRequired, TypedDict

from django.contrib.auth.models import Group
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import accounts, effective, role_changes
from portal.access.catalogue import CATALOGUE, ROLES, Permission, entry_for
from portal.access.guard import AccountRefused
from portal.access.models import User
from portal.access.role_changes import RoleContent
from portal.rest import bodies, paging, shapes
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.access_errors import account_error
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of

_MOST_SHOWN = 1000
_READ, _MODIFY = Permission.SECURITY_READ, Permission.SECURITY_MODIFY
_BY_NAME = {
    name.lower(): entry.permission
    for entry in CATALOGUE
    for name in (entry.access_string, entry.older_name.replace(": ", ":"), str(entry.permission))
    if name
}


_ROLE_NAME = sort.column("name", sort.TEXT, is_indexed=True)
_USER_NAME = sort.column("username", sort.TEXT, is_indexed=True)

ROLE_ROWS: Listing[Group] = Listing(
    fields={"Id": kinds.number("pk", is_large=True), "Name": kinds.text("name")},
    sort={"Id": sort.BY_IDENTITY, "Name": _ROLE_NAME},
    default="Name",
    identity=sort.LARGE,
)
IDENTITY_ROWS: Listing[User] = Listing(
    fields={"Id": kinds.number("pk", is_large=True), "AccountName": kinds.text("username")},
    sort={"Id": sort.BY_IDENTITY, "AccountName": _USER_NAME},
    default="AccountName",
    identity=sort.LARGE,
)


class IdentityName(TypedDict):
    """An identity by its name."""

    AccountName: str


class RoleResponse(TypedDict):
    """A role: ``Permissions`` are access strings; ``IsLimited`` says that it reaches only some
    orchestrators, which the pages show and change.
    """

    Id: int
    Name: str
    Description: str
    Enabled: bool
    Private: bool
    Permissions: list[str]
    IsShipped: bool
    IsLimited: bool


class RoleRequest(TypedDict):
    """A new role; permissions are access strings, or ``Area:Permission`` where there is one."""

    Name: str
    Description: NotRequired[str]
    Enabled: NotRequired[bool]
    Private: NotRequired[bool]
    Permissions: NotRequired[list[str]]
    Identities: NotRequired[list[IdentityName]]


class RoleUpdate(RoleRequest):
    """A role as it is to be; what is left out stays."""

    Id: int


class IdentityResponse(TypedDict):
    """A user, or a service account."""

    Id: int
    AccountName: str
    IdentityType: str
    Valid: bool
    Roles: list[str]


class RoleList(ApiView):
    """GET, POST and PUT /Security/Roles."""

    needs = {"GET": _READ, "POST": _MODIFY, "PUT": _MODIFY}
    sees = (_READ,)
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    in_database = True
    takes = {"POST": RoleRequest, "PUT": RoleUpdate}
    returns = {"GET": list[RoleResponse], "POST": RoleResponse, "PUT": RoleResponse}
    summaries: ClassVar[dict[str, str]] = {
        "GET": "Roles, filtered, sorted and paged",
        "POST": "A new role",
        "PUT": "Changes a role",
    }

    def get(self, request: Request) -> Response:
        rows = Group.objects.prefetch_related("permissions", "reach")
        page, headers = self.listed(rows, ROLE_ROWS)
        return Response([_role(row, effective.contained(row)) for row in page], headers=headers)

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, RoleRequest)
        if Group.objects.filter(name=body["Name"]).exists():
            raise ApiError(ErrorCode.NAME_TAKEN, "There is a role of this name already.")
        return self._saved(request, body, None)

    def put(self, request: Request) -> Response:
        body = shapes.read(request.data, RoleUpdate)
        return self._saved(request, body, found_role(str(body["Id"])).pk)

    def _saved(self, request: Request, body: RoleRequest | RoleUpdate, pk: int | None) -> Response:
        if not body.get("Enabled", True) or body.get("Private", False):
            raise ApiError(
                ErrorCode.VALUE_INVALID, "A role is always Enabled and never Private here."
            )
        given = body.get("Permissions")
        try:
            with transaction.atomic():
                role, _ = role_changes.save_role(
                    body["Name"],
                    permissions=None if given is None else [permission_named(p) for p in given],
                    description=body.get("Description"),
                    pk=pk,
                    giver=request.user,
                    actor=actor_of(request),
                )
                if "Identities" in body:
                    _give(request, role, [each["AccountName"] for each in body["Identities"]])
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(_role(role, role_changes.content_of(role)))


class RoleDetail(ApiView):
    """GET and DELETE /Security/Roles/{id}."""

    needs = {"GET": _READ, "DELETE": _MODIFY}
    sees = (_READ,)
    in_database = True
    returns = {"GET": RoleResponse}
    summaries: ClassVar[dict[str, str]] = {"GET": "One role", "DELETE": "Removes a role"}

    def get(self, request: Request, role_id: str) -> Response:
        role = found_role(role_id)
        return Response(_role(role, role_changes.content_of(role)))

    def delete(self, request: Request, role_id: str) -> Response:
        self.no_body()
        role = found_role(role_id)
        try:
            role_changes.delete_role(role.pk, giver=request.user, actor=actor_of(request))
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(status=204)


class RoleIdentities(ApiView):
    """GET and PUT /Security/Roles/{id}/Identities."""

    needs = {"GET": _READ, "PUT": _MODIFY}
    sees = (_READ,)
    in_database = True
    takes = {"PUT": list[IdentityName]}
    returns = {"GET": list[IdentityResponse], "PUT": list[IdentityResponse]}
    summaries: ClassVar[dict[str, str]] = {
        "GET": "Who has a role",
        "PUT": "Who has a role from now on, and nobody else",
    }

    def get(self, request: Request, role_id: str) -> Response:
        return Response(_holders(found_role(role_id)))

    def put(self, request: Request, role_id: str) -> Response:
        role = found_role(role_id)
        names = [each["AccountName"] for each in shapes.read_list(request.data, IdentityName)]
        try:
            _give(request, role, names)
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(_holders(role))


class IdentityList(ApiView):
    """GET and POST /Security/Identities."""

    needs = {"GET": _READ, "POST": _MODIFY}
    sees = (_READ,)
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    in_database = True
    takes = {"POST": IdentityName}
    returns = {"GET": list[IdentityResponse], "POST": IdentityResponse}
    summaries: ClassVar[dict[str, str]] = {
        "GET": "Users and service accounts, filtered, sorted and paged",
        "POST": "A new user, without a password and without roles",
    }

    def get(self, request: Request) -> Response:
        page, headers = self.listed(User.objects.prefetch_related("groups"), IDENTITY_ROWS)
        return Response([_identity(user) for user in page], headers=headers)

    def post(self, request: Request) -> Response:
        name = shapes.read(request.data, IdentityName)["AccountName"]
        if User.objects.filter(username=name).exists():
            raise ApiError(ErrorCode.NAME_TAKEN, "There is a user of this name already.")
        try:
            user, _ = accounts.save_user(name, giver=request.user, actor=actor_of(request))
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(_identity(user))


class IdentityDetail(ApiView):
    """GET and DELETE /Security/Identities/{id}."""

    needs = {"GET": _READ, "DELETE": _MODIFY}
    sees = (_READ,)
    in_database = True
    returns = {"GET": IdentityResponse}
    summaries: ClassVar[dict[str, str]] = {
        "GET": "One user or service account",
        "DELETE": "Deactivates a user: the audit log still names it",
    }

    def get(self, request: Request, identity_id: str) -> Response:
        return Response(_identity(_found_identity(identity_id)))

    def delete(self, request: Request, identity_id: str) -> Response:
        self.no_body()
        user = _found_identity(identity_id)
        try:
            accounts.save_user(
                user.username,
                is_active=False,
                roles=[],
                giver=request.user,
                actor=actor_of(request),
            )
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(status=204)


class IdentityLookup(ApiView):
    """GET /Security/Identities/Lookup: whether there is an identity of this name."""

    needs = {"GET": _READ}
    parameters: ClassVar[frozenset[str]] = frozenset({"accountname"})
    returns = {"GET": bool}

    def get(self, request: Request) -> Response:
        name = self.given.get("accountname", "").replace("\0", "")
        return Response(User.objects.filter(username=name).exists())


def permission_named(text: str) -> Permission:
    name = text.strip().lower().replace(": ", ":")
    path = "/".join(part for part in name.replace(":", "/").split("/") if part)
    found = _BY_NAME.get(name) or _BY_NAME.get(f"/{path}/")
    if found is None:
        raise ApiError(ErrorCode.VALUE_INVALID, "Permissions has an entry that is no permission.")
    return found


@transaction.atomic
def _give(request: Request, role: Group, names: Iterable[str]) -> None:
    """Let exactly these users have a role. Raises ApiError, AccountRefused."""
    wanted = {user.username: user for user in User.objects.filter(username__in=set(names))}
    if set(names) - set(wanted):
        raise ApiError(ErrorCode.IDENTITY_UNKNOWN, "There is no user of this name.", status=400)
    present = {user.username: user for user in role.user_set.all()}
    for name in sorted(wanted.keys() ^ present.keys()):
        user = wanted.get(name) or present[name]
        roles = set(user.groups.values_list("name", flat=True)) ^ {role.name}
        accounts.save_user(name, roles=sorted(roles), giver=request.user, actor=actor_of(request))


def found_role(text: str) -> Group:
    role = Group.objects.filter(pk=bodies.row_number(text)).first()
    if role is None:
        raise ApiError(ErrorCode.ROLE_UNKNOWN, "There is no such role.")
    return role


def _found_identity(text: str) -> User:
    user = User.objects.filter(pk=bodies.row_number(text)).first()
    if user is None:
        raise ApiError(ErrorCode.IDENTITY_UNKNOWN, "There is no such identity.")
    return user


def _holders(role: Group) -> list[IdentityResponse]:
    rows = role.user_set.prefetch_related("groups").order_by("username")
    return [_identity(user) for user in rows[:_MOST_SHOWN]]


def _role(role: Group, content: RoleContent) -> RoleResponse:
    return {
        "Id": role.pk,
        "Name": role.name,
        "Description": role_changes.description_of(role),
        "Enabled": True,
        "Private": False,
        "Permissions": sorted(entry_for(p).access_string for p in content.permissions),
        "IsShipped": role.name in ROLES,
        "IsLimited": not content.limit.everything,
    }


def _identity(user: User) -> IdentityResponse:
    return {
        "Id": user.pk,
        "AccountName": user.username,
        "IdentityType": "ServiceAccount" if user.is_service_account else "User",
        "Valid": user.is_active,
        "Roles": sorted(group.name for group in user.groups.all()),
    }
