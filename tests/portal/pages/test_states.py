"""The state of a row: its word, and the database filter that must agree with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrators.models import Orchestrator, Status
from renewal.rules.periods import Level, Periods
from renewal.selectors.states import (
    LABELS,
    RenewalState,
    at_level,
    having,
    level_of,
    state_expression,
    state_of,
)
from tests.portal.pages import fleet as rows

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
LIFETIMES = (timedelta(hours=1), 7 * DAY, 90 * DAY, 365 * DAY, 3650 * DAY)
PERIODS = (
    Periods(),
    Periods(warning=timedelta(days=20), expiry=timedelta(days=5), warning_divisor=3),
)


def edges(lifetime: timedelta, periods: Periods) -> list[timedelta]:
    """Times left around each boundary."""
    marks = [timedelta(0), periods.warning_for(lifetime), periods.expiry_for(lifetime), lifetime]
    return [mark + step for mark in marks for step in (-SECOND, timedelta(0), SECOND)]


def test_every_state_has_a_label():
    assert set(LABELS) == set(RenewalState)


@pytest.mark.parametrize("periods", PERIODS)
def test_each_record_is_found_by_the_filter_of_its_state_and_by_no_other(db, now, periods):
    account = rows.service_account()
    moment = now.replace(microsecond=0)
    made = [
        Orchestrator(
            service_account=account,
            status=status,
            flag=flag,
            awaiting_first_use_since=since,
            certificate_not_after=moment + left,
            certificate_counted_from=moment + left - lifetime,
            created_at=now,
        )
        for lifetime in LIFETIMES
        for left in edges(lifetime, periods)
        for flag in (0, 1, 2)
        for since in (None, now)
        for status in (Status.APPROVED,)
    ]
    made += [
        Orchestrator(
            service_account=account,
            status=status,
            awaiting_first_use_since=since,
            flag=flag,
            created_at=now,
        )
        for status in Status
        for since in (None, now)
        for flag in (0, 2)
    ]
    Orchestrator.objects.bulk_create(made)
    for instant in (moment, moment + timedelta(microseconds=700_000)):
        found = {
            state: set(
                Orchestrator.objects.filter(having(state, periods, now=instant)).values_list(
                    "pk", flat=True
                )
            )
            for state in RenewalState
        }
        expression = state_expression(periods, now=instant)
        for record in Orchestrator.objects.annotate(told=expression):
            told = state_of(record, periods, now=instant)
            assert record.told == told
            filtered = [state for state, keys in found.items() if record.pk in keys]
            left = (record.certificate_not_after or instant) - instant
            assert filtered == [told], f"flag {record.flag}, {left} left"
        levels = {
            level: set(
                Orchestrator.objects.filter(at_level(level, periods, now=instant)).values_list(
                    "pk", flat=True
                )
            )
            for level in Level
        }
        for record in Orchestrator.objects.all():
            filtered = [level for level, keys in levels.items() if record.pk in keys]
            assert filtered == [level_of(record, periods, now=instant)]


def test_the_fleet_shows_every_state(fleet, now):
    periods = Periods()
    expected = {
        fleet.calm: RenewalState.OK,
        fleet.warned: RenewalState.WARNING,
        fleet.must_renew: RenewalState.REQUIRED,
        fleet.expired: RenewalState.EXPIRED,
        fleet.unused: RenewalState.UNUSED,
        fleet.waiting: RenewalState.WAITING,
        fleet.enrolling: RenewalState.ENROLLING,
        fleet.disapproved: RenewalState.DISAPPROVED,
        fleet.requested: RenewalState.WARNING,
    }
    assert {o: state_of(o, periods, now=now) for o in expected} == expected
