"""How rows come into the chain, and what stands outside the database."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from portal.audit import blocks, chain, sealing, verification
from portal.audit.models import AuditBlock, AuditEntry, AuditSeal
from portal.metrics import exposition
from portal.preferences import store
from renewal.alarms import alarms
from renewal.census import last_begun
from renewal.configuration import by_settings
from renewal.rules.alarms import Kind
from tests.portal.audit.conftest import Log
from tests.portal.audit.owner import as_owner

pytestmark = pytest.mark.both_databases


def test_nothing_new_is_nothing_to_seal(log: Log) -> None:
    log.write(3)
    assert [log.seal(), log.seal()] == [3, 0]


def test_rows_that_wait_for_a_seal_raise_an_alarm_after_a_minute(log: Log) -> None:
    def told(seconds: int) -> bool:
        at = log.now + timedelta(seconds=seconds)
        return Kind.AUDIT_SEAL in {
            alarm.kind for alarm in alarms(last_begun(), by_settings(store.load()), now=at)
        }

    assert sealing.unsealed_since(now=log.now) is None
    log.write(2)
    assert sealing.unsealed_since(now=log.now) == log.now
    assert [told(60), told(61)] == [False, True]
    assert "audit_seal" not in Client().get("/readyz").json()["degraded"]["alarms"]
    log.now -= timedelta(hours=2)
    log.seal()
    assert [sealing.unsealed_since(now=log.now), told(10_000)] == [None, False]
    log.write()
    assert "audit_seal" in Client().get("/readyz").json()["degraded"]["alarms"]
    text = exposition(now=log.now + timedelta(seconds=90)).decode()
    assert "portal_audit_unsealed_seconds 90.0" in text
    assert 'portal_alarms{alarm="audit_seal"} 1.0' in text


def test_a_row_that_is_yet_to_come_hides_nobody_from_the_alarm(log: Log) -> None:
    log.write()
    log.seal()
    row = log.write(2)[0]
    log.sql("UPDATE audit_auditentry SET at = '8000-01-01 00:00:00' WHERE id = %s", row)
    assert sealing.unsealed_since(now=log.now + timedelta(minutes=2)) == log.now


def test_many_rows_become_several_blocks(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "FULL", 4)
    before = AuditBlock.objects.count()
    log.write(10)
    assert log.seal() == 10
    assert AuditBlock.objects.count() == before + 3
    assert log.findings() == []


def test_a_backlog_of_several_blocks_is_no_tampering(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker was away for hours: one run seals old rows in several blocks."""
    monkeypatch.setattr(blocks, "FULL", 2)
    log.now += timedelta(hours=5)
    log.write(7)
    assert log.seal() == 7
    assert log.findings() == []


