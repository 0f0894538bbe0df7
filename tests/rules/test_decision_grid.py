"""The decision over every combination of facts: it never raises, and what it grants is earned.

Owns totality (I20) and what must hold in every cell, whatever the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from orchestrators.protocol.codes import RENEWAL_CODES, TEXTS
from orchestrators.protocol.terms import ResultStatus
from renewal.rules.decision import (
    Caller,
    Decision,
    Effect,
    EnrollmentFacts,
    Facts,
    Outcome,
    RecordFacts,
    Status,
    decide,
)
from renewal.rules.periods import Level
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing
from tests.rules.facts import DAY, DELIVERED, LEFT, NOW, REFUSED, SECOND, WAITING, certificate
from tests.rules.test_decision_table import BAD_CSR, CsrFacts

CSRS = (None, CsrFacts(), BAD_CSR)
OUTCOMES = (EnrollmentFacts(), DELIVERED, WAITING, REFUSED)
WINDOWS = (*LEFT.values(), -SECOND, 400 * DAY)


def cells() -> Iterator[Facts]:
    """Status × standing × dates × flag × CSR × outcome, with and without the other hints."""
    records = [
        None,
        *(
            RecordFacts(status, flag, 3, had_session, claim)
            for status, flag, had_session, claim in product(
                Status, (0, 1, 2, 7), (True, False), (True, False)
            )
        ),
    ]
    for record, standing, left, csr, outcome in product(
        records, [None, *Standing], WINDOWS, CSRS, OUTCOMES
    ):
        yield Facts(
            now=NOW,
            caller=Caller.CERTIFICATE,
            certificate=certificate(standing, left=left, intent_flag_counter=3),
            record=record,
            csr=csr,
            enrollment=outcome,
        )


def credential_cells() -> Iterator[Facts]:
    records = [
        None,
        *(
            RecordFacts(status, flag, 3, False, claim)
            for status, flag, claim in product(Status, (0, 1, 2, 7), (True, False))
        ),
    ]
    for record, csr, outcome, has_name, refused in product(
        records, CSRS, OUTCOMES, (True, False), (True, False)
    ):
        yield Facts(
            now=NOW,
            caller=Caller.BOOTSTRAP,
            record=record,
            csr=csr,
            enrollment=outcome,
            has_name=has_name,
            credential_refused=refused,
        )


@pytest.fixture(scope="module")
def decided() -> list[tuple[Facts, Decision]]:
    return [(facts, decide(facts)) for facts in (*cells(), *credential_cells())]


Decided = list[tuple[Facts, Decision]]


def test_a_session_needs_an_approved_record_and_an_accepted_certificate_or_a_claim(
    decided: Decided,
) -> None:
    for facts, decision in decided:
        if not decision.grants_session:
            continue
        assert facts.record is not None
        assert facts.record.status is Status.APPROVED
        if facts.certificate is not None:
            assert facts.certificate.standing in ACCEPTED
            assert facts.certificate.not_before <= NOW <= facts.certificate.not_after
        else:
            assert facts.record.has_open_claim
            assert decision.gives_certificate


def test_token_agent_id_and_certificate_go_together(decided: Decided) -> None:
    for _, decision in decided:
        assert decision.reveals_agent_id == decision.grants_session
        assert decision.grants_session == (Effect.OPEN_SESSION in decision.effects)
        if decision.gives_certificate:
            assert decision.grants_session
            assert decision.status is ResultStatus.SUCCESS


def test_a_reply_that_is_no_success_has_a_code_with_a_text(decided: Decided) -> None:
    for _, decision in decided:
        assert decision.status in (1, 2, 3)
        if decision.status is not ResultStatus.SUCCESS:
            assert decision.code in TEXTS
        assert decision.http_status == 200


def test_a_refusal_opens_nothing_and_gives_nothing(decided: Decided) -> None:
    for _, decision in decided:
        if decision.status is ResultStatus.ERROR:
            assert not decision.grants_session
            assert not decision.gives_certificate


def test_only_a_csr_that_passed_the_door_reaches_a_ca(decided: Decided) -> None:
    for facts, decision in decided:
        if Effect.ENROLL in decision.effects:
            assert facts.csr is not None
            assert facts.csr.refused is None
            assert facts.enrollment.outcome is Outcome.NOT_TRIED


def test_only_an_unproven_certificate_is_promoted(decided: Decided) -> None:
    for facts, decision in decided:
        if Effect.PROMOTE in decision.effects:
            assert facts.certificate is not None
            assert facts.certificate.standing in UNPROVEN


def test_orders_to_renew_go_only_to_those_who_could_renew(decided: Decided) -> None:
    """An agent answers A0100007 and A0100008 with a CSR: nobody else may read one."""
    for facts, decision in decided:
        if decision.code in RENEWAL_CODES:
            assert facts.record is not None
            assert facts.record.status is Status.APPROVED
            assert facts.certificate is not None
            assert facts.certificate.standing in ACCEPTED


def test_expiry_without_a_certificate_gives_no_session_but_to_a_first_one(
    decided: Decided,
) -> None:
    for facts, decision in decided:
        if decision.level is Level.EXPIRY and decision.grants_session:
            first = facts.record is not None and not facts.record.had_session
            assert decision.gives_certificate or first


def test_a_strangers_call_touches_no_approved_record(decided: Decided) -> None:
    for facts, decision in decided:
        stranger = facts.certificate is not None and facts.certificate.standing in (
            None,
            Standing.SEEN,
            Standing.OWN,
        )
        approved = facts.record is not None and facts.record.status is Status.APPROVED
        if stranger and approved:
            assert set(decision.effects) <= {Effect.AUDIT}


def test_the_other_hints_never_widen_what_is_granted(decided: Decided) -> None:
    for facts, decision in decided[::97]:
        for hint in ({"names_other_record": True}, {"missing_permission": "/x/"}):
            narrowed = decide(replace(facts, **hint))  # type: ignore[arg-type]
            assert narrowed.grants_session <= decision.grants_session
            assert narrowed.gives_certificate <= decision.gives_certificate
