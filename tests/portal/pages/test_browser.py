"""The pages in a real browser: usable, accessible in both themes, quiet in the console.

Owns what only a browser can show: axe, overflow, the content security policy, keyboard, and the
small scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from orchestrators.models import Orchestrator, Reenrollment, Status
from portal.access.models import User
from portal.preferences.models import Layout
from renewal import census
from renewal.models import CertificateAuthority, Enrollment, Template
from renewal.selectors.fleet import PAGE_SIZE
from tests.portal.pages import fleet as rows
from tests.portal.pages.test_administration import anchor_pem

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Of what is in order axe would otherwise tell every element, too.
_TOLD = {"resultTypes": ["violations"]}
EVERY_RULE: dict[str, Any] = _TOLD | {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
# All that a theme changes.
COLOURS: dict[str, Any] = _TOLD | {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
}
PATHS = (
    "/",
    "/orchestrators",
    "/orchestrators?q=nothing-like-it",
    "/orchestrators/{calm}",
    "/orchestrators/{unused}",
    "/orchestrators/{renewed}",
    "/orchestrators/{conflicting}",
    "/orchestrators/{enrolling}",
    "/orchestrators/{must_renew}",
    "/orchestrators/{wrong}",
    "/orchestrators/{expired}",
    "/orchestrators/{renewed}/certificate",
    "/orchestrators/{enrolling}/certificate",
    "/orchestrators/{renewed}/timeline",
    "/orchestrators/{renewed}/requests",
    "/orchestrators/{renewed}/logs",
    "/orchestrators/{wrong}/parameters",
    "/orchestrators/{renewed}/access",
    "/orchestrators/{renewed}/audit",
    "/orchestrators/act?act=reset&ids={unused}",
    "/orchestrators/act?act=require&ids={calm}&ids={warned}",
    "/orchestrators/act?act=approve&ids={waiting}&ids={conflicting}",
    "/orchestrators/all/preview?act=approve&state=waiting",
    "/orchestrators/all/preview?act=require",
    "/jobs",
    "/enrollments",
    "/enrollments?state=open",
    "/enrollments?state=failed&ended=24h",
    "/enrollments?state=rejected&ca={ca}",
    "/enrollments/{stuck}",
    "/enrollments/{refused}",
    "/jobs/{job}",
    "/jobs/{job}/audit",
    "/audit?request=bulk-{job}",
    "/forecast",
    "/forecast?warning=60&day={due}",
    "/orchestrators/add",
    "/orchestrators/auto-registration",
    "/orchestrators/auto-registration/add",
    "/orchestrators/auto-registration/try?client_machine=web01",
    "/approvals",
    "/approvals?tab=mine",
    "/approvals?tab=done",
    "/approvals/{conflicting_request}",
    "/approvals/{returning_request}",
    "/certificates",
    "/certificates/{in_use}",
    "/certificates/{in_use}/revoke",
    "/certificates?use=unused&q=nothing",
    "/certificates?shown=ended",
    "/certificates/from-csr",
    "/authorities",
    "/authorities/add",
    "/authorities/add?type=local",
    "/authorities/{authority}",
    "/authorities/{authority}/edit",
    "/authorities/{authority}/switch",
    "/authorities/{authority}/remove",
    "/templates/add",
    "/templates/{template}",
    "/templates/{template}/edit",
    "/templates/{template}/remove",
    "/trusted-issuers",
    "/settings",
    "/settings/SessionLengthMinutes",
    "/settings/RevokeOldClientAuthCertificate",
    "/audit",
    "/groups",
    "/orchestrators/assign?ids={calm}",
    "/access",
    "/access/roles/add",
    "/access/users",
    "/access/users/{account}",
    "/access/tokens",
    "/account/tokens",
    "/audit?q=host",
    "/audit/verification",
    "/api/Security",
    "/account",
    "/account/password",
    "/no-such-page",
)


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread; the database is used between its calls only.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def site(chromium: Browser, live_server: Any, settings: Any) -> tuple[str, rows.Fleet]:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False
    rows.user("admin", "Administrator")
    made = rows.fleet(timezone.now())
    # One that cannot renew: its account may do nothing.
    rightless = rows.user("rightless", None)
    Orchestrator.objects.filter(pk=made.wrong.pk).update(service_account=rightless)
    _enroll(made, timezone.now())
    census.take_due(now=timezone.now())
    return live_server.url, made


def _enroll(made: rows.Fleet, now: datetime) -> None:
    """Requests on their way and failed ones, at a CA that does not answer and at another."""
    vault = rows.authority(now, "Vault issuing CA 2")
    CertificateAuthority.objects.filter(pk=vault.pk).update(
        failures_in_a_row=4, last_error="Connection to vault.example.com:8200 refused"
    )
    refused = "The CA refuses: the template Orchestrator does not allow keys of this size."
    for holder, fields in (
        (
            made.warned,
            {
                "authority": vault,
                "attempts": 4,
                "last_error": "Connection to vault.example.com:8200 refused",
                "created_at": now - timedelta(hours=3),
                "next_attempt_at": now + timedelta(minutes=14),
            },
        ),
        (made.calm, {"authority": vault, "state": "pending", "last_error": "the CA answers later"}),
        (made.requested, {"state": "refused", "last_error": refused}),
        (made.wrong, {"state": "refused", "last_error": refused}),
        (made.must_renew, {"state": "expired", "authority": vault}),
    ):
        ended = {"finished_at": None} if fields.get("state") == "pending" else {}
        rows.enrollment(holder, now=now, **fields, **ended)


def opened(
    chromium: Browser, url: str, *, width: int = 1280, theme: str = "light", **options: Any
) -> tuple[Page, list[str]]:
    """A signed-in page, and what it says to the console."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, **options
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{url}/sign-in")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(rows.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    arrived(page, page.get_by_role("heading", name="Dashboard"))
    return page, said


