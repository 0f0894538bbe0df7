"""The first page's charts and the forecast: every number leads to the list behind it."""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from html import unescape

import pytest

from orchestrators.models import Orchestrator, Status
from portal.access.catalogue import Permission
from portal.access.reach import EVERYTHING
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal import census
from renewal.models import Census, CertificateAuthority
from renewal.readiness import lacking_among
from renewal.selectors.marks import Mark
from tests.portal.access.conftest import group, role, user
from tests.portal.pages import fleet as rows

DAY = timedelta(days=1)


def links(html: str) -> list[str]:
    return [unescape(url) for url in re.findall(r'<a [^>]*href="([^"]+)"', html)]


def test_the_numbers_of_the_charts_lead_to_as_many_orchestrators(fleet, admin, now):
    assert "A worker counts the fleet within a minute" in admin.get("/").content.decode()
    census.take_due(now=now)
    html = admin.get("/").content.decode()
    charts = html[html.index('data-chart="ends"') :]
    found = re.findall(r'data-number="(\d+)"><a href="([^"]+ends=[^"]+)"', charts)
    assert found
    for number, url in found:
        assert admin.get(unescape(url)).context["matches"].value == int(number), url


def test_the_kinds_of_keys_lead_to_as_many_certificates(fleet, admin, now):
    fleet.calm.certificates.update(signature_hash="sha1")
    fleet.warned.certificates.update(signature_hash="")
    fleet.expired.certificates.update(signature_hash="sha1")
    Orchestrator.objects.filter(pk=fleet.must_renew.pk).update(demonstration=True)
    fleet.renewed.certificates.filter(standing="current").update(revoked_at=now)
    census.take_due(now=now)
    chart = admin.get("/").context["keys_chart"]
    assert len(chart.rows) == 3
    for row in chart.rows:
        (cell,) = row.cells
        assert len(admin.get(cell.url).context["rows"]) == cell.number, cell.url


def test_silent_workers_are_told_whatever_the_ca(fleet, admin, client, now):
    # What was set up a moment ago waits for its first worker.
    text = admin.get("/").content.decode()
    assert "Workers: <b>not seen yet</b>" in text
    assert "nothing is renewed until one runs" in text
    assert "silent" not in admin.get("/").content.decode()
    CertificateAuthority.objects.update(created_at=now - timedelta(hours=1), type="anything")
    assert "silent" in admin.get("/").content.decode()
    assert "background_work" in client.get("/readyz").json()["degraded"]["alarms"]
    census.take_due(now=now)
    assert "silent" not in admin.get("/").content.decode()
    Census.objects.update(begun_at=now - timedelta(hours=3))
    assert "silent" in admin.get("/").content.decode()


def test_workers_are_not_called_well_while_the_log_waits_for_its_seal(
    fleet, admin, now, monkeypatch
):
    census.take_due(now=now)
    assert "Workers: <b>ok</b>" in admin.get("/").content.decode()
    monkeypatch.setattr("renewal.alarms.unsealed_since", lambda now: now - timedelta(minutes=2))
    assert "Workers: <b>behind</b>" in admin.get("/").content.decode()
    Census.objects.update(begun_at=now - timedelta(hours=3))
    assert "Workers: <b>silent</b>" in admin.get("/").content.decode()


