"""Rows that are written by COPY come back as they were; COPY is PostgreSQL's alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from portal.audit.models import AuditEntry
from renewal.synthetic import tables
from renewal.synthetic.sheets import Sheet

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("on_postgresql")
def test_text_for_copy_comes_back_as_it_was_whatever_characters_it_has() -> None:
    odd = "tab\t, end\r\n, back\\slash, \\N, 100 %, %s, é"
    sheet = Sheet(AuditEntry, tables.next_number(AuditEntry))
    at = datetime(2026, 5, 1, 2, 3, 4, 567, tzinfo=UTC)
    number = sheet.add(at=at, actor_name=odd, category="access", action="a", after={odd: [odd]})

    tables.copy(AuditEntry, sheet.text())

    row = AuditEntry.objects.get(pk=number)
    assert (row.at, row.actor_name, row.after, row.before) == (at, odd, {odd: [odd]}, {})
    assert (row.actor_id, row.message) == (None, "")