def arrived(page: Page, sign: Locator) -> None:
    """Wait for a page that shows a sign and takes keys: it is drawn before its scripts run, and a
    key pressed before them is nobody's.
    """
    expect(sign).to_have_count(1)
    page.wait_for_load_state()


def addresses(fleet: rows.Fleet) -> list[str]:
    ids = {name: str(record.pk) for name, record in vars(fleet).items()}
    for name in ("conflicting", "returning"):
        ids[f"{name}_request"] = str(getattr(fleet, name).approval_requests.get().pk)
    ids["due"] = str(fleet.calm.certificate_not_after.date() - timedelta(days=60))
    ids["in_use"] = str(fleet.calm.certificates.get().pk)
    enrollments = Enrollment.objects
    ids["stuck"] = str(enrollments.get(orchestrator=fleet.warned).pk)
    ids["refused"] = str(enrollments.get(orchestrator=fleet.wrong).pk)
    ids["ca"] = ids["authority"] = str(CertificateAuthority.objects.earliest("pk").pk)
    ids["template"] = str(Template.objects.earliest("pk").pk)
    ids["job"] = str(rows.bulk_job(User.objects.get(username="admin"), timezone.now()).pk)
    ids["account"] = str(rows.service_account().pk)
    return [path.format(**ids) for path in PATHS]


# How a page is looked at once it is loaded: theme, width and what axe judges; and whether it fits.
# 640 px is a window of 1280 px at 200 per cent, 375 px a telephone.
LOOKS = (
    ("light", 1280, EVERY_RULE),
    ("dark", 1280, COLOURS),
    ("light", 640, None),
    ("light", 375, EVERY_RULE),
)


@pytest.mark.parametrize("part", range(3))
def test_every_page_is_accessible_fits_its_window_and_says_nothing_to_the_console(
    chromium, site, part
):
    url, fleet = site
    page, said = opened(chromium, url)
    axe = Axe()
    problems = []
    for path in addresses(fleet)[part::3]:
        page.goto(url + path)
        for theme, width, judged in LOOKS:
            look = f"{path}, {theme}, {width} px"
            # Without motion a colour is at once what it will be.
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": 900})
            needed = page.evaluate("document.documentElement.scrollWidth")
            if needed > width:
                problems.append(f"{look}: {needed} px wide")
            if judged:
                results = axe.run(page, options=judged)
                problems += [
                    f"{look}: {v['id']}: {[n['target'] for n in v['nodes']][:3]}"
                    for v in results.response["violations"]
                ]
    problems += [text for text in said if "404 (Not Found)" not in text]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sign_in_is_accessible(chromium, site, theme):
    page = chromium.new_page(color_scheme=theme)
    page.goto(f"{site[0]}/sign-in")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    assert Axe().run(page, options=EVERY_RULE).violations_count == 0