class TestForecast:
    @pytest.fixture(autouse=True)
    def _counted(self, fleet, now):
        self.fleet = fleet
        census.take_due(now=now)

    def test_a_day_shows_what_falls_due_and_leads_to_those_orchestrators(self, admin, now):
        ends = self.fleet.calm.certificate_not_after.astimezone(UTC).date()
        day = ends - 180 * DAY
        page = admin.get(f"/forecast?day={day}")
        (share,) = page.context["falling_due"]
        assert (share.count, share.ends_on) == (1, ends)
        assert "app-server-01.example.com" in admin.get(share.url).content.decode()
        shown = admin.get(f"/forecast?day={ends}").context
        assert [count for _, count in shown["ending"]] == [1] == [shown["ending_in_all"]]
        assert "app-server-01.example.com" in admin.get(shown["ending_url"]).content.decode()

    def test_other_periods_are_tried_and_nothing_changes(self, admin):
        before = {s.name: s.now for s in admin.get("/forecast").context["sums"]}
        page = admin.get("/forecast?warning=60&expiry=5")
        tried = {s.name: s.tried for s in page.context["sums"]}
        assert {s.name: s.now for s in page.context["sums"]} == before
        assert before["Asked to renew now"] == 3
        # Left: the one that an operator asked; nobody else has less than 60 days but edge-gateway.
        assert tried["Asked to renew now"] == 2
        for setting, days in (("Warning", 60), ("Expiry", 5)):
            assert f"/settings/ClientCertificate{setting}Days?value={days}" in page.content.decode()
        assert not AuditEntry.objects.filter(action="setting_changed").exists()

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("warning=10&expiry=20", "must be shorter"),
            ("warning=0", "between 1 and 3650 days"),
            ("expiry=x", "a whole number"),
        ],
    )
    def test_periods_that_cannot_be_are_refused_with_the_reason(self, admin, query, said):
        page = admin.get(f"/forecast?{query}")
        assert page.status_code == 400
        assert said in page.content.decode()
        assert page.context["tried"] == page.context["in_force"]

    def test_the_capacity_of_the_cas_stands_beside_what_falls_due(self, admin, now):
        (enroller,) = admin.get("/forecast").context["enrollers"]
        own = CertificateAuthority.objects.filter(name=enroller.name)
        own.update(last_answer_seconds=None)
        page = admin.get("/forecast")
        assert page.context["per_day"] is None
        assert "has not answered anything yet" in page.content.decode()
        # Four calls at once of two days each: two of the three that are due now fit into a day.
        own.update(last_answer_seconds=43_200 * 4, type="anything")
        page = admin.get("/forecast")
        assert page.context["per_day"] == 2
        html = page.content.decode()
        assert "More falls due than fits into a day." in html
        chart = page.context["load_chart"]
        assert [series.style for series in chart.series] == ["planned", "capacity"]
        assert {row.cells[-1].number for row in chart.rows} == {2}
        tried = admin.get("/forecast?warning=60").context["load_chart"]
        assert [series.style for series in tried.series] == ["before", "planned", "capacity"]
        own.update(enabled=False)
        assert admin.get("/forecast").context["per_day"] == 0
        store.change("CertificateAuthorityForSubmittedCSRs", "", actor=rows.ALICE, now=now)
        assert "nothing can be renewed" in admin.get("/forecast").content.decode()

    def test_the_weeks_lead_to_the_orchestrators_whose_certificates_end_in_them(self, admin):
        rows_ = admin.get("/forecast").context["weeks_chart"].rows
        cells = [row.cells[0] for row in rows_ if row.cells[0].number]
        assert cells
        for cell in cells:
            assert admin.get(cell.url).context["matches"].value == cell.number, cell.url

    def test_it_is_narrowed_to_one_ca(self, admin, now):
        rows.authority(now, "Another CA")
        another = rows.authority(now, "Another CA").pk
        everything = admin.get("/forecast").context["sums"][0].now
        assert admin.get(f"/forecast?ca={another}").context["sums"][0].now == 0
        own = admin.get(f"/forecast?ca={rows.authority(now).pk}").context["sums"][0].now
        assert own == everything

    def test_what_is_empty_in_the_query_shows_the_whole_calendar(self, admin):
        page = admin.get("/forecast?day=&span=&ca=")
        assert page.status_code == 200
        assert len(page.context["months"]) >= 6


