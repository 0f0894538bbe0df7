"""Who may see a page, and who acts: the one way into every view.

Owns the order of the checks: method, sign-in, no service account, permissions, and then that what
was sent is what the page takes (`fields.py`). Which permissions a page needs, and which fields and
parameters it takes, is said where the page is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec
from urllib.parse import urlsplit, urlunsplit

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.http import url_has_allowed_host_and_scheme

from portal.access.catalogue import Permission, entry_for
from portal.access.guard import BEYOND_OWN_PERMISSIONS, AccountRefused
from portal.access.permissions import PermissionMissing, require
from portal.access.reach import is_limited, reach
from portal.audit import search
from portal.audit.refusals import note
from portal.audit.trail import Actor
from portal.edge.request_id import current_request_id
from portal.pages.fields import NOTHING, Fields, check_form, check_query
from portal.pages.zones import zone_of
from renewal.identity.acting import ActRefused
from renewal.selectors.filters import FilterInvalid

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

ANONYMOUS = Actor(name="anonymous")

READ = ("GET", "HEAD")
ACT = ("POST",)
BOTH = ("GET", "HEAD", "POST")

EVERYWHERE: Mapping[str, tuple[Permission, ...]] = {
    "add_orchestrator": (Permission.AGENTS_READ, Permission.AGENTS_APPROVE),
    "audit_verification": (Permission.AUDITING_READ,),
    "certificate_from_csr": (Permission.CERTIFICATES_READ, Permission.ENROLL_CSR),
}
"""What a page needs without a limit, by the name of its address: it is about what belongs to no
orchestrator yet, so that no limit can name it.
"""


def page(
    *needed: Permission,
    methods: tuple[str, ...] = READ,
    form: Fields | None = None,
    query: Fields = NOTHING,
    needs_portal: bool = True,
) -> Callable[[View[P]], View[P]]:
    """Let a view be called only by a signed-in person who holds what it needs.

    ``form``: what it takes with POST. ``query``: what it takes in its address.
    """
    _check_declared(methods, form)

    def decorate(view: View[P]) -> View[P]:
        taking = _taking(view, form, query)

        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method not in methods:
                return _not_allowed(request, methods)
            if not request.user.is_authenticated:
                return _to_sign_in(request)
            if request.user.is_service_account:
                logout(request)
                raise PermissionDenied("A service account cannot sign in to the pages.")
            demand(request, *((Permission.PORTAL_READ,) if needs_portal else ()), *needed)
            with timezone.override(zone_of(request)):
                response = taking(request, *args, **kwargs)
            patch_cache_control(response, private=True, no_cache=True)
            return response

        return guarded

    return decorate


def open_page(
    *, methods: tuple[str, ...], form: Fields | None = None, query: Fields = NOTHING
) -> Callable[[View[P]], View[P]]:
    """Let a view be called by anybody, with what it takes and nothing else."""
    _check_declared(methods, form)

    def decorate(view: View[P]) -> View[P]:
        taking = _taking(view, form, query)

        @wraps(view)
        def opened(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method not in methods:
                return _not_allowed(request, methods)
            return taking(request, *args, **kwargs)

        return opened

    return decorate


def _to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Lead to the sign-in page, and from there back to the page where somebody was."""
    if "HX-Request" in request.headers:
        # A part of a page that looks again: the whole page goes, or the part would be emptied.
        there = redirect_to_login(_own_page(request, request.headers.get("HX-Current-URL", "")))
        return HttpResponse(status=401, headers={"HX-Redirect": there.url})
    if request.method in READ:
        return redirect_to_login(request.get_full_path())
    messages.warning(
        request, "Your session has ended, and nothing was changed. Sign in, then send it again."
    )
    return redirect_to_login(_own_page(request, request.headers.get("Referer", "")))


def _own_page(request: HttpRequest, address: str) -> str:
    """Return path and query of an address of this portal; of any other one the dashboard's."""
    if not url_has_allowed_host_and_scheme(address, {request.get_host()}):
        return "/"
    parts = urlsplit(address)
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))


def _check_declared(methods: tuple[str, ...], form: Fields | None) -> None:
    if ("POST" in methods) != (form is not None):
        raise TypeError("A page that takes POST says which fields, and no other page does.")


def _taking(view: View[P], form: Fields | None, query: Fields) -> View[P]:
    """Wrap a view: what it does not take is answered with 400, before anything is done."""

    @wraps(view)
    def taking(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            check_query(request, query)
            if form is not None and request.method == "POST":
                check_form(request, form)
            return view(request, *args, **kwargs)
        except Http404 as nowhere:
            if request.method == "POST" and is_limited(request.user):
                _note(request, "target_unknown", str(nowhere), what="target")
            raise
        except (BadRequest, FilterInvalid, search.FilterInvalid) as problem:
            return render(request, "400.html", {"exception": problem}, status=400)

    return taking


def demand(request: HttpRequest, *needed: Permission) -> None:
    """Raise PermissionDenied, with the access string that is missing."""
    try:
        for permission in needed:
            require(request.user, permission)
    except PermissionMissing as missing:
        refuse(request, str(missing), what=missing.permission)


def refuse(request: HttpRequest, why: str, *, what: str) -> NoReturn:
    """Raise PermissionDenied, with an audit row that says who asked for what."""
    note_refused(request, why, what=what)
    raise PermissionDenied(why)


def note_refused(request: HttpRequest, why: str, *, what: str) -> None:
    """Note who was refused what. In a transaction of its own: outside of what is rolled back."""
    _note(request, "page_refused", why, what=what)


def _note(request: HttpRequest, action: str, why: str, *, what: str) -> None:
    note(
        actor_of(request),
        action,
        object_type="permission",
        object_id=f"{request.user.pk}:{what}",
        message=f"{request.method} {request.path[:300]}: {why} Roles: {_roles(request)}.",
        now=timezone.now(),
    )


def note_beyond(request: HttpRequest, refused: AccountRefused) -> None:
    """Note a change of access that was refused because it goes beyond one's own permissions."""
    if refused.reason == BEYOND_OWN_PERMISSIONS:
        note_refused(request, str(refused), what=refused.reason)


def note_policy(request: HttpRequest, refused: ActRefused) -> None:
    """Note an act that a policy refuses to this person."""
    if refused.reason == "policy":
        note_refused(request, str(refused), what=refused.reason)


def demand_everywhere(request: HttpRequest, *needed: Permission) -> None:
    """Raise PermissionDenied unless each permission is held without a limit."""
    demand(request, *needed)
    for permission in needed:
        if not reach(request.user, permission).everything:
            refuse(
                request,
                f"Your roles grant {entry_for(permission).access_string} for some orchestrators "
                "only; this needs it for all.",
                what=f"{permission} everywhere",
            )


def may_open(user: Any, name: str) -> bool:
    """Say whether a user holds what a page of `EVERYWHERE` needs."""
    return all(reach(user, permission).everything for permission in EVERYWHERE[name])


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts, for the audit row: never whose eyes they look through."""
    person = getattr(request, "viewer", request.user)
    return Actor(
        name=person.get_username(),
        user_id=person.pk,
        source_address=_address(request),
        request_id=current_request_id(),
    )


def next_of(request: HttpRequest) -> str:
    """Return the page of this portal to which a form wants to lead; empty for none."""
    back: str = request.POST.get("next", "")
    return back if url_has_allowed_host_and_scheme(back, {request.get_host()}) else ""


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
