"""Acting on all that match: preview, confirmation, job; nothing more and nothing less."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from django.utils.html import strip_tags

from orchestrators import groups
from orchestrators.models import Job, JobState, Orchestrator, Status
from portal.access.catalogue import Permission
from portal.access.reach import EVERYTHING, Reach
from portal.access.role_changes import save_role
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal.bulk import work
from renewal.models import BulkJob, Certificate, Enrollment, Revocation
from renewal.rules.acts import SENTENCES
from renewal.rules.bulk_lifecycle import BulkState
from renewal.rules.standing import Standing
from tests.portal.pages import fleet as rows

PREVIEW = "/orchestrators/all/preview"
SUBMIT = "/orchestrators/all/submit"


def form_of(response) -> dict[str, str]:
    """What the preview's form would send."""
    _, _, text = response.content.decode().partition(f'action="{SUBMIT}"')
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
    fields.pop("csrfmiddlewaretoken", None)
    return {name: value.replace("&amp;", "&") for name, value in fields.items()}


def submit(client, act, query="", **more):
    page = client.get(f"{PREVIEW}?act={act}{query}")
    assert page.status_code == 200
    return client.post(SUBMIT, {**form_of(page), **more})


def test_all_that_match_are_asked_to_renew_and_nobody_else(fleet, admin):
    response = submit(admin, "request", "&state=ok", message="new CA")

    job = BulkJob.objects.get()
    assert response["Location"] == f"/jobs/{job.pk}"
    flagged = set(Orchestrator.objects.filter(flag=1).values_list("pk", flat=True))
    assert set(job.items.values_list("orchestrator_id", flat=True)) <= flagged
    assert fleet.calm.pk in flagged
    assert fleet.waiting.pk not in flagged
    assert (job.state, job.query, job.reason) == (BulkState.DONE, "state=ok", "new CA")


def test_a_job_that_asks_tells_what_came_of_it_and_asked_is_not_renewed(fleet, admin, now):
    # A CSR from before is no answer to what is asked now.
    rows.enrollment(fleet.requested, now=now - timedelta(hours=1))
    submit(admin, "request", message="new CA")
    job = BulkJob.objects.get()
    asked = Orchestrator.objects.count()
    later = job.created_at + timedelta(seconds=1)

    def told() -> dict[str, int]:
        page = admin.get(f"/jobs/{job.pk}")
        counts = {label.word: count for _, label, count in page.context["since"]}
        for place, _, count in page.context["since"]:
            there = admin.get(f"/jobs/{job.pk}?since={place}")
            assert len(there.context["items"]) == count
            assert (f'href="?since={place}"' in page.content.decode()) == bool(count)
        assert sum(counts.values()) == job.changed + job.unchanged == asked
        found = [labels[0].word for *_, labels, _ in page.context["items"]]
        assert {word: found.count(word) for word in counts} == counts
        return {word: count for word, count in counts.items() if count}

    polled = 'hx-trigger="every 15s"'
    assert told() == {"Not called yet": asked}
    assert polled in admin.get(f"/jobs/{job.pk}").content.decode()
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(last_seen=later)
    Orchestrator.objects.filter(pk=fleet.warned.pk).update(flag=0)
    # One that was delivered before it was asked is no renewal, whenever it is used.
    fleet.unused.certificates.filter(standing="issued").update(proven_at=later)
    new = fleet.must_renew.certificates.all()
    new.update(delivered_at=later, proven_at=None)
    assert told() == {
        "Not called yet": asked - 3,
        "Called, not renewed": 1,
        "No longer asked": 1,
        "Issued, not used": 1,
    }
    # Its CSR was received: the turn is the CA's.
    csr = rows.enrollment(fleet.calm, now=later, state="pending")
    assert told() == {
        "Not called yet": asked - 3,
        "With the CA": 1,
        "No longer asked": 1,
        "Issued, not used": 1,
    }
    Enrollment.objects.filter(pk=csr.pk).update(state="refused")
    assert told()["Called, not renewed"] == 1
    new.update(proven_at=later)
    assert told()["Renewed"] == 1
    submit(admin, "clear", "&state=warning")
    assert "What came of it" not in admin.get(f"/jobs/{job.pk + 1}").content.decode()


