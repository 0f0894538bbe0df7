"""Bodies and headers of an attacker, sent to every write: a clear refusal, and nothing changes.

The bodies that one endpoint must refuse besides are in `test_bad_input.py`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrators.models import Orchestrator
from portal.audit.models import AuditEntry, Category
from portal.rest.codes import ErrorCode
from portal.rest.status import documented
from portal.rest.urls import OPERATIONS
from tests.portal.rest.conftest import Caller, caller_with, refused

pytestmark = pytest.mark.django_db

NOBODY = "00000000-0000-4000-8000-000000000000"


def calls(*, with_body: bool) -> Iterator[tuple[str, str]]:
    for route, view in OPERATIONS:
        for method in view.needs:
            if method != "GET" and (method in view.takes or not with_body):
                yield method, documented(route).replace("{id}", NOBODY)


BODIES: dict[str, tuple[str, int]] = {
    "lists nested 2,000 levels deep": ("[" * 2_000 + "]" * 2_000, 400),
    "objects nested 100,000 levels deep": ('{"a":' * 100_000, 400),
    "a member twice": ('{"Name": "a", "Name": "b", "CSR": "x"}', 400),
    "a member twice in two cases": ('[{"Id": 8, "id": 9, "Value": "60"}]', 400),
    "an integer of 10,000 digits": ("[" + "9" * 10_000 + "]", 400),
    "an integer beyond 64 bits": ('{"Days": 9223372036854775808, "Name": "a"}', 400),
    "NaN": ('{"Status": NaN, "OrchestratorIds": []}', 400),
    "infinity": ("[Infinity]", 400),
    "100,000 ids": ("[" + ",".join([f'"{NOBODY}"'] * 100_000) + "]", 413),
    "a member that no call knows": ('{"IsSuperuser": true}', 400),
    "members that only the portal writes": ('{"Thumbprint": "AB", "Generation": 9}', 400),
    "two documents": ("{} {}", 400),
    "bytes that are no UTF-8": ('{"Name": "\udcff"}', 400),
}


def state() -> tuple[object, ...]:
    return (
        list(Orchestrator.objects.order_by("pk").values_list("pk", "status", "flag", "generation")),
        AuditEntry.objects.exclude(category=Category.REFUSAL).count(),
    )


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_no_write_takes(
    body: str, status: int, admin: Caller, orchestrator: Callable[..., Orchestrator]
) -> None:
    orchestrator()
    before = state()
    for method, path in calls(with_body=True):
        answer = admin.send(method, path, raw=body.encode("utf-8", "surrogateescape"))
        assert answer.status_code in (status, 404), f"{method} {path}: {answer.content[:200]!r}"
        assert answer.json()["ErrorCode"] in list(ErrorCode)
    assert state() == before


REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "a compressed bomb": (
        {
            "raw": gzip.compress(b" " * 10_000_000),
            "headers": {"Content-Encoding": "gzip"},
        },
        415,
        "content_encoding_unknown",
    ),
    "a form": (
        {"raw": b"Name=a", "content_type": "application/x-www-form-urlencoded"},
        415,
        "content_type_unknown",
    ),
    "XML": (
        {"raw": b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "content_type": "application/xml"},
        415,
        "content_type_unknown",
    ),
    "a token in the query string": (
        {"query": {"access_token": "ocp_secret"}},
        400,
        "parameter_unknown",
    ),
    "another site's page, which cannot send the header": (
        {"headers": {"x-keyfactor-requested-with": None}},
        400,
        "requested_with_missing",
    ),
    "a version that is not served": (
        {"headers": {"x-keyfactor-api-version": "99"}},
        400,
        "api_version_unknown",
    ),
}


@pytest.mark.parametrize(("sent", "status", "code"), REQUESTS.values(), ids=REQUESTS)
def test_no_write_is_reached_by(
    sent: dict[str, Any], status: int, code: str, admin: Caller
) -> None:
    before = state()
    for method, path in calls(with_body=True):
        if "{" in path or NOBODY in path:
            continue
        body = refused(admin.send(method, path, **sent), status, code)
        assert "ocp_secret" not in str(body)
    assert state() == before


def test_what_is_out_of_reach_answers_like_what_does_not_exist(
    orchestrator: Callable[..., Orchestrator],
) -> None:
    made, nobody = orchestrator(), caller_with(None, "nobody")
    for method, path in calls(with_body=False):
        if NOBODY not in path:
            continue
        answers = [
            nobody.send(method, path.replace(NOBODY, identity))
            for identity in (NOBODY, str(made.pk))
        ]
        assert answers[0].status_code == answers[1].status_code
        assert answers[0].json()["Message"] == answers[1].json()["Message"]
