"""The broker is gone, frozen or empty: nobody notices but the clock (F12)."""

from __future__ import annotations

import redis

from tests.faults.agents import Agent, Key
from tests.faults.site import Site
from tests.services.processes import wait_until

# Whoever waited for the broker would wait until it is back; a loaded machine costs a second or two.
AT_ONCE_SECONDS = 5.0


def _works(agent: Agent) -> str:
    """Register and heartbeat, each answered at once; return the token."""
    reply = agent.register()
    assert (reply.http_status, bool(reply.token)) == (200, True)
    beat = agent.heartbeat(reply.token)
    assert (beat.http_status, beat.body["SessionValid"]) == (200, True)
    assert reply.seconds < AT_ONCE_SECONDS
    assert beat.seconds < AT_ONCE_SECONDS
    return reply.token


def test_without_a_broker_sessions_go_on_and_an_enrollment_completes_when_it_is_back(
    site: Site,
) -> None:
    ledger = site.use("prompt")
    ready, agent, key = site.agent("prompt", days_left=300), site.agent("prompt"), Key()
    renewed_at = site.agent("prompt")
    keys = Key()
    certificate = site.gets_certificate(renewed_at, keys).certificate
    assert certificate is not None
    old = renewed_at.serial
    site.portal.hold("broker")
    try:
        for _ in range(3):
            _works(ready)
        waiting = agent.register(key)
        assert waiting.summary == (200, 2, "A0100007", True)
        _works(agent)
        # A promotion with its revocation needs no broker either.
        renewed_at.install(keys.private, certificate)
        _works(renewed_at)
        assert [row["state"] for row in site.rows.revocations(renewed_at.name)] == ["waiting"]
        assert site.state(agent) == "waiting"
        assert not ledger.lines("asked", key=key.digest)
    finally:
        site.portal.release("broker")
    # Nobody asks again: the schedule alone finds it.
    wait_until(lambda: site.state(agent) == "issued", "the sweeper has found it", 60)
    assert agent.register(key).certificate is not None
    assert len(ledger.lines("issued", key=key.digest)) == 1
    wait_until(
        lambda: site.rows.revocations(renewed_at.name)[-1]["state"] == "done", "it is revoked", 60
    )
    assert [line["reason"] for line in ledger.lines("revoked", serial=old)] == ["superseded"]


def test_a_frozen_broker_costs_no_more_than_an_absent_one(site: Site) -> None:
    site.use("prompt")
    ready, agent, key = site.agent("prompt", days_left=300), site.agent("prompt"), Key()
    with site.portal.paused("broker"):
        _works(ready)
        assert agent.register(key).summary == (200, 2, "A0100007", True)
        _works(ready)
    site.settles(agent, "issued", 60)
    assert agent.register(key).certificate is not None


def test_a_broker_that_forgets_everything_loses_no_enrollment(site: Site) -> None:
    ledger = site.use("prompt")
    broker = redis.Redis(unix_socket_path=str(site.broker_socket))
    agents = [(site.agent("prompt"), Key()) for _ in range(3)]
    site.portal.hold("worker")
    try:
        for agent, key in agents:
            assert agent.register(key).summary == (200, 2, "A0100007", True)
        broker.flushall()
    finally:
        site.portal.release("worker")
        broker.close()
    for agent, key in agents:
        wait_until(lambda a=agent: site.state(a) == "issued", "the sweeper has found it", 60)
        assert agent.register(key).certificate is not None
        assert len(ledger.lines("issued", key=key.digest)) == 1
