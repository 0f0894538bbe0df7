"""docs/rest-api.md says what the code does: codes, endpoints, fields."""

from __future__ import annotations

from pathlib import Path

from portal.access.catalogue import entry_for
from portal.rest.codes import CODES, ErrorCode
from portal.rest.query_fields import FIELD_NAMES
from portal.rest.status import documented
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


def test_every_field_of_a_query_stands_in_the_document() -> None:
    assert [name for name in FIELD_NAMES if f"`{name}`" not in TEXT] == []
