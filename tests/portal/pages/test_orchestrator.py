"""The page of one orchestrator: what happens next, and what has happened."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from django.utils.html import strip_tags

from orchestrators import selectors
from orchestrators.models import EnrollmentClaim, Orchestrator, Reenrollment
from orchestrators.protocol.codes import TEXTS, Code
from orchestrators.protocol.requests import RegisterRequest
from portal.audit.models import AuditEntry, Category
from portal.preferences import store
from portal.preferences.models import Setting
from renewal import gather
from renewal.configuration import periods
from renewal.explain import TO_USE_THE_NEW_ONE, explain
from renewal.models import Certificate, CertificateAuthority, Claimant
from renewal.open_matters import Around, open_matters
from renewal.rules.contact import silent_before
from renewal.rules.decision import decide
from renewal.rules.periods import stuck_after
from renewal.selectors import history
from renewal.selectors.marks import TO_ENROL_AGAIN, is_offline
from renewal.x509.certificates import read_certificate
from tests.portal.pages import fleet as rows

DAY = timedelta(days=1)


def foretold(record, now):
    claimants = history.claimants_of(record)
    return explain(record, store.load(), now=now, claimants=claimants)


@pytest.mark.parametrize(
    ("kind", "code", "session"),
    [
        ("calm", None, True),
        ("warned", Code.SHOULD_RENEW, True),
        ("must_renew", Code.MUST_RENEW, False),
        ("expired", Code.CERTIFICATE_EXPIRED, False),
        ("requested", Code.SHOULD_RENEW, True),
        ("waiting", Code.NOT_APPROVED, False),
        ("disapproved", Code.DISAPPROVED, False),
    ],
)
def test_the_page_foretells_the_reply_with_the_sentence_of_the_agents_log(
    fleet, now, admin, kind, code, session
):
    record = getattr(fleet, kind)
    answer = foretold(record, now).outlooks[0].without_csr
    assert (answer.decision.code, answer.decision.grants_session) == (code, session)
    text = admin.get(f"/orchestrators/{record.pk}").content.decode()
    if code:
        assert code.value in text
        assert TEXTS[code].sentence in text
        assert answer.remedy in text
    assert answer.outcome in text


def test_the_text_for_a_ticket_leads_back_to_the_page(fleet, admin):
    address = f"/orchestrators/{fleet.calm.pk}"
    ticket = admin.get(address).content.decode().split('id="ticket">')[1].split("</pre>")[0]
    assert f"http://testserver{address}" in ticket.splitlines()
    assert "State: OK" in ticket.splitlines()


def test_a_period_is_told_with_the_share_of_the_lifetime_that_bounds_it(fleet, admin):
    page = admin.get(f"/orchestrators/{fleet.warned.pk}").content.decode()
    told = " ".join(strip_tags(page).split())
    for setting in ("Warning period 180 days", "Expiry period 30 days"):
        share = "1/2" if setting.startswith("W") else "1/12"
        assert f"Setting: {setting}, but never more than {share} of the certificate" in told


def test_require_at_300_days_is_the_expiry_period(fleet, now):
    fleet.calm.flag, fleet.calm.flag_counter = Reenrollment.REQUIRED, 1
    fleet.calm.save()
    answer = foretold(fleet.calm, now).outlooks[0]
    assert answer.without_csr.decision.code is Code.MUST_RENEW
    assert answer.with_csr.decision.gives_certificate


def test_with_a_csr_it_gets_a_certificate_unless_something_stands_against_it(fleet, now, admin):
    assert foretold(fleet.warned, now).outlooks[0].with_csr.decision.gives_certificate
    Setting.objects.filter(name="TemplateForSubmittedCSRs").delete()
    explanation = foretold(fleet.warned, now)
    assert explanation.outlooks[0].with_csr.decision.code is Code.ENROLLMENT_NOT_CONFIGURED
    assert "Template For Submitted CSRs" in explanation.prospect.obstacle
    page = admin.get(f"/orchestrators/{fleet.warned.pk}").content.decode()
    assert "It cannot renew now." in page


def test_a_missing_permission_is_named(fleet, now, admin):
    rows.service_account().groups.clear()
    answer = foretold(fleet.warned, now).outlooks[0].with_csr
    assert answer.decision.code is Code.PERMISSION_MISSING
    assert "/certificates/enrollment/csr/" in answer.message
    page = admin.get(f"/orchestrators/{fleet.warned.pk}/access").content.decode()
    assert "/certificates/enrollment/csr/ is missing" in page


def test_an_issued_certificate_and_the_legacy_one_have_each_their_outlook(fleet, now):
    outlooks = foretold(fleet.unused, now).outlooks
    assert [o.standing for o in outlooks] == ["legacy", "issued"]
    assert outlooks[0].used_last
    assert [o.without_csr.decision.row for o in outlooks] == ["6", "9"]


def test_a_legacy_certificate_is_refused_for_the_flag_and_not_for_its_age(fleet, now):
    fleet.unused.flag = Reenrollment.REQUIRED
    fleet.unused.flag_counter += 1
    fleet.unused.save()
    decision = foretold(fleet.unused, now).outlooks[0].without_csr.decision
    assert decision.row == "7"
    assert decision.reason == (
        "A newer certificate was issued. An operator requires a new certificate."
    )


def test_the_claim_of_a_first_enrollment_is_explained(fleet, now, admin):
    page = admin.get(f"/orchestrators/{fleet.enrolling.pk}").content.decode()
    assert "At its next session, if it comes with the bootstrap credential" in page
    assert Code.CLAIM_NEEDS_CSR.value in page


@pytest.mark.parametrize(
    ("kind", "state", "polled"),
    [
        ("calm", "waiting", "every 5s"),
        ("calm", "pending", "every 5s"),
        ("calm", "refused", ""),
        ("requested", None, "every 30s"),
        ("expired", None, ""),
        ("calm", None, ""),
    ],
)
def test_the_page_looks_again_while_something_goes_on_by_itself(
    fleet, admin, now, kind, state, polled
):
    record = getattr(fleet, kind)
    if state:
        ended = {"finished_at": None} if state == "pending" else {}
        rows.enrollment(record, now=now, state=state, **ended)
    page = admin.get(f"/orchestrators/{record.pk}").content.decode()
    (trigger,) = re.findall(r'<div id="open-now"([^>]*)>', page)
    assert (f'hx-trigger="{polled}"' in trigger) if polled else trigger == ""
    assert page.count('id="about"') == page.count('id="page-acts"') == 1


def test_the_end_of_a_claim_is_no_next_try(fleet, admin, matters):
    (matter,) = matters(fleet.enrolling)
    assert (matter.owner, matter.next_try, matter.is_stuck) == ("the orchestrator", None, False)
    assert matter.ends == selectors.claim_of(fleet.enrolling).expires_at
    page = admin.get(f"/orchestrators/{fleet.enrolling.pk}").content.decode()
    opened = page.split('id="open"')[1].split("</section>")[0]
    assert "<dt>Ends</dt>" in opened
    assert "Next try" not in opened


def test_one_whose_credential_is_revoked_cannot_enrol_and_is_said_so_everywhere(
    fleet, admin, matters, now
):
    row = selectors.claim_of(fleet.enrolling).credential
    row.revoked_at = now
    row.save()
    (matter,) = matters(fleet.enrolling)
    assert (matter.owner, matter.is_stuck, matter.remedy) == ("an operator", True, TO_ENROL_AGAIN)
    assert matter.reason == "Its bootstrap credential cannot be used any more."
    assert matter.since == now
    response = admin.get(f"/orchestrators/{fleet.enrolling.pk}")
    assert response.context["moments"] == []
    page = response.content.decode()
    head = " ".join(
        strip_tags(page.split('class="page-head"')[1].split("</p>\n  </div>")[0]).split()
    )
    assert "No certificate yet" in head
    assert "Cannot enrol" in head
    assert "It is approved, but cannot enrol" in head
    assert TO_ENROL_AGAIN in page.split("What can I do?")[1]
    assert "Could enrol until" in page
    (row,) = admin.get("/orchestrators?mark=cannot-enrol").context["page"].rows
    assert row.next.words == "Cannot enrol until it is Reset"


def test_one_whose_credential_became_anothers_is_not_said_to_be_over_since_a_time_to_come(
    fleet, admin, matters, now
):
    claim = selectors.claim_of(fleet.enrolling)
    row = claim.credential
    row.one_time, row.bound_to = True, fleet.calm
    row.save()
    assert claim.expires_at > now
    (matter,) = matters(fleet.enrolling)
    assert matter.reason == "Its bootstrap credential cannot be used any more."
    assert (matter.since, matter.is_stuck) == (None, True)
    told = strip_tags(admin.get(f"/orchestrators/{fleet.enrolling.pk}").content.decode())
    assert "Cannot enrol any more" in told
    assert "enrol until" not in told


def test_the_certificate_history_tells_each_step(fleet, now):
    new, old = sorted(history.certificates_of(fleet.renewed, now=now), key=lambda h: -h.days_left)
    assert [step.word for step in new.steps] == ["CSR received", "Issued", "First used"]
    assert [step.word for step in old.steps] == [
        "First seen",
        "First used",
        "Superseded",
        "Revocation failed",
    ]
    (issued, legacy) = history.certificates_of(fleet.unused, now=now)
    assert (issued.steps[-1].word, issued.steps[-1].at) == ("First use", None)
    assert legacy.authenticates


def test_the_timeline_says_what_was_done_by_whom_and_why(fleet, admin):
    page = admin.get(f"/orchestrators/{fleet.renewed.pk}/timeline").content.decode()
    for said in ("Renewal required, now", "“Key rotation”", "alice", "Legacy thumbprint cleared"):
        assert said in page


def test_the_certificate_that_another_follows_is_a_click_away(fleet, admin):
    successor = Certificate.objects.exclude(predecessor=None).get(orchestrator=fleet.renewed)
    page = admin.get(f"/orchestrators/{fleet.renewed.pk}/timeline").content.decode()
    assert f'follows <a href="/certificates/{successor.predecessor_id}">' in page


def test_an_unknown_action_is_told_by_its_name(fleet, admin):
    rows.noted(fleet.calm, "something_new", before={"x": 1}, after={"x": [1, 2]})
    rows.noted(fleet.calm, "refused_A01F0005")
    rows.noted(fleet.calm, "refused_ZZZ")
    rows.noted(fleet.calm, "other_new", after={"until": "2026-11-26T09:05:01.123456+00:00"})
    page = admin.get(f"/orchestrators/{fleet.calm.pk}/timeline").content.decode()
    assert "Something new" in page
    assert "1 → 1, 2" in page
    assert "2026-11-26 09:05:01 UTC" in page
    assert TEXTS[Code.CERTIFICATE_EXPIRED].sentence in page


def test_older_events_are_a_page_away(fleet, admin):
    for number in range(history.EVENTS_PER_PAGE + 5):
        rows.noted(fleet.calm, "logs_requested", message=f"event {number}")
    first = admin.get(f"/orchestrators/{fleet.calm.pk}/timeline")
    assert "event 64" in first.content.decode()
    assert "event 2”" not in first.content.decode()
    older = admin.get(
        f"/orchestrators/{fleet.calm.pk}/timeline", {"cursor": first.context["events_following"]}
    )
    assert "event 2”" in older.content.decode()


def test_an_unknown_orchestrator_is_a_designed_404(admin):
    response = admin.get("/orchestrators/00000000-0000-0000-0000-000000000000")
    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()


def test_a_renewal_that_was_overtaken_by_revocation_is_told(fleet, now, admin):
    Certificate.objects.filter(orchestrator=fleet.calm).update(revoked_at=now)
    assert foretold(fleet.calm, now).outlooks[0].without_csr.decision.code is (
        Code.CERTIFICATE_REVOKED
    )
    assert AuditEntry.objects.exists()


@pytest.mark.parametrize("kind", ["calm", "warned", "must_renew", "expired", "requested", "wrong"])
def test_what_the_page_foretells_is_what_the_endpoint_decides(fleet, now, kind):
    record = getattr(fleet, kind)
    certificate = Certificate.objects.get(orchestrator=record, standing="current")
    parsed = read_certificate(bytes(certificate.der))
    body = RegisterRequest.parse(
        {"AgentId": str(record.pk), "ClientMachine": record.client_machine}
    )
    with transaction.atomic():
        gathered = gather.for_certificate(parsed, body, store.load(), now=now)
    assert foretold(record, now).outlooks[0].without_csr.decision == decide(gathered.facts)


@pytest.fixture
def matters(now):
    def of(record):
        explanation = foretold(record, now)
        around = Around(
            stuck_after=stuck_after(store.load().session_length),
            has_way_back=explanation.way_back is not None,
            is_offline=is_offline(record, periods(store.load()), now=now),
            impostor=history.impostor_of(record, now=now),
            asked=history.request_of(record),
            claimants=history.claimants_of(record),
            claim=selectors.claim_of(record),
            enrollments=history.enrollments_without_certificate(record),
            revocations=history.open_revocations(record),
            obstacle=explanation.prospect.obstacle if explanation.prospect else "",
            remedy=explanation.prospect.remedy if explanation.prospect else "",
        )
        return open_matters(record, around, now=now)

    return of


def test_a_revocation_that_no_ca_carries_out_is_stuck_with_owner_age_reason_and_next_try(
    fleet, matters, now
):
    (matter,) = matters(fleet.renewed)
    assert (matter.what, matter.owner, matter.is_stuck) == ("Revocation overdue", "the CA", True)
    assert matter.since == now - timedelta(hours=5)
    assert matter.reason == "The CA does not answer."
    assert matter.next_try == now + DAY


def test_a_certificate_that_was_issued_and_not_used_is_the_orchestrators_turn(fleet, matters, now):
    (matter,) = matters(fleet.unused)
    assert (matter.what, matter.owner, matter.is_stuck) == (
        "Issued, not used",
        "the orchestrator",
        False,
    )
    Orchestrator.objects.filter(pk=fleet.unused.pk).update(
        awaiting_first_use_since=now - timedelta(hours=46)
    )
    fleet.unused.refresh_from_db()
    assert not matters(fleet.unused)[0].is_stuck
    Setting.objects.create(
        name="SessionLengthMinutes", value="1379", changed_at=now, changed_by="test"
    )
    assert matters(fleet.unused)[0].is_stuck


@pytest.fixture
def half_way(fleet, now):
    """One whose old certificate ended while the new one that was delivered is unused."""
    record = fleet.unused
    old = Certificate.objects.get(orchestrator=record, standing="legacy")
    old.not_after = record.certificate_not_after = now - 65 * DAY
    old.save()
    record.save()
    return record


def test_one_that_expired_comes_back_with_what_was_delivered_to_it_and_need_not_be_reset(
    fleet, admin, matters, half_way
):
    (matter,) = matters(half_way)
    assert (matter.what, matter.owner, matter.is_stuck) == ("Issued, not used", "an operator", True)
    assert "stays accepted" not in matter.remedy
    for tab in ("", "/certificate"):
        head = admin.get(f"/orchestrators/{half_way.pk}{tab}").content.decode()
        head = " ".join(strip_tags(head.split('class="lead"')[1].split("</p>")[0]).split())
        assert "it comes back with the new one, delivered 9 hours ago" in head
        assert "Reset" not in head
    page = admin.get(f"/orchestrators/{half_way.pk}").content.decode()
    assert page.count('<details class="outlook" open>') == 2
    assert "only if that certificate or its key is lost" in page.split("What can I do?")[1]
    (row,) = admin.get("/orchestrators?state=expired&q=batch").context["page"].rows
    assert row.next.words == "Locked out until it uses its new certificate, or is Reset"


def acts_offered(page):
    """The acts in the head, the primary one first, and those under "What can I do?"."""
    head = page.split('class="page-acts"')[1].split("</div>")[0]
    can_do = page.split("What can I do?")[1].split("</ul>")[0]
    primary = re.findall(r'btn-primary" id="act-\w+" href="/orchestrators/act\?act=(\w+)', head)
    linked = [re.findall(r"act\?act=(\w+)", part) for part in (head, can_do)]
    return primary, *linked


@pytest.mark.parametrize(
    ("kind", "primary", "in_head", "can_do"),
    [
        ("expired", ["reset"], ["reset"], ["reset"]),
        ("half_way", [], [], []),
        ("enrolling", [], [], []),
        ("cannot_enroll", ["reset"], ["reset"], ["reset"]),
        ("warned", ["request"], ["request", "require"], ["request", "require"]),
        ("disapproved", ["approve"], ["approve"], ["approve"]),
    ],
)
def test_the_acts_that_are_offered_lead_on_from_its_state(
    request, fleet, admin, now, kind, primary, in_head, can_do
):
    if kind == "cannot_enroll":
        EnrollmentClaim.objects.update(expires_at=now)
        kind = "enrolling"
    record = request.getfixturevalue(kind) if kind == "half_way" else getattr(fleet, kind)
    page = admin.get(f"/orchestrators/{record.pk}").content.decode()
    assert acts_offered(page) == (primary, in_head, can_do)


def test_one_that_came_with_what_was_delivered_to_it_is_told_to_send_a_csr_and_not_to_be_reset(
    fleet, admin, matters, half_way
):
    """Renewal was required once more, so the new one gets no session without a CSR either."""
    half_way.flag = Reenrollment.REQUIRED
    half_way.flag_counter += 1
    half_way.last_thumbprint_used = half_way.thumbprint
    half_way.last_seen = half_way.awaiting_first_use_since + timedelta(hours=1)
    half_way.save()
    response = admin.get(f"/orchestrators/{half_way.pk}")
    likeliest, explanation = response.context["likeliest"], response.context["explanation"]
    assert (likeliest.standing, likeliest.without_csr.decision.row) == ("issued", "10")
    assert explanation.way_back == likeliest
    assert explanation.remedy == TEXTS[Code.MUST_RENEW].remedy
    page = response.content.decode()
    told = page.split('class="lead"')[1].split("What happens next?")[0]
    assert "Reset" not in strip_tags(told)
    assert acts_offered(page) == (["clear"], ["clear"], ["clear"])
    found = {matter.what: matter for matter in matters(half_way)}
    assert set(found) == {"Renewal required", "Issued, not used"}
    unused = found["Issued, not used"]
    assert unused.reason.startswith("It has called with the new one, and got no session")
    assert (unused.owner, unused.remedy) == ("the orchestrator", "Look at its log.")


def test_one_that_never_called_is_to_use_what_was_delivered_to_it(fleet, matters, half_way, now):
    half_way.last_thumbprint_used = ""
    half_way.save()
    explanation = foretold(half_way, now)
    assert explanation.outlooks[0].standing == "issued"
    assert explanation.remedy == TO_USE_THE_NEW_ONE
    assert [matter.remedy for matter in matters(half_way)] == [TO_USE_THE_NEW_ONE]


def test_what_only_a_reset_helps_is_linked_to_it_for_whoever_may_reset(fleet, admin, as_role, now):
    Certificate.objects.filter(orchestrator=fleet.calm).update(revoked_at=now)
    address = f"/orchestrators/{fleet.calm.pk}"
    assert acts_offered(admin.get(address).content.decode())[2] == ["reset"]
    assert "reset" not in acts_offered(as_role("Approver").get(address).content.decode())[2]


def test_one_whose_delivered_certificate_has_ended_too_is_to_be_reset(
    admin, matters, half_way, now
):
    Certificate.objects.filter(orchestrator=half_way).update(not_after=now - DAY)
    what = {matter.what: matter.remedy for matter in matters(half_way)}
    assert what["Expired certificate"].startswith("Reset it")
    assert what["Issued, not used"] == "Look at its log."
    assert "Reset is the way back" in admin.get(f"/orchestrators/{half_way.pk}").content.decode()


def test_the_end_of_a_certificate_is_no_lock_out_where_a_newer_one_was_delivered(fleet, admin):
    coming = admin.get(f"/orchestrators/{fleet.unused.pk}").context["moments"]
    assert "Its certificate expires: only the newer one that it was given leads on." in [
        moment.what for moment in coming
    ]


@pytest.mark.parametrize(
    ("before", "is_silent"), [(timedelta(0), False), (timedelta(seconds=1), True)]
)
def test_who_has_not_called_for_two_sessions_is_said_to_be_offline(
    fleet, admin, matters, now, before, is_silent
):
    """Counted in whole days of UTC, as the list counts."""
    day = silent_before(timedelta(hours=46), now)
    called = datetime.combine(day, time(), UTC) - before
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(last_seen=called, seen_on=called.date())
    fleet.calm.refresh_from_db()
    found = [(m.what, m.since, m.is_stuck) for m in matters(fleet.calm)]
    assert found == ([("Offline: does not call", called, True)] if is_silent else [])
    page = admin.get(f"/orchestrators/{fleet.calm.pk}").content.decode()
    assert ("Offline: does not call" in page) is is_silent
    assert ("It works, and nothing is due" in page) is not is_silent
    listed = admin.get("/orchestrators?mark=offline").context["page"].rows
    assert [row.orchestrator for row in listed] == ([fleet.calm] if is_silent else [])


@pytest.mark.parametrize(
    ("ago", "called_since", "found"),
    [
        (timedelta(days=3), False, [("Called with a certificate not its own", True)]),
        (timedelta(hours=1), True, [("Called with a certificate not its own", False)]),
        (timedelta(days=3), True, []),
    ],
)
def test_a_call_in_its_name_with_another_certificate_is_told_though_its_record_stays(
    fleet, admin, matters, now, ago, called_since, found
):
    called = now if called_since else None
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(last_seen=called, seen_on=None)
    fleet.calm.refresh_from_db()
    AuditEntry.objects.create(
        at=now - ago,
        actor_name="certificate AB12",
        source_address="192.0.2.9",
        category=Category.REFUSAL,
        action=f"refused_{Code.CERTIFICATE_NOT_BOUND.value}",
        object_type="refusal",
        object_id=str(fleet.calm.pk),
        orchestrator_id=fleet.calm.pk,
    )
    assert [(m.what, m.is_stuck) for m in matters(fleet.calm)] == found
    page = admin.get(f"/orchestrators/{fleet.calm.pk}").content.decode()
    assert ("came with the certificate AB12 from 192.0.2.9" in page) is bool(found)
    assert ("It works, and nothing is due" in page) is called_since


def test_a_renewal_request_says_who_asked_why_and_what_stands_against_it(fleet, matters):
    (matter,) = matters(fleet.requested)
    assert (matter.what, matter.owner) == ("Renewal requested", "the orchestrator")
    assert "Asked for by alice, “New CA from Monday on”" in matter.reason
    Setting.objects.filter(name="TemplateForSubmittedCSRs").delete()
    (stuck,) = matters(fleet.requested)
    assert (stuck.owner, stuck.is_stuck) == ("an operator", True)
    assert "Template For Submitted CSRs" in stuck.reason


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("waiting", "Approval"),
        ("expired", "Expired certificate"),
        ("enrolling", "First enrollment"),
        ("wrong", "Wrong certificate"),
    ],
)
def test_whatever_waits_for_somebody_is_named(fleet, matters, kind, what):
    assert matters(getattr(fleet, kind))[0].what == what


def test_one_that_called_before_waits_for_nobodys_approval_until_it_comes_forward(
    fleet, matters, now, admin
):
    Certificate.objects.filter(orchestrator=fleet.waiting).update(revoked_at=now)
    assert matters(fleet.waiting)[0].reason.startswith("Who came forward is not valid")
    Claimant.objects.filter(orchestrator=fleet.waiting).delete()
    assert fleet.waiting.last_seen is not None
    (matter,) = matters(fleet.waiting)
    assert (matter.what, matter.owner) == ("Registration", "the orchestrator")
    page = admin.get(f"/orchestrators/{fleet.waiting.pk}").content.decode()
    assert "It came forward and waits" not in page
    assert "?act=approve" not in page.split("What can I do?")[1]


OBSTACLES = {
    "a role that is missing": (
        lambda: rows.service_account().groups.clear(),
        "Give its service account orchestrators the role Orchestrator",
        "/access/users/",
    ),
    "a template that is not set": (
        lambda: Setting.objects.filter(name="TemplateForSubmittedCSRs").delete(),
        "Set the CA and the template under Settings",
        "/settings",
    ),
    "other requesters at the CA": (
        lambda: CertificateAuthority.objects.get().allowed_requesters.add(rows.user("x", None)),
        "Add orchestrators to the allowed requesters there.",
        "/access/users/",
    ),
    "a CA that fails": (
        lambda: CertificateAuthority.objects.update(resume_at=timezone.now() + DAY),
        "Look after the CA ",
        "/authorities/",
    ),
    "a CA that is disabled": (
        lambda: CertificateAuthority.objects.update(enabled=False),
        "or choose another that is enabled.",
        "/authorities/",
    ),
    "a CA that is disabled and a template that is not set": (
        lambda: (
            CertificateAuthority.objects.update(enabled=False),
            Setting.objects.filter(name="TemplateForSubmittedCSRs").delete(),
        ),
        "Set the CA and the template under Settings",
        "/settings",
    ),
}


@pytest.mark.parametrize("case", OBSTACLES.values(), ids=OBSTACLES.keys())
def test_what_stands_against_a_renewal_is_told_with_what_to_do_and_where(
    fleet, admin, matters, case
):
    spoil, remedy, address = case
    spoil()
    page = admin.get(f"/orchestrators/{fleet.requested.pk}").content.decode()
    assert "It cannot renew now." in page
    what_to_do = page.split("What can I do?")[1].split("</ul>")[0]
    assert remedy in what_to_do
    assert f'href="{address}' in what_to_do.split("</li>")[0]
    assert "lacks orchestrators is none" not in page
    assert "Nothing to do" not in what_to_do
    assert remedy in matters(fleet.requested)[0].remedy


def test_one_that_waits_for_nobody_has_nothing_open(fleet, matters):
    assert matters(fleet.calm) == []
    assert matters(fleet.disapproved) == []


def test_the_first_step_of_a_certificate_is_the_request_that_it_answered(fleet, now):
    (new,) = [h for h in history.certificates_of(fleet.renewed, now=now) if h.enrollment]
    asked = AuditEntry(at=now - timedelta(hours=6), actor_name="alice", message="Key rotation")
    assert history.steps_with_request(new, [asked])[0].note == "by alice: Key rotation"
    too_late = AuditEntry(at=now, actor_name="alice")
    assert history.steps_with_request(new, [too_late]) == new.steps
    long_before = AuditEntry(at=now - 400 * DAY, actor_name="alice")
    assert history.steps_with_request(new, [long_before]) == new.steps


def test_what_comes_is_listed_with_the_nearest_first(fleet, admin):
    page = admin.get(f"/orchestrators/{fleet.renewed.pk}")
    coming = page.context["moments"]
    assert [m.at for m in coming] == sorted(m.at for m in coming)
    assert [m.what.split(":")[0] for m in coming] == [
        "Its session ends, and it registers again.",
        "Its warning period begins",
        "Its expiry period begins",
        "Its certificate expires",
    ]


def test_the_access_tab_names_the_roles_that_reach_it(fleet, admin, as_role):
    path = f"/orchestrators/{fleet.calm.pk}/access"
    named = {role.name for role, _ in admin.get(path).context["roles"]}
    assert {"Administrator", "Operator", "Approver"} <= named
    assert as_role("Operator").get(path).context["roles"] == []
