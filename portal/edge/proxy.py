"""Whether a request came through the deployment's own proxy, and what that proxy may say.

Owns the authentication of the proxy and the headers that only it may set (client address,
scheme, request id, client certificate). From any other peer these headers are removed before
any other code can read them (T9 in docs/promises.md). Does not parse the client certificate.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from portal.conf import PortalConfig

SECRET_HEADER = "HTTP_X_PORTAL_PROXY_SECRET"  # noqa: S105 (a header's name)
REQUEST_ID_HEADER = "HTTP_X_REQUEST_ID"
_FORWARDING_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
    REQUEST_ID_HEADER,
)


class ProxyMiddleware:
    """Marks requests of the authenticated proxy; strips its headers from all others."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        settle(request, settings.CONFIG)
        return self._get_response(request)


def settle(request: HttpRequest, config: PortalConfig) -> None:
    """Set ``request.from_proxy`` and make the request say only what its peer may say."""
    environ = request.META
    trusted = is_authenticated_proxy(environ, config)
    request.from_proxy = trusted  # type: ignore[attr-defined]
    # The secret has served; it must not reach a log or an error page.
    environ.pop(SECRET_HEADER, None)
    if trusted:
        _believe(environ)
        return
    for header in _FORWARDING_HEADERS:
        if header in environ:
            del environ[header]
    environ.pop(header_key(config.certificate_header), None)


def is_authenticated_proxy(environ: dict[str, Any], config: PortalConfig) -> bool:
    """Return whether the peer is a configured proxy and has proven it.

    A unix socket proves itself by its file's permissions; an address needs the shared secret
    beside it. Where a secret is configured it is always asked for.
    """
    if not config.proxy_addresses:
        return False
    if not _peer_is_configured(environ, config):
        return False
    if config.proxy_secret:
        return hmac.compare_digest(
            environ.get(SECRET_HEADER, "").encode("latin-1", "replace"),
            config.proxy_secret.encode(),
        )
    return _is_unix_peer(environ)


def _peer_is_configured(environ: dict[str, Any], config: PortalConfig) -> bool:
    if _is_unix_peer(environ):
        return "unix" in config.proxy_addresses
    return _is_listed(environ.get("REMOTE_ADDR", ""), config.proxy_addresses)


def _is_unix_peer(environ: dict[str, Any]) -> bool:
    peer = environ.get("gunicorn.socket")
    return peer is not None and peer.family == socket.AF_UNIX


@lru_cache(maxsize=1024)
def _is_listed(address: str, listed: tuple[str, ...]) -> bool:
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(
        peer in ipaddress.ip_network(entry, strict=False) for entry in listed if entry != "unix"
    )


@lru_cache(maxsize=8)
def header_key(name: str) -> str:
    """Return the key under which WSGI hands over the header ``name`` (PEP 3333)."""
    return "HTTP_" + name.upper().replace("-", "_")


def _believe(environ: dict[str, Any]) -> None:
    """Take client address and scheme from the proxy: the last hop it saw itself."""
    if forwarded_for := environ.get("HTTP_X_FORWARDED_FOR"):
        nearest = forwarded_for.rpartition(",")[2].strip()
        try:
            environ["REMOTE_ADDR"] = str(ipaddress.ip_address(nearest))
        except ValueError:
            environ["REMOTE_ADDR"] = ""
    if (scheme := environ.get("HTTP_X_FORWARDED_PROTO")) in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme
