"""Many calls at one moment: one winner, no error, nothing twice (F14, F15, F16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Barrier
from typing import Any

import pytest

from tests.faults.agents import Key, Reply
from tests.faults.site import Site

PAIRS = 20


def _together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start all calls at one moment; return what they returned."""
    barrier = Barrier(len(calls))

    def start(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


@pytest.mark.parametrize("kind", ["prompt", "plain"])
def test_two_registers_of_one_orchestrator_with_two_csrs_have_one_in_flight(
    site: Site, kind: str
) -> None:
    ledger = site.use(kind)
    agents = [site.agent(kind) for _ in range(PAIRS)]
    for agent in agents:
        keys = [Key(), Key()]
        replies: list[Reply] = _together([partial(agent.register, key) for key in keys])
        for reply in replies:
            assert reply.http_status == 200, reply
            assert reply.token, reply
            assert reply.code in ("", "A0100007"), reply
        calls = ledger.spans({key.digest for key in keys})
        # Between a question to the CA and its answer there is no second question.
        assert all(end <= start for (_, end), (start, _) in pairwise(calls))
        rows = site.rows.enrollments(agent.name)
        assert {row["state"] for row in rows} <= {"issued", "discarded"}
        delivered = [reply for reply in replies if reply.certificate is not None]
        assert 1 <= len(delivered) <= 2
        assert sum(row["standing"] == "issued" for row in rows) == 1


def test_two_registers_with_the_same_csr_get_the_same_certificate(site: Site) -> None:
    ledger = site.use("prompt")
    for agent in [site.agent("prompt") for _ in range(PAIRS // 2)]:
        key = Key()
        replies: list[Reply] = _together([partial(agent.register, key)] * 4)
        given = {reply.certificate for reply in replies if reply.certificate is not None}
        assert len(given) == 1
        assert {reply.http_status for reply in replies} == {200}
        assert len(ledger.lines("asked", key=key.digest)) == 1


def test_twenty_first_uses_of_a_new_certificate_make_one_promotion_and_one_revocation(
    site: Site,
) -> None:
    ledger = site.use("prompt")
    for _ in range(3):
        agent, key = site.agent("prompt"), Key()
        old = agent.serial
        certificate = site.gets_certificate(agent, key).certificate
        assert certificate is not None
        agent.install(key.private, certificate)
        replies: list[Reply] = _together([agent.register] * 20)
        assert {reply.summary for reply in replies} == {(200, 1, "", True)}
        once = ("certificate_proven", "legacy_thumbprint_cleared", "revocation_requested")
        assert site.rows.audited(agent.name, *once) == list(once)
        assert [row["serial"] for row in site.rows.revocations(agent.name)] == [old]
        site.settle_revocations()
        assert len(ledger.lines("revoked", serial=old)) == 1
        assert sum(agent.is_alive(reply.token) for reply in replies) == 1


def test_the_old_certificate_in_the_moment_of_the_switch_is_accepted_or_refused_never_an_error(
    site: Site,
) -> None:
    site.use("prompt")
    for _ in range(5):
        agent, key = site.agent("prompt"), Key()
        former = site.stranger(agent.name)
        former.agent_id = agent.agent_id
        former.present(site.folder / f"{agent.name}-{agent.serial}.pem")
        certificate = site.gets_certificate(agent, key).certificate
        assert certificate is not None
        agent.install(key.private, certificate)
        replies: list[Reply] = _together([agent.register, former.register] * 4)
        assert {reply.summary for reply in replies[::2]} == {(200, 1, "", True)}
        assert {reply.code for reply in replies[1::2]} <= {"A0100007", "A01F0007", "A01F0008"}
        assert all(reply.http_status == 200 for reply in replies)
        record = site.rows.record(agent.name)
        assert (record["thumbprint"], record["legacy_thumbprint"]) == (agent.thumbprint, "")


def test_strangers_that_come_at_once_under_one_name_become_one_record(site: Site) -> None:
    ledger = site.use("prompt")
    stranger = site.stranger("newcomer-at-once")
    stranger.install(*ledger.certify(stranger.name, days_left=300))
    replies: list[Reply] = _together([stranger.register] * 8)
    assert {reply.summary for reply in replies} == {(200, 3, "A01F0001", False)}
    assert site.rows.record(stranger.name)["status"] == 1