def test_an_operator_selects_requires_and_sees_the_result(chromium, site):
    url, fleet = site
    page, said = opened(chromium, url)
    page.get_by_role("link", name="Orchestrators", exact=True).first.click()
    page.get_by_label("Select app-server-01.example.com").check()
    page.get_by_label("Select db-primary.example.com").check()
    expect(page.locator("#selected")).to_have_text("2 selected")
    page.get_by_role("button", name="Require renewal…").click()
    page.get_by_label("now: the present session ends").check()
    page.get_by_label("Reason").fill("Key rotation")
    page.get_by_role("button", name="Require renewal 2 orchestrators").click()
    expect(page.get_by_role("heading", name="Require renewal of 2 orchestrators")).to_be_visible()
    page.get_by_role("link", name="app-server-01.example.com").click()
    expect(page.get_by_text("A0100008").first).to_be_visible()
    expect(page.get_by_text("“Key rotation”").first).to_be_visible()
    assert Orchestrator.objects.get(pk=fleet.calm.pk).flag == 2
    assert said == []


def test_everything_works_without_scripts(chromium, site):
    url, fleet = site
    page, _ = opened(chromium, url, java_script_enabled=False, width=375)
    page.get_by_role("button", name="Navigation").click()
    page.get_by_role("link", name="Orchestrators", exact=True).click()
    page.locator("input[name=q]").last.fill("edge")
    page.get_by_role("button", name="Find").click()
    page.get_by_label("Select edge-gateway-07").check()
    page.get_by_role("button", name="Reset…").click()
    page.get_by_label("Reason").fill("Moved")
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.get_by_text("edge-gateway-07: reset.")).to_be_visible()
    assert Orchestrator.objects.get(pk=fleet.must_renew.pk).status == Status.NEW


def test_a_call_is_shown_below_its_head_and_a_script_line_by_line(chromium, site):
    url, _ = site
    page, _ = opened(chromium, url)
    page.goto(f"{url}/account/tokens")
    head = page.locator("summary", has_text="API call")
    head.click()
    boxes = [each.bounding_box() for each in (head, page.locator("#api-call-1"))]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[0]["y"] < boxes[1]["y"]
    page.goto(f"{url}/api")
    for script in page.locator("pre.code").all():
        lines = script.inner_text().count("\n") + 1
        assert script.bounding_box()["height"] > lines * 12


def test_filters_apply_at_once_and_stay_in_the_address(chromium, site):
    url, _ = site
    page, said = opened(chromium, url)
    page.goto(f"{url}/orchestrators")
    page.locator("summary", has_text="Filter").click()
    page.locator("select[name=mark]").select_option("wrong-certificate")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("/orchestrators?mark=wrong-certificate")
    # The panel is out of the way of what was found, and the keyboard is where it was.
    expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    expect(page.locator("summary", has_text="Filter")).to_be_focused()
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Select all on this page").check()
    expect(page.locator("#selected")).to_have_text("1 selected")
    # Back: the browser ticks again what was ticked, and the acts are there.
    page.get_by_role("button", name="Require renewal…").click()
    expect(page.get_by_label("Reason")).to_be_visible()
    page.go_back()
    expect(page.locator("#selected")).to_have_text("1 selected")
    expect(page.get_by_role("button", name="Require renewal…")).to_be_visible()
    assert said == []
    # What cannot be read is said, and not passed over in silence.
    page.locator("summary", has_text="Filter").click()
    page.locator("input[name=seen]").fill("lately")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("is days, such as 30d")).to_be_visible()


