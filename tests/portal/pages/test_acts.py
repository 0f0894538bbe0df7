"""What operators do: asked first, done by one service each, told for each item."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest

from orchestrators.models import AgentSession, Job, Orchestrator, Status
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal.identity import approval_requests
from renewal.identity.approval_requests import Cause
from renewal.models import BulkJob, Certificate, Claimant, Revocation
from renewal.rules.standing import Standing
from tests.portal.pages import fleet as rows


def perform(client, act, *records, follow=False, **form):
    return client.post(
        "/orchestrators/act/perform",
        {"act": act, "ids": [str(r.pk) for r in records], **form},
        follow=follow,
    )


def fresh(record):
    return Orchestrator.objects.get(pk=record.pk)


def shown_by(client, record, **query) -> dict[str, str]:
    """What the confirmation page would send back."""
    ask = {"act": "approve", "ids": str(record.pk), **query}
    page = client.get("/orchestrators/act", ask)
    shown = [c.shown for c in page.context["candidates"]]
    return {f"shown-{record.pk}": shown[0]} if shown[0] else {}


@pytest.mark.parametrize(
    ("act", "flag"), [("request", 1), ("require", 2)], ids=["Request", "Require"]
)
def test_a_renewal_is_asked_for_at_the_next_session_or_now(fleet, admin, act, flag):
    perform(admin, act, fleet.renewed, message="Because")
    assert fresh(fleet.renewed).flag == flag
    assert AgentSession.objects.get(orchestrator=fleet.renewed).ended_at is None
    perform(admin, act, fleet.renewed, at_once="now")
    assert AgentSession.objects.get(orchestrator=fleet.renewed).ended_at is not None
    first, second = AuditEntry.objects.filter(action="renewal_requested").order_by("-id")[:2][::-1]
    assert (first.message, first.actor_name) == ("Because", "administrator")
    assert (first.after["at_once"], second.after["at_once"]) == (False, True)


def test_to_require_of_one_that_cannot_renew_needs_a_reason(fleet, admin):
    rows.service_account().groups.clear()
    page = admin.get(f"/orchestrators/act?act=require&ids={fleet.renewed.pk}").content.decode()
    assert "will be locked out" in page
    assert "btn btn-danger" in page
    answer = perform(admin, "require", fleet.renewed)
    assert (answer.status_code, fresh(fleet.renewed).flag) == (400, 0)
    perform(admin, "require", fleet.renewed, message="stolen disk")
    assert fresh(fleet.renewed).flag == 2


def test_a_request_is_cleared(fleet, admin):
    perform(admin, "clear", fleet.requested)
    assert fresh(fleet.requested).flag == 0


def test_disapprove_and_approve_again(fleet, admin):
    perform(admin, "disapprove", fleet.calm)
    perform(admin, "approve", fleet.calm, **shown_by(admin, fleet.calm))
    perform(admin, "disapprove", fleet.calm, message="stolen <disk>")
    assert fresh(fleet.calm).status == Status.DISAPPROVED
    page = admin.get(f"/orchestrators/{fleet.calm.pk}/requests").content.decode()
    assert re.search(
        r"disapproved <time[^>]+>[^<]+</time> by <b>\w+</b>, “stolen &lt;disk&gt;”", page
    )
    perform(admin, "approve", fleet.calm, **shown_by(admin, fleet.calm))
    assert fresh(fleet.calm).status == Status.APPROVED


def test_approval_names_the_certificate_that_the_page_showed(fleet, admin):
    page = admin.get("/orchestrators/act", {"act": "approve", "ids": str(fleet.waiting.pk)})
    seen = Certificate.objects.get(orchestrator=fleet.waiting)
    assert seen.thumbprint in page.content.decode()
    perform(admin, "approve", fleet.waiting, **shown_by(admin, fleet.waiting))
    approved = fresh(fleet.waiting)
    assert (approved.status, approved.thumbprint) == (Status.APPROVED, seen.thumbprint)


def test_another_certificate_in_between_is_not_approved(fleet, admin, now):
    shown = shown_by(admin, fleet.waiting)
    Claimant.objects.filter(orchestrator=fleet.waiting).delete()
    other = rows.certificate(fleet.waiting, now=now, standing=Standing.SEEN)
    Claimant.objects.create(
        orchestrator=fleet.waiting, generation=0, certificate=other, first_seen=now, last_seen=now
    )
    response = perform(admin, "approve", fleet.waiting, follow=True, **shown)
    assert fresh(fleet.waiting).status == Status.NEW
    assert "Somebody else came forward" in response.content.decode()


@pytest.mark.parametrize("times", [0, 1], ids=["shown before it", "given before it"])
@pytest.mark.parametrize("record", ["waiting", "returning"])
def test_an_approval_is_not_given_after_a_disapprove_that_came_later(fleet, admin, record, times):
    record = getattr(fleet, record)
    shown = shown_by(admin, record)
    for _ in range(times):
        perform(admin, "approve", record, **shown)
        assert fresh(record).status == Status.APPROVED
    perform(admin, "disapprove", record)
    told = perform(admin, "approve", record, follow=True, **shown).content.decode()
    assert "Reset or disapproved since it was shown" in told
    assert fresh(record).status == Status.DISAPPROVED
    perform(admin, "approve", record, **shown_by(admin, record))
    assert fresh(record).status == Status.APPROVED


def test_an_approval_is_not_given_after_its_return_was_refused(fleet, admin, now):
    perform(admin, "disapprove", fleet.calm)
    shown = shown_by(admin, fleet.calm)
    approval_requests.ensure_open(fresh(fleet.calm), Cause("it called"), now=now)
    perform(admin, "disapprove", fleet.calm)
    perform(admin, "approve", fleet.calm, **shown)
    assert fresh(fleet.calm).status == Status.DISAPPROVED


@pytest.mark.parametrize("is_sent_as_shown", [True, False])
def test_where_the_page_showed_nobody_nobody_is_approved(fleet, admin, now, is_sent_as_shown):
    silent = rows.orchestrator("silent", now=now, status=Status.NEW, had_session=False)
    page = admin.get("/orchestrators/act", {"act": "approve", "ids": str(silent.pk)})
    assert 'type="submit" class="btn btn-primary"' not in page.content.decode()
    shown = shown_by(admin, silent) if is_sent_as_shown else {}
    came = rows.certificate(silent, now=now, standing=Standing.SEEN)
    Claimant.objects.create(
        orchestrator=silent, generation=0, certificate=came, first_seen=now, last_seen=now
    )
    told = perform(admin, "approve", silent, follow=True, **shown).content.decode()
    assert "Somebody else came forward" in told
    assert fresh(silent).status == Status.NEW


def test_a_confirmation_of_several_that_is_sent_twice_is_one_job(fleet, admin):
    chosen = [fleet.calm, fleet.renewed]
    page = admin.post("/orchestrators/act", {"act": "request", "ids": [str(o.pk) for o in chosen]})
    once = page.context["once"]
    assert f'name="once" value="{once}"' in page.content.decode()
    sent = [perform(admin, "request", *chosen, once=once)["Location"] for _ in range(2)]
    assert sent == [f"/jobs/{BulkJob.objects.get().pk}"] * 2


def test_another_name_in_between_is_not_approved(fleet, admin):
    shown = shown_by(admin, fleet.waiting)
    Claimant.objects.filter(orchestrator=fleet.waiting).update(client_machine="db-primary")
    response = perform(admin, "approve", fleet.waiting, follow=True, **shown)
    assert fresh(fleet.waiting).status == Status.NEW
    assert "Somebody else came forward" in response.content.decode()


def test_one_of_several_approvals_is_told_as_one(fleet, admin, now):
    store.change("ApprovalsForFirstRegistration", "2", actor=rows.ALICE, now=now)
    shown = shown_by(admin, fleet.waiting)
    response = perform(admin, "approve", fleet.waiting, follow=True, **shown)
    assert fresh(fleet.waiting).status == Status.NEW
    assert "your approval counts; others must follow" in response.content.decode()


def test_of_two_strangers_the_approver_chooses_one(fleet, admin):
    asked = admin.get("/orchestrators/act", {"act": "approve", "ids": str(fleet.conflicting.pk)})
    assert "choose one on its page" in asked.content.decode()
    refused = perform(admin, "approve", fleet.conflicting, follow=True)
    assert "Several strangers" in refused.content.decode()
    assert fresh(fleet.conflicting).status == Status.NEW
    second = Claimant.objects.filter(orchestrator=fleet.conflicting).order_by("-pk")[0]
    page = admin.get(f"/orchestrators/{fleet.conflicting.pk}").content.decode()
    assert f"claimant={second.pk}" in page
    shown = shown_by(admin, fleet.conflicting, claimant=second.pk)
    perform(admin, "approve", fleet.conflicting, **shown)
    assert fresh(fleet.conflicting).thumbprint == second.certificate.thumbprint


def test_reset_says_what_goes_asks_for_a_reason_and_revokes_only_what_was_ticked(fleet, admin):
    page = admin.get("/orchestrators/act", {"act": "reset", "ids": str(fleet.unused.pk)})
    text = page.content.decode()
    held = Certificate.objects.filter(orchestrator=fleet.unused)
    assert all(c.serial_number in text for c in held)
    assert "checked" not in text.split('name="revoke"', 1)[1].split("</form>")[0]
    refused = perform(admin, "reset", fleet.unused)
    assert refused.status_code == 400
    assert "Say why" in refused.content.decode()
    assert fresh(fleet.unused).status == Status.APPROVED
    issued = held.get(standing="issued")
    perform(admin, "reset", fleet.unused, message="Disk died", revoke=[issued.pk])
    assert fresh(fleet.unused).status == Status.NEW
    assert fresh(fleet.unused).thumbprint == ""
    assert list(Revocation.objects.filter(orchestrator=fleet.unused)) == [issued.revocation]
    assert AuditEntry.objects.get(action="reset").message == "Disk died"


def test_reset_refuses_the_certificate_of_another_orchestrator(fleet, admin):
    others = Certificate.objects.get(orchestrator=fleet.calm)
    response = perform(admin, "reset", fleet.unused, message="x", revoke=[others.pk], follow=True)
    assert "not this orchestrator" in response.content.decode()
    assert fresh(fleet.unused).status == Status.APPROVED
    assert Certificate.objects.get(pk=others.pk).revoked_at is None


def test_many_at_once_and_each_result_is_shown(fleet, admin):
    chosen = [fleet.waiting, fleet.conflicting, fleet.returning]
    page = admin.post("/orchestrators/act", {"act": "approve", "ids": [str(o.pk) for o in chosen]})
    shown = {
        f"shown-{c.row.orchestrator.pk}": c.shown for c in page.context["candidates"] if c.shown
    }
    response = perform(admin, "approve", *chosen, follow=True, **shown)
    job = BulkJob.objects.get()
    assert response.redirect_chain[-1][0] == f"/jobs/{job.pk}"
    text = response.content.decode()
    assert "2 done, 0 unchanged, 1 skipped" in text
    group = AuditEntry.objects.filter(request_id=job.audit_group, action="approved")
    assert {row.orchestrator_id for row in group} == {fleet.waiting.pk, fleet.returning.pk}
    assert "Several strangers" in text
    assert [fresh(o).status for o in chosen] == [Status.APPROVED, Status.NEW, Status.APPROVED]


def test_of_many_nobody_is_approved_but_who_was_shown(fleet, admin, now):
    chosen = [fleet.waiting, fleet.returning, fleet.calm]
    page = admin.post("/orchestrators/act", {"act": "approve", "ids": [str(o.pk) for o in chosen]})
    shown = {
        f"shown-{c.row.orchestrator.pk}": c.shown for c in page.context["candidates"] if c.shown
    }
    Claimant.objects.filter(orchestrator=fleet.waiting).update(client_machine="db-primary")
    del shown[f"shown-{fleet.returning.pk}"]
    perform(admin, "approve", *chosen, **shown)
    assert [fresh(o).status for o in chosen] == [Status.NEW, Status.NEW, Status.APPROVED]
    found = BulkJob.objects.get().items.values_list("orchestrator_id", "state", "reason")
    assert set(found) == {
        (fleet.waiting.pk, "skipped", "changed"),
        (fleet.returning.pk, "skipped", "changed"),
        (fleet.calm.pk, "unchanged", ""),
    }


def test_an_unknown_one_among_many_does_not_stop_the_others(fleet, admin):
    response = admin.post(
        "/orchestrators/act/perform",
        {"act": "request", "ids": [str(uuid.uuid4()), str(fleet.calm.pk)]},
        follow=True,
    )
    assert "There is no such orchestrator" in response.content.decode()
    assert fresh(fleet.calm).flag == 1


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 400),
        ({"act": "explode"}, 400),
        ({"act": "request"}, 400),
        ({"act": "request", "ids": "nonsense"}, 400),
        ({"act": "request", "ids": [str(uuid.uuid4()) for _ in range(201)]}, 400),
        ({"act": "request", "ids": str(uuid.uuid4()), "message": "x" * 501}, 404),
        ({"act": "reset", "ids": str(uuid.uuid4()), "message": "x", "revoke": "1; DROP"}, 400),
    ],
)
def test_a_form_that_no_page_sends_is_refused_whole(fleet, admin, form, status):
    before = AuditEntry.objects.count()
    assert admin.post("/orchestrators/act/perform", form).status_code == status
    assert AuditEntry.objects.count() == before


def test_a_shown_value_that_makes_no_sense_approves_the_only_stranger_or_nobody(fleet, admin):
    for value in ("x", "99999999999999999999:", "-1:", "1:zz"):
        perform(admin, "approve", fleet.conflicting, **{f"shown-{fleet.conflicting.pk}": value})
    assert fresh(fleet.conflicting).status == Status.NEW


def test_confirming_changes_nothing(fleet, admin):
    before = AuditEntry.objects.count()
    for act in ("approve", "disapprove", "request", "require", "clear", "reset"):
        for method in (admin.get, admin.post):
            response = method("/orchestrators/act", {"act": act, "ids": str(fleet.calm.pk)})
            assert response.status_code == 200
    assert AuditEntry.objects.count() == before


def test_nothing_selected_leads_back_to_the_list(admin):
    assert admin.post("/orchestrators/act", {"act": "reset"})["Location"] == "/orchestrators"


def test_a_log_is_asked_for_once_and_shown_as_text(fleet, admin, now):
    for _ in range(2):
        admin.post(f"/orchestrators/{fleet.calm.pk}/logs/fetch")
    job = Job.objects.get(orchestrator=fleet.calm)
    page = admin.get(f"/orchestrators/{fleet.calm.pk}/logs").content.decode()
    assert "every 5s" in page
    Job.objects.filter(pk=job.pk).update(
        state=3, log="<b>line</b>", finished_at=now + timedelta(seconds=1)
    )
    shown = admin.get(f"/orchestrators/{fleet.calm.pk}/logs/{job.job_id}").content.decode()
    assert "&lt;b&gt;line" in shown
    other = admin.get(f"/orchestrators/{fleet.warned.pk}/logs/{job.job_id}")
    assert other.status_code == 404


def test_names_are_set_and_a_differing_name_is_accepted_only_as_shown(fleet, admin):
    url = f"/orchestrators/{fleet.wrong.pk}"
    admin.post(f"{url}/names", {"names": "alias.example.com, 10.0.0.1\n\nalias.example.com"})
    assert fresh(fleet.wrong).extra_names == ["alias.example.com", "10.0.0.1"]
    admin.post(f"{url}/names", {"names": "bad\x07name"})
    admin.post(f"{url}/names", {"names": "\n".join(f"n{i}" for i in range(21))})
    assert len(fresh(fleet.wrong).extra_names) == 2
    admin.post(f"{url}/accept-name", {"name": "something-else"})
    assert fresh(fleet.wrong).client_machine == "cloned-vm"
    admin.post(f"{url}/accept-name", {"name": "cloned-vm-copy"})
    assert fresh(fleet.wrong).client_machine == "cloned-vm-copy"
    assert fresh(fleet.wrong).client_machine_seen == ""


def test_a_name_that_an_approved_one_has_is_not_accepted(fleet, admin):
    Orchestrator.objects.filter(pk=fleet.wrong.pk).update(client_machine_seen="EDGE-gateway-07")
    response = admin.post(
        f"/orchestrators/{fleet.wrong.pk}/accept-name", {"name": "EDGE-gateway-07"}, follow=True
    )
    assert "Another approved orchestrator" in response.content.decode()
    assert fresh(fleet.wrong).client_machine == "cloned-vm"
