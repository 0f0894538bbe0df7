"""Counting the fleet for the pages: what is counted, by whom, and when again."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.db import connection

from orchestrators import groups
from portal.access.reach import EVERYTHING, Reach
from renewal import census
from renewal.census import Begun
from renewal.models import Census, Certificate
from renewal.rules.forecast import Asked, forecast
from renewal.rules.periods import Periods
from renewal.selectors.filters import Filters, matching
from renewal.selectors.states import RenewalState
from tests.portal.pages import fleet as rows
from tests.portal.pages.conftest import fleet, now

__all__ = ["fleet", "now"]

pytestmark = pytest.mark.both_databases
MINUTE = timedelta(minutes=1)


def test_what_is_counted_is_what_the_list_shows(fleet, now):
    assert census.latest(EVERYTHING, now=now) is None
    assert census.take_due(now=now) == 1
    picture = census.latest(EVERYTHING, now=now)
    today = now.astimezone(UTC).date()
    foreseen = forecast(picture.lots, Periods(), today=today)

    def listed(*states: RenewalState) -> int:
        return sum(
            matching(
                Filters(state=s, demonstration=False), Periods(), reach=EVERYTHING, now=now
            ).count()
            for s in states
        )

    required, warned = listed(RenewalState.REQUIRED), listed(RenewalState.WARNING)
    assert (foreseen.due_now, foreseen.must_now) == (required + warned, required)
    assert {lot.authority for lot in picture.lots} == {rows.authority(now).pk}
    assert [lot.count for lot in picture.lots if lot.asked is Asked.RENEWED] == [1]
    in_use = Certificate.objects.filter(
        standing__in=["current", "legacy"],
        orchestrator__demonstration=False,
        revoked_at=None,
        not_after__gt=now,
    )
    assert sum(kind.count for kind in picture.keys) == in_use.count()
    assert {kind.name for kind in picture.keys} == {"EC 256"}
    assert [(done.issued, done.used) for done in picture.done] in (
        [(2, 1)],
        [(1, 0), (1, 1)],
        [(1, 1), (1, 0)],
    )


def test_a_reach_is_counted_by_itself_once_somebody_asked(fleet, now):
    group, _ = groups.save_group("Berlin", actor=rows.ALICE, now=now)
    groups.assign([fleet.calm.pk], group, actor=rows.ALICE)
    limited = Reach(groups=frozenset({group.pk}), labels=frozenset({("site", "b")}))
    assert census.latest(limited, now=now) is None
    assert census.take_due(now=now) == 2
    picture = census.latest(limited, now=now)
    assert [lot.count for lot in picture.lots] == [1]
    # What nobody has looked at for a day is not counted again, and is gone after a month.
    assert census.take_due(now=now + timedelta(days=2)) == 1
    census.take_due(now=now + timedelta(days=40))
    assert [row.key for row in Census.objects.all()] == [census.EVERYTHING_KEY]


def test_a_count_costs_at_most_a_hundredth_of_the_time(db, now):
    census.take_due(now=now)
    assert census.take_due(now=now + timedelta(seconds=30)) == 0
    assert census.take_due(now=now + MINUTE) == 1
    Census.objects.update(seconds=3)
    assert census.take_due(now=now + 5 * MINUTE) == 0
    assert census.last_begun() == Begun(now + MINUTE, 5 * MINUTE)
    assert census.take_due(now=now + 6 * MINUTE) == 1


def test_a_count_that_takes_long_is_not_begun_a_second_time_meanwhile(fleet, now, monkeypatch):
    count, again = census._count, []

    def slow(reach, moment):
        again.append(census.take_due(now=now + 2 * MINUTE))
        return count(reach, moment)

    monkeypatch.setattr(census, "_count", slow)
    assert census.take_due(now=now) == 1
    assert again == [0]
    assert census.latest(EVERYTHING, now=now) is not None
    # One whose worker did not come back is begun again.
    monkeypatch.setattr(census, "_count", count)
    Census.objects.update(begun_at=now, counted_at=None)
    assert census.take_due(now=now + 14 * MINUTE) == 0
    assert census.take_due(now=now + 16 * MINUTE) == 1


def test_a_count_that_another_thread_lets_go_meanwhile_is_still_told(fleet, now):
    census.take_due(now=now)
    read = census.latest(EVERYTHING, now=now)
    assert read is not None

    def dropping(execute, *statement):
        census._KEPT.clear()
        return execute(*statement)

    with connection.execute_wrapper(dropping):
        assert census.latest(EVERYTHING, now=now) is read
    assert census.latest(EVERYTHING, now=now) == read
