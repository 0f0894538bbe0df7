"""The decision table, row by row: each case is a sentence of docs/agent-protocol.md.

Owns the rows; boundaries in time and totality are tested beside it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from renewal.rules.decision import (
    Caller,
    CsrFacts,
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
from renewal.rules.standing import Standing
from tests.rules.facts import (
    DAY,
    DELIVERED,
    LEFT,
    NOW,
    REFUSED,
    SECOND,
    WAITING,
    Expected,
    approved,
    bootstraps,
    certificate,
    presents,
)

S, L = Standing, Level
NEW, DISAPPROVED = RecordFacts(Status.NEW), RecordFacts(Status.DISAPPROVED)
CLAIM = approved(has_open_claim=True, had_session=False)
REQUEST, REQUIRE = approved(flag=1, flag_counter=3), approved(flag=2, flag_counter=3)
BAD_CSR = CsrFacts(Code.CSR_NAMES, "CN=other")

OK = Expected("", 1, session=True)
SHOULD = Expected("", 2, Code.SHOULD_RENEW, session=True)
MUST = Expected("", 3, Code.MUST_RENEW)
RENEWED = Expected("", 1, session=True, certificate=True)


def row(number: str, reply: Expected, *effects: Effect) -> Expected:
    return replace(reply, row=number, effects=tuple(effects))


def no(number: str, code: Code, *effects: Effect) -> Expected:
    return Expected(number, 3, code, effects=tuple(effects))


E = Effect
OPEN = (E.TOUCH, E.OPEN_SESSION)
PROVEN = certificate(S.ISSUED, intent_flag_counter=3)
SHORT_PROVEN = certificate(S.ISSUED, left=LEFT[L.EXPIRY], intent_flag_counter=3)
OLD_INTENT = certificate(S.ISSUED, intent_flag_counter=2)

CASES: dict[str, tuple[Facts, Expected]] = {
    # --- rows 1 to 3: current, no CSR
    "a current certificate with nothing due gets a session": (
        presents(S.CURRENT, L.NONE),
        row("1", OK, *OPEN),
    ),
    "a current certificate in its warning period works on and is told to renew": (
        presents(S.CURRENT, L.WARNING),
        row("2", SHOULD, *OPEN),
    ),
    "a fresh certificate with flag Request is told to renew": (
        presents(S.CURRENT, L.NONE, record=REQUEST),
        row("2", SHOULD, *OPEN),
    ),
    "a current certificate in its expiry period gets no session": (
        presents(S.CURRENT, L.EXPIRY),
        row("3", MUST, E.TOUCH),
    ),
    "a fresh certificate with flag Require gets no session": (
        presents(S.CURRENT, L.NONE, record=REQUIRE),
        row("3", MUST, E.TOUCH),
    ),
    "flag Request does not soften an expiry period": (
        presents(S.CURRENT, L.EXPIRY, record=REQUEST),
        row("3", MUST, E.TOUCH),
    ),
    "flag Require outweighs a warning period": (
        presents(S.CURRENT, L.WARNING, record=REQUIRE),
        row("3", MUST, E.TOUCH),
    ),
    # --- row 2a
    "a body that names another existing record is refused": (
        presents(S.CURRENT, names_other_record=True),
        no("2a", Code.NOT_YOUR_RECORD, E.AUDIT),
    ),
    "row 2a holds with a CSR too": (
        presents(S.CURRENT, L.WARNING, csr=True, names_other_record=True),
        no("2a", Code.NOT_YOUR_RECORD, E.AUDIT),
    ),
    "row 2a holds for an issued certificate, which is not promoted": (
        presents(S.ISSUED, names_other_record=True),
        no("2a", Code.NOT_YOUR_RECORD, E.AUDIT),
    ),
    # --- row 4: unasked CSR
    "an unasked CSR goes to the CA": (
        presents(S.CURRENT, L.NONE, csr=True),
        row("4", OK, E.ENROLL, *OPEN),
    ),
    "an unasked CSR that was enrolled brings the certificate": (
        presents(S.CURRENT, L.NONE, csr=True, enrollment=DELIVERED),
        row("4", RENEWED, *OPEN),
    ),
    "an unasked CSR too soon gets a session, a code of its own and no CA call": (
        presents(S.CURRENT, L.NONE, csr=True, issued_recently=True),
        row("4", Expected("", 1, Code.NOT_DUE, session=True), *OPEN),
    ),
    # --- row 5
    "a CSR in the warning period goes to the CA": (
        presents(S.CURRENT, L.WARNING, csr=True),
        row("5", SHOULD, E.ENROLL, *OPEN),
    ),
    "a CSR in the expiry period goes to the CA": (
        presents(S.CURRENT, L.EXPIRY, csr=True),
        row("5", MUST, E.ENROLL, E.TOUCH),
    ),
    "an enrolled CSR in the warning period brings token and certificate": (
        presents(S.CURRENT, L.WARNING, csr=True, enrollment=DELIVERED),
        row("5", RENEWED, *OPEN),
    ),
    "an enrolled CSR in the expiry period brings token and certificate": (
        presents(S.CURRENT, L.EXPIRY, csr=True, enrollment=DELIVERED),
        row("5", RENEWED, *OPEN),
    ),
    "a due renewal is not held up by a certificate issued a short while ago": (
        presents(S.CURRENT, L.NONE, csr=True, record=REQUEST, issued_recently=True),
        row("5", SHOULD, E.ENROLL, *OPEN),
    ),
    # --- rows 6 to 8: legacy
    "a legacy certificate with nothing due is told to renew again": (
        presents(S.LEGACY, L.NONE),
        row("6", SHOULD, *OPEN),
    ),
    "a legacy certificate in its warning period works on": (
        presents(S.LEGACY, L.WARNING),
        row("6", SHOULD, *OPEN),
    ),
    "a legacy certificate in its expiry period gets no session": (
        presents(S.LEGACY, L.EXPIRY),
        row("7", MUST, E.TOUCH),
    ),
    "a legacy certificate with flag Require gets no session": (
        presents(S.LEGACY, L.NONE, record=REQUIRE),
        row("7", MUST, E.TOUCH),
    ),
    "after a lost reply the CSR over the legacy certificate goes to the CA": (
        presents(S.LEGACY, L.NONE, csr=True),
        row("8", OK, E.ENROLL, *OPEN),
    ),
    "after a lost reply the legacy certificate gets the newest one": (
        presents(S.LEGACY, L.EXPIRY, csr=True, enrollment=DELIVERED),
        row("8", RENEWED, *OPEN),
    ),
    "a lost reply is not too soon for another CSR": (
        presents(S.LEGACY, L.NONE, csr=True, issued_recently=True, enrollment=DELIVERED),
        row("8", RENEWED, *OPEN),
    ),
    # --- rows 9 to 11: issued
    "the first session with an issued certificate promotes it": (
        presents(S.ISSUED, L.NONE),
        row("9", OK, E.PROMOTE, *OPEN),
    ),
    "an overtaken certificate is promoted like an issued one": (
        presents(S.OVERTAKEN, L.NONE),
        row("9", OK, E.PROMOTE, *OPEN),
    ),
    "an issued certificate that is itself in its warning period is promoted": (
        presents(S.ISSUED, L.WARNING),
        row("9", SHOULD, E.PROMOTE, *OPEN),
    ),
    "a flag older than the intent counts no more at the first session": (
        presents(S.ISSUED, record=REQUIRE, certificate=PROVEN),
        row("9", OK, E.PROMOTE, *OPEN),
    ),
    "a flag set after the intent stays and counts for this reply": (
        presents(S.ISSUED, record=REQUIRE, certificate=OLD_INTENT),
        row("10", MUST, E.TOUCH),
    ),
    "flag Request set after the intent makes the first session a warning": (
        presents(S.ISSUED, record=REQUEST, certificate=OLD_INTENT),
        row("9", SHOULD, E.PROMOTE, *OPEN),
    ),
    "an issued certificate in its own expiry period is neither served nor promoted": (
        presents(S.ISSUED, L.EXPIRY),
        row("10", MUST, E.TOUCH),
    ),
    "a record's very first session is served even in the expiry period": (
        presents(S.ISSUED, L.EXPIRY, record=approved(had_session=False)),
        row("10", SHOULD, E.PROMOTE, *OPEN),
    ),
    "a CSR over an issued certificate promotes it first": (
        presents(S.ISSUED, L.NONE, csr=True),
        row("11", OK, E.PROMOTE, E.ENROLL, *OPEN),
    ),
    "a CSR over an issued certificate promotes it at level 2 too": (
        presents(S.ISSUED, csr=True, certificate=SHORT_PROVEN, record=REQUIRE),
        row("11", MUST, E.PROMOTE, E.ENROLL, E.TOUCH),
    ),
    # --- row 12
    "a CA that is down at level 0 costs the certificate alone": (
        presents(S.CURRENT, L.NONE, csr=True, enrollment=WAITING),
        row("12", Expected("", 1, Code.ENROLLMENT_WAITING, session=True), *OPEN),
    ),
    "a CA that is down in the warning period leaves the work going": (
        presents(S.CURRENT, L.WARNING, csr=True, enrollment=WAITING),
        row("12", SHOULD, *OPEN),
    ),
    "a CA that is down in the expiry period leaves no session": (
        presents(S.CURRENT, L.EXPIRY, csr=True, enrollment=WAITING),
        row("12", MUST, E.TOUCH),
    ),
    "a legacy certificate waits for a slow CA with its session": (
        presents(S.LEGACY, L.WARNING, csr=True, enrollment=WAITING),
        row("12", SHOULD, *OPEN),
    ),
    # --- row 13
    "a refused CSR at level 0 leaves the session, with its own code": (
        presents(S.CURRENT, L.NONE, csr=BAD_CSR),
        row("13", Expected("", 2, Code.CSR_NAMES, session=True), *OPEN, E.REFUSE_CSR),
    ),
    "a refused CSR in the warning period leaves the session, with its own code": (
        presents(S.CURRENT, L.WARNING, csr=BAD_CSR),
        row("13", Expected("", 2, Code.CSR_NAMES, session=True), *OPEN, E.REFUSE_CSR),
    ),
    "a refused CSR in the expiry period leaves no session, with its own code": (
        presents(S.CURRENT, L.EXPIRY, csr=BAD_CSR),
        no("13", Code.CSR_NAMES, E.TOUCH, E.REFUSE_CSR),
    ),
    "a missing permission is named and no CA is asked": (
        presents(S.CURRENT, L.WARNING, csr=True, missing_permission="/x/"),
        row("13", Expected("", 2, Code.PERMISSION_MISSING, session=True), *OPEN, E.REFUSE_CSR),
    ),
    "a CA that refuses for good is told as such": (
        presents(S.LEGACY, L.EXPIRY, csr=True, enrollment=REFUSED),
        no("13", Code.ENROLLMENT_REFUSED, E.TOUCH),
    ),
    # --- row 14
    "a New record's certificate waits for approval": (
        presents(S.SEEN, record=NEW),
        no("14", Code.NOT_APPROVED, E.REFRESH_NEW),
    ),
    "a CSR changes nothing for a New record": (
        presents(S.ARCHIVED, csr=True, record=NEW),
        no("14", Code.NOT_APPROVED, E.REFRESH_NEW),
    ),
    "a disapproved orchestrator is told so": (
        presents(S.CURRENT, record=DISAPPROVED),
        no("14", Code.DISAPPROVED, E.TOUCH),
    ),
    "a stranger that names a disapproved record moves nothing of it": (
        presents(None, record=DISAPPROVED),
        no("14", Code.DISAPPROVED, E.AUDIT),
    ),
    "a bootstrap credential creates or refreshes a New record": (
        bootstraps(None),
        no("14", Code.NOT_APPROVED, E.REFRESH_NEW),
    ),
    "a bootstrap credential refreshes the New record that it names": (
        bootstraps(NEW),
        no("14", Code.NOT_APPROVED, E.REFRESH_NEW),
    ),
    "a bootstrap credential moves nothing of a disapproved record": (
        bootstraps(DISAPPROVED),
        no("14", Code.DISAPPROVED, E.AUDIT),
    ),
    "a bootstrap credential without a name finds no record": (
        bootstraps(None, has_name=False),
        no("14", Code.NAME_MISSING, E.AUDIT),
    ),
    # --- row 15
    "the certificate that the approval named is bound and gets a session": (
        presents(S.NAMED),
        row("15", OK, E.BIND, *OPEN),
    ),
    "the named certificate in its warning period is bound and told to renew": (
        presents(S.NAMED, L.WARNING),
        row("15", SHOULD, E.BIND, *OPEN),
    ),
    "the named certificate in its expiry period is bound without a session": (
        presents(S.NAMED, L.EXPIRY),
        row("15", MUST, E.BIND, E.TOUCH),
    ),
    "the named certificate may bring a CSR at once": (
        presents(S.NAMED, L.WARNING, csr=True),
        row("15", SHOULD, E.BIND, E.ENROLL, *OPEN),
    ),
    # --- rows 16 and 16a
    "a claim with a CSR goes to the CA": (
        bootstraps(CLAIM),
        no("16a", Code.ENROLLMENT_WAITING, E.ENROLL, E.TOUCH),
    ),
    "a claim that was enrolled gets token, AgentId and certificate together": (
        bootstraps(CLAIM, enrollment=DELIVERED),
        row("16", RENEWED, *OPEN),
    ),
    "a claim without a CSR reveals no AgentId": (
        bootstraps(CLAIM, csr=False),
        no("16a", Code.CLAIM_NEEDS_CSR, E.TOUCH),
    ),
    "a claim with a refused CSR reveals no AgentId": (
        bootstraps(CLAIM, csr=BAD_CSR),
        no("16a", Code.CSR_NAMES, E.TOUCH, E.REFUSE_CSR),
    ),
    "a claim whose account lacks a permission reveals no AgentId": (
        bootstraps(CLAIM, missing_permission="/x/"),
        no("16a", Code.PERMISSION_MISSING, E.TOUCH, E.REFUSE_CSR),
    ),
    "a claim with a CA that is down reveals no AgentId": (
        bootstraps(CLAIM, enrollment=WAITING),
        no("16a", Code.ENROLLMENT_WAITING, E.TOUCH),
    ),
    "a claim that the CA refuses reveals no AgentId": (
        bootstraps(CLAIM, enrollment=REFUSED),
        no("16a", Code.ENROLLMENT_REFUSED, E.TOUCH),
    ),
    # --- row 17
    "an expired certificate is refused and noted": (
        presents(certificate=certificate(left=-SECOND)),
        no("17", Code.CERTIFICATE_EXPIRED, E.TOUCH, E.AUDIT),
    ),
    "a certificate that is not yet valid is refused and noted": (
        presents(certificate=certificate(left=400 * DAY)),
        no("17", Code.CERTIFICATE_NOT_YET_VALID, E.TOUCH, E.AUDIT),
    ),
    "a revoked certificate is refused and noted": (
        presents(certificate=certificate(revoked=True)),
        no("17", Code.CERTIFICATE_REVOKED, E.TOUCH, E.AUDIT),
    ),
    "a replaced certificate is refused and noted": (
        presents(S.SUPERSEDED),
        no("17", Code.CERTIFICATE_DROPPED, E.TOUCH, E.AUDIT),
    ),
    "a certificate that was given up is refused": (
        presents(S.DISCARDED, csr=True),
        no("17", Code.CERTIFICATE_DROPPED, E.TOUCH, E.AUDIT),
    ),
    "a certificate from before the Reset is refused once another is approved": (
        presents(S.ARCHIVED),
        no("17", Code.CERTIFICATE_DROPPED, E.TOUCH, E.AUDIT),
    ),
    "an expired certificate of a New record is refused like any other": (
        presents(record=NEW, certificate=certificate(S.ARCHIVED, left=-DAY)),
        no("17", Code.CERTIFICATE_EXPIRED, E.TOUCH, E.AUDIT),
    ),
    "an expired certificate that was merely seen moves nobody's last contact": (
        presents(certificate=certificate(S.SEEN, left=-DAY)),
        no("17", Code.CERTIFICATE_EXPIRED, E.AUDIT),
    ),
    # --- rows 18 and 19
    "a stranger with a trusted certificate becomes a New record": (
        presents(None, record=None),
        no("18", Code.NOT_APPROVED, E.REFRESH_NEW),
    ),
    "a stranger that names a New record refreshes it": (
        presents(None, record=NEW),
        no("18", Code.NOT_APPROVED, E.REFRESH_NEW),
    ),
    "a certificate made by an operator counts as unknown": (
        presents(S.OWN, record=None),
        no("18", Code.NOT_APPROVED, E.REFRESH_NEW),
    ),
    "an expired stranger makes no record": (
        presents(record=None, certificate=certificate(None, left=-DAY)),
        no("17", Code.CERTIFICATE_EXPIRED, E.AUDIT),
    ),
    "a revoked stranger makes no record": (
        presents(record=None, certificate=certificate(None, revoked=True)),
        no("17", Code.CERTIFICATE_REVOKED, E.AUDIT),
    ),
    "a stranger that names an approved record is told that Reset is the remedy": (
        presents(None),
        no("19", Code.CERTIFICATE_NOT_BOUND, E.AUDIT),
    ),
    "one that was seen before another was approved is a stranger": (
        presents(S.SEEN),
        no("19", Code.CERTIFICATE_NOT_BOUND, E.AUDIT),
    ),
    "a bootstrap credential cannot act for an approved record": (
        bootstraps(approved()),
        no("19a", Code.NAME_TAKEN, E.AUDIT),
    ),
    "a claim whose time is over says so": (
        bootstraps(approved(is_claim_over=True, had_session=False)),
        no("16b", Code.CLAIM_OVER, E.TOUCH, E.AUDIT),
    ),
    # --- row 20
    "nobody gets HTTP 401": (
        Facts(now=NOW, caller=Caller.NOBODY),
        no("20", Code.UNAUTHENTICATED),
    ),
    "a credential that is spent or another's is refused": (
        bootstraps(NEW, credential_refused=True),
        no("20", Code.CREDENTIAL_SPENT, E.AUDIT),
    ),
    # --- what the table does not know
    "a certificate with a standing but no record is refused": (
        presents(S.CURRENT, record=None),
        no("-", Code.DECISION_FAILED, E.AUDIT),
    ),
    "a caller that cannot be classified is refused": (
        Facts(now=NOW, caller=Caller.CERTIFICATE),
        no("-", Code.DECISION_FAILED, E.AUDIT),
    ),
    "a standing that nobody knows is refused": (
        presents("strange"),  # type: ignore[arg-type]
        no("-", Code.DECISION_FAILED, E.AUDIT),
    ),
    "a flag that nobody knows is refused": (
        presents(record=approved(flag=7)),
        no("-", Code.DECISION_FAILED, E.AUDIT),
    ),
    "a status that nobody knows is refused": (
        presents(record=RecordFacts("strange")),  # type: ignore[arg-type]
        no("-", Code.DECISION_FAILED, E.AUDIT),
    ),
}


def shape(decision: Decision) -> Expected:
    return Expected(
        decision.row,
        int(decision.status),
        decision.code,
        decision.grants_session,
        decision.gives_certificate,
        decision.reveals_agent_id,
        tuple(decision.effects),
    )


@pytest.mark.parametrize(("facts", "expected"), CASES.values(), ids=CASES.keys())
def test_the_decision_table(facts: Facts, expected: Expected) -> None:
    assert shape(decide(facts)) == replace(expected, agent_id=expected.session)


def test_every_row_of_the_table_has_a_case() -> None:
    rows = {expected.row for _, expected in CASES.values()}
    assert rows == {*map(str, range(1, 21)), "2a", "16a", "16b", "19a", "-"}


def test_only_nobody_is_answered_with_anything_but_http_200() -> None:
    statuses = {(e.row, decide(facts).http_status) for facts, e in CASES.values()}
    assert {row for row, status in statuses if status != 200} == {"20"}
    assert decide(Facts(now=NOW, caller=Caller.NOBODY)).http_status == 401


def test_an_expired_certificate_is_told_when_it_expired() -> None:
    assert "2026-06-01 11:59:59" in decide(presents(certificate=certificate(left=-SECOND))).reason


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (presents(record=REQUIRE), "operator requires"),
        (presents(record=REQUEST), "operator requested"),
        (presents(level=L.EXPIRY), "expiry period"),
        (presents(level=L.WARNING), "warning period"),
    ],
)
def test_the_reason_says_whether_an_operator_or_the_calendar_asks(
    facts: Facts, reason: str
) -> None:
    assert reason in decide(facts).reason


def test_what_the_ca_said_reaches_the_message() -> None:
    waiting = decide(presents(level=L.WARNING, csr=True, enrollment=WAITING))
    assert waiting.detail == "The CA is down."
    refused = decide(presents(level=L.WARNING, csr=True, missing_permission="/agents/"))
    assert refused.detail == "Missing: /agents/."
    unnamed = EnrollmentFacts(Outcome.REFUSED)
    assert decide(presents(csr=True, enrollment=unnamed)).code is Code.ENROLLMENT_REFUSED
    assert decide(presents(csr=BAD_CSR)).status is ResultStatus.WARNING
