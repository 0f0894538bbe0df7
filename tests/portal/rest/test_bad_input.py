"""Bad input: each row is refused with its code for bounded work, and nothing changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import OperationalError

from orchestrators.models import Orchestrator
from portal.audit.models import AuditEntry
from portal.rest import agents, parsers
from portal.rest.urls import OPERATIONS
from tests.portal.rest.conftest import Caller, refused

pytestmark = pytest.mark.django_db

ID = "3f1d3a1e-0000-4000-8000-000000000001"
JSON = "application/json"
MOST_STATEMENTS = 12
"""Of a refusal, whatever the body's length."""


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + closing * levels


ID_LISTS: dict[str, tuple[str, int, str]] = {
    "an empty body": ("", 400, "body_wrong_shape"),
    "null": ("null", 400, "body_wrong_shape"),
    "an empty object": ("{}", 400, "body_wrong_shape"),
    "a text": (f'"{ID}"', 400, "body_wrong_shape"),
    "a number": ("1", 400, "body_wrong_shape"),
    "an empty list": ("[]", 400, "list_empty"),
    "a number among the ids": (f'["{ID}", 1]', 400, "value_invalid"),
    "null among the ids": (f'["{ID}", null]', 400, "value_invalid"),
    "a list among the ids": (f'[["{ID}"]]', 400, "value_invalid"),
    "an id that is no GUID": (f'["{ID}", "x"]', 400, "value_invalid"),
    "an id with NUL": (f'["{ID}", "\\u0000"]', 400, "value_invalid"),
    "half a surrogate pair": (f'["{ID}", "\\ud800"]', 400, "value_invalid"),
    "an id of 100,000 characters": (f'["{ID}", "{"a" * 100_000}"]', 400, "value_invalid"),
    "an object with another member": (f'{{"ids": ["{ID}"]}}', 400, "member_unknown"),
    "an object with one member too many": (
        f'{{"agentIds": ["{ID}"], "Status": 2}}',
        400,
        "member_unknown",
    ),
    "the same member twice": (
        f'{{"agentIds": ["{ID}"], "agentIds": []}}',
        400,
        "member_repeated",
    ),
    "the same member in another case": (
        f'{{"agentIds": ["{ID}"], "AGENTIDS": []}}',
        400,
        "member_repeated",
    ),
    **{
        f"a control character {number:#04x} in a text": (f'["{chr(number)}"]', 400, "body_not_json")
        for number in (0, 8, 11, 12, 14, 27, 31)
    },
    "no JSON": ("<ids/>", 400, "body_not_json"),
    "two values": (f'["{ID}"] []', 400, "body_not_json"),
    "an unfinished list": (f'["{ID}"', 400, "body_not_json"),
    "a trailing comma": (f'["{ID}",]', 400, "body_not_json"),
    "NaN": ("[NaN]", 400, "body_not_json"),
    "minus infinity": ("[-Infinity]", 400, "body_not_json"),
    "a number of 10,000 digits": (f"[{'9' * 10_000}]", 400, "value_invalid"),
    "a number beyond 64 bits": ("[9223372036854775808]", 400, "value_invalid"),
    "a fraction beyond a double": ("[1e999]", 400, "value_invalid"),
    "21 levels": (nested(21), 400, "body_too_deep"),
    "2,000 levels": (nested(2_000), 400, "body_too_deep"),
    "2,000 levels of objects": (nested(2_000, '{"a":', "}"), 400, "body_too_deep"),
    "100,000 levels": (nested(100_000), 400, "body_too_deep"),
    "100,000 levels, unfinished": ("[" * 100_000, 400, "body_too_deep"),
    "a million escaped quotes, unfinished": ('["' + '\\"' * 500_000, 400, "body_not_json"),
    "1,001 ids": (str([str(uuid4()) for _ in range(1001)]).replace("'", '"'), 400, "list_too_long"),
    "100,000 short ids": (str(["a"] * 100_000).replace("'", '"'), 400, "list_too_long"),
    "100,000 ids": (f"[{','.join([f'{chr(34)}{ID}{chr(34)}'] * 100_000)}]", 413, "body_too_large"),
    "2 MB of spaces": (" " * 2_000_000, 413, "body_too_large"),
}


