"""How often a CA is asked for one orchestrator, and when again after a failure.

Owns the bounds at their seconds, and that jitter is stable.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewal.rules.limits import CALLS_PER_DAY, History, Limited, late_delay, limit
from renewal.rules.retry import jitter, retry_delay
from tests.rules.facts import DAY, NOW, SECOND

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
GRACE = HOUR


def limited(history: History) -> Limited | None:
    return limit(history, now=NOW, unused_grace=GRACE)


def test_nothing_asked_is_not_limited() -> None:
    assert limited(History()) is None


def test_one_request_in_flight_is_enough() -> None:
    found = limited(History(in_flight=True))
    assert found is not None
    assert found.until is None


def test_a_sixth_call_waits_until_the_first_of_five_is_a_day_old() -> None:
    calls = tuple(NOW - DAY + n * MINUTE for n in range(1, CALLS_PER_DAY + 1))
    found = limited(History(calls=calls))
    assert found is not None
    assert found.until == calls[0] + DAY
    at_its_second = (NOW - DAY, *calls[1:])
    assert limited(History(calls=at_its_second)) is None
    assert limited(History(calls=calls[1:])) is None


@pytest.mark.parametrize(
    ("age", "is_limited"), [(GRACE - SECOND, True), (GRACE, False), (GRACE + SECOND, False)]
)
def test_a_third_unproven_certificate_waits_an_hour_after_the_second(
    age: timedelta, is_limited: bool
) -> None:
    deliveries = (NOW - 3 * HOUR, NOW - age)
    assert bool(limited(History(unproven_deliveries=deliveries))) is is_limited


def test_one_unproven_certificate_limits_nothing() -> None:
    assert limited(History(unproven_deliveries=(NOW,))) is None


@pytest.mark.parametrize(
    ("late", "wait"),
    [(1, 15 * MINUTE), (2, 30 * MINUTE), (5, 4 * HOUR), (6, 6 * HOUR), (12, 6 * HOUR)],
)
def test_late_deliveries_double_the_wait_up_to_six_hours(late: int, wait: timedelta) -> None:
    assert late_delay(late) == wait
    before, after = NOW - wait + SECOND, NOW - wait
    assert limited(History(late_in_a_row=late, last_late_at=before)) is not None
    assert limited(History(late_in_a_row=late, last_late_at=after)) is None


def test_late_without_a_moment_limits_nothing() -> None:
    assert limited(History(late_in_a_row=3)) is None


class TestRetry:
    @given(st.integers(1, 1000), st.text())
    def test_the_wait_is_between_half_and_the_whole_and_always_the_same(
        self, attempts: int, identity: str
    ) -> None:
        full = min(timedelta(seconds=10) * 2 ** min(attempts - 1, 20), HOUR)
        delay = retry_delay(attempts, identity)
        assert full / 2 <= delay <= full
        assert delay == retry_delay(attempts, identity)

    @given(st.text())
    def test_jitter_is_a_share(self, identity: str) -> None:
        assert 0 <= jitter(identity) < 1

    def test_jitter_spreads_a_fleet(self) -> None:
        shares = [jitter(f"enrollment:{pk}") for pk in range(1000)]
        tenths = [sum(1 for s in shares if int(s * 10) == tenth) for tenth in range(10)]
        assert min(tenths) > 60

    def test_the_cas_own_wish_counts_when_it_is_longer(self) -> None:
        assert retry_delay(1, "x", at_least=2 * HOUR) == 2 * HOUR
        assert retry_delay(1, "x", at_least=SECOND) > SECOND


def test_the_reason_is_one_sentence_with_the_moment_to_ask_again() -> None:
    assert Limited("Too many", None).sentence == "Too many."
    found = limited(History(unproven_deliveries=(NOW, NOW)))
    assert found is not None
    assert found.sentence == (
        "Two certificates were delivered and not used yet; ask again after "
        f"{NOW + GRACE:%Y-%m-%d %H:%M} UTC."
    )
