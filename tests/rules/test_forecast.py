"""What comes on which day, from lots of like certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from renewal.rules.forecast import Asked, Lot, due_on, dues, forecast, level_on
from renewal.rules.periods import Level, Periods

DAY = timedelta(days=1)
TODAY = date(2026, 3, 1)
PERIODS = Periods()
YEAR = 365 * DAY


def lot(days: int, *, lifetime: timedelta = YEAR, asked: Asked = Asked.NOTHING, n: int = 1) -> Lot:
    return Lot(1, TODAY + days * DAY, lifetime, asked, n)


@pytest.mark.parametrize("lifetime", [YEAR, 90 * DAY, 7 * DAY, 3650 * DAY], ids=str)
@pytest.mark.parametrize("periods", [PERIODS, Periods(90 * DAY, 10 * DAY, 3, 20)], ids=str)
def test_a_renewal_falls_due_on_the_first_day_on_which_a_register_is_told_so(lifetime, periods):
    for days in range(1, lifetime.days + 1, max(lifetime.days // 40, 1)):
        found = lot(days, lifetime=lifetime)
        day = due_on(found, periods, TODAY)
        assert level_on(found, periods, day) is not Level.NONE
        if day > TODAY:
            assert level_on(found, periods, day - DAY) is Level.NONE


def test_the_days_add_up_and_what_is_due_already_stands_apart():
    lots = [
        lot(300, n=5),
        lot(300, asked=Asked.RENEWED, n=7),
        lot(300, asked=Asked.REQUESTED, n=11),
        lot(300, asked=Asked.REQUIRED, n=13),
        lot(100, n=17),
        lot(20, n=19),
    ]
    found = forecast(lots, PERIODS, today=TODAY)
    assert found.ends == {
        TODAY + 300 * DAY: 36,
        TODAY + 100 * DAY: 17,
        TODAY + 20 * DAY: 19,
    }
    assert found.renewals == {TODAY + 120 * DAY: 5}
    assert (found.due_now, found.must_now) == (11 + 13 + 17 + 19, 13 + 19)
    assert dues(lots, PERIODS, day=TODAY + 120 * DAY, today=TODAY)[0].lot.count == 5
    # Other periods move what is to come, and nothing else.
    tried = forecast(lots, replace(PERIODS, warning=90 * DAY), today=TODAY)
    assert tried.ends == found.ends
    assert tried.renewals == {TODAY + 210 * DAY: 5, TODAY + 10 * DAY: 17}
    assert (tried.due_now, tried.must_now) == (11 + 13 + 19, 13 + 19)


def test_a_certificate_without_a_beginning_is_due_at_once():
    found = lot(300, lifetime=timedelta(0))
    assert due_on(found, PERIODS, TODAY) == TODAY
    assert level_on(found, PERIODS, TODAY) is Level.EXPIRY