def test_a_job_tells_whether_the_replaced_certificates_are_revoked_and_how_many_overdue(
    fleet, admin, now
):
    submit(admin, "request")
    job = BulkJob.objects.get()
    new = fleet.must_renew.certificates.get()
    old = rows.certificate(fleet.must_renew, now=now, standing=Standing.SUPERSEDED)
    later = timezone.now()
    Certificate.objects.filter(pk=new.pk).update(delivered_at=later, proven_at=later)
    off = "hey are not revoked: the setting"

    def told() -> dict[str, int]:
        page = admin.get(f"/jobs/{job.pk}")
        for place, label, count in page.context["old"]:
            there = admin.get(f"/jobs/{job.pk}?since={place}").context["items"]
            assert [name for _, name, *_ in there] == [fleet.must_renew.client_machine] * count
            shown = [] if label.word == "Not revoked" else [label.word]
            assert all([each.word for each in item[3]] == ["Renewed", *shown] for item in there)
        assert len(admin.get(f"/jobs/{job.pk}?since=renewed").context["items"]) == 1
        assert (off in page.content.decode()) == (not page.context["revokes_old"])
        return {label.word: count for _, label, count in page.context["old"] if count}

    assert told() == {}
    store.change("RevokeOldClientAuthCertificate", "true", actor=rows.ALICE, now=now)
    assert told() == {"Not revoked": 1}
    Certificate.objects.filter(pk=new.pk).update(predecessor=old)
    revocation = Revocation.objects.create(
        certificate=old,
        orchestrator=fleet.must_renew,
        reason="superseded",
        created_at=later,
        next_attempt_at=later,
    )
    for state, age, word in (
        ("waiting", 0, "Being revoked"),
        ("submitted", 0, "Being revoked"),
        ("waiting", 16, "Revocation overdue"),
        ("failed", 0, "Revocation overdue"),
        ("done", 16, "Old one revoked"),
        ("lapsed", 16, "Not revoked"),
    ):
        asked_at = later - timedelta(minutes=age)
        Revocation.objects.filter(pk=revocation.pk).update(state=state, created_at=asked_at)
        assert told() == {word: 1}, (state, age)
    Revocation.objects.filter(pk=revocation.pk).update(state="done")
    store.change("RevokeOldClientAuthCertificate", "false", actor=rows.ALICE, now=now)
    assert told() == {"Old one revoked": 1}


def test_a_preview_counts_by_outcome_and_says_who_is_skipped_and_why(fleet, admin):
    page = admin.get(f"{PREVIEW}?act=approve&state=waiting")

    text = page.content.decode()
    assert fleet.conflicting.client_machine in text
    assert "Several strangers came forward" in text
    assert page.context["to_change"] >= 1
    assert page.context["skipped"] >= 1
    assert not BulkJob.objects.exists()


def test_a_preview_says_who_cannot_renew_though_asked(fleet, admin):
    everybody = admin.get(f"{PREVIEW}?act=request").content.decode()
    assert "1 of them is expired: it is locked out until it is Reset." in everybody
    assert "wait for approval" in everybody
    one = f"/orchestrators/act?act=request&ids={fleet.expired.pk}"
    assert "It is expired: it is locked out until it is Reset." in admin.get(one).content.decode()
    two = f"{one}&ids={fleet.waiting.pk}"
    assert "1 of them is expired: it is" in admin.get(two).content.decode()
    expired = admin.get(f"{PREVIEW}?act=request&state=expired").content.decode()
    assert "is expired" in expired
    assert "wait for approval" not in expired
    assert "of them" not in admin.get(f"{PREVIEW}?act=request&state=ok").content.decode()
    assert "is expired" not in admin.get(f"{PREVIEW}?act=reset&state=expired").content.decode()


@pytest.mark.both_databases
def test_who_gets_no_session_is_counted_exactly_however_many_there_are(
    fleet, admin, now, monkeypatch
):
    # A list's numbers stop at a cap; a preview reads every record anyway.
    monkeypatch.setattr("renewal.selectors.state_counts.CAP", 2)
    for number in range(4):
        rows.approved(f"old-{number}", now=now, left=timedelta(days=-9))
    for query in ("", "&state=expired", "&q=old-"):
        page = admin.get(f"{PREVIEW}?act=request{query}").content.decode()
        number = 4 if query == "&q=old-" else 5
        assert f"{number} of them are expired: they are locked out" in page, query


