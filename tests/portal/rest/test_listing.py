"""GET /Agents: filters, order, pages, cursors, and what a page costs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators import groups, labels
from orchestrators.models import Orchestrator, Reenrollment, Status
from orchestrators.protocol.codes import Code
from portal.access.models import User
from portal.rest import paging
from tests.portal.access.conftest import TESTER
from tests.portal.rest.conftest import SEEN, Caller, basic, refused, user_with

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

Make = Callable[..., Orchestrator]
FIRST, SECOND, THIRD = (UUID(int=n) for n in (1, 2, 3))


@pytest.fixture
def fleet(orchestrator: Make) -> None:
    """Three orchestrators that differ in every field."""
    now = timezone.now()
    alpha = orchestrator(
        "Alpha.example.com",
        id=FIRST,
        certificate_not_after=now + timedelta(days=10),
        certificate_counted_from=now - timedelta(days=355),
        capabilities=["CertStores.PEM.Inventory", "Custom.FetchLogs"],
        thumbprint="A1" * 20,
        last_thumbprint_used="A1" * 20,
        last_seen=SEEN,
        last_error_code=Code.MUST_RENEW,
        last_error_message="Must be renewed 100%_now",
    )
    orchestrator(
        "beta.example.com",
        id=SECOND,
        platform=5,
        version="2.0",
        status=Status.DISAPPROVED,
        flag=Reenrollment.REQUESTED,
        certificate_not_after=now + timedelta(days=300),
        certificate_counted_from=now - timedelta(days=65),
        capabilities=["CertStores.PEM"],
        thumbprint="B2" * 20,
        legacy_thumbprint="A1" * 20,
        last_seen=SEEN + timedelta(days=10),
        client_parameters={"Site": "Köln, 2", "Spare": "", "a__b": 'x"y'},
    )
    account = User.objects.create(username="CORP\\sa", is_service_account=True)
    orchestrator(
        "",
        id=THIRD,
        platform=0,
        version="",
        status=Status.NEW,
        service_account=account,
        flag=Reenrollment.REQUIRED,
    )
    berlin, _ = groups.save_group("Berlin", actor=TESTER, now=now)
    groups.assign([alpha.pk], berlin, actor=TESTER)
    labels.set_labels([FIRST], put={"region": "eu", "site": "b"}, actor=TESTER)
    labels.set_labels([SECOND], put={"region": "us"}, actor=TESTER)


QUERIES: dict[str, set[int]] = {
    "": {1, 2, 3},
    'ClientMachine -eq "alpha.example.com"': {1},
    'clientmachine -EQ "ALPHA.EXAMPLE.COM."': {1},
    "ClientMachine -ne “alpha.example.com”": {2, 3},
    "ClientMachine -contains EXAMPLE": {1, 2},
    "ClientMachine -notcontains alpha": {2, 3},
    "ClientMachine -startswith Al": {1},
    "ClientMachine -endswith .COM": {1, 2},
    "ClientMachine -contains %": set(),
    "ClientMachine -contains _": set(),
    "ClientMachine -contains .": {1, 2},
    "ClientMachine -eq NULL": {3},
    "ClientMachine -ne NULL": {1, 2},
    f'AgentId -eq "{FIRST}"': {1},
    f"AgentId -ne {str(FIRST).upper()}": {2, 3},
    "AgentId -eq NULL": set(),
    "AgentId -ne NULL": {1, 2, 3},
    'Identity -eq "corp\\SA"': {3},
    "Username -startswith orch": {1, 2},
    'Status -eq "2"': {1},
    "Status -eq 2": {1},
    "Status -eq Approved": {1},
    "Status -ne 2": {2, 3},
    "Status -ge 2": {1, 2},
    "Status -lt 2": {3},
    "Status -eq 4": set(),
    "Status -gt 4294967296": set(),
    "Status -lt 4294967296": {1, 2, 3},
    "Platform -eq 7": {1},
    "AgentPlatform -le 5": {2, 3},
    "Version -eq 2.0": {2},
    "Version -eq NULL": {3},
    "LastSeen -eq NULL": {3},
    "LastSeen -ne NULL": {1, 2},
    "LastSeen -ge 2026-05-02": {2},
    'LastSeen -lt "2026-05-02T00:00:00Z"': {1},
    'LastSeen -gt "2026-05-11T09:00:00+02:00"': {2},
    'Capabilities -contains "LOGS"': {1},
    "Capabilities -contains PEM": {1, 2},
    "Capabilities -eq CertStores.PEM": {2},
    "Capabilities -notcontains PEM": {3},
    "Capabilities -eq NULL": {3},
    'ClientParameter -eq "Site=Köln, 2"': {2},
    'ClientParameter -ne "Site=Köln, 2"': {1, 3},
    'ClientParameter -eq "Site=köln, 2"': set(),
    "ClientParameter -eq Spare": {2},
    "ClientParameter -eq Spare=": {2},
    "ClientParameter -eq Site=": set(),
    "ClientParameter -ne a__b": {1, 3},
    "ClientParameter -eq =": set(),
    "ClientParameter -eq NULL": {1, 3},
    f"Thumbprint -eq {'a1' * 20}": {1},
    f'Thumbprint -eq "{" ".join(["a1"] * 20)}"': {1},
    "Thumbprint -startswith B2": {2},
    "LegacyThumbprint -ne NULL": {2},
    "LastThumbprintUsed -eq NULL": {2, 3},
    "AuthCertificateReenrollment -eq Requested": {2},
    "AuthCertificateReenrollment -ge 1": {2, 3},
    "LastErrorCode -eq A0100008": {1},
    f"LastErrorCode -eq {0xA0100008}": {1},
    "LastErrorCode -eq NULL": {2, 3},
    "LastErrorMessage -contains 100%_NOW": {1},
    "CertificateNotAfter -eq NULL": {3},
    f"CertificateNotAfter -le {datetime.now(UTC).date() + timedelta(days=30)}": {1},
    f"CertificateNotAfter -gt {datetime.now(UTC).date() + timedelta(days=30)}": {2},
    "Level -eq 0": set(),
    "Level -eq 1": {2},
    "Level -ge 1": {1, 2, 3},
    "Level -eq expiry": {1, 3},
    "Level -ne 2": {2},
    "Level -lt 2": {2},
    "Level -gt 2": set(),
    "Level -eq NULL": set(),
    "RenewalState -eq Required": {1},
    "RenewalState -ne disapproved": {1, 3},
    "RenewalState -eq waiting": {3},
    "Offline -eq true": {1},
    "Offline -ne True": {2, 3},
    "Offline -eq false": {2, 3},
    "Offline -eq NULL": set(),
    "Group -eq berlin": {1},
    "Group -ne Berlin": {2, 3},
    "Group -startswith BER": {1},
    "Group -eq NULL": {2, 3},
    "Group -ne NULL": {1},
    "Label -eq region=eu": {1},
    "Label -eq region": {1, 2},
    'Label -ne "region=eu"': {2, 3},
    "Label -eq NULL": {3},
    "Label -eq region=eu AND Level -eq 2": {1},
    "Status -eq 1 OR Status -eq 2 AND Platform -eq 5": {3},
    "(Status -eq 1 OR Status -eq 2) AND Platform -eq 7": {1},
    "Status -ne 1 AND (Platform -eq 5 OR (Version -contains 1 AND Status -eq 2))": {1, 2},
}


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(("query", "found"), QUERIES.items())
def test_a_query_finds(admin: Caller, query: str, found: set[int]) -> None:
    response = admin.get("Agents", query={"pq.queryString": query})
    assert response.status_code == 200, response.content
    assert {UUID(row["AgentId"]).int for row in response.json()} == found


def test_a_query_that_is_wrong_is_refused_with_its_code(admin: Caller) -> None:
    refused(admin.get("Agents", query={"QueryString": "Status -eq"}), 400, "query_invalid")
    refused(admin.get("Agents", query={"QueryString": "x -eq 1"}), 400, "query_field_unknown")


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [UUID(row["AgentId"]).int for row in response.json()]


GONE = "00000000-0000-4000-8000-000000000000"
ORDERS: dict[str, tuple[dict[str, str], list[int]]] = {
    "by id unless told otherwise": ({}, [1, 2, 3]),
    "0 is ascending": ({"pq.sortField": "AgentId", "pq.sortAscending": "0"}, [1, 2, 3]),
    "1 is descending": ({"SortField": "AgentId", "SortAscending": "1"}, [3, 2, 1]),
    "by name": ({"SORTFIELD": "clientmachine"}, [3, 1, 2]),
    "by status": ({"pq.SortField": "Status"}, [3, 1, 2]),
    "by last contact, those without one first": ({"SortField": "LastSeen"}, [3, 1, 2]),
    "by platform": ({"SortField": "Platform", "sortascending": "Descending"}, [1, 2, 3]),
    "by thumbprint": ({"SortField": "Thumbprint"}, [3, 1, 2]),
    "by the flag": ({"SortField": "AuthCertificateReenrollment"}, [1, 2, 3]),
    "by expiry, those without a certificate last": (
        {"SortField": "CertificateNotAfter"},
        [1, 2, 3],
    ),
    "by expiry, the latest first": (
        {"SortField": "CertificateNotAfter", "SortAscending": "1"},
        [3, 2, 1],
    ),
    "by level, the most urgent first": ({"SortField": "Level", "SortAscending": "1"}, [3, 1, 2]),
    "by level": ({"SortField": "Level"}, [2, 1, 3]),
    "by state": ({"SortField": "RenewalState"}, [3, 1, 2]),
    "by group, those without one first": ({"SortField": "Group"}, [2, 3, 1]),
    "by a label, those without it first": ({"SortField": "Label:region"}, [3, 1, 2]),
    "a page of an order in groups": (
        {"SortField": "Level", "PageReturned": "2", "ReturnLimit": "1"},
        [1],
    ),
    "by version": ({"SortField": "Version"}, [3, 1, 2]),
    "the first two": ({"pq.returnLimit": "2"}, [1, 2]),
    "the second page of two": ({"pq.pageReturned": "2", "pq.returnLimit": "2"}, [3]),
    "the second page of two, in the newer spelling": (
        {"PageReturned": "2", "ReturnLimit": "2"},
        [3],
    ),
    "a page after the last": ({"PageReturned": "9"}, []),
    "rows skipped": ({"SkipCount": "1"}, [2, 3]),
    "empty parameters count as none": (
        {"QueryString": "", "PageReturned": "", "ReturnLimit": "", "SortField": ""},
        [1, 2, 3],
    ),
}


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(("query", "expected"), ORDERS.values(), ids=ORDERS.keys())
def test_rows_come_in_the_order_and_page_asked_for(
    admin: Caller, query: dict[str, str], expected: list[int]
) -> None:
    assert ids(admin.get("Agents", query=query)) == expected


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("limit", ["3", "1000", "2147483647", "9223372036854775807"])
def test_who_asks_for_more_rows_than_a_page_has_gets_the_page_and_the_cursor(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(paging, "MOST_ROWS", 2)
    first = admin.get("Agents", query={"pq.returnLimit": limit})
    assert ids(first) == [1, 2]
    after = {"pq.returnLimit": limit, "cursor": first["X-Next-Cursor"]}
    assert ids(admin.get("Agents", query=after)) == [3]
    assert ids(admin.get("Agents", query={"ReturnLimit": limit, "PageReturned": "2"})) == [3]


WRONG_PLACE: dict[str, tuple[str, str, str, str]] = {
    "verbose that is no number": ("GET", "Certificates", "verbose=x", "parameter_invalid"),
    "a flag that is none": ("GET", "Certificates", "includeMetadata=x", "parameter_invalid"),
    "force of a look": ("GET", f"Agents/{GONE}", "force=true", "parameter_unknown"),
    "a filter of a write": ("POST", "Tokens", "QueryString=x", "parameter_unknown"),
}


@pytest.mark.parametrize(
    ("method", "path", "query", "code"), WRONG_PLACE.values(), ids=WRONG_PLACE.keys()
)
def test_a_parameter_without_a_meaning_is_refused(
    admin: Caller, method: str, path: str, query: str, code: str
) -> None:
    refused(admin.send(method, f"{path}?{query}"), 400, code)


WRONG: dict[str, tuple[str, str]] = {
    "an unknown parameter": ("verbose=1", "parameter_unknown"),
    "the same parameter twice": ("ReturnLimit=1&ReturnLimit=1", "parameter_repeated"),
    "the same parameter in two spellings": (
        "ReturnLimit=1&pq.returnLimit=1",
        "parameter_repeated",
    ),
    "a page of 0": ("PageReturned=0", "parameter_invalid"),
    "a page of -1": ("PageReturned=-1", "parameter_invalid"),
    "a page of 10^100": (f"PageReturned=1{'0' * 100}", "parameter_invalid"),
    "digits that are not ASCII": ("PageReturned=%D9%A2", "parameter_invalid"),
    "bytes that are no UTF-8": ("QueryString=Version%20-eq%20%FF", "parameter_invalid"),
    "no rows": ("ReturnLimit=0", "parameter_invalid"),
    "an unknown order": ("SortAscending=2", "parameter_invalid"),
    "an unknown field to sort by": ("SortField=token_digest", "parameter_invalid"),
    "a label without a key to sort by": ("SortField=Label:", "parameter_invalid"),
    "a page too deep in an order that no index has": (
        "PageReturned=21&SortField=LastSeen",
        "page_too_deep",
    ),
    "a label with a key that no label has to sort by": (
        "SortField=Label:%00",
        "parameter_invalid",
    ),
    "no such switch": ("includeRenewal=perhaps", "parameter_invalid"),
    "a page too deep": ("PageReturned=2001", "page_too_deep"),
    "too many rows skipped": ("SkipCount=100000", "page_too_deep"),
    "a cursor and a page": ("PageReturned=2&cursor=x", "parameter_invalid"),
    "a cursor that is none": ("cursor=x", "cursor_invalid"),
    "a cursor that is not ASCII": ("cursor=%C3%A4", "cursor_invalid"),
    "a cursor of zeros": ("cursor=AAAA", "cursor_invalid"),
}


@pytest.mark.parametrize(("query", "code"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_parameter_is_refused_with_its_code(admin: Caller, query: str, code: str) -> None:
    response = admin.client.get(
        f"/KeyfactorAPI/Agents?{query}",
        headers={**admin.headers, "x-keyfactor-requested-with": "APIClient"},
    )
    refused(response, 400, code)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("pq.returnLimit=x", "pq.returnLimit is a whole number"),
        ("RETURNLIMIT=x", "RETURNLIMIT is a whole number"),
        ("sq.sortAscending=x", "sq.sortAscending is 0"),
        ("query.sortField=x", "query.sortField is one of"),
        ("IncludeRenewal=x", "IncludeRenewal is true or false"),
        ("ReturnLimit=1&pq.returnLimit=1", "pq.returnLimit is given twice"),
        ("verbose=1", "known are cursor, includeRenewal, PageReturned, QueryString, ReturnLimit"),
    ],
)
def test_a_wrong_parameter_is_named_as_it_was_sent(admin: Caller, query: str, named: str) -> None:
    answer = admin.get(f"Agents?{query}")
    assert answer.status_code == 400
    assert named in answer.json()["Message"]


def test_a_page_too_deep_names_the_cursor(admin: Caller) -> None:
    body = admin.get("Agents", query={"PageReturned": "2001"}).json()
    assert "X-Next-Cursor" in body["Message"]


@pytest.mark.parametrize("descending", ["0", "1"])
@pytest.mark.parametrize(
    "sort",
    [
        "AgentId",
        "ClientMachine",
        "Identity",
        "Platform",
        "Version",
        "Status",
        "LastSeen",
        "Thumbprint",
        "AuthCertificateReenrollment",
        "CertificateNotAfter",
        "Level",
        "RenewalState",
        "Group",
        "Label:region",
    ],
)
def test_cursors_lead_through_all_rows_once(
    admin: Caller, orchestrator: Make, sort: str, descending: str
) -> None:
    now = timezone.now()
    berlin, _ = groups.save_group("Berlin", actor=TESTER, now=now)
    for n in range(11):
        not_after = now + timedelta(days=40 * (n // 2) - 60) if n % 4 else None
        made = orchestrator(
            f"agent{n % 4}" if n > 3 else f"Ägent{n}",
            group=berlin if n % 2 else None,
            flag=[0, 1, 0, 2, 0, 0][n % 6],
            thumbprint=f"{n // 3:040X}",
            certificate_not_after=not_after,
            certificate_counted_from=not_after and not_after - timedelta(days=365),
            status=[1, 3][n % 2],
            platform=n % 3,
            version=str(n % 2),
            last_seen=SEEN + timedelta(microseconds=n // 2) if n % 3 else None,
        )
        if n % 3:
            labels.set_labels([made.pk], put={"region": f"r{n % 3}"}, actor=TESTER)
    order = {"SortField": sort, "SortAscending": descending, "QueryString": "Status -ge 1"}
    whole = ids(admin.get("Agents", query=order))
    assert len(whole) == 11
    pages: list[int] = []
    cursor = ""
    for _ in range(4):
        query = {**order, "ReturnLimit": "3", **({"cursor": cursor} if cursor else {})}
        response = admin.get("Agents", query=query)
        pages += ids(response)
        cursor = response.get("X-Next-Cursor", "")
    assert pages == whole
    assert cursor == ""


@pytest.mark.usefixtures("fleet")
def test_a_link_leads_to_the_next_page_with_the_same_parameters(admin: Caller) -> None:
    query = {"pq.returnLimit": "1", "pq.pageReturned": "1", "pq.queryString": "Status -ge 1"}
    response = admin.get("Agents", query=query)
    found = []
    while True:
        found += ids(response)
        if "Link" not in response:
            break
        target, _, relation = response["Link"].partition("; ")
        assert relation == 'rel="next"'
        address = urlsplit(target.strip("<>"))
        assert address.path == "/KeyfactorAPI/Agents"
        response = admin.get("Agents", query=dict(parse_qsl(address.query)))
    assert found == [1, 2, 3]


@pytest.mark.usefixtures("fleet")
def test_the_renewal_is_told_to_whoever_asks_for_it(admin: Caller) -> None:
    assert "Renewal" not in admin.get("Agents").json()[0]
    first, second, third = admin.get("Agents", query={"includeRenewal": "true"}).json()
    assert first["Renewal"].pop("CertificateNotAfter").endswith("Z")
    assert first["Renewal"] == {
        "Level": 2,
        "State": "required",
        "Group": "Berlin",
        "Labels": {"region": "eu", "site": "b"},
    }
    assert second["Renewal"]["Level"] == 1
    assert third["Renewal"] == {
        "CertificateNotAfter": None,
        "Level": 2,
        "State": "waiting",
        "Group": None,
        "Labels": {},
    }
    one = admin.get(f"Agents/{FIRST}", query={"IncludeRenewal": "1"}).json()
    assert one["Renewal"]["State"] == "required"


@pytest.mark.usefixtures("fleet")
def test_a_cursor_serves_its_own_query_and_order_only(admin: Caller) -> None:
    first = admin.get("Agents", query={"ReturnLimit": "1"})
    cursor = first["X-Next-Cursor"]
    assert ids(admin.get("Agents", query={"cursor": cursor})) == [2, 3]
    for other in ({"SortAscending": "1"}, {"SortField": "Status"}, {"QueryString": "Status -eq 1"}):
        response = admin.get("Agents", query={"cursor": cursor, **other})
        refused(response, 400, "cursor_invalid")


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("Status", 2**70),
        ("Status", "1"),
        ("Status", True),
        ("ClientMachine", 1),
        ("ClientMachine", "\ud800"),
        ("ClientMachine", "\0"),
        ("LastSeen", "0001-01-01T00:00:00+14:00"),
        ("LastSeen", "2026-01-01"),
        ("LastSeen", None),
        ("LastSeen", {}),
    ],
)
def test_a_cursor_that_somebody_made_up_is_refused(admin: Caller, sort: str, value: Any) -> None:
    order = {"SortField": sort, "ReturnLimit": "1"}
    cursor = admin.get("Agents", query=order)["X-Next-Cursor"]
    digest, group, _, pk = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    forged = base64.urlsafe_b64encode(json.dumps([digest, group, value, pk]).encode()).decode()
    response = admin.get("Agents", query={**order, "cursor": forged.rstrip("=")})
    refused(response, 400, "cursor_invalid")


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("sort", ["AgentId", "LastSeen"])
def test_a_deep_page_reads_whole_rows_of_that_page_only(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    monkeypatch.setattr(paging, "_SHALLOW_ROW", 0)
    query = {"PageReturned": "2", "ReturnLimit": "1", "SortField": sort}
    with CaptureQueriesContext(connection) as queries:
        response = admin.get("Agents", query=query)
    assert ids(response) == [2 if sort == "AgentId" else 1]
    assert response["X-Next-Cursor"]
    assert statements_of(queries)[-1].count("SELECT") == 2


SIGN_INS: dict[str, int] = {
    "a token": 3,
    "a token not used for a minute": 4,
    "Basic": 4,
    "Basic with a domain": 4,
    "a page's session": 4,
}
"""Statements of GET /Agents with 50 rows; the budget is 4."""
NOT_COUNTED = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "SET LOCAL")


def statements_of(queries: CaptureQueriesContext) -> list[str]:
    """Return what was asked; what rules the transaction is not counted."""
    return [each["sql"] for each in queries if not each["sql"].startswith(NOT_COUNTED)]


@pytest.mark.parametrize("rows", [0, 1, 50])
@pytest.mark.parametrize(("sign_in", "statements"), SIGN_INS.items())
def test_a_list_costs_the_same_statements_whatever_its_length(
    orchestrator: Make, token: Callable[..., str], rows: int, sign_in: str, statements: int
) -> None:
    user = user_with("Operator", "ada")
    user.groups.add(Group.objects.get(name="Auditor"))
    for n in range(rows):
        orchestrator(f"agent{n}", capabilities=["CertStores.PEM.Inventory"], last_seen=SEEN)
    client = Client()
    if sign_in.startswith("a token"):
        caller = Caller({"Authorization": f"Bearer {token(user)}"})
        if sign_in == "a token":
            caller.get("Status/Endpoints")
    elif sign_in == "a page's session":
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        caller = Caller(client=client)
    else:
        caller = Caller({"Authorization": basic("CORP\\ada" if "domain" in sign_in else "ada")})
    with CaptureQueriesContext(connection) as queries:
        response = caller.get("Agents", query={"QueryString": "Status -eq 2"})
    assert len(ids(response)) == rows
    assert len(statements_of(queries)) == statements, statements_of(queries)


def test_a_list_by_level_reads_the_periods_besides(
    orchestrator: Make, token: Callable[..., str]
) -> None:
    user = user_with("Operator", "ada")
    for n in range(50):
        orchestrator(f"agent{n}", flag=Reenrollment.REQUIRED)
    caller = Caller({"Authorization": f"Bearer {token(user)}"})
    caller.get("Status/Endpoints")
    query = {"QueryString": "Level -ge 1 AND RenewalState -ne waiting", "SortField": "Group"}
    with CaptureQueriesContext(connection) as queries:
        response = caller.get("Agents", query=query)
    assert len(ids(response)) == 50
    assert len(statements_of(queries)) == 4, statements_of(queries)
