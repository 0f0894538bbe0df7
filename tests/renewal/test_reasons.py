"""The rules that a page lists are the rules of the decision: all combinations, held together."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from orchestrators.protocol.codes import Code
from renewal.rules.decision import (
    Caller,
    CertificateFacts,
    Facts,
    RecordFacts,
    Status,
    decide,
)
from renewal.rules.periods import Periods
from renewal.rules.reasons import Bearing, Reason, weigh
from renewal.rules.standing import Standing

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HELD = [standing for standing in Standing if standing is not Standing.OWN]


def facts(standing, *, left=300, revoked=False, status=Status.APPROVED, **record):
    return Facts(
        now=NOW,
        caller=Caller.CERTIFICATE,
        certificate=CertificateFacts(
            not_before=NOW + (left - 365) * DAY,
            not_after=NOW + left * DAY,
            counted_from=NOW + (left - 365) * DAY,
            revoked=revoked,
            standing=standing,
            intent_flag_counter=1,
        ),
        record=RecordFacts(status, **record),
    )


@pytest.mark.parametrize("standing", HELD, ids=str)
def test_the_rules_say_of_every_certificate_what_the_decision_answers(standing):
    lefts = (300, 180, 100, 30, 20, 0, -1, 366)
    flags = ((0, 0), (1, 1), (2, 1), (1, 2), (2, 2))
    for left, (flag, counter), status, revoked, had in itertools.product(
        lefts, flags, Status, (False, True), (False, True)
    ):
        given = facts(
            standing,
            left=left,
            status=status,
            revoked=revoked,
            flag=flag,
            flag_counter=counter,
            had_session=had,
        )
        decision, reasons = decide(given), weigh(given)
        bearings = {reason.bearing for reason in reasons}
        assert decision.grants_session == (Bearing.BLOCKS not in bearings), (given, reasons)
        if decision.grants_session:
            asked = decision.code is Code.SHOULD_RENEW
            assert asked == (Bearing.ASKS in bearings), (given, reasons)


def found(reasons: tuple[Reason, ...], rule: str) -> Reason:
    return next(reason for reason in reasons if reason.rule == rule)


def test_a_period_names_its_setting_and_when_it_begins():
    given = facts(Standing.CURRENT)
    warning = found(weigh(given), "Warning period")
    assert (warning.setting, warning.turns_at) == (
        "ClientCertificateWarningDays",
        NOW + 120 * DAY,
    )
    expiry = found(weigh(given), "Expiry period")
    assert (expiry.setting, expiry.turns_at) == ("ClientCertificateExpiryDays", NOW + 270 * DAY)


def test_a_short_lived_certificate_has_its_periods_clamped():
    given = facts(Standing.CURRENT)
    short = Facts(
        now=NOW,
        caller=Caller.CERTIFICATE,
        periods=Periods(),
        record=given.record,
        certificate=CertificateFacts(
            not_before=NOW - DAY,
            not_after=NOW + 6 * DAY,
            counted_from=NOW - DAY,
            standing=Standing.CURRENT,
        ),
    )
    assert found(weigh(short), "Warning period").turns_at == NOW + 2.5 * DAY


def test_a_request_that_the_first_use_fulfils_is_told_as_fulfilled():
    given = facts(Standing.ISSUED, flag=2, flag_counter=1)
    assert found(weigh(given), "Renewal request").finding == (
        "Its first session fulfils the operator's request."
    )


def test_a_caller_without_a_certificate_or_record_has_no_rules_to_list():
    assert weigh(Facts(now=NOW, caller=Caller.NOBODY)) == ()
