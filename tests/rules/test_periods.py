"""When a certificate is due: both periods at -1 s, 0 and +1 s, for lifetimes from 1 h to 10 years.

Owns time. Which certificate counts is `test_decision_table.py`'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.protocol.codes import Code
from renewal.rules.decision import CertificateFacts, decide
from renewal.rules.periods import (
    Level,
    Periods,
    days_left,
    is_valid,
    session_length,
    whole_second,
    window,
)
from renewal.rules.standing import Standing
from tests.rules.facts import DAY, NOW, SECOND, presents

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
PERIODS = Periods()

LIFETIMES = {
    "one hour": (HOUR, 30 * MINUTE, 5 * MINUTE),
    "seven days": (7 * DAY, 84 * HOUR, 14 * HOUR),
    "90 days": (90 * DAY, 45 * DAY, 7 * DAY + 12 * HOUR),
    "one year": (365 * DAY, 180 * DAY, 30 * DAY),
    "ten years": (3650 * DAY, 180 * DAY, 30 * DAY),
}
"""Lifetime, warning period and expiry period."""


def level_with(left: timedelta, lifetime: timedelta) -> Level:
    not_after = NOW + left
    return window(PERIODS, counted_from=not_after - lifetime, not_after=not_after, now=NOW)


@pytest.mark.parametrize(
    ("lifetime", "warning", "expiry"), LIFETIMES.values(), ids=LIFETIMES.keys()
)
class TestBoundaries:
    def test_the_warning_period_begins_at_its_second(
        self, lifetime: timedelta, warning: timedelta, expiry: timedelta
    ) -> None:
        assert level_with(warning + SECOND, lifetime) is Level.NONE
        assert level_with(warning, lifetime) is Level.WARNING
        assert level_with(warning - SECOND, lifetime) is Level.WARNING

    def test_the_expiry_period_begins_at_its_second(
        self, lifetime: timedelta, warning: timedelta, expiry: timedelta
    ) -> None:
        assert level_with(expiry + SECOND, lifetime) is Level.WARNING
        assert level_with(expiry, lifetime) is Level.EXPIRY
        assert level_with(expiry - SECOND, lifetime) is Level.EXPIRY

    def test_not_after_itself_is_valid(
        self, lifetime: timedelta, warning: timedelta, expiry: timedelta
    ) -> None:
        def code(left: timedelta) -> Code | None:
            return decide(presents(certificate=_certificate(left, lifetime))).code

        assert code(SECOND) is Code.MUST_RENEW
        assert code(timedelta(0)) is Code.MUST_RENEW
        assert code(-SECOND) is Code.CERTIFICATE_EXPIRED

    def test_not_before_itself_is_valid(
        self, lifetime: timedelta, warning: timedelta, expiry: timedelta
    ) -> None:
        def code(age: timedelta) -> Code | None:
            return decide(presents(certificate=_certificate(lifetime - age, lifetime))).code

        assert code(-SECOND) is Code.CERTIFICATE_NOT_YET_VALID
        assert code(timedelta(0)) is None
        assert code(SECOND) is None

    def test_a_fraction_of_a_second_does_not_move_a_boundary(
        self, lifetime: timedelta, warning: timedelta, expiry: timedelta
    ) -> None:
        facts = presents(certificate=_certificate(timedelta(0), lifetime))
        late = replace(facts, now=NOW + timedelta(microseconds=999_999))
        assert decide(late).code is Code.MUST_RENEW


def _certificate(left: timedelta, lifetime: timedelta) -> CertificateFacts:
    not_after = NOW + left
    return CertificateFacts(
        not_before=not_after - lifetime,
        not_after=not_after,
        counted_from=not_after - lifetime,
        standing=Standing.CURRENT,
    )


class TestClamp:
    def test_a_one_year_certificate_has_the_periods_of_the_source(self) -> None:
        assert PERIODS.warning_for(365 * DAY) == 180 * DAY
        assert PERIODS.expiry_for(365 * DAY) == 30 * DAY

    def test_the_expiry_period_is_never_longer_than_the_warning_period(self) -> None:
        odd = Periods(warning=10 * DAY, expiry=9 * DAY, warning_divisor=100, expiry_divisor=3)
        assert odd.expiry_for(100 * DAY) == odd.warning_for(100 * DAY) == DAY

    def test_a_certificate_without_a_lifetime_must_be_renewed(self) -> None:
        assert window(PERIODS, counted_from=NOW, not_after=NOW, now=NOW) is Level.EXPIRY
        later = NOW + DAY
        assert window(PERIODS, counted_from=later + DAY, not_after=later, now=NOW) is Level.EXPIRY

    def test_a_backdated_not_before_does_not_count_for_an_enrolled_certificate(self) -> None:
        """CAs backdate: a 1-hour certificate backdated by 30 minutes would be due when new."""
        issued, not_after = NOW, NOW + 30 * MINUTE
        from_issue = window(PERIODS, counted_from=issued, not_after=not_after, now=NOW)
        from_not_before = window(
            PERIODS, counted_from=NOW - 30 * MINUTE, not_after=not_after, now=NOW
        )
        assert (from_issue, from_not_before) == (Level.NONE, Level.WARNING)


lifetimes = st.timedeltas(min_value=HOUR, max_value=3653 * DAY).map(
    lambda lifetime: timedelta(seconds=int(lifetime.total_seconds()))
)
moments = st.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2049, 12, 31), timezones=st.just(UTC)
)


class TestProperties:
    @given(lifetimes, moments)
    def test_no_renewal_loop(self, lifetime: timedelta, now: datetime) -> None:
        """A certificate is at level 0 when it is fresh, and for the first half of its life."""
        counted_from = whole_second(now)
        not_after = counted_from + lifetime

        def level(at: datetime) -> Level:
            return window(PERIODS, counted_from=counted_from, not_after=not_after, now=at)

        assert level(now) is Level.NONE
        assert level(counted_from + lifetime / 2 - SECOND) is Level.NONE

    @given(lifetimes, st.integers(1, 10))
    def test_no_lock_out(self, lifetime: timedelta, heartbeat_minutes: int) -> None:
        """Who registers whenever a session ends is asked to renew while sessions are granted."""
        heartbeat = min(timedelta(minutes=heartbeat_minutes), lifetime / 12)
        counted_from, not_after, now = NOW, NOW + lifetime, NOW
        while True:
            level = window(PERIODS, counted_from=counted_from, not_after=not_after, now=now)
            if level is not Level.NONE:
                break
            now += session_length(
                setting=1380 * MINUTE, heartbeat=heartbeat, not_after=not_after, now=now
            )
        assert is_valid(not_before=counted_from, not_after=not_after, now=now)
        assert level is Level.WARNING

    @given(lifetimes, st.data())
    def test_levels_only_rise(self, lifetime: timedelta, data: st.DataObject) -> None:
        ages = st.timedeltas(min_value=timedelta(0), max_value=lifetime)
        young, old = sorted((data.draw(ages), data.draw(ages)))
        not_after = NOW + lifetime

        def level(age: timedelta) -> Level:
            return window(PERIODS, counted_from=NOW, not_after=not_after, now=NOW + age)

        assert level(young) <= level(old)

    @given(lifetimes)
    def test_the_periods_never_exceed_those_of_the_source(self, lifetime: timedelta) -> None:
        warning, expiry = PERIODS.warning_for(lifetime), PERIODS.expiry_for(lifetime)
        assert timedelta(0) < expiry < warning <= min(180 * DAY, lifetime / 2)
        assert expiry <= 30 * DAY


class TestSessionLength:
    def length(self, left: timedelta) -> timedelta:
        return session_length(
            setting=1380 * MINUTE, heartbeat=5 * MINUTE, not_after=NOW + left, now=NOW
        )

    @pytest.mark.parametrize(
        ("left", "lasts"),
        [
            (300 * DAY, 1380 * MINUTE),
            (4 * DAY, 1380 * MINUTE),
            (92 * HOUR, 1380 * MINUTE),
            (91 * HOUR, 91 * HOUR / 4),
            (HOUR, 15 * MINUTE),
            (30 * MINUTE, 10 * MINUTE),
            (MINUTE, 10 * MINUTE),
        ],
    )
    def test_a_quarter_of_what_is_left_between_two_heartbeats_and_the_setting(
        self, left: timedelta, lasts: timedelta
    ) -> None:
        assert self.length(left) == lasts


@pytest.mark.parametrize(
    ("left", "days"),
    [(DAY, 1), (DAY - SECOND, 0), (timedelta(0), 0), (-SECOND, -1), (180 * DAY + HOUR, 180)],
)
def test_days_left_are_rounded_down(left: timedelta, days: int) -> None:
    assert days_left(NOW + left, NOW) == days


@pytest.mark.parametrize(
    "not_after",
    [
        datetime(2028, 2, 29, 12, 0, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
        datetime(2050, 1, 1, 0, 0, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
    ids=["leap day", "2038", "2050", "no end"],
)
def test_odd_dates_are_dates_like_others(not_after: datetime) -> None:
    counted_from = not_after - 365 * DAY
    at = not_after - 180 * DAY

    def level(now: datetime) -> Level:
        return window(PERIODS, counted_from=counted_from, not_after=not_after, now=now)

    assert (level(at - SECOND), level(at)) == (Level.NONE, Level.WARNING)
