"""The forecast: which certificates end and which renewals fall due, by day and CA.

Owns the page, and the trial of other periods on it: nothing here changes a setting. What falls on
a day is `renewal/rules/forecast.py`'s, counted by `renewal/census.py`.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages import charts
from portal.pages.fields import fields, one_of
from portal.pages.gate import page
from portal.preferences import store
from portal.preferences.definitions import BY_NAME
from portal.preferences.typed import SettingInvalid
from renewal import census
from renewal.configuration import periods
from renewal.models import CertificateAuthority
from renewal.rules.capacity import capacity
from renewal.rules.forecast import Forecast, Lot, days_from, dues, forecast
from renewal.rules.periods import Periods
from renewal.selectors.capacity import enrollers

SPANS = (90, 180, 365)
_STEPS = 4
_WARNING, _EXPIRY = "ClientCertificateWarningDays", "ClientCertificateExpiryDays"
_AXIS_DAYS = 400
"""How far the chart of the periods reaches at least."""


@dataclass(frozen=True)
class Day:
    """One field of the calendar."""

    day: date
    ends: int
    renewals: int
    before: int
    """Renewals with the periods in force, where others are tried."""
    heat: int
    """0 for nothing, 4 for the fullest day."""
    is_chosen: bool


@dataclass(frozen=True)
class Month:
    """One month: weeks of seven fields, None where the month or the span has no day."""

    name: str
    weeks: list[list[Day | None]]


@dataclass(frozen=True)
class Sum:
    """One number of the forecast, with the periods in force and with those that are tried."""

    name: str
    now: int
    tried: int

    @property
    def change(self) -> int:
        return self.tried - self.now


@dataclass(frozen=True)
class Share:
    """Certificates of one CA, of those that end on a day: the list of that day is of all CAs."""

    authority: str
    count: int
    ends_on: date
    url: str


@page(Permission.AGENTS_READ, query=fields("span", "ca", "warning", "expiry", "day"))
def index(request: HttpRequest) -> HttpResponseBase:
    """The calendar, and one of its days."""
    now = timezone.now()
    today = now.astimezone(UTC).date()
    far = reach(request.user, Permission.AGENTS_READ)
    preferences = store.load()
    in_force = periods(preferences)
    names = dict(CertificateAuthority.objects.order_by("name").values_list("pk", "name"))
    span = int(one_of(request.GET, "span", [str(each) for each in SPANS]) or SPANS[1])
    tried, problem = _tried(request.GET, in_force)
    chosen = _day(request.GET.get("day", ""))
    issuer = one_of(request.GET, "ca", ["other", *map(str, names)])
    picture = census.latest(far, now=now)
    asked = enrollers(preferences)
    per_day = capacity(asked)
    context: dict[str, Any] = {
        "picture": picture,
        "enrollers": asked,
        "per_day": per_day,
        "today": today,
        "span": span,
        "spans": SPANS,
        "issuer": issuer,
        "authorities": [(str(pk), name) for pk, name in names.items()],
        "in_force": in_force,
        "tried": tried,
        "is_tried": tried != in_force,
        "problem": problem,
        "warning_bounds": BY_NAME[_WARNING],
        "expiry_bounds": BY_NAME[_EXPIRY],
        "weekdays": [(name[:2], name) for name in calendar.day_name],
    }
    if picture is not None:
        lots = [lot for lot in picture.lots if _is_of(lot, issuer)]
        days = days_from(today + timedelta(days=1), span)
        before = forecast(lots, in_force, today=today)
        after = before if tried == in_force else forecast(lots, tried, today=today)
        demonstration = Orchestrator.objects.filter(demonstration=True).exists()
        real = "&fleet=real" if demonstration else ""
        context |= {
            "is_empty": not lots,
            "months": _months(days, before, after, chosen),
            "sums": _sums(days, before, after, per_day),
            "load_chart": charts.load_chart(days, before, after, per_day, _day_url_of(request)),
            "weeks_chart": charts.weeks_chart(
                after,
                tried,
                today=today,
                days=max(_AXIS_DAYS, in_force.warning.days, tried.warning.days),
                real=real,
            ),
            "fullest": max(days, key=lambda day: after.renewals.get(day, 0)),
            "most": after.most(days),
            "is_too_much": per_day is not None and max(after.due_now, after.most(days)) > per_day,
            "chosen": chosen,
            "ending": _ending(lots, chosen, names) if chosen else [],
            "ending_in_all": sum(lot.count for lot in picture.lots if lot.ends_on == chosen),
            "ending_url": charts.ends_url(chosen, real=real) if chosen else "",
            "falling_due": _due(lots, tried, chosen, today, names, real) if chosen else [],
        }
    # htmx shows no reply but a good one; the page says what is wrong either way.
    is_refused = problem and "HX-Request" not in request.headers
    return render(request, "forecast/index.html", context, status=400 if is_refused else 200)


def _tried(given: Mapping[str, str], in_force: Periods) -> tuple[Periods, str]:
    """Return the periods to try, and what is wrong with them."""
    try:
        found = replace(
            in_force,
            warning=_days(given, "warning", _WARNING, in_force.warning),
            expiry=_days(given, "expiry", _EXPIRY, in_force.expiry),
        )
    except SettingInvalid as invalid:
        return in_force, str(invalid)
    if found.expiry >= found.warning:
        return in_force, "The expiry period must be shorter than the warning period."
    return found, ""


def _days(given: Mapping[str, str], name: str, setting: str, otherwise: timedelta) -> timedelta:
    text = given.get(name, "").strip()
    return timedelta(days=int(str(BY_NAME[setting].parse(text)))) if text else otherwise


def _is_of(lot: Lot, issuer: str) -> bool:
    if not issuer:
        return True
    return lot.authority is None if issuer == "other" else str(lot.authority) == issuer


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequest("A day is written as 2026-01-31.") from None


def _months(
    days: Sequence[date], before: Forecast, after: Forecast, chosen: date | None
) -> list[Month]:
    most = after.most(days)
    wanted = set(days)

    def field(day: date) -> Day | None:
        if day not in wanted:
            return None
        renewals = after.renewals.get(day, 0)
        return Day(
            day,
            after.ends.get(day, 0),
            renewals,
            before.renewals.get(day, 0),
            # Rounded up: a single renewal is never an empty field.
            -(-renewals * _STEPS // most) if most else 0,
            day == chosen,
        )

    found = []
    for year, month in sorted({(day.year, day.month) for day in days}):
        weeks = [
            [field(day) if day.month == month else None for day in week]
            for week in calendar.Calendar().monthdatescalendar(year, month)
        ]
        shown = [week for week in weeks if any(week)]
        found.append(Month(f"{calendar.month_name[month]} {year}", shown))
    return found


def _day_url_of(request: HttpRequest) -> Callable[[date], str]:
    """A day's page keeps span, CA and periods."""

    def url(day: date) -> str:
        given = request.GET.copy()
        given["day"] = str(day)
        return f"?{given.urlencode()}#day"

    return url


