"""The audit log's pages: filters, search, groups, export, proof, and refusals as rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from orchestrators import groups
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import Reach
from portal.access.role_changes import save_role
from portal.audit import requested, sealing, search
from portal.audit.models import AuditEntry, AuditVerification, Category
from portal.audit.trail import Actor, record
from portal.audit.wording import one_line
from renewal.bulk import service, work
from renewal.bulk.selection import Selection
from renewal.models import BulkJob
from renewal.rules.acts import Act
from renewal.selectors.filters import filters_of_query
from tests.portal.pages import fleet as rows

ANNA = Actor("anna", source_address="192.0.2.7", request_id="one-act")


@pytest.fixture(autouse=True)
def _a_log_of_its_own(settings: Any, tmp_path: Path) -> None:
    """Databases go with their test; the checkpoints' file would tell of them to the next."""
    file = str(tmp_path / "checkpoints.jsonl")
    settings.CONFIG = replace(settings.CONFIG, audit_checkpoints_file=file)


def wrote(message: str = "", **fields: Any) -> AuditEntry:
    values = {"object_type": "setting", "object_id": "7", "object_name": "Warning"} | fields
    actor = replace(ANNA, request_id=values.pop("request_id", ANNA.request_id))
    return record(actor, Category.SETTING, "setting_changed", message=message, **values)


def shown(page: Any) -> list[int]:
    return [
        event.entry.pk for group in page.context["groups"] for event in (group.first, *group.others)
    ]


def test_the_audit_log_is_filtered(fleet, admin):
    assert len(shown(admin.get("/audit"))) == AuditEntry.objects.count()
    by_agent = admin.get("/audit", {"who": "agent"}).context["groups"]
    assert by_agent
    assert {group.first.by for group in by_agent} == {"agent"}
    enrollments = admin.get("/audit", {"category": "enrollment"}).context["groups"]
    assert {g.first.entry.category for g in enrollments} <= {"enrollment"}
    assert admin.get("/audit", {"request": "none"}).context["groups"] == []


SEARCHES = {
    "a word of the message": {"q": "lorry"},
    "words in any order": {"q": "broken lorry"},
    "the object's name": {"q": "oslo"},
    "the person": {"q": "ANNA oslo"},
    "the address": {"q": "192.0.2"},
    "the person exactly": {"who": "anna"},
    "one act": {"request": "one-act"},
    "the object": {"object": "setting:42"},
    "the action": {"action": "setting_changed", "who": "anna"},
    "a time": {"since": "2020-01-01", "who": "anna"},
    "the day itself": {"until": "{day}", "who": "anna"},
}


@pytest.mark.both_databases
@pytest.mark.parametrize("asked", SEARCHES.values(), ids=SEARCHES)
def test_a_row_is_found_by(admin, asked: dict[str, str]) -> None:
    row = wrote("the lorry was broken", object_id="42", object_name="oslo")
    asked = {name: text.replace("{day}", f"{row.at:%Y-%m-%d}") for name, text in asked.items()}
    assert shown(admin.get("/audit", asked)) == [row.pk]


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "yesterday"},
        {"until": "2026-13-01"},
        {"until": "9999-12-31"},
        {"since": "0001-01-01T00:00+14:00"},
        {"orchestrator": "oslo"},
        {"object": "setting"},
        {"category": "weather"},
        {"q": "x", "before_row": "-1"},
    ],
    ids=str,
)
def test_a_filter_that_cannot_be_read_is_said_and_shows_nothing(admin, asked) -> None:
    page = admin.get("/audit", asked)
    assert page.status_code == 400
    assert page.context["groups"] == []
    assert page.context["problem"]


def test_a_search_says_how_far_it_looked_and_goes_on(admin, monkeypatch) -> None:
    monkeypatch.setattr(search, "WINDOW_ROWS", 5)
    old = wrote("the needle")
    for _ in range(7):
        wrote("hay")
    page = admin.get("/audit", {"q": "needle"})
    assert shown(page) == []
    further = page.context["searched_to"]
    page = admin.get("/audit", {"q": "needle", "before_row": further})
    assert shown(page) == [old.pk]


def test_a_search_that_goes_on_misses_no_row_between_two_windows(admin, monkeypatch) -> None:
    monkeypatch.setattr(search, "WINDOW_ROWS", 3)
    wanted = [wrote("needle").pk for _ in range(11)]
    found: list[int] = []
    asked = {"q": "needle"}
    while True:
        page = admin.get("/audit", asked)
        found += shown(page)
        searched_to = page.context["searched_to"]
        if searched_to is None or searched_to <= wanted[0]:
            break
        asked = {"q": "needle", "before_row": searched_to}
    assert found == wanted[::-1]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_an_export_of_a_text_search_holds_all_that_match_however_far_back(
    form: str, admin, monkeypatch
) -> None:
    monkeypatch.setattr(search, "WINDOW_ROWS", 3)
    wanted = [wrote("needle").pk]
    for _ in range(8):
        wrote("hay")
    wanted += [wrote("needle").pk, wrote("needle").pk]
    text = admin.get(f"/audit/export.{form}", {"q": "needle"}).getvalue().decode()
    lines = json.loads(text) if form == "json" else csv.DictReader(io.StringIO(text))
    assert [int(line["id"]) for line in lines] == wanted[::-1]


