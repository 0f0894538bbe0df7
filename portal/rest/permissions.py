"""Asking for the permission that a view names for a method.

Owns the order of refusals: not signed in, then not permitted; both before anything of the request
is looked at, so that no answer tells whether an object exists.
"""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission

from portal.access.permissions import PermissionMissing
from portal.rest.refusals import note_permission_missing


class CataloguePermission(BasePermission):
    """Refuses whoever lacks what a view needs for a method; any signed-in caller if nothing."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if not request.user.is_authenticated:
            raise NotAuthenticated("Sign in with Basic or a bearer token.")
        if missing := view.lacks(request.user, request.method):
            note_permission_missing(request, missing)
            raise PermissionDenied(str(PermissionMissing(missing)))
        return True
