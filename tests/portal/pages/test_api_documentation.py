"""The API documentation is whole, loads nothing from elsewhere, and its recipe works."""

from __future__ import annotations

import html
import json
import re
import time
import urllib.request
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from orchestrators import labels
from orchestrators.models import Orchestrator
from portal.access.models import ApiToken
from portal.pages.api_documentation import calls
from portal.rest import schema
from renewal.bulk import work
from renewal.models import BulkJob
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import user_with

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    made = Client()
    made.force_login(user_with("Administrator"), "django.contrib.auth.backends.ModelBackend")
    return made


def test_every_call_stands_on_a_page_with_curl_and_python(client: Client) -> None:
    resources = {call.path.split("/")[1] for call in calls()}
    pages = {name: client.get(f"/api/{name}").content.decode() for name in resources}
    index = client.get("/api").content.decode()
    for operations in schema.document()["paths"].values():
        for operation in operations.values():
            assert f"#{operation['operationId']}" in index
    for call in calls():
        page = html.unescape(pages[call.path.split("/")[1]])
        assert f'id="{call.anchor}"' in page
        assert call.curl in page
        assert call.python in page
        compile(call.python, call.anchor, "exec")


def test_nothing_is_loaded_from_elsewhere_and_no_script_stands_in_a_page(client: Client) -> None:
    for path in ("/api", "/api/Agents"):
        page = client.get(path).content.decode()
        assert re.findall(r'(?:src|href)="(?:https?:)?//', page) == []
        assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
        assert " style=" not in page


def test_the_document_can_be_downloaded(client: Client) -> None:
    answer = client.get("/api/openapi.json")
    assert answer["Content-Type"] == "application/json"
    assert json.loads(answer.content) == schema.document()


class _Answer:
    """What urlopen gives of a reply of the portal under test."""

    def __init__(self, response: Any) -> None:
        assert response.status_code in (200, 202), response.content
        self.headers = response.headers
        self.read = lambda: response.content

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _worked() -> None:
    for job in BulkJob.objects.all():
        work.run(job.pk, now=timezone.now())


def test_the_recipe_asks_exactly_the_orchestrators_of_the_region_that_end_soon(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    rows.set_up(now)
    made = {
        name: rows.approved(name, now=now, left=timedelta(days=days), flag=flag)
        for name, days, flag in (
            ("soon-1", 20, 0),
            ("soon-2", 29, 0),
            ("ended", -1, 0),
            ("later", 40, 0),
            ("asked", 20, 1),
            ("elsewhere", 20, 0),
        )
    }
    for name, record in made.items():
        region = "us" if name == "elsewhere" else "eu"
        labels.set_labels([record.pk], put={"region": region}, actor=rows.ALICE)
    page = html.unescape(client.get("/api").content.decode())
    recipe = next(
        code for code in re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.S) if "wanted" in code
    )

    user = user_with("Operator", "olga")
    _, token = ApiToken.issue(
        user=user, name="recipe", created_at=now, expires_at=now + timedelta(days=1)
    )
    monkeypatch.setenv("PORTAL_URL", "http://portal")
    with pytest.raises(SystemExit, match="https://"):
        exec(recipe, {})
    monkeypatch.setenv("PORTAL_URL", "https://portal")
    monkeypatch.setenv("PORTAL_TOKEN", token)
    script = Client()

    sent: list[urllib.request.Request] = []

    def urlopen(request: urllib.request.Request, timeout: float) -> _Answer:
        parts = urlsplit(request.full_url)
        if request.has_header("Idempotency-key") and not sent:
            # The first attempt arrives, and its reply is lost.
            sent.append(request)
            urlopen(request, timeout)
            raise ConnectionResetError
        return _Answer(
            script.generic(
                request.get_method(),
                f"{parts.path}?{parts.query}",
                request.data or b"",
                content_type="application/json",
                headers=dict(request.header_items()),
            )
        )

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(time, "sleep", lambda _: _worked())
    exec(recipe, {"input": lambda _: "y"})
    told = capsys.readouterr().out.splitlines()
    assert sorted(told) == ["2 to ask", "done: 2 of 2 asked", "soon-1 change ", "soon-2 change "]
    assert BulkJob.objects.count() == 1
    flags = dict(Orchestrator.objects.values_list("client_machine", "flag"))
    assert {name for name in made if flags[name] == 1} == {"soon-1", "soon-2", "asked"}
