"""The OpenAPI document is what the views declare, validates, and is true of what they answer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from orchestrators.models import Orchestrator
from portal.access.models import User
from portal.rest import schema
from portal.rest.urls import OPERATIONS
from tests.portal.rest.conftest import user_with

pytestmark = pytest.mark.django_db

EXAMPLES = 300 if os.environ.get("PORTAL_TORTURE") else 4
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = schema.document()


def test_the_document_is_what_the_views_declare() -> None:
    generated = schema.generated()
    # Part by part: to show how two whole documents differ takes pytest minutes.
    parts = ("paths", "components")
    differing = [
        name
        for part in parts
        for name in sorted(generated[part].keys() | DOCUMENT[part].keys())
        if generated[part].get(name) != DOCUMENT[part].get(name)
    ]
    is_same = generated == DOCUMENT
    assert is_same, (
        "Write it anew with `make openapi`, and read the difference before you keep it: clients "
        f"are made from it. {differing}"
    )


def test_the_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate_schema(DOCUMENT)


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    for reference in set(references(DOCUMENT)):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def test_every_write_says_what_it_takes_and_every_operation_has_a_name_of_its_own() -> None:
    operations = [o for path in DOCUMENT["paths"].values() for o in path.values()]
    assert len(operations) == sum(len(view.needs) for _, view in OPERATIONS)
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert [o["operationId"] for o in operations if not o["summary"]] == []


def test_every_summary_says_more_than_the_call_itself() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            summary = operation["summary"]
            assert not summary.startswith(("GET", "POST", "PUT", "DELETE")), (method, path)
            assert "`" not in summary, (method, path)


@pytest.fixture(autouse=True)
def _the_connection_stays() -> Iterator[None]:
    """A request over WSGI ends its thread's connection; here that is the test's own, with its
    transaction (Django's test client does the same).
    """
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def caller(orchestrator: Callable[..., Orchestrator], token: Callable[..., str]) -> dict[str, str]:
    """Headers of somebody who may do everything, in a portal with something in it."""
    user: User = user_with("Administrator", "ada")
    for number in range(3):
        orchestrator(f"agent-{number}")
    return {"Authorization": f"Bearer {token(user)}", "x-keyfactor-requested-with": "APIClient"}


def loaded() -> Any:
    found = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))
    found.app = get_wsgi_application()
    return found


LOADED = loaded()
CALLS = {
    f"{method.upper()} {path}": LOADED[path][method]
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
}


# What takes neither body nor parameters can't be called wrongly.
PLAYED = [(call, GenerationMode.POSITIVE) for call in CALLS] + [
    (call, GenerationMode.NEGATIVE) for call, each in CALLS.items() if each.body or each.query
]


@pytest.mark.parametrize(("call", "mode"), PLAYED, ids=[f"{m.value}-{c}" for c, m in PLAYED])
def test_what_is_answered_is_what_the_document_says(
    call: str, mode: GenerationMode, caller: dict[str, str]
) -> None:
    """No status, type, header or body beside the document, whether the call is right or wrong."""
    operation = CALLS[call]
    # A path that can be read in two ways is refused before it is known whose it is.
    path = {p.name: "nobody" for p in operation.path_parameters}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not os.environ.get("PORTAL_TORTURE"),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(
            generation_mode=mode,
            path_parameters=path if path and mode is GenerationMode.NEGATIVE else None,
        )
    )
    def play(case: Any) -> None:
        answer = case.call(headers=caller)
        case.validate_response(answer, checks=CHECKS)

    play()
