"""The database itself refuses to change the log, and what no seal could be made of."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from portal.audit.models import AuditEntry, AuditSeal
from tests.portal.audit.conftest import Log

pytestmark = pytest.mark.both_databases

_TOLD = (
    "actor_name, source_address, request_id, category, action, object_type, object_id, "
    "object_name, before, after, message"
)
_COLUMNS = f"{_TOLD}, mac"
_VALUES = "'x', '', '', 'setting', 'x', 'x', '1', '', '{}', '{}', '', ''"
_NOW = "'2026-01-01 00:00:00'"


def insert(*, at: str = _NOW, number: str = "", act: str = "INSERT") -> str:
    columns, values = f"at, {_COLUMNS}", f"{at}, {_VALUES}"
    if number:
        columns, values = f"id, {columns}", f"{number}, {values}"
    return f"{act} INTO audit_auditentry ({columns}) VALUES ({values})"


REFUSED = {
    "a copy of a row": f"INSERT INTO audit_auditentry (at, {_COLUMNS}) "
    f"SELECT at, {_COLUMNS} FROM audit_auditentry WHERE id = {{row}}",
    "a row that says nothing of a MAC": f"INSERT INTO audit_auditentry (at, {_TOLD}) "
    f"SELECT at, {_TOLD} FROM audit_auditentry WHERE id = {{row}}",
    "update": "UPDATE audit_auditentry SET message = 'x' WHERE id = {row}",
    "an update of the number": "UPDATE audit_auditentry SET id = -7 WHERE id = {row}",
    "delete": "DELETE FROM audit_auditentry WHERE id = {row}",
    "seal's update": "UPDATE audit_auditseal SET link = '' WHERE entry_id = {row}",
    "seal's delete": "DELETE FROM audit_auditseal WHERE entry_id = {row}",
    "block's update": "UPDATE audit_auditblock SET link = ''",
    "block's delete": "DELETE FROM audit_auditblock",
}
REFUSED_BY = {
    "postgresql": {
        "truncate": "TRUNCATE audit_auditentry",
        "block's truncate": "TRUNCATE audit_auditblock",
        "no moment": insert(at="'infinity'"),
        "a moment before all": insert(at="'-infinity'"),
        "a moment that Python does not know": insert(at="'12000-01-01'"),
        "upsert": insert(number="{row}") + " ON CONFLICT (id) DO UPDATE SET message = 'x'",
    },
    "sqlite": {
        "a number that is taken": insert(number="{row}"),
        "the highest number of all": insert(number=str(2**63 - 1)),
        "replace": insert(number="{row}", act="INSERT OR REPLACE"),
        "a number before all others": insert(number="0"),
        "replacing a seal": "REPLACE INTO audit_auditseal "
        "SELECT sequence, entry_id, digest, 'x', verdict FROM audit_auditseal "
        "WHERE entry_id = {row}",
        "replacing the seal of a row": "REPLACE INTO audit_auditseal "
        "SELECT sequence + 9, entry_id, digest, link, verdict FROM audit_auditseal "
        "WHERE entry_id = {row}",
        "replacing a block": "REPLACE INTO audit_auditblock SELECT * FROM audit_auditblock",
        "no moment": insert(at="'zz'"),
        "a number for a moment": insert(at="7"),
        "bytes for a moment": insert(at="x'32'"),
    },
}


def all_rows() -> list[object]:
    return [list(model.objects.order_by("pk").values()) for model in (AuditEntry, AuditSeal)]


def refused(statement: str, row: int) -> None:
    with (
        pytest.raises(DatabaseError, match=r"append-only|audit_at_is_a_moment|mac"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.replace("{row}", str(row)))


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED)
def test_the_database_itself_refuses(log: Log, statement: str) -> None:
    rows = log.write(2)
    log.seal()
    before = all_rows()
    refused(statement, rows[1])
    assert all_rows() == before
    assert log.findings() == []


def test_each_database_refuses_what_only_it_could_do(log: Log) -> None:
    rows = log.write(2)
    log.seal()
    before = all_rows()
    for statement in REFUSED_BY[connection.vendor].values():
        refused(statement, rows[1])
        assert all_rows() == before, statement
    assert log.findings() == []
    # The portal goes on.
    log.write(2)
    assert log.seal() == 2
