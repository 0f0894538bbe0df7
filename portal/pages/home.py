"""The first page: what is going on, and what is still to be set up.

Owns the page; what is counted, and how, is `renewal/selectors/overview.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from portal import health
from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.pages import charts
from portal.pages.first_steps import steps
from portal.pages.gate import page
from portal.preferences import store
from renewal import census
from renewal.alarms import alarms
from renewal.census import Begun, Picture
from renewal.configuration import by_settings, periods
from renewal.rules.alarms import Alarm, Kind
from renewal.rules.forecast import days_from
from renewal.rules.periods import Periods
from renewal.selectors.authority_states import state_of
from renewal.selectors.counting import Count
from renewal.selectors.overview import DEMONSTRATION_CAP, Overview, overview, set_up
from renewal.selectors.states import LABELS, RenewalState

_ORDER = (
    RenewalState.WAITING,
    RenewalState.EXPIRED,
    RenewalState.REQUIRED,
    RenewalState.WARNING,
    RenewalState.UNUSED,
    RenewalState.ENROLLING,
    RenewalState.OK,
    RenewalState.DISAPPROVED,
)


@page()
def home(request: HttpRequest) -> HttpResponseBase:
    """The first page."""
    now = timezone.now()
    preferences = store.load()
    offset = health.clock_offset_seconds()
    context: dict[str, Any] = {
        "steps": [],
        "clock_offset": round(offset, 1),
        "clocks_agree": abs(offset) <= health.MOST_CLOCK_OFFSET_SECONDS,
        "most_clock_offset": health.MOST_CLOCK_OFFSET_SECONDS,
        "broker_answers": health.broker_answers(),
        "resetter_may_approve": not preferences.flag("ApproverDiffersFromResetter"),
    }
    if holds(request.user, Permission.AGENTS_READ):
        far = reach(request.user, Permission.AGENTS_READ)
        known = periods(preferences)
        seen = overview(known, reach=far, now=now)
        standard = by_settings(preferences)
        begun = census.last_begun()
        raised = alarms(begun, standard, now=now)
        # Beside a demonstration fleet, a number leads to the records that it counts.
        real = "&fleet=real" if seen.demonstration else ""
        picture = census.latest(far, now=now)
        tally = seen.tally if picture is None else seen.tally.with_census(picture.states)
        context |= {
            "overview": seen,
            "authorities": [(row, state_of(row)) for row in seen.authorities],
            "hindering": {alarm.authority for alarm in raised},
            "total": tally.total,
            "tiles": [(s, LABELS[s], tally.by_state[s]) for s in _ORDER],
            "demonstration": [
                (s, LABELS[s], seen.demonstration[s]) for s in _ORDER if seen.demonstration.get(s)
            ],
            "demonstration_total": (shown := sum(seen.demonstration.values())),
            "demonstration_is_cut": shown >= DEMONSTRATION_CAP,
            "real": real,
            "workers": _workers(begun, raised),
            "alarms": raised,
            "steps": steps(set_up(standard), request.user),
            "offline": seen.offline.with_census(picture.offline if picture else None),
            "offline_hours": known.offline_after / timedelta(hours=1),
            **_charts(picture, seen, known, real=real, now=now),
        }
    return render(request, "home.html", context)


@dataclass(frozen=True)
class Workers:
    """What is known of the workers: when one looked for work last."""

    last_seen: datetime | None
    is_late: bool
    is_behind: bool
    """What one does every second waits: perhaps none runs any more, which is known in minutes."""


def _workers(begun: Begun | None, raised: list[Alarm]) -> Workers:
    kinds = {alarm.kind for alarm in raised}
    return Workers(
        begun.at if begun else None,
        is_late=Kind.BACKGROUND_WORK in kinds,
        is_behind=Kind.AUDIT_SEAL in kinds,
    )


def _charts(
    picture: Picture | None, seen: Overview, known: Periods, *, real: str, now: datetime
) -> dict[str, Any]:
    if picture is None:
        return {"picture": None, "ends_within": seen.ends_within, "unable": {}}
    today = now.astimezone(UTC).date()
    foreseen = picture.foreseen(known, today=today)
    return {
        "picture": picture,
        "ends_within": {
            days: count.with_census(
                sum(foreseen.ends.get(day, 0) for day in days_from(today, days))
            )
            for days, count in seen.ends_within.items()
        },
        "unable": {days: Count(0, True, number) for days, number in picture.unable.items()},
        "day_charts": [
            charts.ends_chart(foreseen, today=today, real=real),
            charts.renewals_chart(picture, foreseen, today=today),
        ],
        "keys_chart": charts.keys_chart(picture, real=real),
    }
