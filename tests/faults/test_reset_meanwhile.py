"""An operator acts while a CA is being asked: the late certificate is nobody's (F19, F20, I12)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.agents import Key
from tests.faults.site import Site
from tests.services.processes import wait_until


@pytest.mark.parametrize("moment", ["hold before", "hold after"])
@pytest.mark.parametrize("act", ["reset", "disapprove"])
def test_a_certificate_that_comes_after_the_act_is_never_delivered_and_is_revoked(
    site: Site, act: str, moment: str
) -> None:
    ledger = site.use("plain")
    ledger.tell(issue=moment)
    agent, key = site.agent("plain"), Key()
    token = agent.register(key).token
    event = "issued" if moment == "hold after" else "asked"
    wait_until(lambda: ledger.lines(event, key=key.digest), "the CA is at work")
    site.terminal(act, "--name", agent.name)
    assert not agent.is_alive(token)
    ledger.tell()
    wait_until(lambda: site.state(agent) == "discarded", "the answer was discarded")
    (line,) = ledger.lines("issued", key=key.digest)
    wait_until(lambda: ledger.lines("revoked", serial=line["serial"]), "it is revoked")
    assert agent.register(key).certificate is None

    # Approved again, it starts afresh: what was discarded does not come back.
    if act == "reset":
        # The key of a revoked certificate is refused, and the returning one is New.
        assert agent.register().summary == (200, 3, "A01F0001", False)
    site.terminal("approve", "--name", agent.name)
    assert agent.register(key).summary == (200, 2, "A01F0016", True)
    assert site.gets_certificate(agent, Key()).summary == (200, 1, "", True)
    assert site.rows.enrollments(agent.name)[0]["state"] == "discarded"


def test_a_register_that_waits_is_told_of_the_reset(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="hold before")
    agent, key = site.agent("plain"), Key()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(agent.register, key)
        wait_until(lambda: ledger.lines("asked", key=key.digest), "the CA is at work")
        site.terminal("reset", "--name", agent.name)
        ledger.tell()
        reply = waiting.result()
    assert reply.summary == (200, 3, "A01F0001", False)
    assert reply.certificate is None


def test_what_no_ca_was_asked_for_is_never_asked_for_after_a_reset(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="down")
    agent, key = site.agent("plain"), Key()
    assert agent.register(key).summary == (200, 2, "A0100007", True)
    site.terminal("reset", "--name", agent.name)
    ledger.tell()
    asked = len(ledger.lines("asked", key=key.digest))
    site.sweep_to_its_end("plain")
    assert len(ledger.lines("asked", key=key.digest)) == asked
    assert site.state(agent) == "discarded"


def test_a_request_that_the_ca_turned_away_during_the_reset_is_not_sent_again(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="hold, then down")
    agent, key = site.agent("plain"), Key()
    agent.register(key)
    site.terminal("reset", "--name", agent.name)
    ledger.tell()
    wait_until(lambda: site.state(agent) != "submitted", "the CA has turned it away")
    site.sweep_to_its_end("plain")
    assert len(ledger.lines("asked", key=key.digest)) == 1
    assert site.state(agent) == "discarded"


def test_a_ca_that_is_still_asked_from_before_the_reset_does_not_block_the_return(
    site: Site,
) -> None:
    ledger = site.use("pending")
    ledger.tell(issue="pending")
    agent, key = site.agent("pending"), Key()
    assert agent.register(key).summary == (200, 2, "A0100007", True)
    assert site.state(agent) == "pending"
    site.terminal("reset", "--name", agent.name)
    assert agent.register().summary == (200, 3, "A01F0001", False)
    site.terminal("approve", "--name", agent.name)
    site.use("prompt")
    delivered = site.gets_certificate(agent, Key())
    assert delivered.summary == (200, 1, "", True)
    # The former request ends some day, and its certificate with it.
    ledger.tell()
    site.rows.retries_are_due()
    site.sweep()
    wait_until(lambda: ledger.lines("issued", key=key.digest), "the former one was released")
    (line,) = ledger.lines("issued", key=key.digest)
    wait_until(lambda: ledger.lines("revoked", serial=line["serial"]), "and revoked")