def test_each_drop_down_opens_within_the_window_with_its_button_in_sight(chromium, site):
    url, _ = site
    page, _ = opened(chromium, url)
    problems = []
    for width, path in product((1440, 1100, 720, 375), ("/orchestrators", "/certificates")):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(url + path)
        for drop in page.locator("details.drop").all():
            summary = drop.locator("> summary")
            summary.click()
            panel = drop.locator("> .drop-panel").bounding_box()
            if panel["x"] < 0 or panel["x"] + panel["width"] > width:
                problems.append(f"{path}, {width} px: {summary.inner_text()}: {panel}")
            for button in drop.locator(".form-acts .btn-primary").all():
                box = button.bounding_box()
                if box["y"] + box["height"] > panel["y"] + panel["height"]:
                    problems.append(f"{path}, {width} px: {summary.inner_text()}: {box}")
            summary.click()
    assert not problems, "\n".join(problems)


def test_a_theme_that_is_chosen_stays_and_needs_no_script(chromium, site):
    url, _ = site
    page, _ = opened(chromium, url, java_script_enabled=False)
    page.get_by_role("button", name="Dark theme").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.goto(f"{url}/settings")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(15, 19, 23)")
    page.get_by_role("button", name="System theme").click()
    expect(page.locator("body")).to_have_css("background-color", "rgb(245, 246, 248)")


def test_the_search_field_is_a_key_away_and_a_thumbprint_copies(chromium, site):
    url, fleet = site
    admin = User.objects.get(username="admin")
    Layout.objects.create(user=admin, page="orchestrators", columns=["thumbprint"])
    page, said = opened(chromium, url)
    page.keyboard.press("/")
    page.keyboard.type("app-server-01")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("tbody button.copy").first.click()
    expect(page.locator("tbody button.copied")).to_have_count(1)
    assert page.evaluate("navigator.clipboard.readText()") == fleet.calm.thumbprint
    assert said == []


def test_what_is_typed_while_a_list_is_fetched_stays_and_is_searched_for(chromium, site):
    url, _ = site
    page, said = opened(chromium, url)
    page.goto(f"{url}/orchestrators")
    held = []
    page.route("**/orchestrators?*", lambda route: held.append(route), times=1)
    field = page.locator("#list-search")
    with page.expect_request("**/orchestrators?*"):
        field.press_sequentially("app-")
    field.press_sequentially("server-01 ")
    (route,) = held
    route.continue_()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(field).to_have_value("app-server-01 ")
    expect(field).to_be_focused()
    assert said == []


def test_a_renewal_is_asked_for_with_keys_alone(chromium, site):
    url, _ = site
    page, said = opened(chromium, url)
    for key in "go":
        page.keyboard.press(key)
    arrived(page, page.get_by_role("heading", name="Orchestrators", exact=True))
    page.keyboard.press("/")
    page.keyboard.type("app-server")
    expect(page.locator("tbody tr")).to_have_count(2)
    # Out of the field: a letter in it is a letter.
    page.keyboard.press("Tab")
    for key in "jxjx":
        page.keyboard.press(key)
    expect(page.locator("#selected")).to_have_text("2 selected")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    arrived(page, page.locator("h1", has_text="app-server-01.example.com"))
    page.keyboard.press("Control+k")
    page.keyboard.type("foreca")
    page.keyboard.press("Enter")
    arrived(page, page.get_by_role("heading", name="Forecast", exact=True))
    # A word that a view has leads to it; Escape closes at once, whatever was typed.
    page.keyboard.press("Control+k")
    page.keyboard.type("locked out within")
    expect(page.locator("#palette li:not([hidden]) a").first).to_have_attribute(
        "href", "/orchestrators?ends=30d"
    )
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.type("db-prim")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#palette a:focus")).to_have_text("Find orchestrators: db-prim")
    page.keyboard.press("Enter")
    arrived(page, page.locator("tbody tr"))
    # Who speaks to the browser turns the single keys off.
    page.keyboard.press("?")
    page.get_by_label("Single keys act").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_hidden()
    assert said == []


