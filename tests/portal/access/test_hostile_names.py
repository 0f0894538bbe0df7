"""A hostile text at every door, and what came in at every place that shows it (T7).

Doors are the calls that keep a name or a reason. A door refuses, or what it keeps is harmless at
each sink: pages, exports, the lists of the API.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.models import User
from portal.audit.models import AuditEntry, Category
from renewal import census
from tests.portal.access.conftest import page_of, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

HIDDEN = {
    "NUL": "web\0one",
    "a direction character": "web\u202eeno",
    "no width": "web\u200bone",
    "a line end": "web\r\nSet-Cookie: a=b",
    "a terminal's escape": "web\x1b[2Jone",
    "half a surrogate": "web\ud800one",
}
"""No sink may show any of these, so that no door may keep them as they are."""
SHOWN = {
    "script": "<script>alert(1)</script>",
    "an attribute": "\"><img src=x onerror='alert(1)'>",
    "a formula": "=cmd|'/C calc'!A0",
    "another formula": "@SUM(1+1)",
    "a look-alike": "w\u0435b-one",
}
"""Text that may be a name: what it does elsewhere is up to the sink."""
CHARACTERS = frozenset("\0\u202e\u200b\x1b\r\ud800")

Door = Callable[[str, Orchestrator], tuple[str, Any]]
DOORS: dict[str, Door] = {
    "an import": lambda bad, _: (
        "Agents/Import",
        [{"ClientMachine": bad, "Status": 2, "Thumbprint": "AB" * 20}],
    ),
    "names of an orchestrator": lambda bad, one: (f"Agents/{one.pk}/Names", {"ExtraNames": [bad]}),
    "a label": lambda bad, one: (
        "Agents/SetLabels",
        {"AgentIds": [str(one.pk)], "Set": {"site": bad}},
    ),
    "a group": lambda bad, _: ("Groups", {"Name": bad, "Description": bad}),
    "a role": lambda bad, _: ("Security/Roles", {"Name": bad, "Description": bad}),
    "an identity": lambda bad, _: ("Security/Identities", {"AccountName": bad}),
    "a token": lambda bad, _: ("Tokens", {"Name": bad}),
    "a rule": lambda bad, _: (
        "AutoRegistration/Rules",
        {"Name": bad, "Outcome": "deny", "Description": bad, "NamePatterns": [bad]},
    ),
    "a credential": lambda bad, _: ("BootstrapCredentials", {"Name": bad}),
    "a template": lambda bad, _: ("Templates", {"TemplateName": bad, "KeyTypes": ["EC-P256"]}),
    "a reason": lambda bad, one: (f"Agents/{one.pk}/Reset", {"Reason": bad}),
    "a query": lambda bad, _: ("Certificates/RevokeAll", {"Query": f'CN -eq "{bad}"'}),
}
PAGES = (
    *("/", "/orchestrators", "/groups", "/access", "/access/users", "/access/tokens"),
    *("/account/tokens", "/orchestrators/auto-registration", "/orchestrators/add", "/approvals"),
    *("/approvals?tab=all", "/audit", "/authorities", "/trusted-issuers", "/settings", "/jobs"),
    "/enrollments",
)
TABS = ("", "/certificate", "/timeline", "/requests", "/logs", "/parameters", "/access", "/audit")
CSV = ("/orchestrators/export.csv", "/audit/export.csv")
JSON = ("/orchestrators/export.json", "/audit/export.json")
LISTS = (
    *("Agents", "Groups", "Security/Roles", "Security/Identities", "Tokens", "Templates"),
    *("AutoRegistration/Rules", "BootstrapCredentials", "Audit"),
    "Enrollment/Requests",
)


@pytest.fixture
def person(db: None) -> User:
    return user("ada", "Administrator")


@pytest.fixture
def caller(person: User) -> Caller:
    return Caller({"Authorization": basic(person.username, rows.PASSWORD)})


@pytest.fixture
def one(person: User) -> Orchestrator:
    now = timezone.now()
    rows.set_up(now)
    census.take_due(now=now)
    made = rows.approved("host-1", now=now, left=rows.DAY * 90)
    for bad in SHOWN.values():
        rows.enrollment(made, now=now, state="refused", last_error=bad, requested_by=bad)
    return made


def noted() -> int:
    return AuditEntry.objects.exclude(category=Category.REFUSAL).count()


@pytest.mark.parametrize("door", DOORS)
def test_a_door_refuses_what_cannot_be_seen_or_keeps_none_of_it(
    door: str, caller: Caller, one: Orchestrator
) -> None:
    for kind, bad in HIDDEN.items():
        before = noted()
        path, body = DOORS[door](bad, one)
        response = caller.post(path, body)
        if response.status_code >= 400:
            assert response.status_code in (400, 422), (kind, response.content)
            assert json.loads(response.content)["ErrorCode"], kind
            assert noted() == before, kind
    for entry in AuditEntry.objects.all():
        kept = f"{entry.message}{entry.before}{entry.after}{entry.object_name}{entry.object_id}"
        assert CHARACTERS.isdisjoint(kept), entry.action


def test_what_a_door_takes_is_text_wherever_it_is_shown(
    caller: Caller, person: User, one: Orchestrator
) -> None:
    taken = set()
    for kind, bad in (SHOWN | HIDDEN).items():
        for door, sends in DOORS.items():
            path, body = sends(bad, one)
            response = caller.post(path, body)
            assert response.status_code < 500, (door, kind)
            if response.status_code < 300:
                taken.add(door)
    assert {"an import", "a group", "a role", "a token", "a rule", "a reason"} <= taken
    client = page_of(person)
    for page in (*PAGES, *(f"/orchestrators/{one.pk}{tab}" for tab in TABS)):
        shown = get(client, page)
        assert "<script>alert" not in shown, page
        assert "<img src=x" not in shown, page
        assert CHARACTERS.isdisjoint(shown), page
    for export in CSV:
        for row in csv.reader(io.StringIO(get(client, export))):
            for cell in row:
                assert not cell.startswith(("=", "+", "-", "@", "\t")), (export, cell)
                assert CHARACTERS.isdisjoint(cell), (export, cell)
    for answer in (
        *(get(client, export) for export in JSON),
        *(caller.get(path).content.decode() for path in LISTS),
    ):
        assert CHARACTERS.isdisjoint(json.dumps(json.loads(answer), ensure_ascii=False))


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    if response.streaming:
        return b"".join(response.streaming_content).decode()
    return response.content.decode()
