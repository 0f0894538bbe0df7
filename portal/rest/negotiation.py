"""Which content types are read and written: JSON in UTF-8, under the names of existing clients.

Owns nothing but the names; reading a body is `parsers.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation

PROBLEM = "application/problem+json"
_READ = {"application/json", "application/json-patch+json", "text/json"}
_WRITTEN = {"application/json", "text/json", "application/*", "text/*", "*/*", PROBLEM}


class JSONNegotiation(BaseContentNegotiation):
    """JSON in (and what else a view reads), JSON out; anything else is refused."""

    def select_parser(self, request: Any, parsers: Sequence[Any]) -> Any:
        media, *parameters = (request.content_type or "").split(";")
        if not all(map(_is_utf8, parameters)):
            return None
        named = "application/json" if is_json(media) else media.strip().lower()
        return next((each for each in parsers if each.media_type == named), None)

    def select_renderer(
        self, request: Any, renderers: Sequence[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        if request.META.get("HTTP_ACCEPT") and _WRITTEN.isdisjoint(_accepted(request)):
            raise NotAcceptable("Replies are application/json.")
        return renderers[0], renderers[0].media_type


def is_json(content_type: str) -> bool:
    """Say whether a body of this type is read."""
    media = content_type.strip().lower()
    return media in _READ or (media.startswith("application/") and media.endswith("+json"))


def _is_utf8(parameter: str) -> bool:
    """Say whether a parameter of a content type leaves JSON what it is: UTF-8 (RFC 8259 §8.1)."""
    name, _, value = parameter.partition("=")
    return name.strip().lower() != "charset" or value.strip(' "').lower() in ("utf-8", "utf8")


def asks_for(request: Any, media_type: str) -> bool:
    """Say whether Accept names this type itself, not by a wildcard."""
    return media_type in _accepted(request)


def _accepted(request: Any) -> Iterator[str]:
    for entry in request.META.get("HTTP_ACCEPT", "").lower().split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        # q=0 means "not acceptable" (RFC 9110 §12.4.2).
        if not any(p.startswith("q=") and not p[2:].strip("0.") for p in parameters):
            yield media