def test_the_acts_stay_in_sight_of_a_ticked_row_and_cover_none_that_has_the_focus(chromium, site):
    page, said = opened(chromium, site[0], reduced_motion="reduce")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto(f"{site[0]}/orchestrators")
    last = page.locator("tbody tr").last
    last.get_by_role("checkbox").check()
    act = page.get_by_role("button", name="Approve…", exact=True)
    expect(act).to_be_in_viewport()
    for _ in page.locator("tbody tr").all():
        page.keyboard.press("k")
        heads = page.locator("thead th").first.bounding_box()
        row = page.locator("tbody tr:focus-within").bounding_box()
        assert row["y"] >= heads["y"] + heads["height"] - 1
    # A key leads to the acts and another back; the palette has them by name.
    last.get_by_role("link").first.focus()
    page.keyboard.press("a")
    expect(act).to_be_focused()
    page.keyboard.press("j")
    expect(last.get_by_role("link").first).to_be_focused()
    page.keyboard.press("Control+k")
    page.keyboard.type("reset")
    page.keyboard.press("Enter")
    arrived(page, page.get_by_role("heading", name=re.compile("^Reset: ")))
    assert said == []


def test_ticks_stay_while_pages_are_turned_go_with_the_act_and_not_beyond_it(chromium, site):
    url, _ = site
    for number in range(PAGE_SIZE):
        rows.orchestrator(f"many-{number:02}", now=timezone.now())
    page, said = opened(chromium, url)
    page.goto(f"{url}/orchestrators?sort=name")
    first = page.locator("tbody tr").first
    name = first.locator("a.name").inner_text()
    first.get_by_role("checkbox").check()
    page.get_by_role("link", name="Next").click()
    selected = page.locator("#selected")
    expect(selected).to_have_text("1 selected, 1 on other pages")
    page.locator("tbody").get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Request renewal…").click()
    expect(page.locator(".candidates > li")).to_have_count(2)
    expect(page.locator(".candidates")).to_contain_text(name)
    page.go_back()
    expect(selected).to_have_text("2 selected, 1 on other pages")
    # Other filters show another list; and who comes from elsewhere has left these ticks behind.
    page.goto(f"{url}/orchestrators?sort=name&q=many")
    expect(selected).to_contain_text("or tick some")
    page.goto(f"{url}/jobs")
    page.get_by_role("link", name="Orchestrators", exact=True).first.click()
    expect(selected).to_contain_text("or tick some")
    page.get_by_role("link", name="Next").click()
    page.locator("tbody").get_by_role("checkbox").first.check()
    page.get_by_role("link", name="Previous").click()
    page.get_by_role("button", name="Untick all").click()
    expect(selected).to_contain_text("or tick some")
    expect(page.locator("[name=scope]")).to_be_focused()
    assert said == []


def test_what_is_stuck_at_a_ca_is_found_and_tried_now_with_keys_alone(chromium, site):
    url, fleet = site
    page, said = opened(chromium, url)
    for key in "ge":
        page.keyboard.press(key)
    arrived(page, page.get_by_role("heading", name="Enrollments", exact=True))
    page.keyboard.press("/")
    page.keyboard.type("db-primary")
    page.keyboard.press("Enter")
    arrived(page, page.locator("#list tbody tr"))
    # The two queues come first, then the list.
    for key in "jjj":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    arrived(page, page.locator("h1", has_text="db-primary.example.com"))
    expect(page.locator("#state")).to_contain_text("vault.example.com:8200 refused")
    page.get_by_label("Reason").press_sequentially("The vault is back")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Try now")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("A worker asks the CA as soon as there is room.")).to_be_visible()
    row = Enrollment.objects.get(orchestrator=fleet.warned)
    assert row.next_attempt_at <= timezone.now()
    assert said == []


def test_what_came_of_a_job_is_looked_at_again_by_itself_and_keeps_the_focus(chromium, site):
    url, fleet = site
    page, said = opened(chromium, url)
    page.clock.install()
    page.goto(f"{url}/orchestrators/act?act=request&ids={fleet.calm.pk}&ids={fleet.warned.pk}")
    page.get_by_role("button", name="Request renewal 2 orchestrators").click()
    link = page.get_by_role("link", name=fleet.calm.client_machine)
    link.focus()
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(last_seen=timezone.now())
    row = page.locator("#results tr", has_text=fleet.calm.client_machine)
    expect(row).to_contain_text("Not called yet")
    page.clock.fast_forward(15_000)
    expect(row).to_contain_text("Called, not renewed")
    expect(link).to_be_focused()
    assert said == []


