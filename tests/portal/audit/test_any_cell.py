"""Whatever is written into whichever cell of the log: it is found at its place, nothing breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, models, transaction
from django.test import Client

from portal.audit import requested
from portal.audit.models import AuditBlock, AuditEntry, AuditSeal, AuditVerification, NotedRefusal
from tests.portal.audit.conftest import ANNA, Log
from tests.portal.pages import fleet
from tests.portal.rest.conftest import Caller, basic

pytestmark = pytest.mark.both_databases

_HUGE = str(2**63 - 1)
_OBJECTS = (
    "'[1]'",
    "'null'",
    "'\"x\"'",
    "'7'",
    """'{"a": 1e999}'""",
    """'{"at": "2026-99-99T99:99:99Z", "then": "0001-01-01T00:00:00+14:00"}'""",
    f"""'{{"a": {"9" * 5000}}}'""",
    f"'{'[' * 900}{']' * 900}'",
    f"""'{'{"a":' * 300}1{"}" * 300}'""",
)
_SQLITE = ("'zz'", "''", "x'ff'", "CAST(x'ff' AS TEXT)", "7000", "-3", "1.5", _HUGE)
"""SQLite keeps any of them in any column."""
_POSTGRESQL: dict[str, tuple[str, ...]] = {
    "BigAutoField": ("0", "-3", _HUGE),
    "BigIntegerField": ("0", "-3", "7000", _HUGE),
    "ForeignKey": ("7", "-3"),
    "DateTimeField": (
        "'infinity'",
        "'-infinity'",
        "'0044-03-15 BC'",
        "'12000-01-01'",
        "'9999-12-31 23:59:59'",
        "'2020-01-01'",
    ),
    "UUIDField": ("gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"),
    "JSONField": _OBJECTS,
    "CharField": ("'zz'", "''", "E'\\u202e\\t\\x01'"),
}


def kind_of(field: Any) -> str:
    return str(field.deconstruct()[1].rpartition(".")[2])


def values_for(field: Any) -> Iterator[str]:
    """Yield what a cell is overwritten with, as SQL."""
    if connection.vendor == "postgresql":
        yield from _POSTGRESQL[kind_of(field)]
        return
    if isinstance(field, models.AutoField):
        # No number comes after the highest of all.
        yield from ("0", "-3", "7000000")
        return
    yield from _SQLITE
    if kind_of(field) == "JSONField":
        yield from (*_OBJECTS, """'{"a": "\\ud800"}'""", "'{'")
    if field.name in ("at", "orchestrator_id", "actor_name"):
        # The same to a person, another value to every filter.
        yield from (f"CAST({field.column} AS BLOB)",)
    if field.name == "at":
        yield "replace(at, ' ', 'T')"
    if field.name == "orchestrator_id":
        yield "upper(orchestrator_id)"


@contextmanager
def undone() -> Iterator[None]:
    file = settings.CONFIG.audit_checkpoints
    before = file.read_text()
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    file.write_text(before)


@pytest.fixture
def rows(log: Log) -> list[int]:
    """Nine rows in three blocks."""
    found = []
    for _ in range(3):
        found += log.write(3, orchestrator_id="ab" * 16, message="Why")
        assert log.seal() == 3
    return found


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(fleet.user("reader", "Administrator"))
    return client


def is_readable(admin: Client) -> None:
    """Every face of the log answers, and so does a verification that was asked for."""
    for path in ("/audit?who=anna", "/audit", "/audit?since=2026-01-01", "/audit/verification"):
        assert admin.get(path).status_code == 200, path
    for form in ("csv", "json"):
        assert admin.get(f"/audit/export.{form}").getvalue()
    caller = Caller({"Authorization": basic("reader", fleet.PASSWORD)})
    for path in ("Audit", "Audit/Download"):
        assert caller.get(path).status_code == 200, path


def overwrite(log: Log, model: Any, key: int, cells: dict[str, str]) -> None:
    changed = ", ".join(f"{column} = {value}" for column, value in cells.items())
    log.sql(f"UPDATE {model._meta.db_table} SET {changed} WHERE {model._meta.pk.column} = {key}")


@pytest.mark.parametrize("model", [AuditEntry, AuditSeal, AuditBlock])
def test_a_cell_that_was_overwritten_is_found_and_does_not_stop_the_sealer(
    log: Log, rows: list[int], model: Any
) -> None:
    seal = AuditSeal.objects.get(entry_id=rows[4])
    block = AuditBlock.objects.get(
        first_sequence__lte=seal.sequence, last_sequence__gte=seal.sequence
    )
    key = {AuditEntry: rows[4], AuditSeal: seal.sequence, AuditBlock: block.number}[model]
    for field in model._meta.concrete_fields:
        for value in values_for(field):
            with undone():
                overwrite(log, model, key, {field.column: value})
                report = log.report()
                told = f"{field.column} = {value[:80]}: {report.findings}"
                if model is AuditBlock:
                    assert block.number in [found.block for found in report.findings], told
                else:
                    assert seal.sequence in [f.sequence for f in report.findings], told
                assert len(report.findings) <= 3, told
                log.write(2)
                assert log.seal() >= 2, told


def in_turn(model: Any) -> Iterator[dict[str, str]]:
    """Yield hostile values for all cells of a row at once, until each value had its turn."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    values = {f.column: list(values_for(f)) for f in fields if kind_of(f) != "BooleanField"}
    for turn in range(max(len(each) for each in values.values())):
        yield {column: each[turn % len(each)] for column, each in values.items()}


def test_the_pages_are_readable_whatever_the_cells_say(
    log: Log, rows: list[int], admin: Client
) -> None:
    for cells in in_turn(AuditEntry):
        with undone():
            overwrite(log, AuditEntry, rows[4], cells)
            is_readable(admin)


def test_what_was_asked_for_and_noted_is_shown_whatever_it_says(
    log: Log, rows: list[int], admin: Client
) -> None:
    made = requested.request(ANNA, now=log.now)
    requested.run(now=lambda: log.now)
    for cells in in_turn(AuditVerification):
        with undone():
            overwrite(log, AuditVerification, made.pk, cells)
            assert admin.get("/audit").status_code == 200
            assert admin.get("/audit/verification").status_code == 200
    client = Client()
    client.force_login(fleet.user("nobody", None))
    assert client.get("/audit").status_code == 403
    noted = NotedRefusal.objects.get()
    for cells in in_turn(NotedRefusal):
        with undone():
            overwrite(log, NotedRefusal, noted.pk, cells)
            assert client.get("/audit").status_code == 403
