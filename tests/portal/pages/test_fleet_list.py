"""What the list of orchestrators offers: filters in the URL, counts, views, columns, export."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise, product

import pytest
from django.test import Client
from django.utils.html import escape

from orchestrators import groups, labels
from orchestrators.models import Orchestrator, Reenrollment, Status
from orchestrators.protocol.terms import AgentPlatform
from portal.access.catalogue import Permission
from portal.access.reach import EVERYTHING, Reach
from portal.access.role_changes import save_role
from portal.audit.models import AuditEntry
from portal.pages import fleet_columns
from portal.preferences.models import Layout, SavedView
from portal.preferences.personal import MOST_VIEWS
from renewal.models import Certificate, Revocation
from renewal.rules.periods import Periods
from renewal.selectors import fleet as listing
from renewal.selectors.filters import (
    Filters,
    Sort,
    filters_of_query,
    matching,
    query_of,
)
from renewal.selectors.keyset import LAST
from renewal.selectors.marks import Mark
from renewal.selectors.spans import Ends, Silence, ends_of, silence_of
from renewal.selectors.state_counts import tally
from renewal.selectors.states import RenewalState, having, parts
from tests.portal.pages import fleet as rows

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
FILTERS = (
    Filters(),
    Filters(state=RenewalState.REQUIRED, mark=Mark.ERROR, query="a b&c=d", sort=Sort.NAME_DOWN),
    Filters(demonstration=True, group="Plant 7", label="site=Köln", ends=Ends(days=30)),
    Filters(demonstration=False, ends=ends_of("2026-12-01..2026-12-07")),
    Filters(platform=AgentPlatform.UNKNOWN, version="25.1.0", ends=ends_of("2027-02-28Z")),
    Filters(parameter="Site=Köln & Bonn"),
    Filters(account="dömain & co", answer="A0100008", seen=Silence(45), sort=Sort.SEEN),
    Filters(mark=Mark.OFFLINE, answer="none", seen=Silence(), sort=Sort.SEEN_DOWN),
)


def names(page: listing.FleetPage) -> list[str]:
    return [row.orchestrator.client_machine for row in page.rows]


def shown(filters: Filters, now, **options) -> list[str]:
    page = listing.page(filters, Periods(), reach=EVERYTHING, now=now, **options)
    return names(page)


@pytest.mark.parametrize("mark", [Mark.REVOCATION, Mark.ENROLLMENT_FAILED])
@pytest.mark.parametrize("sort", list(Sort))
def test_a_list_by_what_another_table_tells_has_the_order_of_every_list(fleet, now, mark, sort):
    """Whatever page is looked at, forwards and backwards."""
    everyone = shown(Filters(sort=sort), now)
    for number, orchestrator in enumerate(Orchestrator.objects.order_by("name_key")):
        if number % 4 == 3:
            continue
        if mark is Mark.REVOCATION:
            certificate = Certificate.objects.filter(orchestrator=orchestrator).first()
            if certificate is None or hasattr(certificate, "revocation"):
                continue
            Revocation.objects.create(
                certificate=certificate,
                orchestrator=orchestrator,
                state="failed",
                next_attempt_at=now,
                created_at=now - DAY,
            )
        else:
            Orchestrator.objects.filter(pk=orchestrator.pk).update(csr_refused_at=now)
    filters = Filters(mark=mark, sort=sort)
    marked_names = set(
        matching(filters, Periods(), reach=EVERYTHING, now=now).values_list(
            "client_machine", flat=True
        )
    )
    expected = [name for name in everyone if name in marked_names]
    assert 3 < len(expected) < len(everyone)
    assert shown(filters, now) == expected
    for start, follow in (("", "following"), (LAST, "preceding")):
        cursor, walked = start, []
        while True:
            page = listing.page(
                filters, Periods(), reach=EVERYTHING, now=now, cursor=cursor, size=2
            )
            walked = walked + names(page) if start == "" else names(page) + walked
            cursor = getattr(page, follow)
            if not cursor:
                break
        assert walked == expected
    for ends in (None, Ends(days=180)):
        asked = replace(filters, ends=ends)
        for cursor in ("", page.following, LAST):
            both = listing.page_and_tally(
                asked, Periods(), reach=EVERYTHING, now=now, cursor=cursor, size=2
            )
            alone = listing.page(asked, Periods(), reach=EVERYTHING, now=now, cursor=cursor, size=2)
            assert (names(both[0]), both[0].following) == (names(alone), alone.following)
            assert both[1] == tally(asked, Periods(), reach=EVERYTHING, now=now)


class TestFilters:
    @pytest.mark.parametrize("filters", FILTERS)
    def test_the_query_of_filters_means_those_filters(self, filters):
        assert filters_of_query(query_of(filters, with_order=True)) == filters

    @pytest.mark.parametrize(
        "text",
        ["", "0d", "30", "9999d", "-1d", "x", "2026-13-01", "2026-12-07..2026-12-01", "9999-12-31"],
    )
    def test_a_time_of_ending_that_makes_no_sense_narrows_nothing(self, text):
        assert ends_of(text) is None

    def test_the_end_of_the_certificate_in_use_narrows_to_approved_ones(self, db, now):
        rows.set_up(now)
        moment = now.replace(microsecond=0)
        for name, left in (
            ("ended", -timedelta(seconds=1)),
            ("ends now", timedelta(0)),
            ("on the bound", 30 * DAY),
            ("past the bound", 30 * DAY + timedelta(seconds=1)),
        ):
            rows.approved(name, now=moment, left=left)
        rows.approved("out", now=moment, left=5 * DAY, status=Status.DISAPPROVED)
        assert shown(Filters(ends=Ends(days=30)), moment) == ["ends now", "on the bound"]
        day = (moment + 30 * DAY).date()
        found = shown(Filters(ends=ends_of(str(day))), moment)
        assert "on the bound" in found

    def test_platform_and_version_narrow(self, fleet, now):
        Orchestrator.objects.filter(pk=fleet.calm.pk).update(platform=1, version="24.4.0")
        assert shown(Filters(platform=AgentPlatform.DOTNET), now) == [fleet.calm.client_machine]
        assert shown(Filters(version="24.4.0"), now) == [fleet.calm.client_machine]
        assert shown(Filters(version="24.4"), now) == []

    @pytest.mark.both_databases
    def test_the_day_of_the_last_contact_narrows_and_orders(self, db, now):
        rows.set_up(now)
        today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
        for name, seen in (
            ("today", today),
            ("b two days ago", today - DAY - SECOND),
            ("a two days ago", today - 2 * DAY),
            ("31 days ago", today - 30 * DAY - SECOND),
            ("never", None),
        ):
            rows.approved(name, now=now, left=90 * DAY, last_seen=seen)
        rows.approved("out", now=now, left=DAY, last_seen=today - 99 * DAY, status=3)
        order = ["never", "out", "31 days ago", "a two days ago", "b two days ago", "today"]
        assert shown(Filters(sort=Sort.SEEN), now) == order
        assert shown(Filters(sort=Sort.SEEN_DOWN), now) == order[::-1]
        for size in (1, 4):
            for start, follow in (("", "following"), (LAST, "preceding")):
                cursor, walked = start, []
                while cursor or not walked:
                    page = listing.page(
                        Filters(sort=Sort.SEEN),
                        Periods(),
                        reach=EVERYTHING,
                        now=now,
                        cursor=cursor,
                        size=size,
                    )
                    walked = names(page) + walked if start else walked + names(page)
                    cursor = getattr(page, follow)
                assert walked == order
        for seen, expected in (
            (Silence(1), order[1:5]),
            (Silence(2), order[1:3]),
            (Silence(30), order[1:3]),
            (Silence(31), order[1:2]),
            (Silence(100), []),
            (Silence(), order[:1]),
        ):
            assert shown(Filters(seen=seen, sort=Sort.SEEN), now) == expected, seen
            assert set(shown(Filters(seen=seen), now)) == set(expected)
        # Offline is a matter of approved ones that have called at all.
        offline = Filters(mark=Mark.OFFLINE, sort=Sort.SEEN)
        assert shown(offline, today + timedelta(hours=47)) == order[2:5]
        assert shown(replace(offline, state=RenewalState.EXPIRED), now) == []

    @pytest.mark.parametrize("text", ["30", "30d", "30D", "30 days"])
    def test_days_of_silence_are_read_as_people_write_them(self, text):
        assert silence_of(text) == Silence(30)

    @pytest.mark.parametrize("text", ["0d", "-1d", "9999d", "d", "30h", "NEVERS", "٣d"])
    def test_a_time_of_silence_that_makes_no_sense_is_refused(self, fleet, admin, text):
        assert silence_of(text) is None
        assert admin.get("/orchestrators", {"seen": text}).status_code == 400

    @pytest.mark.both_databases
    def test_service_account_and_last_answer_narrow(self, fleet, now, admin):
        other = rows.user("svc-Berlin", None)
        calm = Orchestrator.objects.filter(pk=fleet.calm.pk)
        calm.update(service_account=other, last_error_code="A0100007")
        own = [fleet.calm.client_machine]
        for name in ("svc-Berlin", "SVC-berlin"):
            assert shown(Filters(account=name), now) == own
        assert shown(Filters(account="svc-Ber"), now) == []
        assert fleet.calm.client_machine not in shown(Filters(account="orchestrators"), now)
        answered = set(shown(Filters(answer="A0100007"), now))
        assert fleet.calm.client_machine in answered
        plain = set(shown(Filters(answer="none"), now))
        assert plain.isdisjoint(answered)
        assert plain
        assert shown(Filters(answer="A01F0001", account="svc-Berlin"), now) == []
        # Typed as it comes, and led to from whoever has it.
        listed = admin.get("/orchestrators?answer=a0100007&account=svc-berlin")
        assert [row.orchestrator for row in listed.context["page"].rows] == [fleet.calm]
        link = 'href="/orchestrators?account=svc-Berlin"'
        for page in ("", "/access"):
            assert link in admin.get(f"/orchestrators/{fleet.calm.pk}{page}").content.decode()
        other.is_service_account = True
        other.save()
        assert link in admin.get(f"/access/users/{other.pk}").content.decode()
        assert admin.get("/orchestrators?answer=A01").status_code == 400

    def test_each_filter_that_is_set_is_a_chip_that_removes_it_alone(self, fleet, admin):
        text = admin.get("/orchestrators?state=ok&q=app&sort=name").content.decode()
        assert 'href="/orchestrators?q=app&amp;sort=name"' in text
        assert 'href="/orchestrators?state=ok&amp;sort=name"' in text
        text = admin.get("/orchestrators?seen=30&answer=none&account=x").content.decode()
        assert 'href="/orchestrators?account=x&amp;answer=none"' in text
        for words in ("not for 30 days", "no warning or error"):
            assert words in text

    def test_a_service_account_has_one_name_on_the_pages_and_tells_the_apis(self, fleet, admin):
        admin.post("/orchestrators/layout", {"columns": ["account"]})
        text = admin.get("/orchestrators?account=orchestrators").content.decode()
        column = re.search(r'<th scope="col" title="([^"]*)">Service account</th>', text)
        assert column is not None
        assert "calls it Identity" in column[1]
        assert '<span class="muted">Service account</span> orchestrators' in text
        assert ">Identity<" not in text


@pytest.mark.parametrize("periods", [Periods(), Periods(warning=20 * DAY, expiry=40 * DAY)])
def test_the_parts_of_a_state_are_the_state_in_order_and_share_nothing(db, now, periods):
    moment = now.replace(microsecond=0)
    lefts = [
        edge + step
        for edge in (timedelta(0), 20 * DAY, 30 * DAY, 40 * DAY, 180 * DAY, 300 * DAY)
        for step in (-timedelta(seconds=1), timedelta(0), timedelta(seconds=1))
    ]
    Orchestrator.objects.bulk_create(
        Orchestrator(
            service_account=rows.service_account(),
            status=Status.APPROVED,
            flag=flag,
            awaiting_first_use_since=since,
            certificate_not_after=moment + left,
            certificate_counted_from=moment + left - lifetime,
            created_at=now,
        )
        for left, lifetime, flag, since in product(
            lefts, (-DAY, 7 * DAY, 365 * DAY), Reenrollment.values, (None, now)
        )
    )
    for state in RenewalState:
        whole = set(
            Orchestrator.objects.filter(having(state, periods, now=now)).values_list(
                "pk", flat=True
            )
        )
        cut = [
            list(Orchestrator.objects.filter(part).values_list("pk", "certificate_not_after"))
            for part in parts(state, periods, now=now)
        ]
        assert sorted(str(pk) for part in cut for pk, _ in part) == sorted(map(str, whole))
        for before, after in pairwise(cut):
            if before and after:
                assert max(end for _, end in before) <= min(end for _, end in after)


class TestCounts:
    def test_the_segments_count_what_each_state_would_list(self, fleet, now, admin):
        for given in (Filters(), Filters(demonstration=False), Filters(query="app")):
            tally = listing.tally(given, Periods(), reach=EVERYTHING, now=now)
            assert tally.total.value == len(shown(given, now))
            for state, count in tally.by_state.items():
                narrowed = Filters(
                    state=state, demonstration=given.demonstration, query=given.query
                )
                assert count.value == len(shown(narrowed, now)), state

    def test_the_last_page_is_as_full_as_the_first_and_leads_back(self, fleet, now):
        everything = shown(Filters(), now)
        last = listing.page(Filters(), Periods(), reach=EVERYTHING, now=now, cursor=LAST, size=4)
        assert names(last) == everything[-4:]
        assert not last.following
        before = listing.page(
            Filters(), Periods(), reach=EVERYTHING, now=now, cursor=last.preceding, size=4
        )
        assert names(before) == everything[-8:-4]

    def test_nothing_ending_soon_is_good_news_that_says_when_next(self, db, now, admin):
        rows.set_up(now)
        far = rows.approved("far", now=now, left=200 * DAY)
        text = admin.get("/orchestrators?ends=30d").content.decode()
        assert "No certificate ends within 30 days" in text
        assert f"{far.certificate_not_after:%Y-%m-%d}" in text


class TestOrder:
    @pytest.mark.parametrize(
        ("sort", "caption", "reverse", "ends_sorted"),
        [
            ("", "most urgent first", "?sort=-ends", "ascending"),
            ("-ends", "least urgent first", "?", "descending"),
            ("name", "by name", "?sort=-name", None),
            ("-name", "by name, backwards", "?sort=name", None),
            ("seen", "by the day last seen, longest ago first", "?sort=-seen", None),
            ("-seen", "by the day last seen, latest first", "?sort=seen", None),
        ],
    )
    def test_the_page_tells_its_order_keeps_it_and_can_reverse_it(
        self, fleet, admin, sort, caption, reverse, ends_sorted
    ):
        text = admin.get(f"/orchestrators?sort={sort}").content.decode()
        assert f"Orchestrators, {caption}</caption>" in text
        choice = re.search(r'<select name="sort">.*?</select>', text, re.DOTALL)
        chosen = re.findall(r'value="([^"]*)" selected', choice[0])
        assert chosen == ([sort] if sort else [])
        ((order, link),) = re.findall(
            r'aria-sort="(\w+)"><a class="sorter" href="([^"]*)"', text, re.DOTALL
        )
        assert link == reverse
        assert order == ends_sorted or (
            not ends_sorted and (order == "descending") == (sort[0] == "-")
        )


class TestViews:
    def test_a_view_is_the_persons_own_and_leads_to_its_filters(self, fleet, admin, as_role):
        admin.post(
            "/orchestrators/views", {"name": " My  view ", "query": "state=ok&group=&sort=name"}
        )
        view = SavedView.objects.get()
        assert (view.name, view.query) == ("My view", "state=ok&sort=name")
        link = escape("/orchestrators?state=ok&sort=name")
        assert link in admin.get("/orchestrators").content.decode()
        other = as_role("Operator")
        assert "My view" not in other.get("/orchestrators").content.decode()
        other.post(f"/orchestrators/views/{view.pk}/delete")
        assert SavedView.objects.exists()
        admin.post(f"/orchestrators/views/{view.pk}/delete")
        assert not SavedView.objects.exists()

    def test_saving_leads_back_to_the_list_and_nowhere_else(self, fleet, admin):
        reply = admin.post("/orchestrators/views", {"name": "x", "query": "q=//evil.example"})
        assert reply["Location"] == "/orchestrators?q=%2F%2Fevil.example"

    @pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\x00b"])
    def test_a_view_without_a_usable_name_is_refused(self, fleet, admin, name):
        reply = admin.post("/orchestrators/views", {"name": name, "query": ""}, follow=True)
        assert "A view needs a name" in reply.content.decode()
        assert not SavedView.objects.exists()

    def test_a_name_is_used_once_and_the_number_of_views_is_limited(self, fleet, admin):
        for number in range(MOST_VIEWS + 2):
            admin.post("/orchestrators/views", {"name": f"view {number % 51}", "query": ""})
        assert SavedView.objects.count() == MOST_VIEWS

    def test_a_view_is_renamed_by_its_owner_to_a_name_that_is_free(self, fleet, admin, as_role):
        for name in ("first", "second"):
            admin.post("/orchestrators/views", {"name": name, "query": "state=ok"})
        rename = f"/orchestrators/views/{SavedView.objects.get(name='first').pk}/rename"
        for client, name, said in (
            (admin, " Mine  now ", "is called “Mine now” now"),
            (admin, "second", "You have another view that is called “second”"),
            (admin, " ", "A view needs a name"),
            (as_role("Operator"), "stolen", "There is no such view"),
        ):
            reply = client.post(rename, {"name": name, "query": "q=x"}, follow=True)
            assert said in reply.content.decode()
            assert reply.redirect_chain == [("/orchestrators?q=x", 302)]
        assert set(SavedView.objects.values_list("name", flat=True)) == {"Mine now", "second"}

    @pytest.mark.both_databases
    def test_a_list_opens_with_the_default_view_says_so_and_is_left_with_one_click(
        self, fleet, admin, as_role
    ):
        for name, query in (("first", "state=ok"), ("second", "state=expired&sort=name")):
            admin.post("/orchestrators/views", {"name": name, "query": query})
            pk = SavedView.objects.get(name=name).pk
            reply = admin.post(f"/orchestrators/views/{pk}/default", {"default": "1", "query": ""})
            assert reply["Location"] == "/orchestrators?view=all"
            opened = admin.get("/orchestrators")
            assert opened["Location"] == f"/orchestrators?{query}"
            text = admin.get(opened["Location"]).content.decode()
            assert f"opens with your view <b>{name}</b>" in text
            assert 'href="/orchestrators?view=all">Show all</a>' in text
        assert as_role("Operator").get("/orchestrators").status_code == 200
        every = admin.get("/orchestrators?view=all")
        assert len(every.context["page"].rows) > 1
        assert "opens with your view" not in every.content.decode()
        # Each way to leave the last filter leads to all, and no act on the list leads away.
        one = admin.get("/orchestrators?state=expired").content.decode()
        assert one.count('href="/orchestrators?view=all"') == 3
        assert 'href="?view=all"' in one
        kept = admin.post("/orchestrators/layout", {"columns": ["ends"], "query": ""})
        assert kept["Location"] == "/orchestrators?view=all"
        assert admin.get("/orchestrators?view=some").status_code == 400
        admin.post(f"/orchestrators/views/{pk}/default", {"query": ""})
        assert admin.get("/orchestrators").status_code == 200

    def test_a_default_view_that_can_no_longer_be_read_is_told_and_shows_all(self, fleet, admin):
        admin.post("/orchestrators/views", {"name": "old", "query": "state=ok"})
        SavedView.objects.update(is_default=True, query="mark=forgotten")
        opened = admin.get("/orchestrators")
        assert opened.status_code == 200
        assert "Your default view “old” cannot be shown" in opened.content.decode()

    def test_a_view_that_is_replaced_or_gone_or_names_what_is_gone_is_told(self, fleet, admin):
        for said in ("was saved: it is among your views", "it is replaced"):
            reply = admin.post("/orchestrators/views", {"name": "a", "query": ""}, follow=True)
            assert said in reply.content.decode()
        for act, form in (("delete", {}), ("rename", {"name": "x"}), ("default", {"default": "1"})):
            for pk in (999, 2**63):
                gone = admin.post(f"/orchestrators/views/{pk}/{act}", form, follow=True)
                assert "There is no such view" in gone.content.decode()
        old = admin.get("/orchestrators?mark=forgotten")
        assert old.status_code == 400
        text = old.content.decode()
        assert "It may be an old link or view" in text
        assert '<a class="btn btn-quiet" href="/orchestrators">Open the page without it' in text


class TestLayout:
    def test_columns_are_shown_as_chosen_and_ordered(self, fleet, admin):
        admin.post(
            "/orchestrators/layout",
            {"columns": ["ends", "version"], "move": "version:up", "density": "compact"},
        )
        layout = Layout.objects.get()
        assert layout.columns == ["version", "ends"]
        text = admin.get("/orchestrators").content.decode()
        assert text.index(">Version</th>") < text.index('title="Order by urgency">')
        assert ">Last answer</th>" not in text
        assert "is-compact" in text

    def test_every_column_can_be_shown_and_the_default_comes_back(self, fleet, admin):
        labels.set_labels([fleet.calm.pk], put={"site": "berlin"}, actor=rows.ALICE)
        admin.post("/orchestrators/layout", {"columns": list(fleet_columns.FLEET.by_key)})
        text = admin.get("/orchestrators").content.decode()
        heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', text, re.DOTALL)
        for column in fleet_columns.COLUMNS:
            assert any(column.title in head for head in heads), column.title
        assert "site=berlin" in text
        admin.post("/orchestrators/layout", {"default": "1"})
        assert not Layout.objects.exists()

    @pytest.mark.parametrize("given", [{"move": "ends:up"}, {}])
    def test_no_column_can_be_chosen_or_moved(self, fleet, admin, given):
        assert admin.post("/orchestrators/layout", given).status_code == 302
        assert admin.get("/orchestrators").status_code == 200


class TestExport:
    def body(self, reply) -> str:
        return b"".join(reply.streaming_content).decode()

    def test_csv_and_json_hold_the_rows_of_the_list_in_its_order(self, fleet, now, admin):
        for query in ("", "?state=ok", "?q=app&sort=-name", "?fleet=real"):
            expected = shown(filters_of_query(query[1:]), now)
            table = list(
                csv.DictReader(
                    io.StringIO(self.body(admin.get(f"/orchestrators/export.csv{query}")))
                )
            )
            told = json.loads(self.body(admin.get(f"/orchestrators/export.json{query}")))
            assert [row["orchestrator"] for row in table] == expected
            assert [row["orchestrator"] for row in told] == expected
            assert [row["state"] for row in table] == [row["state"] for row in told]
        told = AuditEntry.objects.filter(action="orchestrators_exported")
        assert told.count() == 8
        assert told.first().after == {"query": "", "time_zone": "UTC"}

    def test_the_columns_are_those_shown(self, fleet, admin):
        groups.assign(
            [fleet.calm.pk],
            groups.save_group("Plant", actor=rows.ALICE, now=fleet.calm.created_at)[0],
            actor=rows.ALICE,
        )
        admin.post("/orchestrators/layout", {"columns": ["group", "labels"]})
        told = json.loads(self.body(admin.get("/orchestrators/export.json?group=plant")))
        assert [row["group"] for row in told] == ["Plant"]
        assert "last_seen" not in told[0]

    def test_a_list_in_a_cell_is_read_by_a_person_and_in_json_by_a_program(self, fleet, admin):
        put = {"site": "berlin", "stage": "", "sum": "=1+1"}
        labels.set_labels([fleet.wrong.pk], put=put, actor=rows.ALICE)
        admin.post("/orchestrators/layout", {"columns": ["labels"]})
        found = f"?q={fleet.wrong.client_machine}"
        (row,) = csv.DictReader(
            io.StringIO(self.body(admin.get(f"/orchestrators/export.csv{found}")))
        )
        (told,) = json.loads(self.body(admin.get(f"/orchestrators/export.json{found}")))
        assert told["labels"] == put
        assert row["labels"] == "site=berlin; stage; sum==1+1"
        assert row["marks"] == "; ".join(told["marks"])
        assert ";" in row["marks"]

    def test_no_cell_of_the_csv_is_a_formula(self, db, now, admin):
        rows.set_up(now)
        rows.orchestrator("=cmd|' /C calc'!A0", now=now, status=Status.NEW)
        text = self.body(admin.get("/orchestrators/export.csv"))
        assert "\"'=cmd" in text or ",'=cmd" in text

    def test_numbers_stay_numbers(self, fleet, admin):
        body = self.body(admin.get("/orchestrators/export.csv?state=expired"))
        (row,) = csv.DictReader(io.StringIO(body))
        assert int(row["days_left"]) < 0

    def test_an_export_ends_at_the_holders_reach(self, fleet, now):
        group, _ = groups.save_group("Plant", actor=rows.ALICE, now=now)
        groups.assign([fleet.calm.pk], group, actor=rows.ALICE)
        save_role(
            "Plant readers",
            permissions=[Permission.PORTAL_READ, Permission.AGENTS_READ],
            limit=Reach(groups=frozenset({group.pk})),
            giver=None,
            actor=rows.ALICE,
        )
        reader = Client()
        reader.force_login(rows.user("reader", "Plant readers"))
        told = json.loads(self.body(reader.get("/orchestrators/export.json")))
        assert [row["orchestrator"] for row in told] == [fleet.calm.client_machine]

    def test_a_long_list_is_exported_in_runs(self, fleet, now):
        rows_of_all = listing.every(Filters(), Periods(), reach=EVERYTHING, now=now, run=3)
        assert [r.orchestrator.client_machine for r in rows_of_all] == shown(Filters(), now)


def test_an_act_on_all_that_match_is_previewed(fleet, admin):
    reply = admin.post(
        "/orchestrators/act",
        {"act": "request", "scope": "all", "query": "state=warning&fleet=real"},
    )
    assert reply["Location"] == ("/orchestrators/all/preview?act=request&state=warning&fleet=real")
    assert admin.get(reply["Location"]).status_code == 200


@pytest.mark.both_databases
@pytest.mark.parametrize("name", ["Site", "12", "Fläche", 'a "b" \\ c.d[0]'])
def test_who_sent_a_client_parameter_is_found_from_the_page_that_shows_it(fleet, admin, name):
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(client_parameters={name: "Köln & Bonn"})
    shown_on = admin.get(f"/orchestrators/{fleet.calm.pk}/parameters").content.decode()
    (url,) = re.findall(r'href="(/orchestrators\?parameter=[^"]+)"', shown_on)
    text = admin.get(url).content.decode()
    assert fleet.calm.client_machine in text
    assert fleet.warned.client_machine not in text
    assert f"{escape(name)}=Köln &amp; Bonn" in text
