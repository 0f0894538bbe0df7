"""What somebody with the whole database can do to the log, and where it is found."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from portal.audit import chain, signing, verification
from portal.audit.models import AuditBlock, AuditEntry, AuditEntryImmutable, AuditSeal
from tests.portal.audit.conftest import Log

pytestmark = pytest.mark.both_databases


@pytest.fixture
def rows(log: Log) -> list[int]:
    """Nine rows in three blocks."""
    found = []
    for _ in range(3):
        found += log.write(3)
        assert log.seal() == 3
    return found


def sequence_of(entry: int) -> int:
    return AuditSeal.objects.get(entry_id=entry).sequence


def test_an_untouched_log_holds(log: Log, rows: list[int]) -> None:
    report = log.report()
    assert report.holds
    assert report.unsealed == 0
    assert report.rows == AuditEntry.objects.count()


EDITS = {
    "its message": "message = 'nothing happened'",
    "its actor's name": "actor_name = 'bert'",
    "its actor": "actor_id = 1",
    "its time": "at = '2020-01-01 00:00:00+00:00'",
    "its address": "source_address = '198.51.100.1'",
    "what it was before": """before = '{"value": 1}'""",
    "what it is after": """after = '{"value": 99}'""",
    "its object": "object_id = '8'",
    "its action": "action = 'setting_reset'",
    "its request": "request_id = 'request-2'",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_row_that_was_edited_is_found_by(log: Log, rows: list[int], edit: str) -> None:
    log.sql(f"UPDATE audit_auditentry SET {edit} WHERE id = %s", rows[4])
    assert log.findings() == [("edited", sequence_of(rows[4]), rows[4])]


def test_a_row_that_was_deleted_is_found(log: Log, rows: list[int]) -> None:
    log.sql("DELETE FROM audit_auditentry WHERE id = %s", rows[4])
    assert log.findings() == [("deleted", sequence_of(rows[4]), rows[4])]


@pytest.mark.parametrize("position", [3, 4, 5], ids=["first", "middle", "last"])
def test_a_row_that_was_deleted_with_its_seal_is_found(
    log: Log, rows: list[int], position: int
) -> None:
    sequence = sequence_of(rows[position])
    log.sql("DELETE FROM audit_auditentry WHERE id = %s", rows[position])
    log.sql("DELETE FROM audit_auditseal WHERE sequence = %s", sequence)
    assert log.findings() == [("seal_missing", sequence, None)]


def test_a_row_that_came_later_with_an_old_time_is_found(log: Log, rows: list[int]) -> None:
    """Such a clock the portal does not have; somebody took the row away and put it back."""
    present = log.now + timedelta(seconds=1)
    log.now -= timedelta(days=3)
    row = log.write()[0]
    log.now = present
    log.seal()
    assert log.findings() == [("backdated", sequence_of(row), row)]


def test_a_row_that_is_younger_than_its_seal_is_found(log: Log, rows: list[int]) -> None:
    row = log.write()[0]
    log.now -= timedelta(minutes=3)
    log.seal()
    assert log.findings() == [("postdated", sequence_of(row), row)]


def test_a_row_with_a_number_that_was_never_given_out_is_found_and_sealing_goes_on(
    log: Log, rows: list[int]
) -> None:
    row = log.write()[0]
    log.sql("UPDATE audit_auditentry SET id = %s WHERE id = %s", 2**62, row)
    log.seal()
    found = [("number_jumped", sequence_of(2**62), 2**62)]
    assert log.findings() == found
    for _ in range(3):
        log.now += timedelta(minutes=11)
        log.write()
        assert log.seal() == 1
    assert log.findings() == found


def line_of(log: Log, number: int, **changed: Any) -> str:
    lines = settings.CONFIG.audit_checkpoints.read_text().splitlines()
    return json.dumps(json.loads(lines[number - 1]) | changed)


def test_a_checkpoint_of_another_log_is_found(log: Log, rows: list[int], tmp_path: Path) -> None:
    stranger = signing.signer(tmp_path / "another")
    last = AuditBlock.objects.order_by("-number")[0]
    with settings.CONFIG.audit_checkpoints.open("a") as file:
        for number in (2, 3):
            line = line_of(log, number, key=stranger.key_id, signature="ab" * 64)
            file.write(f"{line}\n")
        file.write(line_of(log, last.number, link="ff" * 32) + "\n")
    # One for the foreign key, one for each line that claims to be signed by this log's own.
    second = AuditBlock.objects.get(number=2)
    assert log.findings() == [
        ("checkpoint_foreign", second.last_sequence, None),
        ("checkpoint_foreign", last.last_sequence, None),
    ]


def test_checkpoints_that_are_missing_are_found_at_the_first_of_them(
    log: Log, rows: list[int], tmp_path: Path
) -> None:
    file = settings.CONFIG.audit_checkpoints
    whole = file.read_text().splitlines(keepends=True)
    sequence = {block.number: block.last_sequence for block in AuditBlock.objects.all()}
    log.now += timedelta(minutes=2)
    n = len(whole)
    for gone, told in (
        ([0], [1]),
        ([1], [2]),
        ([n - 1], [n]),
        ([0, n - 1], [1, n]),
        (range(n), [1]),
    ):
        file.write_text("".join(line for at, line in enumerate(whole) if at not in gone))
        found = [("checkpoint_missing", sequence[number], None) for number in told]
        assert log.findings() == found
    # A copy may be older than the log; the portal's own file may be so for a moment.
    file.write_text("".join(whole[:-1]))
    assert log.report(is_copy=True).holds
    assert log.report(now=log.now - timedelta(minutes=2)).holds
    file.write_text("".join([whole[-1], *whole]))
    assert log.findings() == []


def test_an_older_block_that_was_put_back_in_place_of_a_newer_one_is_found(
    log: Log, rows: list[int]
) -> None:
    blocks = list(AuditBlock.objects.order_by("-number")[:2])
    log.sql("DELETE FROM audit_auditblock WHERE number = %s", blocks[0].number)
    log.sql(
        "INSERT INTO audit_auditblock (number, first_sequence, last_sequence, highest_entry_id, "
        "link, sealed_at, key_id, signature) SELECT number + 1, first_sequence, last_sequence, "
        "highest_entry_id, link, sealed_at, key_id, signature FROM audit_auditblock "
        "WHERE number = %s",
        blocks[1].number,
    )
    assert [(found.kind, found.block) for found in log.report().findings] == [
        ("signature_wrong", blocks[0].number),
        ("checkpoint_differs", blocks[0].number),
    ]


def test_seals_and_blocks_put_in_where_the_next_ones_belong_do_not_stop_the_sealer(
    log: Log, rows: list[int]
) -> None:
    last = AuditBlock.objects.order_by("-number")[0]
    log.sql(
        "INSERT INTO audit_auditseal (sequence, entry_id, digest, verdict, link) "
        "VALUES (%s, 900, '', 'genuine', '')",
        last.last_sequence + 1,
    )
    log.sql(
        "INSERT INTO audit_auditblock (number, first_sequence, last_sequence, highest_entry_id, "
        "link, sealed_at, key_id, signature) SELECT number + 1, last_sequence + 2, "
        "last_sequence + 3, 4000000000, '', sealed_at, key_id, '' FROM audit_auditblock "
        "WHERE number = %s",
        last.number,
    )
    for _ in range(3):
        log.now += timedelta(minutes=11)
        log.write(2)
        assert log.seal() == 2
    assert [kind for kind, _, _ in log.findings()] == ["reordered", "signature_wrong"]


@pytest.mark.parametrize("number", [-5, 0])
def test_a_row_that_was_put_in_before_all_others_is_found(
    log: Log, rows: list[int], number: int
) -> None:
    row = log.write()[0]
    log.sql("UPDATE audit_auditentry SET id = %s WHERE id = %s", number, row)
    log.seal()
    assert log.findings() == [("inserted", None, number)]


def test_a_seal_that_was_put_in_is_found(log: Log, rows: list[int]) -> None:
    forged = log.write()[0]
    last = AuditSeal.objects.order_by("-sequence")[0]
    row = AuditEntry.objects.filter(pk=forged).values(*chain.SEALED)[0]
    digest = chain.digest(row, chain.GENUINE)
    AuditSeal.objects.create(
        sequence=last.sequence + 1,
        entry_id=forged,
        digest=digest,
        verdict=chain.GENUINE,
        link=chain.link(last.link, last.sequence + 1, digest, chain.GENUINE),
    )
    assert log.findings() == [("block_missing", last.sequence + 1, None)]


def test_two_rows_that_changed_places_are_found(log: Log, rows: list[int]) -> None:
    first, second = sequence_of(rows[3]), sequence_of(rows[4])
    seals = AuditSeal.objects.in_bulk([first, second])
    log.sql("UPDATE audit_auditseal SET entry_id = -1 WHERE sequence = %s", first)
    for sequence, other in ((second, seals[first]), (first, seals[second])):
        log.sql(
            "UPDATE audit_auditseal SET entry_id = %s, digest = %s WHERE sequence = %s",
            other.entry_id,
            other.digest,
            sequence,
        )
    assert log.findings() == [("reordered", first, rows[4]), ("reordered", second, rows[3])]


def test_a_log_that_was_cut_off_at_its_end_is_found(log: Log, rows: list[int]) -> None:
    last = AuditBlock.objects.order_by("-number")[0]
    for row in rows[6:]:
        log.sql("DELETE FROM audit_auditentry WHERE id = %s", row)
    log.sql("DELETE FROM audit_auditseal WHERE sequence >= %s", last.first_sequence)
    log.sql("DELETE FROM audit_auditblock WHERE number = %s", last.number)
    assert log.findings() == [("truncated", last.last_sequence, None)]


def test_a_log_that_was_emptied_is_found(log: Log, rows: list[int]) -> None:
    for table in ("audit_auditentry", "audit_auditseal", "audit_auditblock"):
        log.sql(f"DELETE FROM {table}")
    assert [kind for kind, _, _ in log.findings()] == ["truncated"]


def test_a_block_that_was_taken_out_is_found(log: Log, rows: list[int]) -> None:
    blocks = list(AuditBlock.objects.order_by("-number")[:3])
    log.sql("DELETE FROM audit_auditblock WHERE number = %s", blocks[1].number)
    assert log.findings() == [("block_missing", blocks[1].first_sequence, None)]


def test_a_chain_that_was_made_again_without_the_key_is_found(log: Log, rows: list[int]) -> None:
    """Edit a row and compute everything behind it anew: only the signature cannot be made."""
    log.sql("UPDATE audit_auditentry SET message = 'changed' WHERE id = %s", rows[7])
    start = sequence_of(rows[7])
    link = AuditSeal.objects.get(sequence=start - 1).link
    for seal in AuditSeal.objects.filter(sequence__gte=start).order_by("sequence"):
        row = AuditEntry.objects.filter(pk=seal.entry_id).values(*chain.SEALED)[0]
        digest = chain.digest(row, chain.GENUINE)
        link = chain.link(link, seal.sequence, digest, chain.GENUINE)
        log.sql(
            "UPDATE audit_auditseal SET digest = %s, link = %s WHERE sequence = %s",
            digest,
            link,
            seal.sequence,
        )
    last = AuditBlock.objects.order_by("-number")[0]
    log.sql("UPDATE audit_auditblock SET link = %s WHERE number = %s", link, last.number)
    assert log.findings() == [
        ("signature_wrong", last.last_sequence, None),
        ("checkpoint_differs", last.last_sequence, None),
    ]


def test_a_seal_that_was_made_again_alone_is_found(log: Log, rows: list[int]) -> None:
    """The last seal of a block, and its block left as it was."""
    log.sql("UPDATE audit_auditentry SET message = 'changed' WHERE id = %s", rows[5])
    seal = AuditSeal.objects.get(entry_id=rows[5])
    before = AuditSeal.objects.get(sequence=seal.sequence - 1)
    row = AuditEntry.objects.filter(pk=rows[5]).values(*chain.SEALED)[0]
    digest = chain.digest(row, chain.GENUINE)
    log.sql(
        "UPDATE audit_auditseal SET digest = %s, link = %s WHERE sequence = %s",
        digest,
        chain.link(before.link, seal.sequence, digest, chain.GENUINE),
        seal.sequence,
    )
    assert log.findings() == [("signature_wrong", seal.sequence, None)]


# --- what only PostgreSQL lets the owner of a table take away -----------------------------------

WITHOUT_KEYS = (
    "ALTER TABLE audit_auditentry DROP CONSTRAINT audit_auditentry_pkey",
    "DROP INDEX audit_mac_is_of_one_row",
    "CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM audit_auditentry",
)


@pytest.mark.usefixtures("on_postgresql")
def test_a_row_beside_a_sealed_one_of_the_same_number_is_found(log: Log, rows: list[int]) -> None:
    for statement in WITHOUT_KEYS:
        log.sql(statement)
    log.sql("UPDATE audit_auditentry SET message = 'changed' WHERE id = %s", rows[4])
    # The sealed one stands behind it, and is read last.
    log.sql("INSERT INTO audit_auditentry SELECT * FROM kept WHERE id = %s", rows[4])
    assert log.findings() == [("doubled", sequence_of(rows[4]), rows[4])]
    keys = settings.CONFIG.audit_folder
    assert verification.entry_holds(rows[4], keys_in=keys) is False


@pytest.mark.usefixtures("on_postgresql")
def test_two_waiting_rows_of_one_number_are_found_and_sealing_goes_on(
    log: Log, rows: list[int]
) -> None:
    row = log.write()[0]
    for statement in WITHOUT_KEYS:
        log.sql(statement)
    log.sql("INSERT INTO audit_auditentry SELECT * FROM kept WHERE id = %s", row)
    assert log.findings() == [("forged", None, row)]
    assert log.seal() == 2
    log.write(2)
    assert log.seal() == 2
    assert log.findings() == [("doubled", sequence_of(row), row)]


@pytest.mark.usefixtures("on_postgresql")
def test_a_row_without_a_number_is_found(log: Log, rows: list[int]) -> None:
    for statement in WITHOUT_KEYS:
        log.sql(statement)
    for act in ("DROP IDENTITY", "DROP NOT NULL"):
        log.sql(f"ALTER TABLE audit_auditentry ALTER id {act}")
    log.sql("UPDATE kept SET id = NULL")
    log.sql("INSERT INTO audit_auditentry SELECT * FROM kept LIMIT 1")
    assert log.findings() == [("number_jumped", None, None)]


EMPTIED = {
    "number": "block_missing",
    "first_sequence": "edited",
    "last_sequence": "edited",
    "sealed_at": "edited",
    "key_id": "signature_wrong",
    "signature": "edited",
}


@pytest.mark.usefixtures("on_postgresql")
@pytest.mark.parametrize(("column", "kind"), EMPTIED.items(), ids=EMPTIED)
def test_a_cell_of_a_block_that_was_emptied_is_found_at_its_block(
    log: Log, rows: list[int], column: str, kind: str
) -> None:
    number = AuditBlock.objects.order_by("-number")[1].number
    log.sql("ALTER TABLE audit_auditblock DROP CONSTRAINT audit_auditblock_pkey")
    log.sql(f"ALTER TABLE audit_auditblock ALTER {column} DROP NOT NULL")
    log.sql(f"UPDATE audit_auditblock SET {column} = NULL WHERE number = %s", number)
    assert [(found.kind, found.block) for found in log.report().findings] == [(kind, number)]


@pytest.mark.usefixtures("on_postgresql")
def test_a_block_without_a_moment_at_the_end_stops_neither_sealing_nor_checkpoints(
    log: Log, rows: list[int]
) -> None:
    last = AuditBlock.objects.order_by("-number")[0]
    log.sql("ALTER TABLE audit_auditblock ALTER sealed_at DROP NOT NULL")
    log.sql(
        "INSERT INTO audit_auditblock SELECT number + 1, last_sequence + 1, last_sequence + 1, "
        "highest_entry_id, link, NULL, key_id, signature FROM audit_auditblock WHERE number = %s",
        last.number,
    )
    log.write()
    assert log.seal() == 1
    assert json.loads(line_of(log, 0))["number"] == last.number + 2


def test_the_portals_own_code_cannot_change_a_row(log: Log, rows: list[int]) -> None:
    row = AuditEntry.objects.get(pk=rows[0])
    for act in (row.save, row.delete, AuditEntry.objects.filter(pk=row.pk).delete):
        with pytest.raises(AuditEntryImmutable):
            act()
    with pytest.raises(AuditEntryImmutable):
        AuditEntry.objects.filter(pk=row.pk).update(message="x")
