"""Pages and what they are made of travel compressed, whoever stands in front of the portal.

Owns which responses are: pages that were fetched, stylesheets, scripts and the sprite of icons.
What a form was answered is not, for it may show a secret beside what was typed (BREACH,
CVE-2013-3587); nor the agent protocol, the REST API and downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.text import compress_string

_PAGE = "text/html"
_FILES = ("text/css", "text/javascript", "image/svg+xml")
_LEAST_BYTES = 500
_RANDOM_BYTES = 100
"""Django's own measure: of so many bytes at most a page's length differs from time to time."""


class CompressionMiddleware:
    """Compress with gzip what is worth it, for whoever says that they can read it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        kind = response.headers.get("Content-Type", "").split(";")[0]
        if request.method != "GET" or kind not in (_PAGE, *_FILES):
            return response
        if response.status_code in (204, 206, 304) or response.has_header("Content-Encoding"):
            return response
        patch_vary_headers(response, ("Accept-Encoding",))
        if not _reads_gzip(request.headers.get("Accept-Encoding", "")):
            return response
        # A page is written anew each time; a file is what it is, and gives nothing away.
        random = _RANDOM_BYTES if kind == _PAGE else None
        if response.streaming:
            if kind == _PAGE:
                return response
            parts: Iterator[bytes] = response.streaming_content  # type: ignore[attr-defined]
            packed = compress_string(b"".join(parts), max_random_bytes=random)
            response.streaming_content = [packed]  # type: ignore[attr-defined]
        else:
            plain: bytes = response.content  # type: ignore[attr-defined]
            if len(plain) < _LEAST_BYTES:
                return response
            packed = compress_string(plain, max_random_bytes=random)
            response.content = packed  # type: ignore[attr-defined]
        response.headers["Content-Length"] = str(len(packed))
        response.headers["Content-Encoding"] = "gzip"
        # It named the other bytes; when the file was changed is told by Last-Modified.
        response.headers.pop("ETag", None)
        return response


def _reads_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding names gzip and does not forbid it (RFC 9110 §12.5.3)."""
    for choice in accepted.lower().split(","):
        name, _, weight = choice.replace(" ", "").partition(";")
        if name == "gzip":
            return not weight.startswith("q=0") or any(digit in weight for digit in "123456789")
    return False