@pytest.mark.parametrize("path", ["Agents/Approve", "Agents/Disapprove", "Agents/Reset"])
@pytest.mark.parametrize(("raw", "status", "code"), ID_LISTS.values(), ids=ID_LISTS.keys())
def test_a_bad_list_of_ids_is_refused_and_nothing_changes(
    admin: Caller,
    orchestrator: Callable[..., Orchestrator],
    path: str,
    raw: str,
    status: int,
    code: str,
    django_assert_max_num_queries: Any,
) -> None:
    before = orchestrator(id=ID)
    read = patch.object(parsers.json, "loads", wraps=parsers.json.loads)
    with django_assert_max_num_queries(MOST_STATEMENTS), read as reading:
        response = admin.post(path, raw=raw)
    refused(response, status, code)
    # Size and depth are judged on the text: nothing is built of what is too large or too deep.
    assert not (code in {"body_too_large", "body_too_deep"} and reading.called)
    after = Orchestrator.objects.get()
    assert (after.status, after.generation) == (before.status, before.generation)
    assert not AuditEntry.objects.filter(orchestrator_id=before.pk).exists()


FLAGS: dict[str, tuple[Any, str]] = {
    "a bare list": ([ID], "body_wrong_shape"),
    "no status": ({"OrchestratorIds": [ID]}, "member_missing"),
    "a status of null": ({"OrchestratorIds": [ID], "Status": None}, "member_missing"),
    "no ids": ({"Status": 1}, "member_missing"),
    "ids that are no list": ({"OrchestratorIds": ID, "Status": 1}, "body_wrong_shape"),
    "no id in the list": ({"OrchestratorIds": [], "Status": 1}, "list_empty"),
    "an id that is a number": ({"OrchestratorIds": [ID, 7], "Status": 1}, "value_invalid"),
    "1,001 ids": ({"OrchestratorIds": [ID] * 1001, "Status": 1}, "list_too_long"),
    "a status of 3": ({"OrchestratorIds": [ID], "Status": 3}, "value_invalid"),
    "a status of -1": ({"OrchestratorIds": [ID], "Status": -1}, "value_invalid"),
    "a status of 1.0": ({"OrchestratorIds": [ID], "Status": 1.0}, "value_invalid"),
    "a status of true": ({"OrchestratorIds": [ID], "Status": True}, "value_invalid"),
    "a status with spaces": ({"OrchestratorIds": [ID], "Status": " 1 "}, "value_invalid"),
    "an unknown name": ({"OrchestratorIds": [ID], "Status": "Maybe"}, "value_invalid"),
    "an object": ({"OrchestratorIds": [ID], "Status": {}}, "value_invalid"),
    "a member that only the portal writes": (
        {"OrchestratorIds": [ID], "Status": 1, "Thumbprint": "A" * 40},
        "member_unknown",
    ),
    "a member that nobody knows": (
        {"OrchestratorIds": [ID], "Status": 1, "x\ud800<script>": 1},
        "member_unknown",
    ),
}


@pytest.mark.parametrize(("body", "code"), FLAGS.values(), ids=FLAGS.keys())
def test_a_bad_request_for_renewal_is_refused_and_nothing_changes(
    admin: Caller, orchestrator: Callable[..., Orchestrator], body: Any, code: str
) -> None:
    orchestrator(id=ID)
    refused(admin.post("Agents/SetAuthCertificateReenrollment", body), 400, code)
    after = Orchestrator.objects.get()
    assert (after.flag, after.flag_counter) == (0, 0)


