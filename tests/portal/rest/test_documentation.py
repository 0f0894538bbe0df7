"""docs/rest-api.md says what the code does: codes, endpoints, fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portal.access.catalogue import entry_for
from portal.rest.agent_listing import agent_listing
from portal.rest.approval_requests import APPROVAL_REQUESTS
from portal.rest.audit import AUDIT
from portal.rest.authorities import AUTHORITIES
from portal.rest.bootstrap_credentials import CREDENTIALS
from portal.rest.bulk_jobs import BULK_JOBS
from portal.rest.certificate_listing import CERTIFICATE_HISTORY, CERTIFICATES
from portal.rest.codes import CODES, ErrorCode
from portal.rest.enrollment_requests import ENROLLMENT_REQUESTS
from portal.rest.groups import GROUPS
from portal.rest.identities import IDENTITY_ROWS
from portal.rest.jobs import HISTORY, SCHEDULED
from portal.rest.security import ROLE_ROWS
from portal.rest.status import documented
from portal.rest.templates import TEMPLATES
from portal.rest.tokens import TOKENS
from portal.rest.trusted_issuers import TRUSTED_ISSUERS
from portal.rest.urls import ENDPOINTS

TEXT = (Path(__file__).parents[3] / "docs" / "rest-api.md").read_text()


def test_every_code_has_a_status_and_stands_in_the_document() -> None:
    assert set(CODES) == set(ErrorCode)
    for code, text in CODES.items():
        rows = [line for line in TEXT.splitlines() if f"`{code}`" in line and line.startswith("|")]
        assert any(str(text.status) in row.split("|")[1] for row in rows), code


def test_every_endpoint_stands_in_the_document_with_its_permission() -> None:
    for route, view in ENDPOINTS:
        for method, needed in view.needs.items():
            call = f"| `{method} /{documented(route)}`"
            row = next(line for line in TEXT.splitlines() if call in line)
            assert (entry_for(needed).access_string if needed else "any sign-in") in row


def test_every_event_is_an_action_that_the_code_writes() -> None:
    part = TEXT.partition("## Events\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in part.splitlines() if line.startswith("| `")]
    actions = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    root = Path(__file__).parents[3]
    files = [
        f for app in ("portal", "renewal", "orchestrators") for f in (root / app).rglob("*.py")
    ]
    written = {
        name for f in files for name in re.findall(r'"([a-z_]+)"', f.read_text(encoding="utf-8"))
    }
    assert actions
    assert actions - written == set()


LISTINGS = {
    "Agents": agent_listing(datetime(2026, 6, 1, tzinfo=UTC)),
    "Certificates": CERTIFICATES,
    "Certificate history": CERTIFICATE_HISTORY,
    "Audit": AUDIT,
    "Roles": ROLE_ROWS,
    "Identities": IDENTITY_ROWS,
    "Certificate authorities": AUTHORITIES,
    "Templates": TEMPLATES,
    "Tokens": TOKENS,
    "Approval requests": APPROVAL_REQUESTS,
    "Groups": GROUPS,
    "Trusted issuers": TRUSTED_ISSUERS,
    "Bootstrap credentials": CREDENTIALS,
    "Bulk jobs": BULK_JOBS,
    "Enrollment requests": ENROLLMENT_REQUESTS,
    "Job history": HISTORY,
    "Scheduled jobs": SCHEDULED,
}


@pytest.mark.parametrize("resource", LISTINGS)
def test_every_field_of_a_query_and_of_an_order_stands_in_the_document(resource: str) -> None:
    listing = LISTINGS[resource]
    part = TEXT.partition(f"### Fields of {resource}\n")[2].partition("\n##")[0]
    lines = part.splitlines()
    assert [name for name in listing.fields if f"`{name}`" not in part] == []
    by_order = next(line for line in lines if line.startswith("Sorted by"))
    assert [name for name in listing.sort if f"`{name}" not in by_order] == []
