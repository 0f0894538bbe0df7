"""What a browser is shown when a request cannot be read or the portal fails.

Owns both pages. They ask no database, so that they can tell that it is gone: no session, no user,
no navigation. What went wrong stands in the log under the request's id, and never on the page.
"""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from portal.edge.request_id import current_request_id
from portal.pages.context import THEME_COOKIE, THEMES

_RETRY_SECONDS = 30


def failed(request: HttpRequest) -> HttpResponse:
    """The page of an unexpected error (Django's handler500); 503 where the database is gone."""
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        response = _page(request, "503.html", 503)
        response["Retry-After"] = str(_RETRY_SECONDS)
        return response
    return _page(request, "500.html", 500)


def not_understood(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The page of a request that no page could read, such as a forged host (handler400)."""
    return _page(request, "400.html", 400)


def _page(request: HttpRequest, template: str, status: int) -> HttpResponse:
    theme = request.COOKIES.get(THEME_COOKIE, "")
    context = {
        "request_id": current_request_id(),
        "theme": theme if theme in THEMES else "",
    }
    return HttpResponse(render_to_string(template, context), status=status)
