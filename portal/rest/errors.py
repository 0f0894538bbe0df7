"""The one error body, and the mapping of every exception to it.

Owns the shape: ``Message`` and ``ErrorCode`` for existing clients beside the members of RFC 9457.
Which code means which status is `codes.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from portal.edge.problem import problem
from portal.edge.request_id import current_request_id
from portal.rest.codes import CODES, ErrorCode
from portal.rest.negotiation import PROBLEM, asks_for

log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = "30"
_BY_EXCEPTION: tuple[tuple[type[Exception], ErrorCode], ...] = (
    (exceptions.NotAuthenticated, ErrorCode.NOT_AUTHENTICATED),
    (exceptions.AuthenticationFailed, ErrorCode.SIGN_IN_FAILED),
    (exceptions.PermissionDenied, ErrorCode.PERMISSION_MISSING),
    (exceptions.MethodNotAllowed, ErrorCode.METHOD_NOT_ALLOWED),
    (exceptions.NotAcceptable, ErrorCode.NOT_ACCEPTABLE),
    (exceptions.UnsupportedMediaType, ErrorCode.CONTENT_TYPE_UNKNOWN),
    (exceptions.NotFound, ErrorCode.ENDPOINT_UNKNOWN),
    (exceptions.Throttled, ErrorCode.TOO_MANY_REQUESTS),
    (exceptions.APIException, ErrorCode.REQUEST_UNREADABLE),
    (Http404, ErrorCode.ENDPOINT_UNKNOWN),
    (PermissionDenied, ErrorCode.PERMISSION_MISSING),
    (SuspiciousOperation, ErrorCode.REQUEST_UNREADABLE),
    (UnreadablePostError, ErrorCode.REQUEST_UNREADABLE),
    # The database found what no check before it did; nothing was changed.
    (DataError, ErrorCode.VALUE_INVALID),
    (IntegrityError, ErrorCode.CHANGED),
    (DatabaseError, ErrorCode.DATABASE_DOWN),
    (InterfaceError, ErrorCode.DATABASE_DOWN),
)


class ApiError(exceptions.APIException):
    """Ends a call with a code and a sentence; ``status`` only where it is not the code's own."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        status: int | None = None,
        failed: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(message, code)
        self.error_code = code
        self.status_code = status or CODES[code].status
        self.failed = failed


def handle(exception: Exception, context: Mapping[str, Any]) -> Response:
    """Return the reply for an exception of a view (Django REST framework's hook)."""
    code = _code_of(exception)
    status = exception.status_code if isinstance(exception, ApiError) else CODES[code].status
    if status >= 500:
        log.error("a call of the REST API failed: %s", code, exc_info=exception)
    body = error_body(code, _sentence(exception, code), status)
    if isinstance(exception, ApiError) and exception.failed:
        body["FailedOperations"] = exception.failed
    request = context.get("request")
    wants_problem = request is not None and asks_for(request, PROBLEM)
    return Response(
        body,
        status=status,
        headers=_headers(exception, code),
        content_type=PROBLEM if wants_problem else None,
    )


def error_body(code: ErrorCode, message: str, status: int) -> dict[str, Any]:
    """Return the error body."""
    known_as = code.value, CODES[code].title
    return problem(*known_as, message, status, request_id=current_request_id())


def _code_of(exception: Exception) -> ErrorCode:
    if isinstance(exception, ApiError):
        return exception.error_code
    named = getattr(getattr(exception, "detail", None), "code", None)
    if named in (ErrorCode.CSRF_FAILED, ErrorCode.SIGN_IN_LOCKED):
        return ErrorCode(named)
    return next((c for kind, c in _BY_EXCEPTION if isinstance(exception, kind)), ErrorCode.INTERNAL)


def _sentence(exception: Exception, code: ErrorCode) -> str:
    if isinstance(exception, exceptions.APIException) and isinstance(exception.detail, str):
        return str(exception.detail)
    # What Django and the database say may quote the request or the schema.
    return f"{CODES[code].title}."


def _headers(exception: Exception, code: ErrorCode) -> dict[str, str]:
    headers: dict[str, str] = {}
    if challenge := getattr(exception, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(exception, "wait", None):
        headers["Retry-After"] = str(int(wait))
    if code is ErrorCode.DATABASE_DOWN:
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    return headers
