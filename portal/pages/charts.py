"""Charts of the fleet, each a table first: the script draws what the table says.

Owns their rows, words and links. What a day holds is `renewal/rules/forecast.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from urllib.parse import urlencode

from django.urls import reverse

from portal.days import utc_day
from renewal.census import DONE_DAYS, KeyKind, Picture
from renewal.rules.forecast import Forecast, days_from
from renewal.rules.periods import Periods
from renewal.selectors import certificates

ENDS_DAYS = 90
PLANNED_DAYS = 60
_WEEK = 7
DayUrl = Callable[[date], str]


@dataclass(frozen=True)
class Cell:
    """One number of a chart and the list behind it (empty: there is none)."""

    number: int | None
    url: str = ""


@dataclass(frozen=True)
class Row:
    """One day, or one kind."""

    name: str
    cells: tuple[Cell, ...]
    share: int = 0
    """Of the greatest row, in percent."""


@dataclass(frozen=True)
class Series:
    """A column of a chart: its name and how it is drawn (`static/js/charts.js`)."""

    name: str
    style: str


@dataclass(frozen=True)
class Chart:
    """A chart and its table."""

    key: str
    title: str
    summary: str
    first: str
    """Head of the first column."""
    series: tuple[Series, ...]
    nothing: str
    """What is said in the place of a chart without a number."""
    rows: list[Row] = field(default_factory=list)
    until: date | None = None
    """Last day of the axis, where it does not end with the rows."""

    @property
    def is_empty(self) -> bool:
        return not any(cell.number for row in self.rows for cell in row.cells)


def ends_chart(foreseen: Forecast, *, today: date, real: str) -> Chart:
    """Certificates in use that end, by day."""
    days = days_from(today, ENDS_DAYS)
    rows = [
        Row(str(day), (_counted(foreseen.ends.get(day, 0), ends_url(day, real=real)),))
        for day in days
    ]
    total = sum(foreseen.ends.get(day, 0) for day in days)
    return Chart(
        "ends",
        f"Certificates that end within {ENDS_DAYS} days",
        f"{total:,} in use, if none of them is renewed.",
        "Day",
        (Series("Certificates that end", "ends"),),
        f"No certificate in use ends within {ENDS_DAYS} days.",
        rows,
    )


def renewals_chart(picture: Picture, foreseen: Forecast, *, today: date) -> Chart:
    """Renewals of the last weeks, and those that the portal will ask for."""
    done = {each.day: each for each in picture.done}
    past = days_from(today - timedelta(days=DONE_DAYS - 1), DONE_DAYS)
    rows = []
    for day in past:
        found = done.get(day)
        issued, used = (found.issued, found.used) if found else (0, 0)
        cells = (_counted(issued, issued_url(day)), Cell(used), Cell(None))
        rows.append(Row(str(day), cells))
    coming = days_from(today + timedelta(days=1), PLANNED_DAYS)
    rows += [
        Row(
            str(day),
            (Cell(None), Cell(None), _counted(foreseen.renewals.get(day, 0), day_url(day))),
        )
        for day in coming
    ]
    planned = sum(foreseen.renewals.get(day, 0) for day in coming)
    issued = sum(each.issued for each in picture.done if each.day >= past[0])
    return Chart(
        "renewals",
        "Renewals done and planned",
        f"{issued:,} issued in the last {DONE_DAYS} days; {planned:,} fall due in the next "
        f"{PLANNED_DAYS}, besides {foreseen.due_now:,} that are due now.",
        "Day",
        (Series("Issued", "issued"), Series("Used since", "used"), Series("Planned", "planned")),
        f"Nothing was renewed in {DONE_DAYS} days, and nothing falls due in {PLANNED_DAYS}.",
        rows,
    )


def weeks_chart(foreseen: Forecast, tried: Periods, *, today: date, days: int, real: str) -> Chart:
    """Certificates in use by the week in which they end, on which the periods are drawn."""
    rows = []
    for first in days_from(today, days)[::_WEEK]:
        week = days_from(first, _WEEK)
        number = sum(foreseen.ends.get(day, 0) for day in week)
        rows.append(Row(str(first), (_counted(number, ends_url(first, week[-1], real=real)),)))
    return Chart(
        "periods",
        "When certificates end, and how far the periods reach",
        "What ends before a line is within that period. Drag a line, or move it with the arrow "
        "keys, to see what another period would change. A certificate's warning period is never "
        f"longer than 1/{tried.warning_divisor} of its lifetime, its expiry period never longer "
        f"than 1/{tried.expiry_divisor}.",
        "Week from",
        (Series("Certificates that end", "weeks"),),
        "No certificate in use ends in this time.",
        rows,
        until=today + timedelta(days=days),
    )


def load_chart(
    days: Sequence[date], before: Forecast, after: Forecast, per_day: int | None, url_of: DayUrl
) -> Chart:
    """Renewals that fall due, by day, against what the CAs can take."""
    is_tried = after is not before
    series = [Series("Fall due", "planned")]
    if is_tried:
        series.insert(0, Series("With the periods in force", "before"))
    if per_day is not None:
        series.append(Series("The CAs' capacity", "capacity"))
    rows = []
    for day in days:
        cells = [_counted(after.renewals.get(day, 0), url_of(day))]
        if is_tried:
            cells.insert(0, Cell(before.renewals.get(day, 0)))
        if per_day is not None:
            cells.append(Cell(per_day))
        rows.append(Row(str(day), tuple(cells)))
    total = sum(after.renewals.get(day, 0) for day in days)
    return Chart(
        "load",
        "Renewals that fall due, by day",
        f"{total:,} in {len(days)} days, besides {after.due_now:,} that are due now.",
        "Day",
        tuple(series),
        f"No renewal falls due within {len(days)} days.",
        rows if total else [],
    )


def keys_chart(picture: Picture, *, real: str) -> Chart:
    """Keys of the certificates in use, by kind."""
    most = max((kind.count for kind in picture.keys), default=1)
    rows = [
        Row(
            f"{kind.name}{f', {kind.signature_hash}' if kind.signature_hash else ''}",
            (_counted(kind.count, keys_url(kind, real=real)),),
            round(100 * kind.count / most),
        )
        for kind in picture.keys
    ]
    total = sum(kind.count for kind in picture.keys)
    return Chart(
        "keys",
        "Keys of the certificates in use",
        f"{total:,} certificates, by key and hash of the signature.",
        "Key",
        (Series("Certificates", "ends"),),
        "No orchestrator has a certificate in use.",
        rows,
    )


def ends_url(first: date, last: date | None = None, *, real: str) -> str:
    """Return the list of the orchestrators whose certificates end on a day, or from one to another,
    as a census has them.
    """
    return f"{reverse('orchestrators')}?{urlencode({'ends': utc_day(first, last)})}{real}"


def issued_url(day: date) -> str:
    """Return the list of the enrollments of the real fleet that were issued on a day of UTC."""
    query = {"state": "issued", "ended": str(utc_day(day)), "fleet": "real"}
    return f"{reverse('enrollments')}?{urlencode(query)}"


def day_url(day: date) -> str:
    """Return the page of one day of the forecast."""
    return f"{reverse('forecast')}?{urlencode({'day': str(day)})}#day"


def keys_url(kind: KeyKind, *, real: str) -> str:
    """Return the list of the certificates in use with keys and signatures of one kind."""
    query = {
        "key": f"{kind.algorithm}-{kind.size}",
        "use": "in-use",
        "hash": kind.signature_hash or certificates.NO_HASH,
    }
    return f"{reverse('certificates')}?{urlencode(query)}{real}"


def _counted(number: int, url: str) -> Cell:
    return Cell(number, url if number else "")
