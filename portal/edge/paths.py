"""One spelling for every path, and URL patterns that match in any case.

Owns the canonical form of a request's path: the two API prefixes in their documented spelling,
and no path that two parsers could read differently (T11 in docs/promises.md). Keyfactor's
clients and documents spell the prefixes and the endpoints in several ways, so both are matched
case-insensitively; values inside a path keep their case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from django.urls import URLPattern, URLResolver
from django.urls.conf import _path  # type: ignore[attr-defined]
from django.urls.resolvers import RoutePattern

AGENTS_PREFIX = "/KeyfactorAgents"
API_PREFIX = "/KeyfactorAPI"

# %25 followed by hex digits would become another escape for a second decoder.
_AMBIGUOUS = re.compile(
    r"//|[;\\\x00-\x1f\x7f]|%(?:2f|5c|3b|00|2e|25[0-9a-f]{2})|/\.{1,2}(?:/|$)", re.IGNORECASE
)


def is_ambiguous(environ: Mapping[str, Any], path_info: str) -> bool:
    """Return whether two readers of this request could see two different paths.

    ``RAW_URI`` is the request target as it stood on the wire (gunicorn); other servers hand
    over only the decoded path. An absolute-form target must name the host of the Host header
    (RFC 9112 §3.2.2 lets the target win, which a filter in front may not know).
    """
    target = environ.get("RAW_URI")
    if target is None:
        return _AMBIGUOUS.search(path_info) is not None
    if not target.startswith("/"):
        parts = urlsplit(target)
        if parts.netloc.lower() != environ.get("HTTP_HOST", "").lower():
            return True
        target = parts.path
    path = target.partition("?")[0]
    if "%" not in path:
        return _AMBIGUOUS.search(path) is not None
    return _AMBIGUOUS.search(path) is not None or _AMBIGUOUS.search(unquote(path)) is not None


def canonical(path_info: str) -> str:
    """Return the path with an API prefix in its documented spelling, else unchanged."""
    second = path_info.find("/", 1)
    head = path_info if second < 0 else path_info[:second]
    lowered = head.lower()
    if lowered == "/keyfactoragents":
        return AGENTS_PREFIX + path_info[len(head) :]
    if lowered == "/keyfactorapi":
        return API_PREFIX + path_info[len(head) :]
    return path_info


def is_under(path: str, prefix: str) -> bool:
    """Return whether a canonical path is ``prefix`` or lies below it."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")


class _AnyCaseRoute(RoutePattern):
    """A route of ``path()`` whose fixed segments match in any case."""

    def __init__(self, route: str, name: str | None = None, is_endpoint: bool = False) -> None:
        super().__init__(route, name, is_endpoint)
        self._any_case = re.compile(self.regex.pattern, re.IGNORECASE)

    def match(self, path: str) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
        found = self._any_case.search(path)
        if found is None:
            return None
        values = found.groupdict()
        for name, value in values.items():
            try:
                values[name] = self.converters[name].to_python(value)
            except ValueError:
                return None
        return path[found.end() :], (), values


def any_case_path(
    route: str,
    view: Callable[..., Any] | tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    name: str | None = None,
) -> URLPattern | URLResolver:
    """Return ``path(route, view, …)`` that matches ``route`` in any case."""
    pattern: URLPattern | URLResolver = _path(route, view, kwargs, name, Pattern=_AnyCaseRoute)
    return pattern
