"""A person's saved views of the list of orchestrators: saved, renamed, opened by default, deleted.

Owns these acts, and where the list leads without a query. The address stays the truth: a default
view is a redirect to its filters, and ``view=all`` in an address asks for none.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.pages.fields import fields, one_of
from portal.pages.fleet_columns import FLEET
from portal.pages.gate import ACT, page
from portal.pages.list_layout import person_of
from portal.preferences import personal
from portal.preferences.models import SavedView
from portal.preferences.personal import ViewRefused
from renewal.selectors.filters import FilterInvalid, filters_of_query, query_of

ALL = "all"


def address_of(query: str, default: SavedView | None) -> str:
    """Return where the list shows what a query says, whatever it opens with."""
    if not query and default is not None and default.query:
        query = f"view={ALL}"
    return f"{reverse('orchestrators')}{'?' if query else ''}{query}"


def opened_with(request: HttpRequest, default: SavedView | None) -> HttpResponseBase | None:
    """Lead to the view that a list is to open with, if there is one that can be read."""
    if default is None or not default.query:
        return None
    try:
        filters_of_query(default.query)
    except FilterInvalid as problem:
        messages.error(request, f"Your default view “{default.name}” cannot be shown: {problem}")
        return None
    return redirect(address_of(default.query, default))


@page(Permission.AGENTS_READ, methods=ACT, form=fields("query", "name"))
def save(request: HttpRequest) -> HttpResponseBase:
    """Save the filters of a list under a name."""
    there = back(request)
    query = query_of(filters_of_query(request.POST.get("query", "")), with_order=True)
    try:
        view, is_new = personal.save_view(
            person_of(request), FLEET.page, request.POST.get("name", ""), query, now=timezone.now()
        )
    except ViewRefused as refused:
        messages.error(request, str(refused))
    else:
        said = (
            "was saved: it is among your views."
            if is_new
            else "shows these filters now. You had a view of this name: it is replaced."
        )
        messages.success(request, f"The view “{view.name}” {said}")
    return there


@page(Permission.AGENTS_READ, methods=ACT, form=fields("query", "name"))
def rename(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Give one of one's own views another name."""
    there = back(request)
    try:
        name = personal.rename_view(
            person_of(request), FLEET.page, _known(pk), request.POST.get("name", "")
        )
    except ViewRefused as refused:
        messages.error(request, str(refused))
        return there
    _tell(request, f"The view is called “{name}” now." if name else "")
    return there


@page(Permission.AGENTS_READ, methods=ACT, form=fields("query", "default"))
def set_default(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Let the list open with one of one's own views, or no longer."""
    is_default = one_of(request.POST, "default", ("1",)) == "1"
    back(request)
    view = personal.set_default(person_of(request), FLEET.page, _known(pk), is_default=is_default)
    words = "opens with" if is_default else "no longer opens with"
    _tell(request, f"The list {words} the view “{view.name}”." if view else "")
    # Anew: where the whole list is may just have changed.
    return back(request)


@page(Permission.AGENTS_READ, methods=ACT, form=fields("query"))
def delete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Delete one of one's own views."""
    there = back(request)
    is_deleted = personal.delete_view(person_of(request), FLEET.page, _known(pk))
    _tell(request, "The view was deleted." if is_deleted else "")
    return there


def back(request: HttpRequest) -> HttpResponseRedirect:
    """Lead back to the list with the filters that it had, read anew: never to another address."""
    query = query_of(filters_of_query(request.POST.get("query", "")), with_order=True)
    return redirect(address_of(query, personal.default_of(person_of(request), FLEET.page)))


def _known(pk: int) -> int:
    """Return a number that a row can have; 0 is nobody's."""
    return pk if pk < 2**63 else 0


def _tell(request: HttpRequest, done: str) -> None:
    if done:
        messages.success(request, done)
    else:
        messages.error(request, "There is no such view among yours any more.")
