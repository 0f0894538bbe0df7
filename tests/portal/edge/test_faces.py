"""What each process serves, and that every path has one spelling."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import URLResolver, include
from django.urls.resolvers import RegexPattern

from portal.edge.faces import FaceMiddleware
from portal.edge.paths import any_case_path, is_ambiguous


def pass_through(path: str, edge: str, **extra: Any) -> tuple[int, HttpRequest]:
    request = RequestFactory().get("/", **extra)
    request.path_info = request.path = path

    def view(request: HttpRequest) -> HttpResponse:
        response = HttpResponse()
        response.set_cookie("sessionid", "x")
        return response

    with override_settings(CONFIG=replace(settings.CONFIG, edge=edge)):
        response = FaceMiddleware(view)(request)
    request.answered = response  # type: ignore[attr-defined]
    return response.status_code, request


AGENT, REST, PAGE = "/KeyfactorAgents/Session/Register", "/KeyfactorAPI/Agents", "/orchestrators"
SERVED = {
    "agents": {AGENT, REST, "/crl/issuing.crl", "/livez", "/readyz"},
    "pages": {REST, PAGE, "/", "/crl/issuing.crl", "/livez", "/readyz", "/metrics", "/static/x"},
    "both": {
        *(AGENT, REST, PAGE, "/", "/crl/issuing.crl"),
        *("/livez", "/readyz", "/metrics", "/static/x"),
    },
}
PATHS = sorted(set().union(*SERVED.values()))


@pytest.mark.parametrize("edge", SERVED)
@pytest.mark.parametrize("path", PATHS)
def test_an_edge_serves_its_faces_and_no_other(edge: str, path: str) -> None:
    assert pass_through(path, edge)[0] == (200 if path in SERVED[edge] else 404)


def test_a_name_that_only_starts_like_a_prefix_is_not_under_it() -> None:
    assert pass_through("/KeyfactorAgentsX/Session", "agents")[0] == 404
    assert pass_through("/KeyfactorAgentsX/Session", "pages")[0] == 200


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("/keyfactoragents/Session/Register", AGENT),
        ("/KEYFACTORAGENTS/Session/Register", AGENT),
        ("/keyfactorapi/Agents", REST),
        ("/KeyfactorApi/Agents", REST),
        ("/KeyfactorAPI/agents/ABC", "/KeyfactorAPI/agents/ABC"),
        ("/keyfactorapi", "/KeyfactorAPI"),
        ("/Orchestrators", "/Orchestrators"),
    ],
)
def test_prefixes_get_their_documented_spelling(given: str, seen: str) -> None:
    request = pass_through(given, "both")[1]
    assert (request.path_info, request.path) == (seen, seen)


AMBIGUOUS = [
    "//KeyfactorAgents/Session/Register",
    "/KeyfactorAgents//Session/Register",
    "/KeyfactorAgents/Session;x=1/Register",
    "/KeyfactorAgents/./Session/Register",
    "/x/../KeyfactorAgents/Session/Register",
    "/KeyfactorAgents/Session/..",
    "/KeyfactorAgents/Session\\Register",
    "/KeyfactorAgents/Session\x00",
]
AMBIGUOUS_ON_THE_WIRE = [
    *AMBIGUOUS[:-1],
    "/KeyfactorAgents%2fSession/Register",
    "/KeyfactorAgents/Session%2FRegister",
    "/KeyfactorAgents/Session%5cRegister",
    "/KeyfactorAgents/%2e%2e/KeyfactorAPI/Agents",
    "/KeyfactorAgents/Session%3bx/Register",
    "/KeyfactorAgents/Session%00",
    "/KeyfactorAgents/Session%0d%0aRegister",
    "/KeyfactorAgents/Session%252fRegister",
    "http://elsewhere/KeyfactorAgents/Session/Register",
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_an_ambiguous_path_is_refused(path: str) -> None:
    assert pass_through(path, "both")[0] == 400


@pytest.mark.parametrize("target", AMBIGUOUS_ON_THE_WIRE)
def test_an_ambiguous_target_is_refused_as_it_stood_on_the_wire(target: str) -> None:
    assert pass_through(AGENT, "both", RAW_URI=target, HTTP_HOST="portal")[0] == 400


@pytest.mark.parametrize(
    "target",
    [
        "/KeyfactorAgents/Session/Register",
        "/%4BeyfactorAgents/Session/Register",
        "/KeyfactorAPI/Agents?pq.queryString=ClientMachine%20-eq%20%22a%2Fb;c//d%22",
        "http://portal/KeyfactorAgents/Session/Register",
        "/crl/Issuing%20CA%201.crl",
        "/static/css/portal.v1.2.css",
    ],
)
def test_one_meaning_is_no_ambiguity(target: str) -> None:
    assert not is_ambiguous({"RAW_URI": target, "HTTP_HOST": "portal"}, "/")


@pytest.mark.parametrize(
    ("edge", "path", "allowed"),
    [
        ("agents", REST, False),
        ("agents", AGENT, False),
        ("both", AGENT, False),
        ("both", REST, True),
        ("pages", REST, True),
        ("pages", PAGE, True),
    ],
)
def test_cookies_never_meet_a_client_certificate(edge: str, path: str, allowed: bool) -> None:
    request = pass_through(path, edge, HTTP_COOKIE="sessionid=stolen")[1]
    assert request.cookies_allowed is allowed  # type: ignore[attr-defined]
    assert bool(request.COOKIES) is allowed
    assert bool(request.answered.cookies) is allowed  # type: ignore[attr-defined]


def view(request: HttpRequest, agent: UUID | None = None) -> HttpResponse:
    raise AssertionError("only resolved")


API = URLResolver(
    RegexPattern(r"^/"),
    [
        any_case_path(
            "KeyfactorAPI/",
            include(
                [
                    any_case_path("Agents/Approve", view, name="approve"),
                    any_case_path("Agents/<uuid:agent>/Reset", view, name="reset"),
                    any_case_path("AppSetting/<str:name>", view, name="setting"),
                ]
            ),
        )
    ],
)


@pytest.mark.parametrize(
    ("path", "name", "values"),
    [
        ("/KeyfactorAPI/Agents/Approve", "approve", {}),
        ("/KeyfactorAPI/agents/approve", "approve", {}),
        ("/keyfactorapi/AGENTS/APPROVE", "approve", {}),
        (
            "/KeyfactorAPI/agents/0D8CF0C8-56CA-4B8A-B16A-C062018E170D/reset",
            "reset",
            {"agent": UUID("0d8cf0c8-56ca-4b8a-b16a-c062018e170d")},
        ),
        ("/KeyfactorAPI/appsetting/SessionLength", "setting", {"name": "SessionLength"}),
    ],
)
def test_routes_match_in_any_case_and_keep_values(
    path: str, name: str, values: dict[str, Any]
) -> None:
    match = API.resolve(path)
    assert (match.url_name, match.kwargs) == (name, values)


def test_links_have_the_documented_spelling() -> None:
    assert API.reverse("approve").endswith("KeyfactorAPI/Agents/Approve")


REFUSED_AT_THE_EDGE = {
    "a path of the API that can be read in two ways": (
        "/KeyfactorAPI//Agents", "both", 400, "request_unreadable",
    ),
    "a page on the agents' port": (PAGE, "agents", 404, "endpoint_unknown"),
    "an agent's path on the pages' port": (AGENT, "pages", 404, "A01F0046"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "edge", "status", "code"), REFUSED_AT_THE_EDGE.values(), ids=REFUSED_AT_THE_EDGE
)
def test_a_refusal_has_the_form_of_the_face(path: str, edge: str, status: int, code: str) -> None:
    found, request = pass_through(path, edge)
    body = json.loads(request.answered.content)  # type: ignore[attr-defined]
    assert (found, body["ErrorCode"]) == (status, code)
    if not code.startswith("A0"):
        assert (body["status"], body["detail"]) == (status, body["Message"])
        assert body["type"].endswith(f":{code}")
        assert body["title"]
        assert body["instance"]