def test_a_bulk_job_is_one_entry_that_leads_to_all_that_it_did(admin) -> None:
    told = wrote("the job", object_type="bulk_job", request_id="bulk-7")
    for number in range(120):
        wrote(object_id=str(number), request_id="bulk-7")
    after = wrote("later", request_id="another")
    assert shown(admin.get("/audit"))[:2] == [after.pk, told.pk]
    page = admin.get("/audit", {"request": "bulk-7"})
    assert len(shown(page)) == 100


def bulk(admin: Client, *, reason: str = "new CA") -> BulkJob:
    """Ask all that work to renew, as a job of the administrator."""
    user = User.objects.get(username="administrator")
    now = timezone.now()
    order = service.Order(
        Act.REQUEST, Selection(filters=filters_of_query("state=ok")), reason=reason
    )
    seen = service.preview(order, user=user, now=now)
    actor = Actor(user.username, user.pk)
    return service.submit(order, seen.frozen, user=user, actor=actor, now=now)


def plain(page: Any) -> str:
    return " ".join(strip_tags(page.content.decode()).split())


def test_a_bulk_job_reads_as_one_sentence_with_its_end_and_its_rows(fleet, admin) -> None:
    job = bulk(admin)
    total = job.total
    assert f"Request renewal of {total} orchestrators Waiting" in plain(admin.get("/audit"))
    work.run(job.pk, now=timezone.now())
    told = f"{total} changed, by administrator"
    for page in (
        admin.get("/audit"),
        admin.get("/audit", {"request": job.audit_group}),
        admin.get("/audit", {"action": "renewal_requested", "who": "administrator"}),
    ):
        (group,) = (g for g in page.context["groups"] if g.job is not None)
        text = plain(page)
        assert f"Request renewal of {total} orchestrators Done" in text
        assert told in text
        assert "“new CA”" in text
        assert "Bulk job submitted" in text
        assert "Bulk job finished" in text
        assert f'href="/jobs/{job.pk}"' in page.content.decode()
    assert len(group.rows) == total
    assert f"/audit?request={job.audit_group}" in admin.get(f"/jobs/{job.pk}").content.decode()
    # The rows stand for themselves: the job is deleted one day.
    BulkJob.objects.all().delete()
    page = admin.get("/audit")
    assert told in plain(page)
    assert f'href="/jobs/{job.pk}"' not in page.content.decode()


def test_a_canceled_job_says_how_far_it_came(fleet, admin) -> None:
    job = bulk(admin)
    service.cancel(job.pk, actor=ANNA, now=timezone.now())
    text = plain(admin.get("/audit"))
    assert f"Request renewal of {job.total} orchestrators Canceled" in text
    assert f"{job.total} left untouched, by administrator" in text
    assert "Bulk job canceled just now by anna" in text


def test_who_submitted_a_job_reads_its_rows_and_nobody_elses(fleet, admin, as_role) -> None:
    """The narrowest rule: one's own job, within one's reach; without the permission to the log."""
    operator = as_role("Operator")
    user = User.objects.get(username="operator")
    job = bulk(admin)
    work.run(job.pk, now=timezone.now())
    address = f"/jobs/{job.pk}/audit"
    assert operator.get("/audit").status_code == 403
    assert operator.get(address).status_code == 404
    assert address not in operator.get(f"/jobs/{job.pk}").content.decode()

    BulkJob.objects.update(requested_by=user)
    assert address in operator.get(f"/jobs/{job.pk}").content.decode()
    (group,) = operator.get(address).context["groups"]
    assert len(group.rows) == job.total
    assert len(group.job.steps) == 2
    assert 'href="/audit' not in operator.get(address).content.decode()

    limited, _ = groups.save_group("Plant", actor=ANNA, now=timezone.now())
    groups.assign([fleet.calm.pk], limited, actor=ANNA)
    save_role(
        "Plant operators",
        permissions=[Permission.PORTAL_READ, Permission.AGENTS_READ],
        limit=Reach(groups=frozenset({limited.pk})),
        giver=None,
        actor=ANNA,
    )
    user.groups.set([Group.objects.get(name="Plant operators")])
    (group,) = operator.get(address).context["groups"]
    assert [row.entry.orchestrator_id for row in group.rows] == [fleet.calm.pk]


