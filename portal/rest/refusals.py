"""Audit rows for calls of the API refused for want of a permission or a sign-in, or by a policy.

Owns what counts as the same refusal: one user and permission, one address. The bound on how often
it is written is `portal/audit/refusals.py`'s.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.permissions import PermissionMissing
from portal.access.reach import is_limited
from portal.audit.refusals import note
from portal.audit.trail import Actor
from portal.edge.request_id import current_request_id


def actor_of(request: Any) -> Actor:
    """Return who calls, for the audit log."""
    user = getattr(request, "viewer", request.user)
    return Actor(
        name=user.get_username() or "anonymous",
        user_id=user.pk,
        source_address=request.META.get("REMOTE_ADDR", ""),
        request_id=current_request_id(),
    )


def note_permission_missing(request: Any, permission: Permission) -> None:
    """Note that a signed-in caller lacks a permission."""
    note(
        actor_of(request),
        "permission_missing",
        object_type="permission",
        object_id=f"{request.user.pk}:{permission}",
        message=f"{request.method} {request.path[:300]}: {PermissionMissing(permission)}",
        now=timezone.now(),
    )


def note_act_refused(request: Any, code: str, why: str) -> None:
    """Note that a caller may not do this act, whatever their permissions for others."""
    note(
        actor_of(request),
        "act_refused",
        object_type="permission",
        object_id=f"{request.user.pk}:{code}",
        message=f"{request.method} {request.path[:300]}: {why}",
        now=timezone.now(),
    )


def note_target_unknown(request: Any, code: str, why: str) -> None:
    """Note that a caller whose reach is limited named what does not exist within it.

    The same row whether it exists beyond or nowhere: neither the answer nor its time tells which.
    """
    if is_limited(request.user):
        note(
            actor_of(request),
            "target_unknown",
            object_type="permission",
            object_id=f"{request.user.pk}:{code}",
            message=f"{request.method} {request.path[:300]}: {why}",
            now=timezone.now(),
        )


def note_sign_in_failed(request: Any, *, locked: bool) -> None:
    """Note that somebody gave a wrong password or token; the name tried is not kept."""
    address = request.META.get("REMOTE_ADDR", "")
    note(
        Actor(name="anonymous", source_address=address, request_id=current_request_id()),
        "sign_in_locked" if locked else "sign_in_failed",
        object_type="sign_in",
        object_id=f"{'locked' if locked else 'failed'} {network_of(address)}",
        message=f"{request.method} {request.path[:300]}",
        now=timezone.now(),
    )


def network_of(address: str) -> str:
    """Return the address, of IPv6 the /64 that one host can use freely."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "-"
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
