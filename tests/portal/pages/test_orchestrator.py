"""The page of one orchestrator: what happens next, and what has happened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from orchestrators.models import Reenrollment
from orchestrators.protocol.codes import TEXTS, Code
from orchestrators.protocol.messages import RegisterRequest
from portal.audit.models import AuditEntry
from portal.preferences import store
from portal.preferences.models import Setting
from renewal import gather
from renewal.explain import explain
from renewal.models import Certificate
from renewal.rules.decision import decide
from renewal.selectors import history
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
    assert "A CSR would lead to no certificate now" in page


def test_a_missing_permission_is_named(fleet, now, admin):
    rows.service_account().groups.clear()
    answer = foretold(fleet.warned, now).outlooks[0].with_csr
    assert answer.decision.code is Code.PERMISSION_MISSING
    assert "/certificates/enrollment/csr/" in answer.message
    page = admin.get(f"/orchestrators/{fleet.warned.pk}").content.decode()
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
    assert "If it comes with the bootstrap credential" in page
    assert Code.CLAIM_NEEDS_CSR.value in page


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
    page = admin.get(f"/orchestrators/{fleet.renewed.pk}").content.decode()
    for said in ("Renewal required, now", "“Key rotation”", "alice", "Legacy thumbprint cleared"):
        assert said in page


def test_an_unknown_action_is_told_by_its_name(fleet, admin):
    rows.noted(fleet.calm, "something_new", before={"x": 1}, after={"x": [1, 2]})
    rows.noted(fleet.calm, "refused_A01F0005")
    rows.noted(fleet.calm, "refused_ZZZ")
    page = admin.get(f"/orchestrators/{fleet.calm.pk}").content.decode()
    assert "Something new" in page
    assert "1 → 1, 2" in page
    assert TEXTS[Code.CERTIFICATE_EXPIRED].sentence in page


def test_older_events_are_a_page_away(fleet, admin):
    for number in range(history.EVENTS_PER_PAGE + 5):
        rows.noted(fleet.calm, "logs_requested", message=f"event {number}")
    first = admin.get(f"/orchestrators/{fleet.calm.pk}")
    assert "event 64" in first.content.decode()
    assert "event 2”" not in first.content.decode()
    older = admin.get(
        f"/orchestrators/{fleet.calm.pk}", {"cursor": first.context["events_following"]}
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
