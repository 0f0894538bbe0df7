"""The CA is down, refuses, is slow, or answers later: who works on, who waits, how often it is
asked (F5, F6, F7, F9, S12, S46 in docs/promises.md).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from renewal.room import CALLS_AT_ONCE
from tests.faults.agents import Key
from tests.faults.site import HOLD_SECONDS, Site
from tests.services.processes import wait_until


def test_a_ca_that_is_down_costs_level_1_no_session_and_says_when_to_ask_again(
    site: Site,
) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="down")
    agent, key = site.agent("plain", days_left=100), Key()
    reply = agent.register(key)
    assert reply.summary == (200, 2, "A0100007", True)
    assert reply.certificate is None
    assert "the test's CA is down" in reply.message
    assert "tried again after 20" in reply.message
    assert reply.seconds < HOLD_SECONDS
    assert agent.is_alive(reply.token)
    ledger.tell()
    site.settles(agent, "issued")
    delivered = site.gets_certificate(agent, key)
    assert delivered.summary == (200, 1, "", True)
    assert len(ledger.lines("issued", key=key.digest)) == 1


def test_a_ca_that_is_down_leaves_level_2_without_a_session_until_it_is_back(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="down")
    agent, key = site.agent("plain", days_left=20), Key()
    reply = agent.register(key)
    assert reply.summary == (200, 3, "A0100008", False)
    assert "the test's CA is down" in reply.message
    ledger.tell()
    site.settles(agent, "issued")
    delivered = site.gets_certificate(agent, key)
    assert delivered.summary == (200, 1, "", True)


def test_a_ca_that_fails_three_times_is_left_alone_for_a_while(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="down")
    agents = [site.agent("plain") for _ in range(5)]
    before = len(ledger.lines("asked"))
    for agent in agents:
        reply = agent.register(Key())
        assert reply.summary == (200, 2, "A0100007", True)
    assert len(ledger.lines("asked")) - before == 3
    # The breaker is open: nobody waits for what cannot come.
    assert agents[-1].register(Key()).seconds < HOLD_SECONDS
    ledger.tell()
    for agent in agents:
        site.settles(agent, "issued")


def test_a_ca_that_refuses_is_asked_once_and_the_orchestrator_is_told_so(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="refuse")
    agent, key = site.agent("plain"), Key()
    reply = agent.register(key)
    assert reply.summary == (200, 2, "A01F0022", True)
    assert site.state(agent) == "refused"
    site.rows.retries_are_due()
    site.sweep()
    assert len(ledger.lines("asked", key=key.digest)) == 1


def test_a_ca_slower_than_the_hold_serves_the_key_that_was_kept(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="hold before")
    agent, key = site.agent("plain"), Key()
    reply = agent.register(key)
    assert reply.summary == (200, 2, "A0100007", True)
    assert HOLD_SECONDS - 0.5 < reply.seconds < HOLD_SECONDS + 5
    assert "same CSR" in reply.message
    ledger.tell()
    wait_until(lambda: site.state(agent) == "issued", "the late certificate has come")
    delivered = agent.register(key)
    assert delivered.certificate is not None
    assert delivered.seconds < HOLD_SECONDS
    assert len(ledger.lines("asked", key=key.digest)) == 1
    assert len(ledger.lines("issued", key=key.digest)) == 1


def test_a_ca_slower_than_the_hold_is_not_stormed_by_a_client_that_drops_its_key(
    site: Site,
) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="hold before")
    agent = site.agent("plain")
    before = len(ledger.lines("asked"))
    assert agent.register(Key()).certificate is None
    # While the CA is asked, a new key waits for the old one's end and is told so at once.
    again = agent.register(Key())
    assert again.summary == (200, 2, "A0100007", True)
    assert again.seconds < HOLD_SECONDS
    ledger.tell()
    wait_until(lambda: site.state(agent) == "issued", "the late certificate has come")
    for _ in range(5):
        limited = agent.register(Key())
        assert limited.summary == (200, 2, "A0100007", True)
        assert "slower than the portal may hold" in limited.message
        assert "ask again after" in limited.message
    assert len(ledger.lines("asked")) - before == 1


def test_waiting_registers_do_not_starve_healthy_ones(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="hold before")
    waiting = [site.agent("plain") for _ in range(12)]
    healthy = site.agent("plain", days_left=300)
    with ThreadPoolExecutor(len(waiting)) as pool:
        held = [pool.submit(agent.register, Key()) for agent in waiting]
        wait_until(
            lambda: any(site.state(agent) == "submitted" for agent in waiting), "the CA is asked"
        )
        quick = [healthy.register() for _ in range(5)]
        replies = [future.result() for future in held]
    assert all(reply.summary == (200, 1, "", True) for reply in quick)
    assert max(reply.seconds for reply in quick) < HOLD_SECONDS
    assert all(reply.summary == (200, 2, "A0100007", True) for reply in replies)
    ledger.tell()
    for agent in waiting:
        site.settles(agent, "issued")


def test_a_ca_that_hangs_holds_few_workers_and_everything_else_goes_on(site: Site) -> None:
    hanging, other = site.ledgers["plain"], site.ledgers["pending"]
    site.use("plain")
    hanging.tell(issue="hold before")
    before = len(hanging.lines("asked"))
    waiting = [site.agent("plain") for _ in range(8)]
    with ThreadPoolExecutor(len(waiting)) as pool:
        list(pool.map(lambda agent: agent.register(Key()), waiting))
    assert len(hanging.lines("asked")) - before == CALLS_AT_ONCE
    site.use("pending")
    other.tell()
    reply = site.agent("pending").register(Key())
    assert reply.summary == (200, 1, "", True)
    assert reply.seconds < HOLD_SECONDS
    wait_until(lambda: not site.rows.unsealed(), "the audit log is sealed")
    hanging.tell()
    for agent in waiting:
        site.settles(agent, "issued")
    assert len(hanging.lines("issued")) >= len(waiting)


@pytest.mark.parametrize("days_left", [100, 20], ids=["level 1", "level 2"])
def test_a_ca_with_an_approval_of_its_own_is_polled_until_it_answers(
    site: Site, days_left: int
) -> None:
    ledger = site.use("pending")
    ledger.tell(issue="pending")
    agent, key = site.agent("pending", days_left=days_left), Key()
    level = (200, 2, "A0100007", True) if days_left == 100 else (200, 3, "A0100008", False)
    assert agent.register(key).summary == level
    assert site.state(agent) == "pending"
    site.rows.retries_are_due()
    site.sweep()
    wait_until(lambda: ledger.lines("polled"), "the CA is polled")
    ledger.tell()
    site.settles(agent, "issued")
    assert agent.register(key).summary == (200, 1, "", True)
    assert len(ledger.lines("asked", key=key.digest)) == 1
