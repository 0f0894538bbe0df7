"""A worker dies in the middle: before the CA has signed, or with the certificate signed (F1, F2).

One SIGKILL meets every case at once: each CA holds its call at the moment in question, on a thread
of its own. What may be done afterwards depends on what the CA can do.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.faults.agents import Agent, Key
from tests.faults.ledger import Ledger
from tests.faults.site import Site
from tests.services.processes import wait_until

KINDS = ("plain", "finding", "repeating", "prompt")
LEVEL_1 = (200, 2, "A0100007", True)


@dataclass
class Case:
    """One orchestrator whose enrollment was cut off."""

    ledger: Ledger
    agent: Agent
    key: Key

    @property
    def asked(self) -> int:
        return len(self.ledger.lines("asked", key=self.key.digest))

    @property
    def issued(self) -> int:
        return len(self.ledger.lines("issued", key=self.key.digest))


@contextmanager
def _cut_off(site: Site, moment: str, *kinds: str) -> Iterator[list[Case]]:
    """Bring an enrollment at a CA of each kind to a moment and leave it there for the block."""
    cases = []
    with ThreadPoolExecutor(len(kinds)) as pool:
        held = []
        for kind in kinds:
            case = Case(site.use(kind), site.agent(kind, label=kind), Key())
            case.ledger.tell(issue=moment)
            held.append(pool.submit(case.agent.register, case.key))
            event = "issued" if moment == "hold after" else "asked"
            wait_until(partial(case.ledger.lines, event, key=case.key.digest), f"{kind}: {moment}")
            cases.append(case)
        assert [reply.result().summary for reply in held] == [LEVEL_1] * len(kinds)
    try:
        yield cases
    finally:
        for case in cases:
            case.ledger.tell()


def _kill(site: Site) -> None:
    killed = site.portal.kill("worker")
    wait_until(lambda: site.portal.pid("worker") not in (killed, None), "a new worker", 60)


def test_a_certificate_that_was_signed_is_found_or_made_again_or_left_visible_as_unknown(
    site: Site,
) -> None:
    with _cut_off(site, "hold after", *KINDS) as (plain, finding, repeating, prompt):
        _kill(site)
    site.rows.leases_run_out()
    for case in (finding, repeating, prompt):
        site.settles(case.agent, "issued")
        delivered = case.agent.register(case.key)
        assert delivered.summary == (200, 1, "", True)
        assert delivered.certificate is not None
        assert case.issued == 1
        case.agent.install(case.key.private, delivered.certificate)
        assert case.agent.register().summary == (200, 1, "", True)
    assert (finding.asked, repeating.asked) == (1, 2)

    # A CA that cannot say what became of it is never asked again for that key …
    assert site.state(plain.agent) == "unknown"
    again = plain.agent.register(plain.key)
    assert again.summary == LEVEL_1
    assert "not known" in again.message or "did not" in again.message
    site.rows.retries_are_due()
    site.sweep()
    # … but another key is served.
    site.use("plain")
    assert site.gets_certificate(plain.agent, Key()).summary == (200, 1, "", True)
    assert (plain.asked, plain.issued) == (1, 1)
    assert "enrollment_unknown" in site.rows.audited(plain.agent.name, "enrollment_unknown")


def test_a_call_that_was_cut_off_before_the_signature_is_completed_once(site: Site) -> None:
    with _cut_off(site, "hold before", *KINDS) as (plain, finding, repeating, prompt):
        _kill(site)
    site.rows.leases_run_out()
    for case in (finding, repeating, prompt):
        site.settles(case.agent, "issued")
        assert case.agent.register(case.key).certificate is not None
        assert (case.asked, case.issued) == (2, 1)
    # Whether this one was signed nobody can tell.
    assert site.state(plain.agent) == "unknown"
    assert (plain.asked, plain.issued) == (1, 0)
    site.use("plain")
    assert site.gets_certificate(plain.agent, Key()).summary == (200, 1, "", True)


def test_a_worker_that_dies_by_itself_while_it_signs_is_replaced(site: Site) -> None:
    ledger = site.use("repeating")
    ledger.tell(issue="die after", once=True)
    agent, key = site.agent("repeating"), Key()
    assert agent.register(key).summary == LEVEL_1
    wait_until(lambda: ledger.lines("issued", key=key.digest), "the CA has signed")
    site.rows.leases_run_out()
    site.settles(agent, "issued", 60)
    assert agent.register(key).certificate is not None
    assert len(ledger.lines("issued", key=key.digest)) == 1


def test_an_answer_that_comes_when_the_lease_is_over_is_not_thrown_away(site: Site) -> None:
    """The only trace of a signed certificate may be in the hands of a slow worker."""
    with _cut_off(site, "hold after", "plain") as (case,):
        site.rows.leases_run_out()
        site.settles(case.agent, "unknown")
    wait_until(lambda: site.state(case.agent) == "issued", "the late answer is adopted")
    assert case.agent.register(case.key).certificate is not None
    assert (case.asked, case.issued) == (1, 1)


def test_a_message_that_is_delivered_twice_makes_one_call(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(issue="hold before")
    agent, key = site.agent("plain"), Key()
    assert agent.register(key).summary == LEVEL_1
    (row,) = site.rows.enrollments(agent.name)
    for _ in range(5):
        site.terminal.send("renewal.tasks.enroll_one", row["id"], task_id=f"again-{row['id']}")
        site.sweep()
    ledger.tell()
    wait_until(lambda: site.state(agent) == "issued", "the certificate has come")
    for _ in range(5):
        site.terminal.send("renewal.tasks.enroll_one", row["id"], task_id=f"again-{row['id']}")
    site.terminal.send("renewal.tasks.enroll_one", 10**9)
    other = site.agent("plain")
    site.gets_certificate(other, Key())
    assert len(ledger.lines("asked", key=key.digest)) == 1
    assert [row["state"] for row in site.rows.enrollments(agent.name)] == ["issued"]


def test_a_ca_that_hangs_up_is_not_asked_again_blindly(site: Site) -> None:
    for how, signed in (("cut off", 0), ("cut off after", 1)):
        ledger = site.use("plain")
        agent, key = site.agent("plain"), Key()
        ledger.tell(issue=how, once=True)
        reply = agent.register(key)
        assert reply.summary == LEVEL_1
        assert site.state(agent) == "unknown"
        for _ in range(3):
            site.rows.retries_are_due()
            site.sweep()
            assert agent.register(key).certificate is None
        assert len(ledger.lines("asked", key=key.digest)) == 1
        assert len(ledger.lines("issued", key=key.digest)) == signed
        assert site.gets_certificate(agent, Key()).summary == (200, 1, "", True)
