"""What a query may ask of the database: comparisons that no index serves, and time."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection

from portal.rest import base, time_limit
from portal.rest.query_language import MOST_COMPARISONS
from tests.portal.rest.conftest import Caller, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def any_of(count: int, comparison: str) -> str:
    """The same comparison with as many values."""
    return " OR ".join(comparison.format(n) for n in range(count))


REFUSED: dict[str, tuple[str, str, str]] = {
    "parts of a capability": ("Agents", any_of(5, "Capabilities -contains z{}"), "Capabilities"),
    "parts of a capability that are not there": (
        *("Agents", any_of(5, "Capabilities -notcontains z{}").replace("OR", "AND")),
        "Capabilities",
    ),
    "parts of several texts": (
        "Agents",
        f"(Version -endswith 1 OR {any_of(4, 'ClientMachine -contains z{}')}) AND Status -eq 2",
        "ClientMachine, Version",
    ),
    "many names of an account": ("Agents", any_of(21, "Identity -eq z{}"), "Identity"),
    "many states": ("Agents", any_of(21, "RenewalState -ne ok"), "RenewalState"),
    "many labels": ("Agents", any_of(21, "Label -eq k=z{}"), "Label"),
    "orchestrators without labels, three times": (
        *("Agents", any_of(3, "Label -eq NULL")),
        "Label",
    ),
    "parts of a name in a certificate": (
        *("Certificates", any_of(5, "SubjectAltName -contains z{}")),
        "SubjectAltName",
    ),
    "parts of a subject": ("Certificates", any_of(45, "IssuedDN -contains z{}"), "IssuedDN"),
    "beginnings of a text without an index": (
        *("Certificates", any_of(5, "IssuedCN -startswith z{}")),
        "IssuedCN",
    ),
    "parts of what the audit log says": (
        *("Audit", any_of(5, "AuditIdentifier -contains z{}")),
        "AuditIdentifier",
    ),
}
SERVED: dict[str, tuple[str, str]] = {
    "four parts of a text": ("Agents", any_of(4, "Capabilities -contains z{}")),
    "names": ("Agents", any_of(MOST_COMPARISONS, "ClientMachine -eq z{}")),
    "thumbprints": ("Certificates", any_of(30, "Thumbprint -eq {:040}")),
    "numbers": ("Certificates", any_of(MOST_COMPARISONS, "Id -eq {}")),
    "orchestrators without labels, once": ("Agents", "Label -eq NULL"),
    "all states": ("Agents", any_of(8, "RenewalState -eq ok")),
}


@pytest.mark.parametrize(("path", "query", "slow"), REFUSED.values(), ids=REFUSED.keys())
def test_a_query_of_many_comparisons_that_no_index_serves_is_refused(
    admin: Caller, path: str, query: str, slow: str
) -> None:
    body = refused(admin.get(path, query={"QueryString": query}), 400, "query_too_slow")
    assert f"comparisons with {slow}:" in body["Message"]


@pytest.mark.parametrize(("path", "query"), SERVED.values(), ids=SERVED.keys())
def test_a_query_that_indexes_serve_or_that_searches_little_is_answered(
    admin: Caller, path: str, query: str
) -> None:
    assert admin.get(path, query={"QueryString": query}).status_code == 200


def test_an_act_on_what_a_query_names_asks_no_more_of_the_database(admin: Caller) -> None:
    body = {"Query": any_of(5, "IssuedCN -contains z{}"), "Reason": 1, "Comment": "stolen"}
    refused(admin.post("Certificates/RevokeAll", body), 400, "query_too_slow")


@pytest.mark.parametrize(
    ("asked", "is_bounded"),
    [
        ({"QueryString": "Status -eq 2"}, True),
        ({"SortField": "LastSeen"}, True),
        ({"SortField": "ClientMachine"}, False),
    ],
    ids=["a filter", "an order that no index has", "an order that an index has"],
)
def test_a_list_that_takes_too_long_is_stopped_and_says_so(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], is_bounded: bool
) -> None:
    monkeypatch.setattr(time_limit, "MILLISECONDS", 50)
    has_limit = connection.vendor == "postgresql"
    page_of = base.paging.page_of

    def slowly(*args: Any) -> Any:
        if has_limit:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.2)")
        return page_of(*args)

    with patch.object(base.paging, "page_of", slowly):
        response = admin.get("Agents", query=asked)
    if has_limit and is_bounded:
        body = refused(response, 400, "query_too_slow")
        assert "0.05 s" in body["Message"]
    else:
        assert response.status_code == 200
    assert admin.get("Agents").status_code == 200
