"""The id of a request: in the reply's header, in every log line and in audit rows.

Owns making the id and carrying it through the thread. Accepts one from outside only when the
deployment's authenticated proxy sent it, and only in a shape that cannot forge a log line.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponseBase

from portal.audit.acts import BULK_GROUP
from portal.edge.proxy import REQUEST_ID_HEADER

# Never the group of a bulk job, whose rows the audit page folds.
_SANE = re.compile(rf"(?!{BULK_GROUP})[A-Za-z0-9._-]{{8,64}}")
_current: ContextVar[str] = ContextVar("request_id", default="-")


def current_request_id() -> str:
    """Return the id of the request that this thread serves, or ``-``."""
    return _current.get()


class RequestIdMiddleware:
    """Gives each request an id and returns it in ``X-Request-ID``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # ProxyMiddleware has removed the header unless the proxy sent it.
        given = request.META.get(REQUEST_ID_HEADER, "")
        request_id = given if _SANE.fullmatch(given) else secrets.token_hex(8)
        request.request_id = request_id  # type: ignore[attr-defined]
        token = _current.set(request_id)
        try:
            response = self._get_response(request)
        finally:
            _current.reset(token)
        response["X-Request-ID"] = request_id
        return response


class RequestIdFilter(logging.Filter):
    """Adds ``request_id`` to each log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _current.get()
        return True
