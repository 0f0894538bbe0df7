"""A day that a filter names is a day of whoever asks: the one that the page shows."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.audit import search
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from portal.days import days_of, utc_day
from renewal.models import Certificate
from tests.portal.pages import fleet as rows

DAYS = {
    "a day of UTC": ("UTC", "2026-12-01", "2026-12-01T00:00", "2026-12-02T00:00"),
    "a day of Berlin's winter": (
        "Europe/Berlin",
        "2026-12-01",
        "2026-11-30T23:00",
        "2026-12-01T23:00",
    ),
    "a week": ("Europe/Berlin", "2026-06-01..2026-06-07", "2026-05-31T22:00", "2026-06-07T22:00"),
    "23 hours: the clocks go forward": (
        *("Europe/Berlin", "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),
    ),
    "25 hours: the clocks go back": (
        *("Europe/Berlin", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),
    ),
    "a week over a change": (
        *("Europe/Berlin", "2026-10-19..2026-10-25", "2026-10-18T22:00", "2026-10-25T23:00"),
    ),
    "a day that has no midnight": (
        *("Africa/Cairo", "2026-04-24", "2026-04-23T22:00", "2026-04-24T21:00"),
    ),
    "a day that has two": (
        *("America/Havana", "2026-11-01", "2026-11-01T04:00", "2026-11-02T05:00"),
    ),
    "half an hour": ("Asia/Kolkata", "2026-12-01", "2026-11-30T18:30", "2026-12-01T18:30"),
    "a day of UTC from elsewhere": (
        *("Asia/Kolkata", "2026-12-01Z", "2026-12-01T00:00", "2026-12-02T00:00"),
    ),
    "days of UTC from elsewhere": (
        *("Europe/Berlin", "2026-12-01..2026-12-02Z", "2026-12-01T00:00", "2026-12-03T00:00"),
    ),
}


@pytest.mark.parametrize(("zone", "text", "begin", "end"), DAYS.values(), ids=DAYS)
def test_a_day_lies_between_its_first_moment_and_the_next_ones(zone, text, begin, end):
    with timezone.override(ZoneInfo(zone)):
        days = days_of(text)
    assert str(days) == text
    assert (days.begin, days.end) == tuple(
        datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (begin, end)
    )


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize(
    "text",
    ["", "Z", "30d", "2026-13-01", "2026-12-02..2026-12-01", "2026-12-01..", "9999-12-31"],
)
def test_what_is_no_day_is_refused(zone, text):
    with timezone.override(ZoneInfo(zone)), pytest.raises(ValueError, match=r"."):
        days_of(text)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/Havana"])
def test_the_days_of_lists_and_exports_are_those_that_the_page_shows(fleet, admin, zone):
    """Every half hour around two midnights and around both changes of the clocks."""
    admin.cookies["zone"] = zone
    moments = {
        datetime(2027, *start, 16, tzinfo=UTC) + timedelta(minutes=30 * step)
        for start in ((3, 27), (10, 30))
        for step in range(3 * 48)
    }
    columns = ("service_account", "status", "created_at", "platform")
    record_of = Orchestrator.objects.filter(pk=fleet.calm.pk).values(*columns).get()
    for number, moment in enumerate(sorted(moments)):
        Orchestrator.objects.create(
            **{name: record_of[name] for name in columns if name != "service_account"},
            service_account_id=record_of["service_account"],
            client_machine=f"at-{number}",
            name_key=f"at-{number}",
            certificate_not_after=moment,
            certificate_counted_from=moment - timedelta(days=365),
        )
    local = ZoneInfo(zone)
    for day in (date(2027, 3, 28), date(2027, 10, 31)):
        expected = {m for m in moments if m.astimezone(local).date() == day}
        assert 2 * 23 <= len(expected) <= 2 * 25
        html = admin.get("/orchestrators", {"ends": str(day)}).content.decode()
        assert set(re.findall(r"<td[^>]* class=\"left\">.*?>(2027-\d\d-\d\d)</time>", html)) == {
            str(day)
        }
        text = admin.get("/orchestrators/export.json", {"ends": str(day)}).getvalue()
        assert len(json.loads(text)) == len(expected)
        of_utc = admin.get("/orchestrators/export.json", {"ends": str(utc_day(day))}).getvalue()
        assert len(json.loads(of_utc)) == 48


def test_certificates_end_on_the_day_that_the_page_shows(fleet, admin):
    admin.cookies["zone"] = "Asia/Kolkata"
    Certificate.objects.filter(orchestrator=fleet.calm).update(
        not_after=datetime(2027, 5, 3, 20, 0, tzinfo=UTC)
    )
    for day, number in (("2027-05-03", 0), ("2027-05-04", 1), ("2027-05-03Z", 1)):
        page = admin.get("/certificates", {"ends": day})
        assert len(page.context["rows"]) == number, day
        assert page.context["chips"][0].value == f"on {day[:10]}{' UTC' if day[10:] else ''}"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "UTC"])
def test_the_audit_logs_days_are_those_of_whoever_asks(admin, zone, monkeypatch):
    """At any time of the day one of these zones has another date than UTC."""
    admin.cookies["zone"] = zone
    for _ in range(6):
        record(
            Actor("anna"),
            Category.SETTING,
            "setting_changed",
            object_type="setting",
            object_id="7",
            message="the needle",
        )
    at = AuditEntry.objects.filter(actor_name="anna").earliest("pk").at
    # Few windows, whatever the numbers of the rows are by now.
    newest = AuditEntry.objects.latest("pk").pk
    monkeypatch.setattr(search, "WINDOW_ROWS", max(2, newest // 20))
    day = at.astimezone(ZoneInfo(zone)).date()
    for asked, number in (
        ({"since": day, "until": day}, 6),
        ({"since": day + rows.DAY}, 0),
        ({"until": day - rows.DAY}, 0),
        ({"since": f"{utc_day(at.date())}", "until": f"{utc_day(at.date())}"}, 6),
        # A moment without a zone is the visitor's as well.
        ({"since": f"{day}T00:00", "until": f"{day + rows.DAY}T00:00"}, 6),
    ):
        page = admin.get("/audit", asked | {"who": "anna"})
        assert sum(1 + len(group.others) for group in page.context["groups"]) == number, asked
        text = admin.get("/audit/export.csv", asked | {"q": "needle"}).getvalue().decode()
        assert len(list(csv.DictReader(io.StringIO(text)))) == number, asked
