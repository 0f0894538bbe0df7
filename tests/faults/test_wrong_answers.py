"""A CA answers with a certificate that was not asked for: nobody ever gets it (F8, T21, I5)."""

from __future__ import annotations

import pytest

from tests.faults import wrong_answers
from tests.faults.agents import Key
from tests.faults.site import Site

NOT_TO_BE_REVOKED = frozenset({"a web page", "a megabyte", "somebody else's", "the serial twice"})
"""Answers that hold no certificate, or whose serial number is that of somebody's good one."""


@pytest.mark.parametrize("what", sorted(wrong_answers.ANSWERS))
def test_a_wrong_answer_is_never_delivered_and_the_orchestrator_keeps_what_it_has(
    site: Site, what: str
) -> None:
    ledger = site.use("plain")
    owner, owners_key = site.agent("plain", label="owner"), Key()
    theirs = site.gets_certificate(owner, owners_key).certificate
    agent, rejected_before = site.agent("plain"), site.rows.rejected_serials()
    ledger.tell(issue=f"wrong: {what}", once=True)
    reply = agent.register(Key())
    assert reply.summary == (200, 2, "A01F0022", True), reply
    assert reply.certificate is None
    assert site.state(agent) == "rejected"
    assert agent.is_alive(reply.token)

    site.settle_revocations()
    asked = {line["serial"] for line in ledger.lines("revocation asked")}
    rejected = site.rows.rejected_serials() - rejected_before
    assert rejected <= asked
    assert len(rejected) == (0 if what in NOT_TO_BE_REVOKED else 1)

    # The owner of a certificate that was handed out twice loses nothing.
    assert theirs is not None
    owner.install(owners_key.private, theirs)
    assert owner.register().summary == (200, 1, "", True)
    # The right answer to another key comes as always.
    delivered = site.gets_certificate(agent, Key())
    assert delivered.summary == (200, 1, "", True)
