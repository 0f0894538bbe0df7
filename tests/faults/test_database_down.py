"""The database goes away for a moment: 503 that says when to come back, and no half-done thing
(F10).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.faults.agents import Key
from tests.faults.site import Site
from tests.services.processes import wait_until

# A file does not go away.
pytestmark = pytest.mark.parametrize("site", ["postgresql"], indirect=True)


@contextmanager
def _away(site: Site) -> Iterator[None]:
    """Close PostgreSQL's database to the portal and cut every connection, as a failover does."""
    folder, name = site.rows.server

    def server(statement: str) -> None:
        with psycopg.connect(
            host=f"/{folder.lstrip('/')}", user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    server(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    server(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        server(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_without_a_database_every_call_is_a_readable_503_and_then_all_is_as_before(
    site: Site,
) -> None:
    ledger = site.use("repeating")
    agent, key = site.agent("repeating"), Key()
    token = agent.register().token
    with _away(site):
        for reply in (agent.register(), agent.register(key), agent.heartbeat(token)):
            assert reply.http_status == 503
            assert int(reply.headers["Retry-After"]) > 0
            assert reply.body["ErrorCode"] == "A01F0045"
            assert reply.code == "A01F0045"
            assert reply.seconds < 5
    wait_until(lambda: agent.heartbeat(token).http_status == 200, "the portal has recovered", 5)
    assert agent.is_alive(token)
    assert site.rows.enrollments(agent.name) == []
    assert site.gets_certificate(agent, key).summary == (200, 1, "", True)
    assert len(ledger.lines("issued", key=key.digest)) == 1


def test_a_database_that_is_away_when_the_ca_answers_costs_no_certificate(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="hold after")
    agent, key = site.agent("plain"), Key()
    assert agent.register(key).summary == (200, 2, "A0100007", True)
    wait_until(lambda: ledger.lines("issued", key=key.digest), "the CA has signed")
    with _away(site):
        ledger.tell()
        wait_until(lambda: agent.register().http_status == 503, "the portal has noticed")
    wait_until(lambda: agent.register().http_status == 200, "the portal has recovered", 5)
    wait_until(lambda: site.state(agent) == "issued", "the answer was written after all")
    assert agent.register(key).certificate is not None
    assert len(ledger.lines("asked", key=key.digest)) == 1
