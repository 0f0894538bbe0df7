"""kfutil's requests, byte for byte as it sends them, and what it makes of the replies (C2).

Owns the recorded requests: a row for each that a command of ``kfutil orchs`` sends, in its order,
and nothing of how they are answered. Its Go client sends the body ``null`` where it has none, takes
200 and 204 alone for success, and reads JSON only.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.http import HttpResponse
from django.test import Client

from orchestrators.models import Job, Orchestrator, Status
from tests.portal.rest.conftest import basic, user_with

pytestmark = pytest.mark.django_db

BY_NAME = "/KeyfactorAPI/Agents?pq.queryString=ClientMachine+-eq+%22host01%22"
PROBE = ("GET", "/KeyfactorAPI/Status/Endpoints", "null")
COMMANDS: dict[str, list[tuple[str, str, str]]] = {
    "orchs list": [PROBE, ("GET", "/KeyfactorAPI/Agents", "null")],
    "orchs get --client host01": [PROBE, ("GET", BY_NAME, "null")],
    "orchs approve --client host01": [
        PROBE,
        ("GET", BY_NAME, "null"),
        ("POST", "/KeyfactorAPI/Agents/Approve", '["<id>"]'),
    ],
    "orchs disapprove --client host01": [
        PROBE,
        ("GET", BY_NAME, "null"),
        ("POST", "/KeyfactorAPI/Agents/Disapprove", '["<id>"]'),
    ],
    "orchs logs --client host01": [
        PROBE,
        ("GET", BY_NAME, "null"),
        ("POST", "/KeyfactorAPI/Agents/<id>/FetchLogs", "null"),
    ],
}


def send(method: str, path: str, body: str, *, user: str) -> HttpResponse:
    headers = {
        "Authorization": basic(user),
        "Content-Type": "application/json",
        "Accept": "application/json",
        "x-keyfactor-api-version": "1",
        "x-keyfactor-requested-with": "APIClient",
        "User-Agent": "Go-http-client/1.1",
    }
    return Client().generic(method, path, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("user", ["ada", "CORP\\ada"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_request_of_a_command_is_a_success_as_its_client_knows_it(
    command: str,
    user: str,
    orchestrator: Callable[..., Orchestrator],
    come_forward: Callable[[Orchestrator], None],
) -> None:
    user_with("Administrator", "ada")
    is_new = "approve --" in command and "disapprove" not in command
    made = orchestrator("host01", status=Status.NEW if is_new else Status.APPROVED)
    if is_new:
        come_forward(made)
    agent_id = ""
    for method, path, body in COMMANDS[command]:
        sent = (path.replace("<id>", agent_id), body.replace("<id>", agent_id))
        answer = send(method, *sent, user=user)
        assert answer.status_code in (200, 204), answer.content
        if answer.status_code == 204:
            assert answer.content == b""
            continue
        assert answer["Content-Type"] == "application/json"
        rows = json.loads(answer.content)
        if path == PROBE[1]:
            assert {type(row) for row in rows} == {str}
            assert answer["x-keyfactor-product-version"]
        else:
            agent_id = rows[0]["AgentId"]
    made.refresh_from_db()
    is_disapproved = "disapprove" in command
    assert made.status == (Status.DISAPPROVED if is_disapproved else Status.APPROVED)
    assert Job.objects.filter(orchestrator=made).count() == ("logs" in command)


def test_who_is_not_there_is_an_empty_list(orchestrator: Callable[..., Orchestrator]) -> None:
    user_with("Administrator", "ada")
    orchestrator("another")
    assert json.loads(send("GET", BY_NAME, "null", user="ada").content) == []