@pytest.mark.both_databases
def test_who_comes_back_with_a_certificate_that_it_was_given_is_not_locked_out(fleet, admin, now):
    given = rows.certificate(fleet.expired, now=now, standing=Standing.ISSUED)
    Orchestrator.objects.filter(pk=fleet.expired.pk).update(awaiting_first_use_since=now)
    one = f"/orchestrators/act?act=request&ids={fleet.expired.pk}"
    comes_back = "is expired and has a new certificate: it gets a session once it uses that one."
    for address in (one, f"{PREVIEW}?act=request"):
        page = admin.get(address).content.decode()
        assert comes_back in page
        assert "until it is Reset" not in page
    Certificate.objects.filter(pk=given.pk).update(revoked_at=now)
    assert "until it is Reset" in admin.get(one).content.decode()


def test_a_request_of_who_was_required_to_renew_says_that_it_takes_that_back(fleet, admin):
    def told(act):
        return strip_tags(admin.get(f"{PREVIEW}?act={act}").content.decode())

    taken_back = "required to renew: a request takes that back"
    assert taken_back not in told("request")
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(flag=2)
    assert f"1 of them was {taken_back}" in told("request")
    assert taken_back not in told("require")
    one = admin.get(f"/orchestrators/act?act=request&ids={fleet.calm.pk}").content.decode()
    assert f"It was {taken_back}" in strip_tags(one)


def test_logs_are_fetched_of_many_but_of_those_that_do_not_offer_them(fleet, admin, now):
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(capabilities=[], had_session=True)
    Orchestrator.objects.filter(pk=fleet.warned.pk).update(
        seen_on=date(2020, 1, 1), had_session=True
    )
    submit(admin, "logs", f"&q={fleet.must_renew.client_machine}")
    first = BulkJob.objects.get()
    assert list(first.items.values_list("orchestrator_id", "state")) == [
        (fleet.must_renew.pk, "changed")
    ]

    page = admin.get(f"{PREVIEW}?act=logs")
    text = strip_tags(page.content.decode())
    skipped = [(pk, why) for pk, _, why in page.context["shown"]]
    assert skipped == [(fleet.calm.pk, SENTENCES["logs_not_offered"])]
    assert "it learns of this when it calls again, and does not send it before" in text
    assert "Their logs were asked for already." in text
    assert f"Of all {Orchestrator.objects.count()}:1 of them is offline" in text

    submit(admin, "logs", message="ticket 7")
    job = BulkJob.objects.latest("pk")
    everybody = Orchestrator.objects.count()
    waiting = Job.objects.filter(state=JobState.WAITING)
    assert waiting.count() == everybody - 1
    assert (job.state, job.skipped, job.unchanged) == (
        BulkState.DONE,
        1,
        everybody - job.changed - 1,
    )
    told = AuditEntry.objects.filter(request_id=job.audit_group, action="logs_requested")
    assert set(told.values_list("message", flat=True)) == {"ticket 7"}
    assert told.count() == job.changed
    shown = admin.get(f"/jobs/{job.pk}").content.decode()
    assert f'href="/orchestrators/{fleet.warned.pk}/logs"' in shown
    assert "Fetch the log of" in shown
    assert "What came of it" not in shown

    again = admin.get(f"{PREVIEW}?act=logs")
    assert again.status_code == 200
    assert again.context["to_change"] == 0


def test_who_is_offline_is_counted_before_a_renewal_is_asked_for(fleet, admin):
    silent = "offline: it learns of this when it calls again"
    ticked = f"/orchestrators/act?act={{}}&ids={fleet.calm.pk}"
    assert silent not in admin.get(f"{PREVIEW}?act=request").content.decode()
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(seen_on=date(2020, 1, 1))
    for address in (f"{PREVIEW}?act={{}}", f"{PREVIEW}?act={{}}&state=ok", ticked):
        who = "It" if address == ticked else "1 of them"
        assert f"{who} is {silent}" in admin.get(address.format("require")).content.decode()
        assert silent not in admin.get(address.format("reset")).content.decode()


def test_a_changed_selection_is_refused_with_a_new_preview(fleet, admin, now):
    page = admin.get(f"{PREVIEW}?act=request&state=ok")
    form = form_of(page)
    made = rows.approved("late-comer", now=now, left=timedelta(days=300))
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(status=3)

    response = admin.post(SUBMIT, form)

    assert response.status_code == 400
    text = response.content.decode()
    assert "has changed since it was shown" in text
    assert f"Came: late-comer. Gone: {fleet.calm.client_machine}." in text
    assert form_of(response)["digest"] != form["digest"]
    assert not BulkJob.objects.exists()
    again = admin.post(SUBMIT, form_of(response))
    assert again.status_code == 302
    made.refresh_from_db()
    assert made.flag == 1


