"""What a page does not take: unknown fields, files, parameters and filters are refused, each with a
400 that names it, and nothing is changed. The paths are those of the table of `access/matrix.md`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client

from portal.pages import urls as pages
from portal.pages.fields import NOTHING, fields
from portal.pages.gate import ACT, READ, open_page, page
from tests.portal.access.conftest import page_of
from tests.portal.access.matrix import Row, World, Writes, table, urls_of

pytestmark = pytest.mark.django_db
PATHS = set(urls_of(pages.urlpatterns))
ROWS = [row for row in table() if row.url in PATHS]
SEVERAL = {
    *("ids", "requests", "columns", "permissions", "groups", "roles", "scopes", "revoke"),
    *("options", "key_types", "usages"),
}
"""Fields that may come several times."""


def sent(row: Row, world: World) -> dict[str, list[str]]:
    return {name: [value] for name, value in parse_qsl(world.body(row), keep_blank_values=True)}


def test_every_form_refuses_what_it_has_no_field_for_and_changes_nothing() -> None:
    world, wrong = World.made(), []
    client = page_of(world.people["Administrator"])
    rows = [row for row in ROWS if row.method == "POST"]
    assert {row.url for row in rows} >= {"sign-in", "sign-out", "theme", "orchestrators/act"}
    for row in rows:
        path, given = world.path(row), sent(row, world)
        tried: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
            "no field 'surprise'": (path, {**given, "surprise": "1"}, {}),
            "no file 'surprise'": (path, {**given, "surprise": ContentFile(b"x", "x.txt")}, {}),
            "no parameter 'surprise'": (f"{path}?surprise=1", given, {}),
            "takes forms alone": (path, given, {"content_type": "application/json"}),
        }
        for name in sorted(set(given) - SEVERAL):
            twice = {**given, name: given[name] * 2}
            tried[f"'{name}' was sent more than once"] = (path, twice, {})
        for said, (address, form, how) in tried.items():
            wrote = Writes()
            with connection.execute_wrapper(wrote):
                response = client.post(address, form, **how)
            text = response.content.decode().replace("&#x27;", "'")
            if response.status_code != 400 or said not in text or wrote.anything:
                wrong.append(f"{row.name}: {said}: {response.status_code}, wrote {wrote.anything}")
    assert not wrong, "\n".join(wrong)


def test_every_page_refuses_a_parameter_that_it_does_not_know() -> None:
    world, wrong = World.made(), []
    client = page_of(world.people["Administrator"])
    for row in ROWS:
        if row.method != "GET" or row.expected[0] not in ("200", "400"):
            continue
        for name, value in (("surprise", "1"), ("stat", "expired")):
            query = {**sent(row, world), name: value}
            response = client.get(world.path(row), query_params=query)
            text = response.content.decode().replace("&#x27;", "'")
            if response.status_code != 400 or f"no parameter '{name}'" not in text:
                wrong.append(f"{row.name}: {response.status_code}")
    assert not wrong, "\n".join(wrong)


VALUES = {
    "orchestrators": ("state", "mark", "sort", "fleet", "ends", "platform"),
    "orchestrators/export.csv": ("state", "mark", "sort", "fleet", "ends", "platform"),
    "certificates": ("shown", "use", "issuer", "key", "ends"),
    "enrollments": ("state", "ca", "template", "older", "ended", "fleet"),
    "forecast": ("span", "ca", "day", "warning"),
    "approvals": ("tab",),
    "jobs": ("whose",),
    "audit": ("category", "since", "object", "orchestrator"),
    "access/users": ("kind",),
    "access/tokens": ("state",),
}


@pytest.mark.parametrize("path", VALUES)
def test_a_value_that_a_filter_does_not_have_does_not_show_everything(
    path: str, admin: Client
) -> None:
    for name in VALUES[path]:
        for value in ("nonsense!", "\u202e"):
            assert admin.get(f"/{path}", {name: value}).status_code == 400, (name, value)
        # A form sends what nobody chose as empty.
        assert admin.get(f"/{path}", {name: ""}).status_code == 200, name
        assert admin.get(f"/{path}?{name}=&{name}=").status_code == 400, name
    if path in ("orchestrators", "certificates"):
        assert admin.get(f"/{path}", {"q": "x" * 301}).status_code == 400


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("stat=expired", "no filter 'stat'"),
        ("state=expird", "'state' is not known"),
        ("state=expired&state=ok", "twice"),
        ("fleet=real&q=a&page=2", "no filter 'page'"),
    ],
)
def test_filters_that_a_form_carries_are_all_known_or_the_act_is_refused(
    query: str, said: str, admin: Client
) -> None:
    for path, form in (
        ("orchestrators/act", {"act": "reset", "scope": "all"}),
        ("orchestrators/all/submit", {"act": "clear", "count": "1", "digest": "x"}),
        ("orchestrators/views", {"name": "mine"}),
        ("orchestrators/views/1/rename", {"name": "mine"}),
        ("orchestrators/views/1/default", {"default": "1"}),
        ("orchestrators/layout", {"columns": "name"}),
    ):
        wrote = Writes()
        with connection.execute_wrapper(wrote):
            response = admin.post(f"/{path}", {**form, "query": query})
        assert response.status_code == 400, path
        assert said in response.content.decode().replace("&#x27;", "'"), path
        assert not wrote.anything, path


def test_what_decides_how_an_act_is_done_is_one_of_its_words(admin: Client, fleet: object) -> None:
    for path, form in (
        ("orchestrators/layout", {"density": "dense"}),
        ("orchestrators/views/1/default", {"default": "yes"}),
        ("orchestrators/layout", {"columns": ["name", "colour"]}),
        ("orchestrators/layout", {"columns": "ends", "move": "ends:sideways"}),
        ("orchestrators/layout", {"columns": "ends", "move": "colour:up"}),
        ("theme", {"theme": "pink"}),
        ("access/view-as", {"kind": "ghost", "number": "1"}),
    ):
        wrote = Writes()
        with connection.execute_wrapper(wrote):
            response = admin.post(f"/{path}", form)
        assert response.status_code == 400, (path, form)
        assert not wrote.anything, (path, form)


def test_a_page_that_takes_post_says_which_fields() -> None:
    for decorator in (page, open_page):
        with pytest.raises(TypeError, match="says which fields"):
            decorator(methods=ACT)
        with pytest.raises(TypeError, match="says which fields"):
            decorator(methods=READ, form=NOTHING)
        assert decorator(methods=ACT, form=fields("name"))
