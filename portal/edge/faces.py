"""Which of the portal's faces this process serves, and under which rules.

Owns the split by PORTAL_EDGE: the port on which clients may present certificates serves the
agent protocol and the REST API without cookies; the pages' port knows no agent protocol. A
certificate that a browser presents and its session cookie so never meet (T26 in
docs/promises.md). Knows nothing of views and URL patterns.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from orchestrators.protocol.codes import TEXTS, Code
from portal.edge.paths import AGENTS_PREFIX, API_PREFIX, canonical, is_ambiguous, is_under
from portal.edge.problem import problem
from portal.edge.request_id import current_request_id

_PROBES = ("/livez", "/readyz")


class FaceMiddleware:
    """Canonicalises the path once and answers 404 for faces that are not served here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_ambiguous(request.META, request.path_info):
            return _refusal(
                canonical(request.path_info),
                ("request_unreadable", "The request cannot be read"),
                400,
                "The path can be read in more than one way.",
            )
        path = canonical(request.path_info)
        if path is not request.path_info:
            request.path_info = path
            request.path = request.META.get("SCRIPT_NAME", "").rstrip("/") + path
        edge: str = settings.CONFIG.edge
        is_agent_protocol = is_under(path, AGENTS_PREFIX)
        if (edge == "pages" and is_agent_protocol) or (edge == "agents" and not _for_agents(path)):
            return _refusal(
                path,
                ("endpoint_unknown", "There is no such endpoint"),
                404,
                TEXTS[Code.ENDPOINT_UNKNOWN].sentence,
            )
        cookies_allowed = edge != "agents" and not is_agent_protocol
        request.cookies_allowed = cookies_allowed  # type: ignore[attr-defined]
        if cookies_allowed:
            return self._get_response(request)
        request.META.pop("HTTP_COOKIE", None)
        response = self._get_response(request)
        getattr(response, "cookies", {}).clear()
        return response


def _for_agents(path: str) -> bool:
    return (
        is_under(path, AGENTS_PREFIX)
        or is_under(path, API_PREFIX)
        or path.startswith("/crl/")
        or path in _PROBES
    )


def _refusal(path: str, known_as: tuple[str, str], status: int, message: str) -> JsonResponse:
    """Refuse in the words of the face that the path belongs to: an agent's code, or a problem."""
    code, title = known_as
    if is_under(path, AGENTS_PREFIX):
        body = {"Message": message, "ErrorCode": Code.ENDPOINT_UNKNOWN.value}
    else:
        body = problem(code, title, message, status, request_id=current_request_id())
    return JsonResponse(body, status=status)
