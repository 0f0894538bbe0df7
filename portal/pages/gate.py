"""Who may see a page, and who acts: the one way into every view.

Owns the order of the checks: method, sign-in, no service account, permissions. Which permissions
a page needs is said where the page is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec

from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_cache_control

from portal.access.catalogue import Permission, entry_for
from portal.access.permissions import PermissionMissing, require
from portal.access.reach import reach
from portal.audit.refusals import note
from portal.audit.trail import Actor
from portal.edge.request_id import current_request_id
from portal.pages.zones import zone_of

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

ANONYMOUS = Actor(name="anonymous")

READ = ("GET", "HEAD")
ACT = ("POST",)
BOTH = ("GET", "HEAD", "POST")


def page(
    *needed: Permission, methods: tuple[str, ...] = READ, needs_portal: bool = True
) -> Callable[[View[P]], View[P]]:
    """Let a view be called only by a signed-in person who holds what it needs."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method not in methods:
                return _not_allowed(request, methods)
            if not request.user.is_authenticated:
                target = request.get_full_path() if request.method in READ else "/"
                return redirect_to_login(target)
            if request.user.is_service_account:
                logout(request)
                raise PermissionDenied("A service account cannot sign in to the pages.")
            demand(request, *((Permission.PORTAL_READ,) if needs_portal else ()), *needed)
            with timezone.override(zone_of(request)):
                try:
                    response = view(request, *args, **kwargs)
                except BadRequest as problem:
                    response = render(request, "400.html", {"exception": problem}, status=400)
            patch_cache_control(response, private=True, no_cache=True)
            return response

        return guarded

    return decorate


def demand(request: HttpRequest, *needed: Permission) -> None:
    """Raise PermissionDenied, with the access string that is missing."""
    try:
        for permission in needed:
            require(request.user, permission)
    except PermissionMissing as missing:
        refuse(request, str(missing), what=missing.permission)


def refuse(request: HttpRequest, why: str, *, what: str) -> NoReturn:
    """Raise PermissionDenied, with an audit row that says who asked for what."""
    note(
        actor_of(request),
        "page_refused",
        object_type="permission",
        object_id=f"{request.user.pk}:{what}",
        message=f"{request.method} {request.path[:300]}: {why} Roles: {_roles(request)}.",
        now=timezone.now(),
    )
    raise PermissionDenied(why)


def demand_everywhere(request: HttpRequest, *needed: Permission) -> None:
    """Raise PermissionDenied unless each permission is held without a limit.

    For what belongs to no orchestrator yet, so that no limit can name it.
    """
    demand(request, *needed)
    for permission in needed:
        if not reach(request.user, permission).everything:
            refuse(
                request,
                f"Your roles grant {entry_for(permission).access_string} for some orchestrators "
                "only; this needs it for all.",
                what=f"{permission} everywhere",
            )


def only_fields(request: HttpRequest, form: BaseForm, *besides: str) -> None:
    """Raise BadRequest for a field that the form does not have: nothing is silently dropped."""
    known = {"csrfmiddlewaretoken", *form.fields, *besides}
    for name in request.POST:
        if name not in known:
            raise BadRequest(f"The form has no field {name[:60]!r}.")


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts, for the audit row: never whose eyes they look through."""
    person = getattr(request, "viewer", request.user)
    return Actor(
        name=person.get_username(),
        user_id=person.pk,
        source_address=_address(request),
        request_id=current_request_id(),
    )


def form_grown_old(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without this session's token: nothing was changed (Django's CSRF failure view)."""
    user = getattr(request, "user", None)
    signed_in = user is not None and user.is_authenticated
    actor = actor_of(request) if signed_in else replace(ANONYMOUS, source_address=_address(request))
    note(
        actor,
        "form_refused",
        object_type="form",
        object_id=f"{actor.name[:40]} {actor.source_address[:20]}",
        message=f"{request.method} {request.path[:300]}: {reason}",
        now=timezone.now(),
    )
    return render(request, "403_csrf.html", status=403)


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def _roles(request: HttpRequest) -> str:
    names = request.user.groups.order_by("name").values_list("name", flat=True)
    return ", ".join(names[:10]) or "none"


def _not_allowed(request: HttpRequest, methods: tuple[str, ...]) -> HttpResponse:
    context: dict[str, Any] = {"methods": ", ".join(methods)}
    response = render(request, "405.html", context, status=405)
    response["Allow"] = ", ".join(methods)
    return response
