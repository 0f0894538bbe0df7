"""The endpoints under /Security/Identities: users and service accounts.

Owns the way from a request to `portal/access` and back. What nobody may give, take or leave undone
is `portal/access/guard.py`'s, on the pages and here alike.
"""

from __future__ import annotations

from typing import ClassVar, NotRequired, TypedDict

from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import accounts, effective, role_changes
from portal.access.catalogue import Permission
from portal.access.guard import AccountRefused, access_change
from portal.access.models import User
from portal.rest import bodies, paging, shapes
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.access_errors import account_error
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of

_READ, _MODIFY = Permission.SECURITY_READ, Permission.SECURITY_MODIFY
_USER_NAME = sort.column("username", sort.TEXT, is_indexed=True)

IDENTITY_ROWS: Listing[User] = Listing(
    fields={"Id": kinds.number("pk", is_large=True), "AccountName": kinds.text("username")},
    sort={"Id": sort.BY_IDENTITY, "AccountName": _USER_NAME},
    default="AccountName",
    identity=sort.LARGE,
)


WITH_ROLES = ("groups", "groups__described")


class IdentityName(TypedDict):
    """An identity by its name. There are no SIDs here: one is left out, or empty."""

    AccountName: str
    SID: NotRequired[str]


class IdentityRole(TypedDict):
    """A role that an identity has."""

    Id: int
    Name: str
    Description: str


class IdentityResponse(TypedDict):
    """A user, or a service account; ``Name`` and ``AccountName`` are the same."""

    Id: int
    Name: str
    AccountName: str
    IdentityType: str
    SID: str
    Valid: bool
    Roles: list[IdentityRole]


class GrantedPermission(TypedDict):
    """A permission, and which of the identity's roles grant it."""

    Permission: str
    GrantedByRoles: list[str]


class IdentityDetails(IdentityResponse):
    """A user, or a service account, and what it may do. There are no collections and containers."""

    Identity: str
    SecuredAreaPermissions: list[GrantedPermission]
    CollectionPermissions: list[GrantedPermission]
    ContainerPermissions: list[GrantedPermission]


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
        page, headers = self.listed(User.objects.prefetch_related(*WITH_ROLES), IDENTITY_ROWS)
        return Response([identity_response(user) for user in page], headers=headers)

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, IdentityName)
        shapes.says_nothing(body, ("SID",))
        name = body["AccountName"]
        if User.objects.filter(username=name).exists():
            raise ApiError(ErrorCode.NAME_TAKEN, "There is a user of this name already.")
        try:
            user, _ = accounts.save_user(name, giver=request.user, actor=actor_of(request))
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(identity_response(user))


class IdentityDetail(ApiView):
    """GET and DELETE /Security/Identities/{id}."""

    needs = {"GET": _READ, "DELETE": _MODIFY}
    sees = (_READ,)
    in_database = True
    returns = {"GET": IdentityDetails}
    summaries: ClassVar[dict[str, str]] = {
        "GET": "One user or service account",
        "DELETE": "Deactivates a user: the audit log still names it",
    }
    versioned = frozenset({"GET", "DELETE"})

    def version(self, identity_id: str) -> object:
        with access_change():
            return _details(_found_identity(identity_id))

    def get(self, request: Request, identity_id: str) -> Response:
        return Response(_details(_found_identity(identity_id)))

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


class LookupResponse(TypedDict):
    """Whether there is such an identity."""

    Valid: bool


class IdentityLookup(ApiView):
    """GET /Security/Identities/Lookup: whether there is an identity of this name."""

    needs = {"GET": _READ}
    parameters: ClassVar[frozenset[str]] = frozenset({"accountname"})
    returns = {"GET": LookupResponse}

    def get(self, request: Request) -> Response:
        name = self.given.get("accountname", "").replace("\0", "")
        if not name:
            raise ApiError(ErrorCode.PARAMETER_INVALID, "accountName says whom to look for.")
        return Response({"Valid": User.objects.filter(username=name).exists()})


def _found_identity(text: str) -> User:
    user = User.objects.filter(pk=bodies.row_number(text)).first()
    if user is None:
        raise ApiError(ErrorCode.IDENTITY_UNKNOWN, "There is no such identity.")
    return user


def identity_type(user: User) -> str:
    """Return what kind of identity a user is."""
    return "ServiceAccount" if user.is_service_account else "User"


def identity_response(user: User) -> IdentityResponse:
    """Return a user as replies show one; queries unless `WITH_ROLES` was prefetched."""
    return {
        "Id": user.pk,
        "Name": user.username,
        "AccountName": user.username,
        "IdentityType": identity_type(user),
        "SID": "",
        "Valid": user.is_active,
        "Roles": [
            {
                "Id": role.pk,
                "Name": role.name,
                "Description": role_changes.description_of(role),
            }
            for role in sorted(user.groups.all(), key=lambda role: role.name)
        ],
    }


def _details(user: User) -> IdentityDetails:
    granted: list[GrantedPermission] = [
        {
            "Permission": line.entry.access_string,
            "GrantedByRoles": sorted({source.role for source in line.sources}),
        }
        for line in effective.explained(user)
        if line.is_held
    ]
    return {
        **identity_response(user),
        "Identity": user.username,
        "SecuredAreaPermissions": granted,
        "CollectionPermissions": [],
        "ContainerPermissions": [],
    }
