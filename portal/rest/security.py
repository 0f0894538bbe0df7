"""The endpoints under /Security/Roles: roles, and who has them.

Owns the way from a request to `portal/access` and back. What nobody may give, take or leave undone
is `portal/access/guard.py`'s, on the pages and here alike.
"""

from __future__ import annotations

from typing import ClassVar, NotRequired, TypedDict

from django.contrib.auth.models import Group
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import effective, role_changes
from portal.access.catalogue import CATALOGUE, ROLES, Permission, entry_for
from portal.access.guard import AccountRefused, access_change
from portal.access.role_changes import RoleContent
from portal.rest import bodies, paging, role_holders, shapes
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.access_errors import account_error
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.identities import IdentityResponse
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from portal.rest.role_holders import Holder, HolderIds, RoleHolder

_READ, _MODIFY = Permission.SECURITY_READ, Permission.SECURITY_MODIFY
_BY_NAME = {
    name.lower(): entry.permission
    for entry in CATALOGUE
    for name in (entry.access_string, entry.older_name.replace(": ", ":"), str(entry.permission))
    if name
}


_ROLE_NAME = sort.column("name", sort.TEXT, is_indexed=True)

ROLE_ROWS: Listing[Group] = Listing(
    fields={"Id": kinds.number("pk", is_large=True), "Name": kinds.text("name")},
    sort={"Id": sort.BY_IDENTITY, "Name": _ROLE_NAME},
    default="Name",
    identity=sort.LARGE,
)


class RoleResponse(TypedDict):
    """A role: ``Permissions`` are access strings; ``IsLimited`` says that it reaches only some
    orchestrators, which the pages show and change. ``Immutable`` and ``IsShipped``: it came with
    the portal and stays. ``Identities`` has the first 1,000 who have it.
    """

    Id: int
    Name: str
    Description: str
    Enabled: bool
    Private: bool
    Immutable: bool
    Valid: bool
    Permissions: list[str]
    Identities: list[RoleHolder]
    IsShipped: bool
    IsLimited: bool


class RoleRequest(TypedDict):
    """A new role; permissions are access strings, or ``Area:Permission`` where there is one."""

    Name: str
    Description: NotRequired[str]
    Enabled: NotRequired[bool]
    Private: NotRequired[bool]
    Permissions: NotRequired[list[str]]
    Identities: NotRequired[list[Holder]]


class RoleUpdate(RoleRequest):
    """A role as it is to be; what is left out stays. Members that are only read may be sent back as
    they are.
    """

    Id: int
    Immutable: NotRequired[bool]
    Valid: NotRequired[bool]
    IsShipped: NotRequired[bool]
    IsLimited: NotRequired[bool]


_ROLE_ONLY_READ = ("Immutable", "Valid", "IsShipped", "IsLimited")


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
    versioned = frozenset({"PUT"})

    def version(self) -> object:
        body = shapes.read(self.request.data, RoleUpdate)
        return _locked(str(body["Id"]))

    def get(self, request: Request) -> Response:
        rows = Group.objects.select_related("described").prefetch_related(
            "permissions", "reach", role_holders.first_holders()
        )
        page, headers = self.listed(rows, ROLE_ROWS)
        return Response([_role(row, effective.contained(row)) for row in page], headers=headers)

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, RoleRequest)
        if Group.objects.filter(name=body["Name"]).exists():
            raise ApiError(ErrorCode.NAME_TAKEN, "There is a role of this name already.")
        return self._saved(request, body, None)

    def put(self, request: Request) -> Response:
        body = shapes.read(request.data, RoleUpdate)
        role = found_role(str(body["Id"]))
        shown = _role(role, role_changes.content_of(role))
        shapes.unchanged(body, shown, _ROLE_ONLY_READ)
        return self._saved(request, body, role.pk)

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
                    role_holders.give(request, role, body["Identities"])
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
    versioned = frozenset({"GET", "DELETE"})

    def version(self, role_id: str) -> object:
        return _locked(role_id)

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
    takes = {"PUT": list[Holder] | HolderIds}
    returns = {"GET": list[IdentityResponse], "PUT": list[IdentityResponse]}
    summaries: ClassVar[dict[str, str]] = {
        "GET": "Who has a role",
        "PUT": "Who has a role from now on, and nobody else",
    }
    versioned = frozenset({"GET", "PUT"})

    def version(self, role_id: str) -> object:
        return role_holders.holders_of(locked_role(role_id))

    def get(self, request: Request, role_id: str) -> Response:
        return Response(role_holders.holders_of(found_role(role_id)))

    def put(self, request: Request, role_id: str) -> Response:
        role = found_role(role_id)
        try:
            role_holders.give(request, role, role_holders.given(request.data))
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(role_holders.holders_of(role))


def permission_named(text: str) -> Permission:
    name = text.strip().lower().replace(": ", ":")
    path = "/".join(part for part in name.replace(":", "/").split("/") if part)
    found = _BY_NAME.get(name) or _BY_NAME.get(f"/{path}/")
    if found is None:
        raise ApiError(ErrorCode.VALUE_INVALID, "Permissions has an entry that is no permission.")
    return found


def found_role(text: str) -> Group:
    role = Group.objects.filter(pk=bodies.row_number(text)).first()
    if role is None:
        raise ApiError(ErrorCode.ROLE_UNKNOWN, "There is no such role.")
    return role


def locked_role(text: str) -> Group:
    """Return a role that nobody else changes while the transaction is open. Raises ApiError."""
    role = found_role(text)
    with access_change():
        return Group.objects.select_for_update().filter(pk=role.pk).first() or role


def _locked(text: str) -> RoleResponse:
    role = locked_role(text)
    return _role(role, role_changes.content_of(role))


def _role(role: Group, content: RoleContent) -> RoleResponse:
    return {
        "Id": role.pk,
        "Name": role.name,
        "Description": role_changes.description_of(role),
        "Enabled": True,
        "Private": False,
        "Immutable": role.name in ROLES,
        "Valid": True,
        "Permissions": sorted(entry_for(p).access_string for p in content.permissions),
        "Identities": role_holders.shown_first(role),
        "IsShipped": role.name in ROLES,
        "IsLimited": not content.limit.everything,
    }
