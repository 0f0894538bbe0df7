"""Bodies that are sent in chunks (RFC 9112 §7.1), as .NET clients send theirs.

Owns when such a body is taken and how much of it is read. The server takes the chunks apart and
refuses what could be read in two ways; JSON is `parsers.py`'s.
"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.parsers import MOST_BYTES, too_large

_PIECE = 64 * 1024


def check(request: Request) -> None:
    """Refuse a body whose end is not known, or told in two ways. Raises ApiError."""
    coding = request.META.get("HTTP_TRANSFER_ENCODING")
    if not coding:
        return
    if request.META.get("CONTENT_LENGTH"):
        # RFC 9112 §6.3: somebody in between may have read another request here.
        raise ApiError(
            ErrorCode.REQUEST_UNREADABLE,
            "Send the body with Content-Length or in chunks, not with both.",
        )
    # A server that does not say where the body ends would wait for the connection's end.
    if coding.strip().lower() != "chunked" or not request.META.get("wsgi.input_terminated"):
        raise ApiError(ErrorCode.LENGTH_REQUIRED, "Send the body with Content-Length.")


def gather(request: Request) -> None:
    """Read a body in chunks up to the bound, as if it had come with its length.

    Raises ApiError.
    """
    if not request.META.get("HTTP_TRANSFER_ENCODING"):
        return
    body = _read(request.META["wsgi.input"])
    http: Any = request._request
    # What Django and Django REST framework look at of a body that was read already.
    http._body, http._read_started = body, True
    http.META["CONTENT_LENGTH"] = str(len(body))


def _read(stream: Any) -> bytes:
    body = bytearray()
    try:
        while piece := stream.read(_PIECE):
            body += piece
            if len(body) > MOST_BYTES:
                raise too_large()
    except ApiError:
        raise
    except Exception as error:
        # What a server raises for chunks that are none is its own; the connection ends with it.
        raise ApiError(ErrorCode.REQUEST_UNREADABLE, "The body's chunks cannot be read.") from error
    return bytes(body)
