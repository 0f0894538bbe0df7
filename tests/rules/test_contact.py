"""For how long nobody called, in whole days of UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from orchestrators.contact_day import day_of
from renewal.rules.contact import is_silent, offline_after, silent_before

DAY = timedelta(days=1)
NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "now", "before"),
    [
        (DAY, NOON, date(2026, 6, 9)),
        (30 * DAY, NOON, date(2026, 5, 11)),
        (timedelta(hours=46), NOON, date(2026, 6, 8)),
        (timedelta(hours=46), NOON.replace(hour=23), date(2026, 6, 9)),
        (DAY, NOON.replace(hour=0), date(2026, 6, 9)),
        # 22:30 of the day before in UTC.
        (DAY, datetime(2026, 6, 10, 0, 30, tzinfo=timezone(timedelta(hours=2))), date(2026, 6, 8)),
    ],
)
def test_silent_is_whose_last_contact_lies_before_the_day_that_it_reaches_back_to(
    after, now, before
):
    assert silent_before(after, now) == before
    assert is_silent(before - DAY, after, now)
    assert not is_silent(before, after, now)
    assert not is_silent(None, after, now)


@pytest.mark.parametrize(
    ("session", "after"),
    [(timedelta(minutes=1380), timedelta(hours=46)), (timedelta(hours=1), DAY), (3 * DAY, 6 * DAY)],
)
def test_offline_is_who_missed_two_sessions_and_at_least_a_day(session, after):
    assert offline_after(session) == after


@pytest.mark.parametrize("second", [0, 1, 43_200, 86_399])
def test_nobody_who_called_within_a_day_is_offline_at_any_time_of_day(second):
    now = datetime(2026, 6, 10, tzinfo=UTC) + timedelta(seconds=second)
    assert not is_silent(day_of(now - DAY), offline_after(timedelta(minutes=1)), now)
