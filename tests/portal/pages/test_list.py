"""The list of orchestrators: filters, search, order, paging."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrators.models import Orchestrator, Status
from portal.access.reach import EVERYTHING
from renewal.models import Certificate
from renewal.rules.periods import Periods
from renewal.selectors import fleet as listing
from renewal.selectors.filters import Filters, Sort
from renewal.selectors.marks import Mark
from renewal.selectors.states import RenewalState
from tests.portal.pages import fleet as rows

DAY = timedelta(days=1)


def names(page: listing.FleetPage) -> list[str]:
    return [row.orchestrator.client_machine for row in page.rows]


def walk(filters: Filters, now, size: int = 4) -> list[str]:
    """Follow the pages to the end, and back again; return the names in order."""
    found, cursors, cursor = [], [], ""
    while True:
        page = listing.page(filters, Periods(), reach=EVERYTHING, now=now, cursor=cursor, size=size)
        found.append(names(page))
        cursors.append(page)
        if not page.following:
            break
        cursor = page.following
    back = []
    page = cursors[-1]
    while page.preceding:
        page = listing.page(
            filters, Periods(), reach=EVERYTHING, now=now, cursor=page.preceding, size=size
        )
        back.append(names(page))
    assert list(reversed(back)) == found[:-1]
    return [name for page_names in found for name in page_names]


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("size", [1, 2, 4, 7, 100])
def test_paging_forward_and_back_shows_each_record_once_and_in_one_order(fleet, now, sort, size):
    twins = [rows.approved(f"twin-{n}", now=now, left=77 * DAY) for n in range(5)]
    assert twins
    shown = walk(Filters(sort=sort), now, size)
    assert sorted(shown) == sorted(Orchestrator.objects.values_list("client_machine", flat=True))
    if sort in (Sort.NAME, Sort.NAME_DOWN):
        assert shown == sorted(shown, reverse=sort is Sort.NAME_DOWN)


def test_what_needs_an_operator_comes_first(fleet, now):
    shown = walk(Filters(), now)
    order = [
        shown.index(o.client_machine)
        for o in (
            fleet.waiting,
            fleet.enrolling,
            fleet.expired,
            fleet.must_renew,
            fleet.warned,
            fleet.calm,
            fleet.disapproved,
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("state", list(RenewalState))
def test_a_state_filter_shows_that_state_only_and_all_of_it(fleet, now, state):
    page = listing.page(Filters(state=state), Periods(), reach=EVERYTHING, now=now)
    assert page.rows
    assert {row.state for row in page.rows} == {state}
    everything = listing.page(Filters(), Periods(), reach=EVERYTHING, now=now)
    assert len(page.rows) == sum(row.state is state for row in everything.rows)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (Mark.UNUSED, {"batch-runner"}),
        (Mark.REQUESTED, {"app-server-02.example.com"}),
        (Mark.REQUIRED, set()),
        (Mark.WRONG_CERTIFICATE, {"cloned-vm"}),
        (Mark.REVOCATION, {"mail-relay.example.com"}),
        (Mark.NAME_DIFFERS, {"cloned-vm"}),
        (Mark.ERROR, {"legacy-host"}),
        (Mark.RETURNING, {"returning-host"}),
        (Mark.OFFLINE, set()),
    ],
)
def test_a_mark_filter_finds_what_rows_show(fleet, now, mark, expected):
    assert (
        set(names(listing.page(Filters(mark=mark), Periods(), reach=EVERYTHING, now=now)))
        == expected
    )


def test_demonstration_records_can_be_left_out_and_shown_alone(fleet, now):
    alone = names(listing.page(Filters(demonstration=True), Periods(), reach=EVERYTHING, now=now))
    rest = names(listing.page(Filters(demonstration=False), Periods(), reach=EVERYTHING, now=now))
    assert sorted(alone) == ["demo-1", "demo-2"]
    assert not set(alone) & set(rest)


def spellings(thumbprint: str) -> list[str]:
    pairs = [thumbprint[i : i + 2] for i in range(0, 40, 2)]
    return [
        thumbprint,
        thumbprint.lower(),
        ":".join(pairs),
        " ".join(pairs).lower(),
        "\u200e" + " ".join(pairs),
        f"  {'-'.join(pairs)} ",
        thumbprint[:10],
    ]


def test_a_thumbprint_is_found_in_any_spelling_also_an_earlier_one(fleet, now):
    earlier = Certificate.objects.get(standing="superseded")
    assert earlier.orchestrator == fleet.renewed
    for thumbprint in (fleet.renewed.thumbprint, earlier.thumbprint):
        for spelling in spellings(thumbprint):
            page = listing.page(Filters(query=spelling), Periods(), reach=EVERYTHING, now=now)
            assert names(page) == ["mail-relay.example.com"], spelling


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("app-server", {"app-server-01.example.com", "app-server-02.example.com"}),
        ("APP-SERVER-01", {"app-server-01.example.com"}),
        ("server", set()),
        ("%", set()),
        ("no such thing", set()),
        ("' OR 1=1 --", set()),
    ],
)
def test_a_name_is_found_by_its_beginning(fleet, now, query, expected):
    assert (
        set(names(listing.page(Filters(query=query), Periods(), reach=EVERYTHING, now=now)))
        == expected
    )


def test_an_id_is_found(fleet, now):
    page = listing.page(Filters(query=str(fleet.calm.pk)), Periods(), reach=EVERYTHING, now=now)
    assert names(page) == [fleet.calm.client_machine]


@pytest.mark.parametrize(
    "parameters",
    [
        {"cursor": "nonsense"},
        {"cursor": "WyJhIiwgOTksIFsxXV0"},
        {"cursor": "bnVsbA"},
        {"cursor": "WyJhIiwgMiwgWyJ4IiwgInkiXV0"},
        {"cursor": "WyJhIiwgMiwgW251bGwsIG51bGxdXQ"},
        {"cursor": "W1tbW1tb" * 300},
        {"q": "\x00"},
        {"q": "\U0001f600"},
    ],
)
def test_a_cursor_or_a_search_that_makes_no_sense_breaks_nothing(fleet, admin, parameters):
    assert admin.get("/orchestrators", parameters).status_code == 200


def test_the_list_says_what_is_there_when_nothing_is(admin):
    assert "No orchestrator yet" in admin.get("/orchestrators").content.decode()
    narrowed = admin.get("/orchestrators", {"q": "x"}).content.decode()
    assert "No orchestrator matches" in narrowed


def test_a_hostile_name_is_shown_as_text(db, now, admin):
    rows.set_up(now)
    hostile = rows.approved("<script>alert(1)</script>", now=now, left=30 * DAY)
    for path in ("/orchestrators", f"/orchestrators/{hostile.pk}"):
        text = admin.get(path).content.decode()
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("query", ["q=%ff%fe", "cursor=%00", "q="])
def test_bytes_that_are_no_text_break_nothing(fleet, admin, query):
    for path in ("/orchestrators", "/certificates", "/audit"):
        assert admin.get(f"{path}?{query}").status_code == 200


def test_a_record_without_a_name_can_be_opened(db, now, admin):
    rows.set_up(now)
    nameless = rows.orchestrator("", now=now, status=Status.NEW)
    assert "without a name" in admin.get("/orchestrators").content.decode()
    assert admin.get(f"/orchestrators/{nameless.pk}").status_code == 200
