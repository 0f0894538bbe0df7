"""What handlers and rules may do to a first registration, and that a return is none of theirs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from orchestrators.protocol.codes import Code
from orchestrators.registration.rules import Outcome
from renewal.rules.decision import (
    Caller,
    Effect,
    Facts,
    RecordFacts,
    RegistrationFacts,
    Status,
    decide,
)
from renewal.rules.standing import Standing
from tests.rules.facts import NOW, bootstraps, certificate, presents

ALLOWED = RegistrationFacts(Outcome.ALLOW, "a rule")
DENIED = RegistrationFacts(Outcome.DENY, "a rule")
NEW = RecordFacts(Status.NEW, had_session=False)
FIRST: list[Facts] = [
    presents(None, record=None),
    presents(None, record=NEW),
    presents(Standing.SEEN, record=NEW),
    bootstraps(),
    bootstraps(NEW),
]


@pytest.mark.parametrize("facts", FIRST)
@pytest.mark.parametrize(
    ("said", "code", "effects"),
    [
        (RegistrationFacts(), Code.NOT_APPROVED, (Effect.REFRESH_NEW,)),
        (ALLOWED, Code.NOT_APPROVED, (Effect.REFRESH_NEW, Effect.APPROVE)),
        (replace(ALLOWED, obstacle="A twin."), Code.NOT_APPROVED, (Effect.REFRESH_NEW,)),
        (replace(ALLOWED, is_contested=True), Code.NOT_APPROVED, (Effect.REFRESH_NEW,)),
        (DENIED, Code.REGISTRATION_DENIED, (Effect.REFRESH_NEW, Effect.DISAPPROVE)),
        (replace(DENIED, is_contested=True), Code.REGISTRATION_DENIED, (Effect.AUDIT,)),
    ],
)
def test_a_first_registration(
    facts: Facts, said: RegistrationFacts, code: Code, effects: tuple[Effect, ...]
) -> None:
    decision = decide(replace(facts, registration=said))
    assert (decision.code, decision.effects) == (code, effects)
    assert not decision.grants_session
    assert not decision.reveals_agent_id


@pytest.mark.parametrize("facts", [presents(None, record=None), presents(None, record=NEW)])
def test_a_nameless_one_is_left_to_an_operator(facts: Facts) -> None:
    decision = decide(replace(facts, registration=ALLOWED, has_name=False))
    assert decision.effects == (Effect.REFRESH_NEW,)


def test_nothing_else_is_decided_by_what_they_say() -> None:
    records = [
        RecordFacts(status, had_session=had_session, has_open_claim=claim, was_reset=was_reset)
        for status, had_session, claim, was_reset in product(
            Status, (True, False), (True, False), (True, False)
        )
    ]
    cells = 0
    for record, standing, said in product(records, [None, *Standing], (ALLOWED, DENIED)):
        for caller in (Caller.CERTIFICATE, Caller.BOOTSTRAP, Caller.NOBODY):
            facts = Facts(now=NOW, caller=caller, certificate=certificate(standing), record=record)
            if record.status is Status.NEW and not record.was_reset:
                continue
            cells += 1
            assert decide(replace(facts, registration=said)) == decide(facts)
    assert cells > 500