@pytest.mark.parametrize("keys", ["", "x", "AAAA", "é", "A" * 40_000])
def test_what_a_form_says_of_the_records_only_helps_to_name_the_changes(keys, fleet, admin):
    form = form_of(admin.get(f"{PREVIEW}?act=request&state=ok"))
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(status=3)

    response = admin.post(SUBMIT, {**form, "keys": keys})

    assert response.status_code == 400
    assert "has changed since it was shown" in response.content.decode()
    assert not BulkJob.objects.exists()


def of_role(*permissions, limit=EVERYTHING):
    save_role("Some", permissions=permissions, limit=limit, giver=None, actor=rows.ALICE)
    account = rows.service_account()
    account.groups.set([Group.objects.get(name="Some")])


def test_a_preview_says_who_cannot_renew_for_want_of_a_permission(fleet, admin, as_role):
    def told(act="request", client=admin, query=""):
        page = client.get(f"{PREVIEW}?act={act}{query}").content.decode()
        return re.findall(r"(\d+) of them ([a-z ]+): (their [^.]+)", strip_tags(page))

    assert told() == []
    of_role(Permission.CERTIFICATES_READ)
    asked = Orchestrator.objects.filter(status=Status.APPROVED).count()
    lacks = f"{rows.service_account().username} lacks CertificateEnrollment: EnrollCSR"
    assert told() == [(str(asked), "cannot renew", f"their service account {lacks}")]
    assert told(client=as_role("Operator")) == told()
    assert told(query="&q=db-primary")[0][0] == "1"
    assert told("require")[0][1] == "will be locked out"
    assert told("clear") == []


def test_an_account_whose_role_is_limited_lacks_it_for_the_others(fleet, admin):
    group, _ = groups.save_group("mended", actor=rows.ALICE, now=timezone.now())
    groups.assign([fleet.calm.pk], group, actor=rows.ALICE)
    both = (Permission.ENROLL_CSR, Permission.CERTIFICATES_READ)
    of_role(*both, limit=Reach(groups=frozenset({group.pk})))
    (each,) = admin.get(f"{PREVIEW}?act=request").context["lacking"]
    assert each.number == Orchestrator.objects.filter(status=Status.APPROVED).count() - 1
    assert admin.get(f"{PREVIEW}?act=request&group=mended").context["lacking"] == []


def test_to_require_of_who_cannot_renew_is_dangerous_and_needs_a_reason(fleet, admin):
    of_role(Permission.CERTIFICATES_READ)
    page = admin.get(f"{PREVIEW}?act=require&q=db-primary")
    assert "btn btn-danger" in page.content.decode()
    refused = submit(admin, "require", "&q=db-primary", typed="1")
    assert refused.status_code == 400
    assert "Say why: some of them will be locked out." in refused.content.decode()
    assert not BulkJob.objects.exists()
    submit(admin, "require", "&q=db-primary", typed="1", message="stolen disk")
    assert BulkJob.objects.get().reason == "stolen disk"


@pytest.mark.parametrize("act", ["require", "reset"])
def test_require_and_reset_need_the_number_typed(act, fleet, admin):
    count = admin.get(f"{PREVIEW}?act={act}&state=ok").context["frozen"].count

    for typed in ({}, {"typed": str(count + 1)}):
        response = submit(admin, act, "&state=ok", message="why", **typed)
        assert response.status_code == 400
    assert not BulkJob.objects.exists()
    assert submit(admin, act, "&state=ok", message="why", typed=str(count)).status_code == 302


def test_a_reset_needs_a_reason(fleet, admin):
    count = admin.get(f"{PREVIEW}?act=reset&state=ok").context["frozen"].count

    response = submit(admin, "reset", "&state=ok", typed=str(count))

    assert response.status_code == 400
    assert "Say why" in response.content.decode()
    assert not BulkJob.objects.exists()


@pytest.mark.parametrize(
    "form",
    [
        {"act": "explode", "count": "1"},
        {"act": "request", "count": "many"},
        {"act": "request", "count": "99999999999999999999"},
        {"act": "request", "count": ""},
    ],
)
def test_a_form_that_makes_no_sense_is_a_bad_request(form, fleet, admin):
    assert admin.post(SUBMIT, form).status_code == 400
    assert not BulkJob.objects.exists()