def test_the_page_of_an_orchestrator_tells_what_comes_of_its_csr_and_keeps_the_focus(
    chromium, site
):
    url, fleet = site
    page, said = opened(chromium, url)
    page.clock.install()
    page.goto(f"{url}/orchestrators/{fleet.calm.pk}")
    expect(page.locator("#open-now")).to_contain_text("the CA answers later")
    link = page.locator("#page-acts").get_by_role("link", name="Require renewal")
    link.focus()
    Enrollment.objects.filter(orchestrator=fleet.calm).update(state="discarded")
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(
        awaiting_first_use_since=timezone.now(), last_seen=timezone.now()
    )
    page.clock.fast_forward(5_000)
    expect(page.locator("#about .chips")).to_contain_text("Issued, not used")
    expect(page.locator("#open-now")).not_to_contain_text("the CA answers later")
    expect(page.locator("#open-now")).to_contain_text("Issued, not used")
    expect(link).to_be_focused()
    assert said == []


def test_the_page_of_an_orchestrator_changes_as_a_whole_and_keeps_focus_and_what_is_opened(
    chromium, site
):
    url, fleet = site
    page, said = opened(chromium, url)
    page.clock.install()
    page.goto(f"{url}/orchestrators/{fleet.calm.pk}")
    held = page.locator("#about .chip").first
    ticket = page.locator("#explained details.ticket")
    ticket.locator("summary").click()
    held.focus()
    page.evaluate(
        "for (const part of document.querySelectorAll('#open-now, #explained'))"
        " part.dataset.old = 1"
    )
    page.clock.fast_forward(5_000)
    expect(page.locator("#open-now[data-old]")).to_have_count(0)
    expect(held).to_be_focused()
    expect(page.locator("#explained[data-old]")).to_have_count(1)
    Enrollment.objects.filter(orchestrator=fleet.calm).update(state="discarded")
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(
        flag=Reenrollment.REQUIRED, flag_counter=1, last_seen=timezone.now()
    )
    page.clock.fast_forward(5_000)
    expect(page.locator("#explained")).to_contain_text("An operator requires a new certificate.")
    expect(page.locator("#facts")).to_contain_text("Required")
    expect(held).to_be_focused()
    expect(ticket).to_have_attribute("open", "")
    assert said == []


def test_a_certificate_authority_is_added_and_tests_green(chromium, site, settings, tmp_path):
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path)
    page, said = opened(chromium, site[0])
    page.keyboard.press("Control+k")
    page.keyboard.type("add a certificate auth")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Add a CA of type local").click()
    page.get_by_label("Name", exact=True).fill("Branch CA")
    page.get_by_role("button", name="Add and test").click()
    expect(page.locator("h1")).to_have_text("Branch CA")
    expect(page.locator("main")).to_contain_text("Test passed")
    expect(page.locator("main")).to_contain_text("Its certificates can prove who an orchestrator")
    page.get_by_role("link", name="Disable…").click()
    page.get_by_role("button", name="Disable Branch CA").click()
    expect(page.get_by_role("button", name="Enable")).to_be_visible()
    assert not CertificateAuthority.objects.get(name="Branch CA").enabled
    assert said == []


def test_a_list_that_looks_again_keeps_the_focus_and_its_words_are_explained(chromium, site):
    page, said = opened(chromium, f"{site[0]}")
    page.goto(f"{site[0]}/enrollments")
    expect(page.locator("#list[hx-trigger='every 5s']")).to_be_visible()
    held = page.locator("#list tbody tr").nth(1).get_by_role("link").last
    held.focus()
    page.keyboard.press("i")
    hint = page.locator(".hint")
    expect(hint).to_contain_text("Refused: The CA refused")
    expect(hint).to_have_role("status")
    page.keyboard.press("Escape")
    expect(hint).to_be_hidden()
    with page.expect_response(lambda reply: "/enrollments" in reply.url):
        page.evaluate(
            "document.getElementById('list').old = 1;"
            "htmx.ajax('GET', '/enrollments',"
            " {target: '#list', select: '#list', swap: 'outerHTML'})"
        )
    page.wait_for_function("!document.getElementById('list').old")
    expect(held).to_be_focused()
    page.locator("abbr[title]").first.focus()
    expect(hint).to_have_text(page.locator("abbr[title]").first.get_attribute("title") or "?")
    assert said == []