REQUESTS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "no requested-with header": (
        *("GET", "Agents", {"headers": {"x-keyfactor-requested-with": None}}),
        *(400, "requested_with_missing"),
    ),
    "another requested-with header": (
        *("GET", "Agents", {"headers": {"x-keyfactor-requested-with": "curl"}}),
        *(400, "requested_with_missing"),
    ),
    "version 2": (
        *("GET", "Agents", {"headers": {"x-keyfactor-api-version": "2"}}),
        *(400, "api_version_unknown"),
    ),
    "an XML body": (
        *("POST", "Agents/Reset", {"raw": b"<a/>", "content_type": "text/xml"}),
        *(415, "content_type_unknown"),
    ),
    "a form": (
        "POST",
        "Agents/Reset",
        {"raw": b"a=1", "content_type": "application/x-www-form-urlencoded"},
        *(415, "content_type_unknown"),
    ),
    "a multipart form": (
        "POST",
        "Agents/Reset",
        {"raw": b"--x\r\n", "content_type": "multipart/form-data; boundary=x"},
        *(415, "content_type_unknown"),
    ),
    "a body said to be UTF-16": (
        "POST",
        "Agents/Reset",
        {"raw": b"{}", "content_type": "application/json; charset=utf-16"},
        *(415, "content_type_unknown"),
    ),
    "no content type": (
        *("POST", "Agents/Reset", {"raw": b"[]", "content_type": ""}),
        *(415, "content_type_unknown"),
    ),
    "a compressed body": (
        *("POST", "Agents/Reset", {"raw": b"\x1f\x8b", "headers": {"Content-Encoding": "gzip"}}),
        *(415, "content_encoding_unknown"),
    ),
    "a body that is not UTF-8": (
        *("POST", "Agents/Reset", {"raw": b'["\xff"]'}),
        *(400, "body_not_json"),
    ),
    "a body in UTF-16": (
        *("POST", "Agents/Reset", {"raw": "[]".encode("utf-16")}),
        *(400, "body_not_json"),
    ),
    "a body with a length and in chunks": (
        *("POST", "Agents/Reset", {"raw": b"[]", "headers": {"Transfer-Encoding": "chunked"}}),
        *(400, "request_unreadable"),
    ),
    "a body without a length": (
        *("POST", "Agents/Reset", {"raw": b"", "headers": {"Transfer-Encoding": "chunked"}}),
        *(411, "length_required"),
    ),
    "a body where none is taken": (
        *("POST", f"Agents/{ID}/FetchLogs", {"raw": b'{"Status": 1}'}),
        *(400, "body_wrong_shape"),
    ),
    "a list where no body is taken": (
        *("POST", f"Agents/{ID}/FetchLogs", {"raw": b"[]"}),
        *(400, "body_wrong_shape"),
    ),
    "replies in XML": (
        *("GET", "Agents", {"headers": {"Accept": "application/xml"}}),
        *(406, "not_acceptable"),
    ),
    "replies in anything but JSON": (
        *("GET", "Agents", {"headers": {"Accept": "application/json;q=0, image/*"}}),
        *(406, "not_acceptable"),
    ),
    "a method that the endpoint lacks": ("DELETE", "Agents", {}, 405, "method_not_allowed"),
    "a read of a write": ("GET", "Agents/Approve", {}, 405, "method_not_allowed"),
    "a method that HTTP lacks": ("BREW", "Agents", {}, 405, "method_not_allowed"),
    "OPTIONS": ("OPTIONS", "Agents", {}, 405, "method_not_allowed"),
    "an unknown path": ("GET", "CertificateStores", {}, 404, "endpoint_unknown"),
    "a path below an endpoint": ("GET", "Agents/a/b/c", {}, 404, "endpoint_unknown"),
    "the root": ("GET", "", {}, 404, "endpoint_unknown"),
    "a slash at the end": ("GET", "Agents/", {}, 404, "endpoint_unknown"),
    "a parameter that a write does not know": (
        *("POST", "Agents/Reset", {"query": {"force": "1"}}),
        *(400, "parameter_unknown"),
    ),
}


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"), REQUESTS.values(), ids=REQUESTS.keys()
)
def test_a_bad_request_is_refused_in_json(
    admin: Caller,
    orchestrator: Callable[..., Orchestrator],
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
    code: str,
) -> None:
    orchestrator(id=ID)
    response = admin.send(method, path, **options)
    refused(response, status, code)
    if status == 405:
        assert response["Allow"]
    after = Orchestrator.objects.get()
    assert (after.status, after.generation) == (2, 0)