def _sums(
    days: Sequence[date], before: Forecast, after: Forecast, per_day: int | None
) -> list[Sum]:
    def within(found: Mapping[date, int]) -> int:
        return sum(found.get(day, 0) for day in days)

    found = [
        Sum("Asked to renew now", before.due_now, after.due_now),
        Sum("Of these, without a session until they have renewed", before.must_now, after.must_now),
        Sum(f"Fall due within {len(days)} days", within(before.renewals), within(after.renewals)),
        Sum("Fall due on the fullest day", before.most(days), after.most(days)),
    ]
    if per_day is not None:
        above = (each.days_above(days, per_day) for each in (before, after))
        found.append(Sum("Days with more than the CAs can take", *above))
    return found


def _ending(lots: Sequence[Lot], day: date, names: Mapping[int, str]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for lot in lots:
        if lot.ends_on == day:
            counts[_name(lot, names)] += lot.count
    return sorted(counts.items())


def _due(
    lots: Sequence[Lot],
    tried: Periods,
    day: date,
    today: date,
    names: Mapping[int, str],
    real: str,
) -> list[Share]:
    return [
        Share(
            _name(due.lot, names),
            due.lot.count,
            due.lot.ends_on,
            charts.ends_url(due.lot.ends_on, real=real),
        )
        for due in dues(lots, tried, day=day, today=today)[:100]
    ]


def _name(lot: Lot, names: Mapping[int, str]) -> str:
    if lot.authority is None:
        return "A CA that is not this portal's"
    return names.get(lot.authority, "A removed CA")
