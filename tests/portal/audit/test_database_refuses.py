"""PostgreSQL refuses by itself to change the log. SQLite knows no role but its file's owner."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction

from tests.portal.audit.conftest import Log

STATEMENTS: dict[str, Callable[[int], str]] = {
    "update": lambda pk: f"UPDATE audit_auditentry SET message = 'x' WHERE id = {pk}",
    "delete": lambda pk: f"DELETE FROM audit_auditentry WHERE id = {pk}",
    "truncate": lambda pk: "TRUNCATE audit_auditentry",
    "seal's update": lambda pk: f"UPDATE audit_auditseal SET link = '' WHERE entry_id = {pk}",
    "seal's delete": lambda pk: f"DELETE FROM audit_auditseal WHERE entry_id = {pk}",
    "block's delete": lambda pk: "DELETE FROM audit_auditblock",
    "block's truncate": lambda pk: "TRUNCATE audit_auditblock",
}


@pytest.mark.usefixtures("on_postgresql")
@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_postgresql_itself_refuses(log: Log, statement: Callable[[int], str]) -> None:
    rows = log.write(2)
    log.seal()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement(rows[0]))
    assert log.findings() == []