def test_a_job_larger_than_a_request_waits_for_a_worker_shows_progress_and_is_canceled(
    fleet, admin, monkeypatch
):
    monkeypatch.setattr("portal.pages.bulk.AT_ONCE", 0)
    submit(admin, "request", "&state=ok")
    job = BulkJob.objects.get()

    page = admin.get(f"/jobs/{job.pk}")
    assert "Cancel the bulk job" in page.content.decode()
    assert 'hx-trigger="every 2s"' in page.content.decode()
    admin.post(f"/jobs/{job.pk}/cancel")

    job.refresh_from_db()
    assert job.state == BulkState.CANCELED
    assert not work.run(job.pk, now=job.created_at)
    assert not Orchestrator.objects.filter(pk=fleet.calm.pk).exclude(flag=0).exists()
    page = admin.get(f"/jobs/{job.pk}").content.decode()
    assert "left untouched" in page
    assert "hx-trigger" not in page.split('id="job"')[1].split(">")[0]

    admin.post(f"/jobs/{job.pk}/retry")
    work.run(job.pk, now=job.created_at)
    assert Orchestrator.objects.get(pk=fleet.calm.pk).flag == 1


def test_a_jobs_items_are_filtered_by_result_and_reason(fleet, admin):
    submit(admin, "approve", "&state=waiting")
    job = BulkJob.objects.get()

    skipped = admin.get(f"/jobs/{job.pk}?item=skipped").context["items"]
    assert {item.state for item, *_ in skipped} == {"skipped"}
    by_reason = admin.get(f"/jobs/{job.pk}?reason=conflict").context["items"]
    assert [name for _, name, *_ in by_reason] == [fleet.conflicting.client_machine]
    assert admin.get(f"/jobs/{job.pk}?cursor=nonsense").status_code == 200
    assert admin.get(f"/jobs/{job.pk}?item=nonsense").status_code == 400


def test_all_audit_rows_of_a_job_are_one_group(fleet, admin):
    submit(admin, "request", "&state=ok", message="together")
    job = BulkJob.objects.get()

    group = AuditEntry.objects.filter(request_id=job.audit_group)
    assert group.filter(action="renewal_requested").count() == job.changed
    assert group.filter(action="bulk_action_submitted").count() == 1
    assert admin.get(f"/audit?request={job.audit_group}").status_code == 200


def test_a_preview_says_who_is_asked_anew_and_speaks_of_many(fleet, admin):
    submit(admin, "request", "&state=ok")
    again = admin.get(f"{PREVIEW}?act=request")
    asked = Orchestrator.objects.filter(flag=1).count()
    assert again.context["again"] == asked
    text = again.content.decode()
    assert "They work on and are told to renew" in text
    assert "asked anew" in text
    assert "Unchanged" not in text
    assert "Nothing was asked of them." in admin.get(f"{PREVIEW}?act=clear").content.decode()


def test_the_days_of_a_jobs_filters_are_kept_with_whose_they_are(fleet, admin):
    admin.cookies["zone"] = "Pacific/Auckland"
    submit(admin, "request", "&ends=2020-01-01..2099-12-31")
    job = BulkJob.objects.get()
    assert job.time_zone == "Pacific/Auckland"
    told = AuditEntry.objects.get(action="bulk_action_submitted").after
    assert (told["query"], told["time_zone"]) == (job.query, job.time_zone)
    admin.cookies["zone"] = "Europe/Berlin"
    assert "those of Pacific/Auckland" in admin.get(f"/jobs/{job.pk}").content.decode()
    submit(admin, "clear", "&ends=30d")
    other = BulkJob.objects.latest("pk")
    assert "The days in its filters" not in admin.get(f"/jobs/{other.pk}").content.decode()


@pytest.mark.parametrize("role", ["Read only", "Approver", "Auditor"])
def test_who_may_not_act_can_neither_preview_nor_submit_nor_cancel(role, fleet, admin, as_role):
    form = form_of(admin.get(f"{PREVIEW}?act=request&state=ok"))
    admin.post(SUBMIT, form)
    job = BulkJob.objects.get()
    client = as_role(role)

    assert client.get(f"{PREVIEW}?act=request&state=ok").status_code == 403
    assert client.post(SUBMIT, form).status_code == 403
    assert client.post(f"/jobs/{job.pk}/cancel").status_code == 403
    assert client.post(f"/jobs/{job.pk}/retry").status_code == 403
    assert client.get(f"/jobs/{job.pk}").status_code == 200
    assert BulkJob.objects.count() == 1


