"""The one stylesheet that a page waits for: Bootstrap's, and over it the portal's own.

Owns its address, which names what is in it, so that a browser keeps it for a year and never shows
a new page in an old dress. The two stay files of their own; Bootstrap's is as it was published.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.cache import patch_cache_control

from portal.pages.fields import fields
from portal.pages.gate import READ, open_page

_FOLDER = Path(settings.BASE_DIR) / "static"
_FILES = (_FOLDER / "vendor/bootstrap/bootstrap.min.css", _FOLDER / "css/portal.css")
_YEAR_SECONDS = 365 * 86400


@open_page(methods=READ, query=fields("v"))
def stylesheet(request: HttpRequest) -> HttpResponseBase:
    """The stylesheet; for ever, if the address names what is in it."""
    content, version = _joined()
    response = HttpResponse(content, content_type="text/css; charset=utf-8")
    if request.GET.get("v") == version:
        patch_cache_control(response, public=True, max_age=_YEAR_SECONDS, immutable=True)
    else:
        patch_cache_control(response, no_cache=True)
    return response


def address() -> str:
    """Return where it is, with what is in it."""
    return f"{reverse('stylesheet')}?v={_joined()[1]}"


def _joined() -> tuple[bytes, str]:
    # Whoever changes a file sees it with the next page.
    return _read(tuple(file.stat().st_mtime_ns for file in _FILES))


@lru_cache(maxsize=1)
def _read(_changed: tuple[int, ...]) -> tuple[bytes, str]:
    content = b"\n".join(file.read_bytes() for file in _FILES)
    return content, hashlib.sha256(content).hexdigest()[:12]