def test_a_backlog_that_two_runs_seal_is_no_tampering(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker ends after the first of several blocks; the next run goes on."""
    monkeypatch.setattr(blocks, "FULL", 2)
    log.now += timedelta(hours=5)
    log.write(7)
    moments = iter([log.now])

    def clock() -> datetime:
        for moment in moments:
            return moment
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sealing.seal(now=clock)
    log.now += timedelta(seconds=1)
    assert log.seal() == 5
    assert log.findings() == []


@pytest.mark.both_databases
def test_blocks_that_somebody_puts_in_stop_neither_the_sealer_nor_its_alarm(log: Log) -> None:
    log.write()
    log.seal()
    last, far = AuditBlock.objects.latest("number").number, 2**63 - 1
    AuditBlock.objects.bulk_create(
        AuditBlock(
            number=last + 1 + number,
            first_sequence=1,
            last_sequence=far,
            highest_entry_id=far,
            link="x",
            sealed_at=log.now + timedelta(days=1),
            key_id="x",
            signature="00",
        )
        for number in range(101)
    )
    log.write(2)
    assert sealing.unsealed_since(now=log.now) is not None
    assert log.seal() == 2
    assert sealing.unsealed_since(now=log.now) is None
    assert AuditBlock.objects.latest("number").highest_entry_id < far
    assert {kind for kind, _, _ in log.findings()} == {"signature_wrong"}


def test_a_checkpoint_that_nobody_signed_accuses_nobody(log: Log) -> None:
    log.write()
    log.seal()
    with settings.CONFIG.audit_checkpoints.open("a") as file:
        file.write('{"number": 99, "last": 999, "link": "x"}\n')
    assert log.findings() == []


def test_a_row_whose_transaction_ended_late_is_sealed_behind_newer_ones(log: Log) -> None:
    """Numbers are given at the insert, rows are seen at the commit."""
    rows = log.write(3)
    late = AuditEntry.objects.filter(pk=rows[0])
    kept = late.values()[0]
    log.sql("DELETE FROM audit_auditentry WHERE id = %s", rows[0])
    log.seal()
    with as_owner():
        AuditEntry(**kept).save()
    assert log.seal() == 1
    order = list(AuditSeal.objects.filter(entry_id__in=rows).order_by("sequence"))
    assert [seal.entry_id for seal in order] == [rows[1], rows[2], rows[0]]
    assert log.findings() == []


def test_a_row_that_came_after_hours_is_found_by_the_look_at_the_whole_log(log: Log) -> None:
    rows = log.write(2)
    kept = AuditEntry.objects.filter(pk=rows[0]).values()[0]
    log.sql("DELETE FROM audit_auditentry WHERE id = %s", rows[0])
    log.seal()
    log.now += timedelta(hours=2)
    log.write()
    log.seal()
    with as_owner():
        AuditEntry(**kept).save()
    assert log.seal() == 0
    assert log.report().unsealed == 1
    assert sealing.seal(now=lambda: log.now, everything=True) == 1


def test_each_block_is_told_to_the_checkpoints(log: Log) -> None:
    log.write(2)
    log.seal()
    lines = [json.loads(line) for line in settings.CONFIG.audit_checkpoints.open()]
    block = AuditBlock.objects.order_by("-number")[0]
    assert [line["number"] for line in lines] == list(range(1, block.number + 1))
    assert lines[-1]["link"] == block.link


RFC5424 = re.compile(
    r"<38>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]{1,255} "
    r"orchestrator-certificate-portal \d{1,128} AUDITCHECKPOINT - (\{.*\})"
)
"""PRI (auth, info), VERSION, TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID, no data, MSG."""


def test_each_block_is_told_to_syslog_in_the_form_of_rfc_5424(log: Log, settings: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        settings.CONFIG = replace(settings.CONFIG, audit_syslog=address)
        log.write(2)
        log.seal()
        datagram = server.recv(4096).decode("ascii")
    found = RFC5424.fullmatch(datagram)
    assert found, datagram
    block = AuditBlock.objects.order_by("-number")[0]
    assert json.loads(found[1])["signature"] == block.signature


@pytest.mark.parametrize("torn", ["", '{"number": 1, "fir'], ids=["lost", "torn"])
def test_checkpoints_that_were_not_written_are_written_by_the_next_run(log: Log, torn: str) -> None:
    for _ in range(2):
        log.write()
        log.seal()
    file = settings.CONFIG.audit_checkpoints
    whole = file.read_text()
    file.write_text("".join(whole.splitlines(keepends=True)[:-1]) + torn)
    log.write()
    log.seal()
    block = AuditBlock.objects.order_by("-number")[0]
    numbers = {
        json.loads(line)["number"] for line in file.read_text().splitlines() if line[-1:] == "}"
    }
    assert numbers == set(range(1, block.number + 1))
    assert log.findings() == []


@pytest.mark.parametrize(
    "line", [b'{"number": 999999999}\n', b"\xff\n", b"[1]\n"], ids=["unsigned", "no text", "a list"]
)
def test_a_foreign_line_neither_stops_checkpoints_nor_is_believed(log: Log, line: bytes) -> None:
    with settings.CONFIG.audit_checkpoints.open("ab") as file:
        file.write(line)
    log.write(3)
    log.seal()
    last = AuditBlock.objects.order_by("-number")[0]
    assert json.loads(settings.CONFIG.audit_checkpoints.read_bytes().splitlines()[-1])[
        "number"
    ] == (last.number)
    assert log.findings() == []
    # What was cut off is found in spite of the line.
    log.sql("DELETE FROM audit_auditblock WHERE number = %s", last.number)
    log.sql("DELETE FROM audit_auditseal WHERE sequence >= %s", last.first_sequence)
    log.sql("DELETE FROM audit_auditentry WHERE id > %s", last.highest_entry_id - 3)
    assert ("truncated", last.last_sequence, None) in log.findings()


def test_one_row_that_was_forged_with_its_own_seal_does_not_hold(log: Log) -> None:
    keys = settings.CONFIG.audit_folder
    ids = log.write(4)
    log.seal()
    assert [verification.entry_holds(pk, keys_in=keys) for pk in ids] == [True] * 4
    log.sql("UPDATE audit_auditentry SET message = 'nothing' WHERE id = %s", ids[1])
    seal, before = AuditSeal.objects.get(entry_id=ids[1]), AuditSeal.objects.get(entry_id=ids[0])
    digest = chain.digest(
        AuditEntry.objects.filter(pk=ids[1]).values(*chain.SEALED).get(), chain.GENUINE
    )
    link = chain.link(before.link, seal.sequence, digest, chain.GENUINE)
    log.sql(
        "UPDATE audit_auditseal SET digest = %s, link = %s WHERE sequence = %s",
        *(digest, link, seal.sequence),
    )
    assert verification.entry_holds(ids[1], keys_in=keys) is False


def test_the_private_key_is_for_its_owner_alone(log: Log) -> None:
    key = settings.CONFIG.audit_folder / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_new_key_goes_on_where_the_old_one_ended(log: Log) -> None:
    log.write()
    log.seal()
    (settings.CONFIG.audit_folder / "signing.key").unlink()
    log.write()
    log.seal()
    assert AuditBlock.objects.values("key_id").distinct().count() == 2
    assert log.findings() == []


def test_a_public_key_that_nobody_knows_signs_nothing(log: Log) -> None:
    log.write()
    log.seal()
    for file in settings.CONFIG.audit_folder.glob("*.pub.pem"):
        file.unlink()
    assert {kind for kind, _, _ in log.findings()} == {"signature_wrong", "checkpoint_foreign"}


def test_the_command_says_what_it_found(log: Log, capsys: Any) -> None:
    rows = log.write(2)
    log.seal()
    log.sql("DELETE FROM audit_auditentry WHERE id = %s", rows[0])
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert ended.value.code == 2
    assert answer["holds"] is False
    assert [(f["kind"], f["entry"]) for f in answer["findings"]] == [("deleted", rows[0])]