def test_an_issuer_is_pasted_and_a_refused_form_leads_to_what_is_to_be_mended(chromium, site):
    url, _ = site
    page, said = opened(chromium, url)
    page.goto(f"{url}/trusted-issuers")
    # A browser sends a file that nobody chose, too, without a name.
    page.get_by_label("Certificate (PEM)").fill(anchor_pem(timezone.now()))
    page.get_by_role("button", name="Trust this issuer").click()
    expect(page.get_by_text("is trusted")).to_be_visible()
    assert said == []
    page.goto(f"{url}/templates/add")
    page.get_by_label("Name", exact=True).fill(Template.objects.earliest("pk").name)
    page.get_by_role("button", name="Add the template").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()


def test_charts_are_drawn_and_a_day_leads_to_its_list(chromium, site):
    url, _ = site
    page, said = opened(chromium, url)
    ends = page.locator("[data-chart=ends]")
    expect(ends.locator("canvas")).to_be_visible()
    # The legend has a label with a value for the day under the pointer, and none before.
    legends = page.locator(".u-legend")
    day, values = ends.locator(".u-series:first-child .u-label"), legends.locator(".u-value")
    expect(day).to_be_hidden()
    assert not any(value.is_visible() for value in values.all())
    ends.locator(".u-over").hover()
    expect(day).to_be_visible()
    expect(ends.locator(".u-series:first-child .u-value")).to_have_text(re.compile(r"^\d{4}-\d\d-"))
    page.mouse.move(0, 0)
    expect(day).to_be_hidden()
    ends.locator("summary").click()
    (link,) = ends.locator("tbody a").all()
    link.click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr a.name")).to_have_text("edge-gateway-07")
    assert said == []


def test_times_are_those_of_the_browser(chromium, site):
    url, fleet = site
    page, said = opened(chromium, url, timezone_id="Asia/Tokyo")
    page.goto(f"{url}/account")
    expect(page.locator("main")).to_contain_text("Asia/Tokyo")
    page.goto(f"{url}/certificates/{fleet.calm.certificates.get().pk}")
    expect(page.locator("main")).to_contain_text("JST")
    assert said == []


@pytest.mark.parametrize("width", [640, 375])
def test_tabs_and_rows_are_in_sight_however_narrow_the_page(chromium, site, width):
    url, fleet = site
    page, _ = opened(chromium, url, width=width)
    job = rows.bulk_job(User.objects.get(username="admin"), timezone.now())
    for path in (
        "jobs",
        f"jobs/{job.pk}",
        "orchestrators",
        "certificates",
        "authorities",
        f"orchestrators/{fleet.calm.pk}/audit",
    ):
        page.goto(f"{url}/{path}")
        shown = page.locator(".tabs a, table.stacked tbody :is(th, td)").all()
        assert len(shown) > 1
        for box in [each.bounding_box() for each in shown if each.is_visible()]:
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


def test_the_periods_are_tried_with_the_pointer_with_keys_and_with_numbers(chromium, site):
    url, _ = site
    page, said = opened(chromium, url)
    page.goto(f"{url}/forecast")
    field = page.get_by_role("spinbutton", name="Warning period")
    line = page.get_by_role("slider", name="Warning period on the chart")
    expect(line).to_have_attribute("aria-valuetext", "180 days")
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    middle, height = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle, height)
    page.mouse.down()
    page.mouse.move(middle - 100, height, steps=4)
    assert int(field.input_value()) < 180
    page.mouse.up()
    expect(page.get_by_role("link", name="Back to the periods in force")).to_be_visible()
    dragged = int(field.input_value())
    assert f"warning={dragged}&" in page.url
    # It has the focus still: keys go on from there, and cannot cross the other line.
    expect(line).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    expect(page).to_have_url(re.compile(f"warning={dragged + 8}&"))
    expect(line).to_be_focused()
    page.keyboard.press("Home")
    expect(page).to_have_url(re.compile("warning=31&expiry=30"))
    field.fill("60")
    field.press("Tab")
    expect(line).to_have_attribute("aria-valuetext", "60 days")
    assert "warning=60" in page.url
    assert said == []