@pytest.mark.both_databases
def test_who_cannot_renew_bears_the_mark_and_is_counted_by_when_they_end(fleet, admin, now):
    def marked(query: str) -> set[str]:
        response = admin.get(f"/orchestrators?mark=cannot-renew{query}")
        return {row.orchestrator.client_machine for row in response.context["page"].rows}

    assert marked("") == set()
    rightless = rows.user("rightless", None)
    berlin = group("Berlin", fleet.warned)
    needed = [Permission.ENROLL_CSR, Permission.CERTIFICATES_READ]
    for_berlin = user("for-berlin", role("Berlin", needed, only_groups=[berlin]))
    labelled = role("Labelled", needed, only_labels=[("a", "b")])
    for record, account in (
        (fleet.must_renew, rightless),
        (fleet.waiting, rightless),
        (fleet.warned, for_berlin),
        (fleet.calm, for_berlin),
        (fleet.requested, user("for-label", labelled)),
    ):
        Orchestrator.objects.filter(pk=record.pk).update(service_account=account)
    unable = {"edge-gateway-07", "app-server-01.example.com", "app-server-02.example.com"}
    assert marked("") == unable
    assert marked("&ends=30d") == {"edge-gateway-07"}
    assert marked("&group=Berlin") == set()
    # What a preview counts is what the mark finds, and each row says it.
    approved = Orchestrator.objects.filter(status=Status.APPROVED)
    assert sum(each.number for each in lacking_among(approved)) == len(unable)
    listed = admin.get("/orchestrators").context["page"].rows
    bearing = {r.orchestrator.client_machine for r in listed if Mark.CANNOT_RENEW in r.marks}
    assert bearing == unable
    html = admin.get(f"/orchestrators/{fleet.calm.pk}").content.decode()
    assert 'href="/orchestrators?mark=cannot-renew"' in html

    Orchestrator.objects.filter(pk=fleet.requested.pk).update(demonstration=True)
    census.take_due(now=now)
    assert census.latest(EVERYTHING, now=now).unable == {30: 1, 180: 1}
    html = unescape(admin.get("/").content.decode())
    found = re.search(
        r'orchestrators\?(mark=cannot-renew&ends=30d[^"]*)">End within.*?"number[^"]*">≈(\d+)',
        html,
        re.DOTALL,
    )
    assert found
    assert (len(marked(found[1].removeprefix("mark=cannot-renew"))), found[2]) == (1, "1")


@pytest.mark.both_databases
def test_the_number_of_offline_ones_is_that_of_the_list_behind_it(fleet, admin, client, now):
    long_ago = now - 10 * DAY
    berlin = group("Berlin", fleet.warned)
    silent = (fleet.warned, fleet.calm, fleet.expired, fleet.waiting, fleet.requested)
    Orchestrator.objects.filter(pk__in=[one.pk for one in silent]).update(
        last_seen=long_ago, seen_on=long_ago.date()
    )
    Orchestrator.objects.filter(pk=fleet.requested.pk).update(demonstration=True)
    held = [Permission.PORTAL_READ, Permission.AGENTS_READ]
    client.force_login(user("for-berlin", role("Berlin", held, only_groups=[berlin])))
    for _ in range(2):
        # Those that are approved and real, whatever their certificate; each sees their own.
        for caller, number in ((admin, 3), (client, 1)):
            html = unescape(caller.get("/").content.decode())
            found = re.search(
                r'href="([^"]+mark=offline[^"]*)">Offline</a>.*?"number[^"]*">(\d+)<',
                html,
                re.DOTALL,
            )
            assert found
            listed = caller.get(found[1]).context["page"].rows
            assert (len(listed), int(found[2])) == (number, number)
            assert all(Mark.OFFLINE in row.marks for row in listed)
        census.take_due(now=now)
    assert census.latest(EVERYTHING, now=now).offline == 3


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({}, "not tried yet"),
        ({"test_passed": True}, "ok"),
        ({"test_passed": False}, "test failed"),
        ({"test_passed": True, "signer_works": False}, "key unusable"),
        ({"test_passed": True, "type": "gone"}, "type unknown"),
        ({"test_passed": True, "failures_in_a_row": 2}, "failing"),
        ({"enabled": False, "version": 1, "failures_in_a_row": 2, "type": "gone"}, "type unknown"),
    ],
    ids=str,
)
def test_a_ca_is_told_on_the_first_page_in_the_word_of_its_own(fleet, admin, columns, word):
    CertificateAuthority.objects.update(
        **{"test_passed": None, "last_answer_seconds": None, "signer_works": None, **columns}
    )
    html = " ".join(admin.get("/").content.decode().split())
    assert f"Portal CA</a>: <b>{word}</b>" in html
    assert f"{word}</span>" in admin.get("/authorities").content.decode().lower()
