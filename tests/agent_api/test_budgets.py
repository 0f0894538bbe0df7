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


def _hot_updates() -> tuple[int, int]:
    """Return how many rows of orchestrators this transaction wrote, and how many HOT."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = %s",
            [Orchestrator._meta.db_table],
        )
        written, hot = cursor.fetchone()
    return written, hot


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
        before, today = _hot_updates(), door.now.date()
        for _ in range(3):
            door.tick(timedelta(minutes=5))
            host.heartbeat()
        written, hot = (now - then for now, then in zip(_hot_updates(), before, strict=True))
        assert written >= 2
        # But once, where the day changed meanwhile.
        assert hot == written - (door.now.date() != today)

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