def test_a_job_that_does_not_exist_is_not_found(fleet, admin):
    assert admin.get("/jobs/999").status_code == 404
    assert admin.get("/jobs/99999999999999999999999").status_code == 404
    assert admin.post("/jobs/999/cancel").status_code == 404


def test_the_list_of_jobs_shows_all_or_mine(fleet, admin, as_role):
    submit(admin, "request", "&state=ok")
    operator = as_role("Operator")

    assert len(operator.get("/jobs").context["jobs"]) == 1
    assert operator.get("/jobs?whose=mine").context["jobs"] == []
    assert len(admin.get("/jobs?whose=mine").context["jobs"]) == 1


def test_the_list_offers_acts_on_all_that_match_it(fleet, admin):
    text = admin.get("/orchestrators?state=ok&fleet=real").content.decode()

    assert '<input type="hidden" name="query" value="state=ok&amp;fleet=real">' in text
    assert '<input type="checkbox" name="scope" value="all">' in text


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("act=disapprove&state=ok", {"act": "reset", "message": "why"}),
        ("act=request&state=ok", {"act": "clear"}),
        ("act=request&state=ok", {"at_once": "now"}),
        ("act=request&state=ok&at_once=now", {"at_once": ""}),
        ("act=request&state=ok", {"query": "state=ok&sort=name&fleet=real"}),
        ("act=disapprove&state=ok", {"at_once": "now"}),
    ],
)
def test_what_was_confirmed_is_not_replayed_for_something_else(asked, sent, fleet, admin):
    form = form_of(admin.get(f"{PREVIEW}?{asked}"))
    before = list(Orchestrator.objects.order_by("pk").values())
    response = admin.post(SUBMIT, {**form, "typed": form["count"], **sent})
    assert response.status_code == 400
    assert not BulkJob.objects.exists()
    assert list(Orchestrator.objects.order_by("pk").values()) == before


def test_an_approval_that_somebody_refused_since_its_preview_is_not_submitted(fleet, admin):
    form = form_of(admin.get(f"{PREVIEW}?act=approve"))
    admin.post("/orchestrators/act/perform", {"act": "disapprove", "ids": str(fleet.waiting.pk)})
    response = admin.post(SUBMIT, {**form, "typed": form["count"]})
    assert response.status_code == 400
    assert "Reset or disapproved" in response.content.decode()
    assert not BulkJob.objects.exists()


@pytest.mark.parametrize("is_taken_up_again", [False, True])
def test_a_job_does_not_approve_what_somebody_refused_meanwhile(
    is_taken_up_again, fleet, admin, monkeypatch
):
    monkeypatch.setattr("portal.pages.bulk.AT_ONCE", 0)
    submit(admin, "approve", "&state=waiting")
    job = BulkJob.objects.get()
    if is_taken_up_again:
        admin.post(f"/jobs/{job.pk}/cancel")
    admin.post("/orchestrators/act/perform", {"act": "disapprove", "ids": str(fleet.waiting.pk)})
    if is_taken_up_again:
        admin.post(f"/jobs/{job.pk}/retry")
    work.run(job.pk, now=job.created_at)
    item = job.items.get(orchestrator_id=fleet.waiting.pk)
    assert (item.state, item.reason) == ("skipped", "moved_on")
    assert Orchestrator.objects.get(pk=fleet.waiting.pk).status == 3


def test_what_one_preview_showed_is_one_job_however_often_it_is_sent(fleet, admin):
    form = form_of(admin.get(f"{PREVIEW}?act=request"))
    sent = [admin.post(SUBMIT, form)["Location"] for _ in range(2)]
    assert sent == [f"/jobs/{BulkJob.objects.get().pk}"] * 2
    assert admin.post(SUBMIT, {**form, "once": ""}).status_code == 302
    assert BulkJob.objects.count() == 1
    assert submit(admin, "request")["Location"] != sent[0]


def test_a_renewal_that_was_previewed_as_at_once_ends_the_session(fleet, admin):
    page = admin.get(f"{PREVIEW}?act=request&state=ok&at_once=now")
    assert "the present session ends" in page.content.decode()
    assert admin.post(SUBMIT, form_of(page)).status_code == 302
    assert BulkJob.objects.get().at_once
