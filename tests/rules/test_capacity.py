"""How many renewals fit into a day, by what is known of the CAs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from renewal.rules.capacity import Enroller, capacity
from renewal.rules.forecast import Asked, Lot, forecast
from renewal.rules.periods import Periods

SLOW = Enroller("slow", is_enabled=True, is_failing=False, calls_at_once=4, answer_seconds=2.0)


@pytest.mark.parametrize(
    ("changes", "per_day"),
    [
        pytest.param({}, 4 * 43_200, id="as many calls as it gets, one answer after the other"),
        pytest.param({"calls_at_once": 1}, 43_200, id="one call at a time"),
        pytest.param(
            {"answer_seconds": 0.0}, 4 * 8_640_000, id="a prompt answer still costs the portal work"
        ),
        pytest.param({"answer_seconds": None}, None, id="no answer yet, nothing known"),
        pytest.param({"is_enabled": False}, 0, id="a disabled CA takes nothing"),
        pytest.param(
            {"is_enabled": False, "answer_seconds": None}, 0, id="nor does one that never answered"
        ),
    ],
)
def test_a_ca_takes_what_its_last_answer_lets_it(changes, per_day):
    assert replace(SLOW, **changes).per_day == per_day


def test_several_add_up_unless_one_is_not_known():
    disabled = replace(SLOW, is_enabled=False)
    assert capacity([SLOW, SLOW, disabled]) == 2 * 4 * 43_200
    assert capacity([SLOW, replace(SLOW, answer_seconds=None)]) is None
    assert capacity([]) == 0


def test_days_above_the_capacity_are_those_with_more_renewals_than_it():
    today = date(2026, 3, 1)
    day = timedelta(days=1)
    lots = [
        Lot(1, today + (200 + number) * day, 365 * day, Asked.NOTHING, count)
        for number, count in enumerate((10, 11, 12))
    ]
    found = forecast(lots, Periods(), today=today)
    days = [today + number * day for number in range(60)]
    assert [found.days_above(days, capacity) for capacity in (9, 10, 11, 12)] == [3, 2, 1, 0]
