"""View as: the pages as a role or another user sees them.

Owns the swap of the user that pages ask, the refusal of whatever is not a read, and the two acts
that begin and end it. Who may view as whom is `portal/access/viewing.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from portal.access import viewing
from portal.access.catalogue import Permission
from portal.access.guard import AccountRefused
from portal.access.models import User
from portal.audit.refusals import note
from portal.edge.paths import API_PREFIX, is_under
from portal.pages.fields import NOTHING, fields
from portal.pages.gate import ACT, READ, actor_of, note_beyond, page

REFUSED = "You are viewing as somebody else: nothing can be changed until you stop."


class ViewAsMiddleware:
    """Lends a signed-in person the eyes that the session names, for reading only.

    ``request.viewer`` is who really looks; ``request.viewing`` says through whose eyes.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.session.get(
            viewing.SESSION_KEY
        ):
            viewer = request.user
            found = _found(request, viewer)
            if found is not None:
                allowed = request.method in READ or request.path_info in _always_allowed()
                request.viewer = viewer  # type: ignore[attr-defined]
                request.viewing = found  # type: ignore[attr-defined]
                request.user = found.user
                if not allowed and not is_under(request.path_info, API_PREFIX):
                    return _refused(request)
        return self._get_response(request)


def _found(request: HttpRequest, viewer: Any) -> viewing.Viewing | None:
    if not viewer.is_authenticated or viewer.is_service_account:
        return None
    return viewing.current(request.session, viewer)


def _always_allowed() -> set[str]:
    return {reverse("view_as_stop"), reverse("sign_out"), reverse("theme")}


def _refused(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    note(
        actor,
        "page_refused",
        object_type="permission",
        object_id=f"{actor.user_id}:view_as",
        message=f"{request.method} {request.path[:300]}: {REFUSED}",
        now=timezone.now(),
    )
    return render(request, "403.html", {"exception": REFUSED}, status=403)


@page(Permission.SECURITY_READ, methods=ACT, form=fields("kind", "number"))
def begin(request: HttpRequest) -> HttpResponseBase:
    """Begin to view as a role or a user."""
    kind, number = request.POST.get("kind", ""), request.POST.get("number", "")
    if kind not in ("role", "user") or not (number.isascii() and number.isdigit()):
        raise BadRequest("Name a role or a user.")
    if len(number) > 18:
        raise BadRequest("Name a role or a user.")
    assert isinstance(request.user, User)
    try:
        viewing.begin(request.session, request.user, kind, int(number), actor=actor_of(request))
    except AccountRefused as refused:
        note_beyond(request, refused)
        messages.error(request, str(refused))
        return redirect("roles")
    return redirect("home")


@page(methods=ACT, form=NOTHING, needs_portal=False)
def stop(request: HttpRequest) -> HttpResponseBase:
    """See with one's own eyes again."""
    viewer = getattr(request, "viewer", request.user)
    assert isinstance(viewer, User)
    viewing.end(request.session, viewer, actor=actor_of(request))
    return redirect("roles")