VIEWS = dict(OPERATIONS)
NAMES_OF_NOTHING = {
    "more digits than a row can have": "9" * 30,
    "more digits than Python reads": "9" * 5000,
    "a digit that is not ASCII": "\u0663",
    "a number below zero": "-1",
    "a fraction": "1.5",
    "a word": "none-such",
}


@pytest.mark.parametrize("route", [route for route in VIEWS if "<str:" in route])
def test_a_path_that_names_nothing_is_refused(admin: Caller, route: str) -> None:
    for method in VIEWS[route].needs:
        for what, name in NAMES_OF_NOTHING.items():
            response = admin.send(method, re.sub(r"<str:\w+>", name, route))
            assert 400 <= response.status_code < 500, (method, what, response.content)
            assert response.json()["ErrorCode"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'application/json;odata=verbose;charset="UTF-8"',
        "application/json-patch+json",
        "text/json",
        "application/vnd.api+json",
        "Application/JSON",
    ],
)
def test_the_content_types_of_existing_clients_are_read(
    admin: Caller, orchestrator: Callable[..., Orchestrator], content_type: str
) -> None:
    made = orchestrator()
    response = admin.post("Agents/Reset", [str(made.pk)], content_type=content_type)
    assert response.status_code == 204


@pytest.mark.parametrize(
    "accept", ["application/json", "*/*", "text/json", "text/html, application/*;q=0.5", ""]
)
def test_the_accept_headers_of_existing_clients_get_json(admin: Caller, accept: str) -> None:
    response = admin.get("Agents", headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, JSON)


@pytest.mark.parametrize("version", ["1", "1.0", None])
@pytest.mark.parametrize("requested_with", ["APIClient", "XMLHttpRequest", "apiclient"])
def test_the_headers_of_existing_clients_are_taken(
    admin: Caller, version: str | None, requested_with: str
) -> None:
    headers = {"x-keyfactor-api-version": version, "x-keyfactor-requested-with": requested_with}
    assert admin.get("Agents", headers=headers).status_code == 200


def test_problem_details_come_with_their_own_type_only_on_request(admin: Caller) -> None:
    response = admin.get(
        "Agents/x", headers={"Accept": "application/problem+json, application/json"}
    )
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["ErrorCode"] == "orchestrator_unknown"
    assert admin.get("Agents", headers={"Accept": "application/problem+json"}).status_code == 200


def test_a_body_on_a_get_is_ignored(admin: Caller) -> None:
    assert admin.get("Agents", raw=b"null").status_code == 200
    assert admin.get("Agents", raw=b"\xff[[[", content_type="text/xml").status_code == 200


def test_head_answers_like_get_without_a_body(admin: Caller) -> None:
    length = str(len(admin.get("Agents").content))
    # The test client takes a body away from HEAD itself; a server need not.
    with patch(
        "django.test.client.conditional_content_removal", lambda request, response: response
    ):
        response = admin.send("HEAD", "Agents")
    assert (response.status_code, response.content) == (200, b"")
    assert response["Content-Length"] == length


def test_a_database_that_is_down_is_503_with_a_time_to_ask_again(admin: Caller) -> None:
    with patch.object(agents.paging, "page_of", side_effect=OperationalError("dsn=secret")):
        response = admin.get("Agents")
    refused(response, 503, "database_down")
    assert response["Retry-After"] == "30"
    assert b"secret" not in response.content


def test_a_fault_of_the_portal_is_a_500_that_says_nothing_of_it(admin: Caller) -> None:
    with patch.object(agents.paging, "page_of", side_effect=RuntimeError("secret")):
        response = admin.get("Agents")
    refused(response, 500, "internal")
    assert b"secret" not in response.content


@pytest.mark.parametrize("raw", ["{}\r\n", "\r\n{}", "{}\t{}", "{}\\n{}"])
def test_line_ends_and_tabs_stand_in_texts_as_they_are(admin: Caller, raw: str) -> None:
    text = "-----BEGIN CERTIFICATE REQUEST-----"
    body = '{"CSR": "' + raw.replace("{}", text) + '"}'
    # The body is read: what is refused is the text.
    refused(admin.post("Enrollment/CSR/Parse", raw=body), 400, "csr_refused")