def test_rows_of_one_act_are_one_group_though_others_came_between(admin) -> None:
    for number in range(4):
        wrote(object_id=str(number), request_id="one-act-1")
        wrote(object_id=str(number), request_id="another-2")
    groups = admin.get("/audit", {"who": "anna"}).context["groups"]
    assert [len(group.others) for group in groups] == [3, 3]


def test_rows_of_one_act_are_one_group(admin) -> None:
    for number in range(4):
        wrote(object_id=str(number))
    groups = admin.get("/audit", {"who": "anna"}).context["groups"]
    assert [len(group.others) for group in groups] == [3]


def test_a_row_is_marked_until_it_is_sealed(admin) -> None:
    row = wrote()
    assert row.pk in admin.get("/audit").context["unsealed"]
    sealing.seal(now=timezone.now)
    assert admin.get("/audit").context["unsealed"] == set()


HOSTILE = (
    '=HYPERLINK("http://x")',
    "\uff1d1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "<script>alert(1)</script>",
)


def test_the_export_is_what_the_filters_show_and_no_formula(admin) -> None:
    for text in HOSTILE:
        wrote(text, object_name=text)
    record(Actor("bert"), Category.SETTING, "setting_changed", object_type="x", object_id="1")
    answer = admin.get("/audit/export.csv", {"who": "anna"})
    table = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    kept = [one_line(text) for text in reversed(HOSTILE)]
    assert [line["message"] for line in table] == [
        text if text[0] in "<x" else f"'{text}" for text in kept
    ]
    told = json.loads(admin.get("/audit/export.json", {"who": "anna"}).getvalue())
    assert [line["message"] for line in told] == kept
    exports = AuditEntry.objects.filter(action="audit_exported").order_by("pk")
    assert [(row.object_id, row.after) for row in exports] == [
        ("csv", {"who": "anna", "time_zone": "UTC"}),
        ("json", {"who": "anna", "time_zone": "UTC"}),
    ]


def test_names_are_shown_and_never_run(admin) -> None:
    for text in HOSTILE:
        wrote(text, object_name=text)
    page = admin.get("/audit", {"who": "anna"}).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_verify_is_asked_for_carried_out_and_told(admin) -> None:
    wrote()
    assert admin.post("/audit/verify").status_code == 302
    assert "a worker takes it up" in admin.get("/audit/verification").content.decode()
    requested.run(now=timezone.now)
    done = admin.get("/audit/verification").content.decode()
    assert "The log is what was sealed" in done
    assert "Verified" in admin.get("/audit").content.decode()
    told = AuditEntry.objects.filter(object_type="audit").order_by("pk")
    assert [row.action for row in told] == ["audit_verification_requested", "audit_verified"]
    assert told[1].after["findings"] == []


def test_a_run_that_broke_off_is_closed_and_proves_nothing(admin, monkeypatch) -> None:
    def breaks(**_: object) -> None:
        raise OSError("no disk")

    admin.post("/audit/verify")
    monkeypatch.setattr(requested.verification, "verify", breaks)
    requested.run(now=timezone.now)
    assert AuditVerification.objects.get().finished_at
    done = admin.get("/audit/verification").content.decode()
    assert "The run broke off" in done
    for lie in ("was changed", "what was sealed"):
        assert lie not in done
        assert f"{lie}." not in admin.get("/audit").content.decode()
    told = AuditEntry.objects.get(action="audit_verified")
    assert told.after["findings"] == ["broken_off"]
    # The next one is carried out.
    monkeypatch.undo()
    admin.post("/audit/verify")
    assert AuditVerification.objects.count() == 2


def test_who_asks_again_while_a_run_is_open_is_served_by_it(admin) -> None:
    for _ in range(3):
        admin.post("/audit/verify")
    assert AuditVerification.objects.count() == 1


def test_a_verification_that_nobody_takes_up_says_so(admin) -> None:
    requested.request(ANNA, now=timezone.now() - timedelta(minutes=5))
    assert "No worker has taken it up" in admin.get("/audit/verification").content.decode()


@pytest.mark.both_databases
def test_a_refused_page_is_one_row_however_often_it_is_asked_for(
    as_role: Callable[[str | None], Client],
) -> None:
    client = as_role("Operator")
    for _ in range(3):
        assert client.get("/audit").status_code == 403
    row = AuditEntry.objects.get(action="page_refused")
    assert (row.category, row.actor_name) == ("refusal", "operator")
    for told in ("GET /audit", "/auditing/read/", "Roles: Operator"):
        assert told in row.message


def test_a_form_of_another_session_is_refused_and_noted(db: None) -> None:
    rows.user("admin", "Administrator")
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    assert client.post("/sign-in", {"username": "admin", "password": "x"}).status_code == 403
    assert AuditEntry.objects.filter(action="form_refused", actor_name="anonymous").count() == 1
