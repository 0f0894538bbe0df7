"""The endpoints under /Security/Roles/{id}/Permissions: what a role grants, as areas.

Owns the two words in which existing clients speak of a permission. Who may give what is
`portal/access/guard.py`'s; the roles themselves are `security.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, TypedDict

from django.contrib.auth.models import Group
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import role_changes
from portal.access.catalogue import Permission, entry_for
from portal.access.guard import AccountRefused
from portal.rest import shapes
from portal.rest.access_errors import account_error
from portal.rest.base import ApiView
from portal.rest.refusals import actor_of
from portal.rest.security import found_role, locked_role, permission_named

_READ, _MODIFY = Permission.SECURITY_READ, Permission.SECURITY_MODIFY


class AreaPermission(TypedDict):
    """A permission by its area; one that the older model had no name for has the last word of
    its access string for its name, and what is before it for its area.
    """

    Area: str
    Permission: str


class TypedPermission(AreaPermission):
    """A permission and what it reaches: here always ``Global``."""

    Type: str


class RolePermissions(ApiView):
    """GET /Security/Roles/{id}/Permissions."""

    needs = {"GET": _READ}
    returns = {"GET": list[TypedPermission]}
    summaries: ClassVar[dict[str, str]] = {"GET": "What a role grants, of every type"}

    def get(self, request: Request, role_id: str) -> Response:
        return Response([{"Type": "Global", **each} for each in _shown(found_role(role_id))])


class RoleGlobalPermissions(ApiView):
    """GET, POST and PUT /Security/Roles/{id}/Permissions/Global."""

    needs = {"GET": _READ, "POST": _MODIFY, "PUT": _MODIFY}
    sees = (_READ,)
    in_database = True
    takes = {"POST": list[AreaPermission], "PUT": list[AreaPermission]}
    returns = {
        "GET": list[AreaPermission],
        "POST": list[AreaPermission],
        "PUT": list[AreaPermission],
    }
    summaries: ClassVar[dict[str, str]] = {
        "GET": "What a role grants",
        "POST": "Grants more to a role",
        "PUT": "What a role grants from now on, and nothing else",
    }
    versioned = frozenset({"GET", "POST", "PUT"})

    def version(self, role_id: str) -> object:
        return _shown(locked_role(role_id))

    def get(self, request: Request, role_id: str) -> Response:
        return Response(_shown(found_role(role_id)))

    @transaction.atomic
    def post(self, request: Request, role_id: str) -> Response:
        role = locked_role(role_id)
        return self._set(
            role, role_changes.content_of(role).permissions | self._given(may_be_empty=False)
        )

    @transaction.atomic
    def put(self, request: Request, role_id: str) -> Response:
        return self._set(locked_role(role_id), self._given(may_be_empty=True))

    def _given(self, *, may_be_empty: bool) -> set[Permission]:
        given = shapes.read_list(self.request.data, AreaPermission, may_be_empty=may_be_empty)
        return {permission_named(f"{each['Area']}:{each['Permission']}") for each in given}

    def _set(self, role: Group, permissions: Collection[Permission]) -> Response:
        try:
            role_changes.save_role(
                role.name,
                permissions=permissions,
                pk=role.pk,
                giver=self.request.user,
                actor=actor_of(self.request),
            )
        except AccountRefused as refused:
            raise account_error(refused) from None
        return Response(_shown(role))


class RoleNoPermissions(ApiView):
    """GET /Security/Roles/{id}/Permissions/Collections and …/Containers: there are none."""

    needs = {"GET": _READ}
    returns = {"GET": list[AreaPermission]}
    summaries: ClassVar[dict[str, str]] = {"GET": "What a role grants by this type: nothing here"}

    def get(self, request: Request, role_id: str) -> Response:
        found_role(role_id)
        return Response([])


def _shown(role: Group) -> list[AreaPermission]:
    held = role_changes.content_of(role).permissions
    return sorted((_area(permission) for permission in held), key=lambda each: tuple(each.values()))


def _area(permission: Permission) -> AreaPermission:
    entry = entry_for(permission)
    older, _, name = entry.older_name.partition(": ")
    if older:
        return {"Area": older, "Permission": name}
    area, _, name = entry.access_string.strip("/").rpartition("/")
    return {"Area": f"/{area}/", "Permission": name}
