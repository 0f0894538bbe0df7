"""How many SQL statements the hot path costs; BEGIN, COMMIT and savepoints do not count.

Owns the two budgets: a heartbeat at most 2, a Register without CSR at most 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrators import jobs
from orchestrators.models import Orchestrator
from portal.edge import queueing
from renewal.rules.limits import LONGEST_QUEUE
from tests.agent_api.front_door import DAY, OPERATOR, FrontDoor, Host

pytestmark = pytest.mark.both_databases
HEARTBEAT, REGISTER = 2, 6
_NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@contextmanager
def statements() -> Iterator[list[str]]:
    found: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield found
    found += [q["sql"] for q in queries if not q["sql"].upper().startswith(_NOT_COUNTED)]


def _columns_of_indexes() -> set[str]:
    """Return the columns of orchestrators that an index needs, in its condition too."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT attname FROM pg_index i
            JOIN pg_depend d ON d.objid = i.indexrelid AND d.refobjid = i.indrelid
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
            WHERE i.indrelid = %s::regclass
            """,
            [Orchestrator._meta.db_table],
        )
        return {name for (name,) in cursor.fetchall()}


def _columns_of(record: Orchestrator) -> set[tuple[str | None, str]]:
    fields = Orchestrator._meta.concrete_fields
    return {(field.column, repr(field.value_from_object(record))) for field in fields}


class TestHeartbeat:
    def test_a_fresh_one_reads_once(self, host: Host) -> None:
        host.heartbeat()
        with statements() as sql:
            assert host.heartbeat().body["SessionValid"]
        assert len(sql) == 1, sql

    def test_last_seen_costs_one_write_an_interval(self, door: FrontDoor, host: Host) -> None:
        door.tick(timedelta(minutes=5))
        with statements() as sql:
            assert host.heartbeat().body["SessionValid"]
        assert len(sql) <= HEARTBEAT, sql
        assert host.record.last_seen == door.now

    def test_the_day_of_the_contact_is_written_by_the_same_statements(
        self, door: FrontDoor, host: Host
    ) -> None:
        for call in (host.heartbeat, host.register):
            door.tick(timedelta(hours=20))
            call()
            assert host.record.last_seen == door.now
            assert host.record.seen_on == door.now.astimezone(UTC).date()

    @pytest.mark.usefixtures("on_postgresql")
    def test_no_index_is_touched_within_a_day(self, door: FrontDoor, host: Host) -> None:
        """The day of the last contact has an index; the rest of a contact has none."""
        host.heartbeat()
        before, today = host.record, door.now.date()
        door.tick(timedelta(minutes=5))
        host.heartbeat()
        written = {name for name, _ in _columns_of(host.record) - _columns_of(before)}
        indexed = _columns_of_indexes()
        assert "last_seen" in written
        assert {"seen_on", "last_error_code", "service_account_id"} <= indexed
        # But once, where the day changed meanwhile.
        assert written & indexed == ({"seen_on"} if door.now.date() != today else set())

    @pytest.mark.usefixtures("on_postgresql")
    def test_a_page_of_records_leaves_room_for_the_next_contact(self, db: None) -> None:
        """In a full page the new version of a row goes elsewhere, and every index is written."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT reloptions FROM pg_class WHERE relname = %s", [Orchestrator._meta.db_table]
            )
            assert cursor.fetchone() == (["fillfactor=80"],)

    def test_one_without_a_session_is_no_dearer(self, host: Host) -> None:
        host.token = "nonsense"
        with statements() as sql:
            assert not host.heartbeat().body["SessionValid"]
        assert len(sql) <= HEARTBEAT, sql

    def test_a_stranger_is_no_dearer(self, door: FrontDoor, host: Host) -> None:
        stranger = door.certificate()
        with statements() as sql:
            door.heartbeat(stranger, host.token)
        assert len(sql) <= HEARTBEAT + 1, sql


class TestRegister:
    @pytest.mark.parametrize(("left", "code"), [(300, ""), (100, "A0100007"), (20, "A0100008")])
    def test_without_a_csr(self, make_host: Callable[..., Host], left: int, code: str) -> None:
        host = make_host(left=left * DAY)
        with statements() as sql:
            assert host.register().code == code
        assert len(sql) <= REGISTER, sql

    def test_the_number_of_waiting_jobs_changes_nothing(self, door: FrontDoor, host: Host) -> None:
        jobs.request_logs(host.record, actor=OPERATOR, now=door.now)
        with statements() as sql:
            assert len(host.register().session["Jobs"]) == 1
        assert len(sql) <= REGISTER, sql

    def test_over_the_old_certificate_while_a_new_one_waits(self, host: Host) -> None:
        host.send_csr()
        with statements() as sql:
            assert host.register().code == "A0100007"
        assert len(sql) <= REGISTER, sql

    def test_an_empty_basic_header_costs_nothing(self, door: FrontDoor, host: Host) -> None:
        with statements() as sql:
            door.register(host.certificate, basic=("", ""), AgentId=host.agent_id)
        assert len(sql) <= REGISTER, sql


@pytest.fixture
def overload() -> Iterator[Callable[[], None]]:
    """What makes every following request one that stood in line for too long."""
    before = queueing.WAITED_SECONDS.set(0)

    def begin() -> None:
        queueing.WAITED_SECONDS.set(LONGEST_QUEUE.total_seconds() + 1)

    yield begin
    queueing.WAITED_SECONDS.reset(before)


class TestOverload:
    """The portal has more to do than it can (T4 in docs/promises.md)."""

    def test_a_register_is_sent_away_and_nothing_is_touched(
        self, door: FrontDoor, host: Host, overload: Callable[[], None]
    ) -> None:
        overload()
        asked, seen = len(door.ca.ledger), host.record.last_seen
        reply, _ = host.send_csr()
        assert reply.said == (3, "A01F0030", False, False)
        assert (len(door.ca.ledger), host.record.last_seen) == (asked, seen)

    def test_a_heartbeat_is_answered(self, host: Host, overload: Callable[[], None]) -> None:
        overload()
        assert host.heartbeat().body["SessionValid"] is True

    def test_the_first_use_of_a_new_certificate_is_served(
        self, host: Host, overload: Callable[[], None]
    ) -> None:
        host.renew()
        overload()
        assert host.register().token
        assert host.register().code == "A01F0030"
