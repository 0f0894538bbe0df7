"""Rows that somebody wrote past the portal: found with their place, and sealed all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.test import Client

from portal.audit import authorship, chain, sealing, verification
from portal.audit.models import AuditEntry, AuditSeal, Category
from portal.audit.trail import record_each
from portal.preferences import store
from renewal.alarms import alarms
from renewal.census import last_begun
from renewal.configuration import by_settings
from renewal.rules.alarms import Alarm, Kind
from tests.portal.audit.conftest import ANNA, Log
from tests.portal.audit.owner import as_owner
from tests.portal.pages import fleet

pytestmark = pytest.mark.both_databases

_COLUMNS = tuple(
    field.column
    for field in AuditEntry._meta.concrete_fields
    if field.column not in ("id", "message", "mac")
)


def insert(*, of: str, message: str = "message", mac: str = "''", times: int = 1) -> str:
    """Return what puts in rows with all columns right, as those of the row ``of``."""
    columns = ", ".join(_COLUMNS)
    row = f"SELECT {columns}, {message}, {mac} FROM audit_auditentry WHERE id = {{{of}}}"
    rows = " UNION ALL ".join([row] * times)
    return f"INSERT INTO audit_auditentry ({columns}, message, mac) {rows}"


ONCE = "DROP INDEX audit_mac_is_of_one_row"
FORGERIES = {
    "a row at the end": [insert(of="sealed")],
    "a row with a MAC that is none": [insert(of="sealed", mac=f"'{'A' * 65}'")],
    "a row with a text for a MAC": [insert(of="sealed", mac="'é'")],
    "rows of a bulk act": [insert(of="waiting", times=3)],
    "a copy with its MAC of a row that is sealed": [ONCE, insert(of="sealed", mac="mac")],
    "a copy with its MAC of a row that waits": [ONCE, insert(of="waiting", mac="mac")],
    "a copy with a mark of its own": [insert(of="sealed", mac="'.' || substr(mac, 2)")],
    "a copy that says something else": [
        ONCE,
        insert(of="sealed", message="'nothing happened'", mac="mac"),
    ],
}
CHANGES = {
    "its message": "message = 'nothing happened'",
    "its actor": "actor_id = 1",
    "its actor's name": "actor_name = 'bert'",
    "its time": "at = '2026-01-01 00:00:00+00:00'",
    "its address": "source_address = '198.51.100.1'",
    "its request": "request_id = 'request-2'",
    "its category": "category = 'access'",
    "its action": "action = 'setting_reset'",
    "the type of its object": "object_type = 'role'",
    "its object": "object_id = '8'",
    "the name of its object": "object_name = 'Error'",
    "its orchestrator": "orchestrator_id = 'abababababababababababababababab'",
    "what it was before": """before = '{"value": 1}'""",
    "what it is after": """after = '{"value": 99}'""",
    "its MAC": "mac = ''",
}


def told(log: Log, *, later: timedelta = timedelta()) -> list[Alarm]:
    found = alarms(last_begun(), by_settings(store.load()), now=log.now + later)
    return [alarm for alarm in found if alarm.kind is Kind.AUDIT_FORGED]


def sequence_of(entry: int) -> int:
    return AuditSeal.objects.get(entry_id=entry).sequence


def found_before_and_after_the_seal(log: Log, forged: list[int]) -> None:
    assert log.findings() == [("forged", None, row) for row in forged]
    assert log.seal() >= len(forged)
    assert log.findings() == [("forged", sequence_of(row), row) for row in forged]
    (alarm,) = told(log)
    assert f"row {forged[-1]}:" in alarm.reason
    # The sealer goes on.
    log.write(2)
    assert log.seal() == 2
    assert len(log.findings()) == len(forged)


@pytest.mark.parametrize("statements", FORGERIES.values(), ids=FORGERIES)
def test_a_row_that_the_portal_did_not_write_is_found(log: Log, statements: list[str]) -> None:
    sealed = log.write()[0]
    log.seal()
    waiting = log.write()[0]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.format(sealed=sealed, waiting=waiting))
    forged = list(
        AuditEntry.objects.filter(pk__gt=waiting).order_by("pk").values_list("pk", flat=True)
    )
    assert forged
    found_before_and_after_the_seal(log, forged)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_row_that_was_changed_before_its_seal_is_found(log: Log, change: str) -> None:
    rows = log.write(3)
    log.sql(f"UPDATE audit_auditentry SET {change} WHERE id = %s", rows[1])
    found_before_and_after_the_seal(log, [rows[1]])


@pytest.mark.usefixtures("on_postgresql")
def test_a_row_without_any_mac_is_found_where_its_column_was_let_be_empty(log: Log) -> None:
    row = log.write()[0]
    log.sql("ALTER TABLE audit_auditentry ALTER mac DROP NOT NULL")
    log.sql("UPDATE audit_auditentry SET mac = NULL WHERE id = %s", row)
    found_before_and_after_the_seal(log, [row])


def test_a_row_that_was_forged_does_not_hold_and_is_told_by_every_face(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    rows = log.write(3)
    log.sql("UPDATE audit_auditentry SET message = 'x' WHERE id = %s", rows[1])
    assert told(log) == []
    log.seal()
    assert f"did not write these rows of the audit log: {rows[1]}" in caplog.text
    keys = settings.CONFIG.audit_folder
    holds = [verification.entry_holds(pk, keys_in=keys) for pk in rows]
    assert holds == [True, False, True]
    client = Client()
    client.force_login(fleet.user("reader", "Administrator"))
    assert client.get("/audit?who=anna").content.count(b"not written by the portal") == 1
    assert "audit_forged" in Client().get("/readyz").json()["degraded"]["alarms"]


def test_the_alarm_ends_after_a_week_and_the_finding_stays(log: Log) -> None:
    row = log.write()[0]
    log.sql("UPDATE audit_auditentry SET message = 'x' WHERE id = %s", row)
    log.seal()
    week = timedelta(days=7)
    assert [len(told(log, later=later)) for later in (week, week + timedelta(seconds=1))] == [1, 0]
    log.now += week
    log.write()
    log.seal()
    assert log.findings() == [("forged", sequence_of(row), row)]


VERDICTS = ("genuine", "", "unknown")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_that_was_changed_is_found(log: Log, verdict: str) -> None:
    row = log.write(2)[0]
    log.sql("UPDATE audit_auditentry SET message = 'x' WHERE id = %s", row)
    log.seal()
    log.sql("UPDATE audit_auditseal SET verdict = %s WHERE entry_id = %s", verdict, row)
    assert log.findings() == [("reordered", sequence_of(row), row)]


def test_an_alarm_is_raised_even_if_its_block_was_broken(log: Log) -> None:
    row = log.write()[0]
    log.sql("UPDATE audit_auditentry SET message = 'x' WHERE id = %s", row)
    log.seal()
    log.sql("UPDATE audit_auditblock SET sealed_at = '2020-01-01 00:00:00'")
    assert len(told(log)) == 1


# --- what the portal writes ---------------------------------------------------------------------


def test_whatever_the_portal_writes_is_its_own(log: Log) -> None:
    """As the database gives it back, which is not always as it was given."""
    values: list[dict[Any, Any]] = [
        {"a": 1.0, "b": 1e22, "c": 1.2345e30, "d": 1e-7, "e": -0.0, "f": 0.1, "g": 10**30},
        {"tuple": (1, 2), 7: "a number for a key", "none": None, "yes": True, "deep": [{"x": {}}]},
        {"text": 'é \N{SNOWMAN} "quoted" \\ \t', "": "empty", "b": 1, "a": 2},
    ]
    for value in values:
        log.write(before=value, message="Why\u202e not?\n" + "é" * 2000, object_name="x" * 300)
    log.write(orchestrator_id="ab" * 16)
    log.write(orchestrator_id=uuid4())
    told = [(uuid4(), f"host{n}", {"flag": 0}, {"flag": 1.5}) for n in range(3)]
    record_each(ANNA, Category.ORCHESTRATOR, "renewal_requested", told, message="Why")
    assert log.findings() == []
    assert log.seal() == 8
    assert log.findings() == []
    assert set(AuditSeal.objects.values_list("verdict", flat=True)) == {"genuine"}
    macs = list(AuditEntry.objects.values_list("mac", flat=True))
    assert len(set(macs)) == len(macs)


def test_a_secret_that_changes_accuses_what_waits_until_the_old_one_is_known_again(
    log: Log, settings: Any
) -> None:
    old, sealed = settings.SECRET_KEY, log.write(2)
    log.seal()
    waiting = log.write(2)
    settings.SECRET_KEY = "another secret of the portal, long enough"
    # What is sealed does not depend on the secret.
    assert log.findings() == [("forged", None, row) for row in waiting]
    settings.SECRET_KEY_FALLBACKS = [old]
    assert log.findings() == []
    settings.SECRET_KEY_FALLBACKS = []
    log.seal()
    assert log.findings() == [("forged", sequence_of(row), row) for row in waiting]
    assert len(told(log)) == 1
    settings.SECRET_KEY_FALLBACKS = [old]
    assert (log.findings(), told(log)) == ([], [])
    # A copy stays one, whatever secrets are known.
    with connection.cursor() as cursor:
        cursor.execute(ONCE)
        cursor.execute(insert(of="row", mac="mac").format(row=sealed[0]))
    log.seal()
    (found,) = log.findings()
    assert found[0] == "forged"
    assert len(told(log)) == 1


# --- logs that are older than MACs --------------------------------------------------------------

OLD_ROW = {
    "id": 7,
    "at": datetime(2026, 5, 1, 2, 3, 4, 567, tzinfo=UTC),
    "actor_id": None,
    "actor_name": "anna",
    "source_address": "192.0.2.7",
    "request_id": "r",
    "category": "setting",
    "action": "setting_changed",
    "object_type": "setting",
    "object_id": "7",
    "object_name": "Wärme",
    "orchestrator_id": UUID(int=5),
    "before": {},
    "after": {"value": 1},
    "message": "",
    "mac": "",
}


def test_a_seal_that_was_made_before_rows_had_a_mac_is_computed_as_it_was() -> None:
    digest = chain.digest(OLD_ROW, chain.UNJUDGED)
    assert digest == "1a4bea191086a90d2b1da04fe1d55bc1357793c47c4ec45b65bc88b1d1d6b452"
    link = "0254657dfe5b3fecf0bec765921b7f7b1cc91d7c676ed95a06a459dc4936aab3"
    assert chain.link(chain.START, 1, digest, chain.UNJUDGED) == link


def test_rows_that_were_sealed_before_they_had_a_mac_stay_what_they_are(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = log.write(3)
    for row in rows:
        log.sql("UPDATE audit_auditentry SET mac = '' WHERE id = %s", row)
    with monkeypatch.context() as before:
        before.setattr(chain, "GENUINE", chain.UNJUDGED)
        before.setattr(authorship, "forged", lambda rows: set())
        log.seal()
    log.write(2)
    log.seal()
    assert (log.findings(), told(log)) == ([], [])
    keys = settings.CONFIG.audit_folder
    assert verification.entry_holds(rows[0], keys_in=keys) is True
    log.sql("UPDATE audit_auditentry SET mac = 'x' WHERE id = %s", rows[1])
    assert log.findings() == [("edited", sequence_of(rows[1]), rows[1])]


def test_the_migration_gives_a_mac_to_rows_that_wait_and_to_no_others(log: Log) -> None:
    sealed = log.write()[0]
    log.seal()
    waiting = log.write(orchestrator_id="ab" * 16, before={"a": 1.5})[0]
    for row in (sealed, waiting):
        log.sql("UPDATE audit_auditentry SET mac = '' WHERE id = %s", row)
    name = "0007_macs_and_verdicts"
    migration = import_module(f"portal.audit.migrations.{name}")
    apps = MigrationLoader(connection).project_state(("audit", name)).apps
    with as_owner():
        migration.give_macs(apps, SimpleNamespace(connection=connection))
    assert AuditEntry.objects.get(pk=sealed).mac == ""
    assert sealing.seal(now=lambda: log.now) == 1
    assert AuditSeal.objects.get(entry_id=waiting).verdict == "genuine"
