"""ETag and If-Match: that what is written is still what was read (RFC 9110 §8.8.3, §13.1.1).

Owns the form of a tag, and when a write goes on. What of a resource counts is `ApiView.version`'s
and ``unversioned``'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError

if TYPE_CHECKING:
    from portal.rest.base import ApiView

Act = Callable[..., Response]


def etag(version: object, unversioned: Collection[str] = (), behind: object = None) -> str:
    """Return the tag of what GET shows, without the members that are no part of its version, and
    of what stands ``behind`` it.
    """
    if isinstance(version, Mapping):
        version = {name: value for name, value in version.items() if name not in unversioned}
    whole = version if behind is None else [version, behind]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=False, default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def tagged(view: ApiView, read: Act, request: Request, *args: Any, **kwargs: Any) -> Response:
    """Answer a read with the tag of what it shows."""
    response = read(request, *args, **kwargs)
    response["ETag"] = etag(response.data, view.unversioned, view.behind(*args, **kwargs))
    return response


def refuse_unless_taken(view: ApiView, request: Request) -> None:
    """Raise ApiError for an If-Match that the call would not look at, however it is made."""
    if request.META.get("HTTP_IF_MATCH") is not None and request.method not in view.versioned:
        raise ApiError(ErrorCode.HEADER_INVALID, "This call takes no If-Match.")


def matched(view: ApiView, act: Act, request: Request, *args: Any, **kwargs: Any) -> Response:
    """Act, if what is acted on is still what If-Match names. Raises ApiError.

    A write beyond the database asks `check` in a transaction of its own making.
    """
    if request.META.get("HTTP_IF_MATCH") is None or not view.in_database:
        return act(request, *args, **kwargs)
    with transaction.atomic():
        check(
            view,
            request,
            lambda: view.version(*args, **kwargs),
            behind=lambda: view.behind(*args, **kwargs),
        )
        return act(request, *args, **kwargs)


def check(
    view: ApiView,
    request: Request,
    version: Callable[[], object],
    *,
    behind: Callable[[], object] = lambda: None,
) -> None:
    """Raise ApiError if If-Match names another version. It is asked for only with If-Match."""
    wanted = request.META.get("HTTP_IF_MATCH")
    if wanted is None:
        return
    tags = [tag.strip() for tag in wanted.split(",")]
    if "*" not in tags and etag(version(), view.unversioned, behind()) not in tags:
        raise ApiError(
            ErrorCode.PRECONDITION_FAILED, "It has changed since: read it again, then decide."
        )
