"""An address of a page with a slash at its end leads to the page.

Owns nothing but that: whoever types or links one should not get a 404, and a form that was sent to
one should, for a redirect would lose what it sent.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.urls import Resolver404, resolve
from django.utils.encoding import escape_uri_path
from django.utils.http import escape_leading_slashes


def without_slash(request: HttpRequest, page: str) -> HttpResponse:
    """Redirect to the same address without its last slash, if that is a page. Raises Http404."""
    if request.method not in ("GET", "HEAD"):
        raise Http404
    try:
        # Of the pages alone: the API and the agent protocol have spellings of their own.
        resolve(f"/{page}", "portal.pages.urls")
    except Resolver404:
        raise Http404 from None
    # One slash at its beginning and no more, or the browser would go to another host.
    address = escape_leading_slashes(escape_uri_path(f"/{page}"))
    query = request.META.get("QUERY_STRING", "")
    return HttpResponsePermanentRedirect(f"{address}?{query}" if query else address)
