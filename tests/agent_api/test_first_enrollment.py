"""First enrollment: bootstrap credentials, claims, and what neither can do (rows 14, 16, 16a, 19a).

Owns the way from a credential to the first certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrators import credentials
from orchestrators.models import BootstrapCredential, EnrollmentClaim, Orchestrator
from orchestrators.selectors import claim_of
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal import certificates
from renewal.explain import explain
from renewal.identity import approvals
from renewal.identity.claimants import usable_now
from renewal.models import Claimant
from renewal.rules.periods import Periods, whole_second
from renewal.rules.standing import Standing
from renewal.selectors.fleet import rows_of
from renewal.selectors.marks import TO_ENROL_AGAIN, Mark, claims_over, marked
from renewal.x509.certificates import read_certificate
from tests.agent_api.front_door import (
    DAY,
    OPERATOR,
    FrontDoor,
    Host,
    Key,
    Reply,
    actions,
    csr,
    new_key,
    refusals,
)

pytestmark = pytest.mark.both_databases
Basic = tuple[str, str]
MakeCredential = Callable[..., tuple[BootstrapCredential, Basic]]


@pytest.fixture
def basic(make_credential: MakeCredential) -> Basic:
    return make_credential()[1]


@pytest.fixture
def approved_by_claim(door: FrontDoor, basic: Basic) -> Orchestrator:
    """A record that came forward with the credential and was approved: its claim is open."""
    assert door.register(basic=basic, CSR=csr(new_key())).code == "A01F0001"
    record = door.record()
    assert door.approve(record)
    return record


def enroll(door: FrontDoor, basic: Basic, **members: object) -> tuple[Reply, Key]:
    key = new_key()
    return door.register(basic=basic, **({"CSR": csr(key)} | members)), key


class TestCredential:
    def test_it_makes_a_new_record_and_reveals_no_agent_id(
        self, door: FrontDoor, basic: Basic
    ) -> None:
        reply, _ = enroll(door, basic)
        assert reply.said == (3, "A01F0001", False, False)
        assert reply.body["Session"] is None
        assert door.record().status == 1
        assert door.ca.ledger == []

    def test_the_same_name_refreshes_the_same_record(self, door: FrontDoor, basic: Basic) -> None:
        for stamp in ("", "_20260601120000", "_20260602120000"):
            enroll(door, basic, ClientMachine=f"agent01{stamp}")
        (record,) = Orchestrator.objects.all()
        assert record.client_machine == "agent01_20260602120000"
        assert Claimant.objects.count() == 1

    def test_a_domain_before_the_name_is_left_out(self, door: FrontDoor, basic: Basic) -> None:
        name, secret = basic
        assert door.register(basic=(f"CORP\\{name}", secret)).code == "A01F0001"

    @pytest.mark.parametrize(
        "wrong",
        [("bootstrap", "wrong"), ("nobody", "x"), ("", ""), ("bootstrap", ""), ("", "x")],
        ids=["wrong secret", "unknown name", "empty", "no secret", "no name"],
    )
    def test_what_is_no_credential_is_nobody(
        self, door: FrontDoor, basic: Basic, wrong: Basic
    ) -> None:
        reply = door.register(basic=wrong)
        assert (reply.http, reply.code) == (401, "A01F0040")
        assert "Basic" in reply.headers["WWW-Authenticate"]
        assert not Orchestrator.objects.exists()

    def test_an_empty_name_finds_no_record_and_makes_none(
        self, door: FrontDoor, basic: Basic
    ) -> None:
        for name in ("", "  ", None):
            reply, _ = enroll(door, basic, ClientMachine=name)
            assert reply.said == (3, "A01F000C", False, False)
        assert not Orchestrator.objects.exists()

    def test_one_that_is_revoked_or_over_is_refused(
        self, door: FrontDoor, make_credential: MakeCredential
    ) -> None:
        row, basic = make_credential("short", valid_for=DAY)
        door.tick(DAY)
        assert enroll(door, basic)[0].said == (3, "A01F000B", False, False)
        row, basic = make_credential("revoked")
        credentials.revoke(row, actor=OPERATOR, now=door.now)
        assert enroll(door, basic)[0].said == (3, "A01F000B", False, False)
        assert not Orchestrator.objects.exists()

    def test_it_can_do_nothing_with_an_approved_record(
        self, door: FrontDoor, host: Host, basic: Basic
    ) -> None:
        before = Orchestrator.objects.filter(pk=host.agent_id).values().get()
        door.tick(DAY)
        for members in ({"AgentId": host.agent_id}, {"AgentId": ""}, {"ClientMachine": "AGENT01"}):
            reply, _ = enroll(door, basic, **members)
            assert reply.said == (3, "A01F000A", False, False)
            assert reply.body["Session"] is None
        assert Orchestrator.objects.filter(pk=host.agent_id).values().get() == before
        assert refusals() == ["refused_A01F000A"]
        assert door.ca.ledger == []

    def test_it_moves_nothing_of_a_disapproved_record(
        self, door: FrontDoor, host: Host, basic: Basic
    ) -> None:
        approvals.disapprove(host.record.pk, actor=OPERATOR, now=door.now)
        before = Orchestrator.objects.filter(pk=host.agent_id).values().get()
        door.tick(DAY)
        assert enroll(door, basic)[0].said == (3, "A01F0002", False, False)
        assert Orchestrator.objects.filter(pk=host.agent_id).values().get() == before

    def test_a_client_certificate_decides_over_it(
        self, door: FrontDoor, host: Host, basic: Basic
    ) -> None:
        both = door.register(host.certificate, basic=basic, AgentId=host.agent_id)
        assert both.said == (1, "", True, False)
        assert refusals() == []
        wrong = door.register(host.certificate, basic=("x", "y"), AgentId=host.agent_id)
        assert wrong.said == (1, "", True, False)
        empty = door.register(host.certificate, basic=("", ""), AgentId=host.agent_id)
        assert empty.said == (1, "", True, False)
        assert refusals() == ["basic_ignored"]

    def test_new_records_of_one_credential_are_bounded_and_leave_room_for_others(
        self, door: FrontDoor, basic: Basic
    ) -> None:
        door.setting("NewOrchestratorsPerHour", 4)
        codes = [enroll(door, basic, ClientMachine=f"host{n}")[0].code for n in range(3)]
        assert codes == ["A01F0001", "A01F0001", "A01F0030"]
        assert enroll(door, basic, ClientMachine="host1")[0].code == "A01F0001"
        (entry,) = AuditEntry.objects.filter(category="refusal")
        assert (entry.action, entry.actor_name) == (
            "refused_A01F0030",
            f"bootstrap credential {basic[0]}",
        )
        _, secret = credentials.create(name="other", actor=OPERATOR, now=door.now)
        codes = [enroll(door, ("other", secret), ClientMachine=f"o{n}")[0].code for n in range(3)]
        assert codes == ["A01F0001", "A01F0001", "A01F0030"]
        assert Orchestrator.objects.count() == 4
        door.tick(timedelta(hours=1))
        assert enroll(door, basic, ClientMachine="host2")[0].code == "A01F0001"

    def test_new_records_of_one_address_are_bounded_and_leave_room_for_others(
        self, door: FrontDoor
    ) -> None:
        door.setting("NewOrchestratorsPerHour", 4)
        codes = [door.register(door.certificate(), ClientMachine=f"host{n}").code for n in range(3)]
        assert codes == ["A01F0001", "A01F0001", "A01F0030"]
        door.client.defaults["REMOTE_ADDR"] = "192.0.2.2"
        assert door.register(door.certificate(), ClientMachine="host4").code == "A01F0001"


class TestClaim:
    def test_token_agent_id_and_certificate_come_together(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        reply, key = enroll(door, basic)
        assert reply.said == (1, "", True, True)
        assert reply.agent_id == str(approved_by_claim.pk)
        host = Host(door, "agent01", reply.certificate, key, reply.agent_id)
        assert host.register().said == (1, "", True, False)
        assert host.row.standing == "current"
        assert EnrollmentClaim.objects.filter(closed_at=None).count() == 0

    def test_the_same_key_gets_the_same_certificate(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        first, key = enroll(door, basic)
        again, _ = enroll(door, basic, CSR=csr(key))
        assert again.certificate == first.certificate
        assert len(door.ca.ledger) == 1

    def test_a_new_key_after_a_lost_reply_gets_another_one(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        enroll(door, basic)
        second, key = enroll(door, basic)
        assert second.said == (1, "", True, True)
        host = Host(door, "agent01", second.certificate, key, second.agent_id)
        assert host.register().status == 1
        assert actions(host.record).count("revocation_requested") == 1

    def test_a_name_that_changes_at_every_start_is_served_and_becomes_the_records(
        self, door: FrontDoor, basic: Basic
    ) -> None:
        enroll(door, basic, ClientMachine="agent01_20260601120000")
        door.approve(door.record("agent01_20260601120000"))
        name = "agent01_20260603090000"
        reply, _ = enroll(door, basic, ClientMachine=name, CSR=csr(new_key(), f"CN={name}"))
        assert reply.said == (1, "", True, True)
        (record,) = Orchestrator.objects.all()
        assert record.client_machine == name

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({"CSR": None}, "A01F0009"),
            ({"CSR": "bm90IGEgQ1NS"}, "A01F0012"),
            ({"CSR": csr(new_key(), "CN=else")}, "A01F0017"),
        ],
    )
    def test_without_a_good_csr_nothing_is_revealed(
        self,
        door: FrontDoor,
        basic: Basic,
        approved_by_claim: Orchestrator,
        members: dict[str, Any],
        code: str,
    ) -> None:
        reply, _ = enroll(door, basic, **members)
        assert reply.said == (3, code, False, False)
        assert reply.body["Session"] is None
        assert door.ca.ledger == []

    def test_while_the_ca_is_slow_nothing_is_revealed(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        door.ca.is_slow = True
        reply, key = enroll(door, basic)
        assert reply.said == (3, "A01F0023", False, False)
        door.run_workers()
        assert enroll(door, basic, CSR=csr(key))[0].said == (1, "", True, True)

    def test_it_is_only_good_for_the_credential_that_was_approved(
        self,
        door: FrontDoor,
        approved_by_claim: Orchestrator,
        make_credential: MakeCredential,
    ) -> None:
        _, other = make_credential("other")
        assert enroll(door, other)[0].said == (3, "A01F000A", False, False)

    def test_it_is_only_good_for_the_name_that_was_approved(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        reply, _ = enroll(
            door, basic, AgentId=str(approved_by_claim.pk), ClientMachine="somebody-else"
        )
        assert reply.said == (3, "A01F000A", False, False)
        approved_by_claim.refresh_from_db()
        assert approved_by_claim.client_machine == "agent01"

    def test_it_closes_after_seven_days(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        door.tick(7 * DAY)
        reply, _ = enroll(door, basic)
        assert reply.said == (3, "A01F000F", False, False)
        assert reply.body["Session"] is None
        approved_by_claim.refresh_from_db()
        assert approved_by_claim.last_error_code == "A01F000F"
        (row,) = rows_of([approved_by_claim], Periods(), now=door.now)
        assert row.marks == (Mark.CANNOT_ENROLL,)
        found = Orchestrator.objects.filter(marked(Mark.CANNOT_ENROLL, Periods(), now=door.now))
        assert found.get() == approved_by_claim
        (outlook,) = explain(
            approved_by_claim, store.load(), now=door.now, claim=claim_of(approved_by_claim)
        ).outlooks
        assert outlook.with_csr.decision.code == "A01F000F"

    def test_one_that_is_over_opens_again_with_a_reset_and_an_approval(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        door.tick(7 * DAY)
        door.reset(approved_by_claim)
        enroll(door, basic)
        assert door.approve(approved_by_claim)
        assert enroll(door, basic)[0].said == (1, "", True, True)

    def test_one_whose_credential_was_revoked_is_over_and_a_new_credential_alone_opens_none(
        self,
        door: FrontDoor,
        basic: Basic,
        approved_by_claim: Orchestrator,
        make_credential: MakeCredential,
    ) -> None:
        """What `TO_ENROL_AGAIN` says is what the endpoint asks for."""
        row = BootstrapCredential.objects.get(name=basic[0])
        assert credentials.revoke(row, actor=OPERATOR, now=door.now)
        assert enroll(door, basic)[0].said == (3, "A01F000B", False, False)
        _, other = make_credential("another")
        assert enroll(door, other)[0].said == (3, "A01F000A", False, False)
        approved_by_claim.refresh_from_db()
        told = explain(
            approved_by_claim, store.load(), now=door.now, claim=claim_of(approved_by_claim)
        )
        assert told.remedy == TO_ENROL_AGAIN
        door.reset(approved_by_claim)
        assert enroll(door, other)[0].said == (3, "A01F0001", False, False)
        assert door.approve(approved_by_claim)
        assert enroll(door, other)[0].said == (1, "", True, True)

    @pytest.mark.parametrize(
        ("claim", "credential", "is_over"),
        [
            ({}, {}, False),
            ({"expires_at": 0}, {}, True),
            ({"expires_at": 1}, {"expires_at": 1}, False),
            ({}, {"expires_at": 0}, True),
            ({}, {"revoked_at": 0}, True),
            ({}, {"spent_at": 0}, True),
        ],
    )
    def test_it_is_over_for_a_list_as_for_the_decision(
        self,
        door: FrontDoor,
        basic: Basic,
        approved_by_claim: Orchestrator,
        claim: dict[str, int],
        credential: dict[str, int],
        is_over: bool,
    ) -> None:
        for rows, fields in ((EnrollmentClaim, claim), (BootstrapCredential, credential)):
            moments = {name: door.now + hours * DAY / 24 for name, hours in fields.items()}
            if moments:
                rows.objects.update(**moments)
        found = claim_of(approved_by_claim)
        assert found is not None
        assert credentials.is_over(found, approved_by_claim, now=door.now) is is_over
        listed = Orchestrator.objects.filter(marked(Mark.CANNOT_ENROLL, Periods(), now=door.now))
        assert listed.exists() is claims_over(door.now).exists() is is_over
        assert (credentials.ends_at(found) <= door.now) is is_over
        assert (enroll(door, basic)[0].said == (1, "", True, True)) is not is_over

    @pytest.mark.parametrize("is_its_own", [True, False])
    def test_a_one_time_credential_that_is_anothers_enrolls_nobody_else(
        self,
        door: FrontDoor,
        approved_by_claim: Orchestrator,
        make_credential: MakeCredential,
        is_its_own: bool,
    ) -> None:
        _, other = make_credential("of another")
        enroll(door, other, ClientMachine="somebody-else")
        holder = approved_by_claim if is_its_own else door.record("somebody-else")
        BootstrapCredential.objects.update(one_time=True, bound_to=holder)
        found = claim_of(approved_by_claim)
        assert found is not None
        assert credentials.is_over(found, approved_by_claim, now=door.now) is not is_its_own
        assert claims_over(door.now).exists() is not is_its_own

    def test_it_closes_with_the_first_session(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        reply, key = enroll(door, basic)
        Host(door, "agent01", reply.certificate, key, reply.agent_id).register()
        assert enroll(door, basic)[0].said == (3, "A01F000A", False, False)

    def test_a_reset_closes_it(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        door.reset(approved_by_claim)
        assert enroll(door, basic)[0].said == (3, "A01F0001", False, False)

    def test_a_disapproval_that_is_taken_back_leaves_it_open(
        self, door: FrontDoor, basic: Basic, approved_by_claim: Orchestrator
    ) -> None:
        enroll(door, basic)
        approvals.disapprove(approved_by_claim.pk, actor=OPERATOR, now=door.now)
        assert enroll(door, basic)[0].code == "A01F0002"
        door.approve(approved_by_claim)
        assert enroll(door, basic)[0].said == (1, "", True, True)

    def test_a_record_that_was_never_approved_can_be_after_a_disapproval(
        self, door: FrontDoor, basic: Basic
    ) -> None:
        enroll(door, basic)
        record = door.record()
        approvals.disapprove(record.pk, actor=OPERATOR, now=door.now)
        assert door.approve(record)
        assert enroll(door, basic)[0].said == (1, "", True, True)

    def test_the_account_of_the_credential_becomes_the_records(
        self, door: FrontDoor, approved_by_claim: Orchestrator
    ) -> None:
        assert approved_by_claim.service_account.username == "orchestrators"


class TestOneTime:
    def test_it_is_bound_to_the_first_record_that_it_names(
        self, door: FrontDoor, make_credential: MakeCredential
    ) -> None:
        row, basic = make_credential("once", one_time=True)
        enroll(door, basic)
        row.refresh_from_db()
        assert row.bound_to == door.record()
        other, _ = enroll(door, basic, ClientMachine="other")
        assert other.said == (3, "A01F000B", False, False)
        assert Orchestrator.objects.count() == 1

    def test_it_is_spent_at_the_first_session_and_not_before(
        self, door: FrontDoor, make_credential: MakeCredential
    ) -> None:
        row, basic = make_credential("once", one_time=True)
        enroll(door, basic)
        door.approve(door.record())
        reply, key = enroll(door, basic)
        again, _ = enroll(door, basic, CSR=csr(key))
        assert again.certificate == reply.certificate
        row.refresh_from_db()
        assert row.spent_at is None
        Host(door, "agent01", reply.certificate, key, reply.agent_id).register()
        row.refresh_from_db()
        assert row.spent_at == door.now
        assert enroll(door, basic)[0].said == (3, "A01F000B", False, False)

    def test_of_two_calls_at_once_with_different_names_one_is_refused(
        self, door: FrontDoor, make_credential: MakeCredential, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, basic = make_credential("once", one_time=True)
        find = credentials.find_basic

        def find_and_be_overtaken(*given: str) -> BootstrapCredential | None:
            found = find(*given)
            monkeypatch.setattr(credentials, "find_basic", find)
            assert enroll(door, basic, ClientMachine="first")[0].code == "A01F0001"
            return found

        monkeypatch.setattr(credentials, "find_basic", find_and_be_overtaken)
        assert enroll(door, basic, ClientMachine="second")[0].said == (3, "A01F000B", False, False)
        row.refresh_from_db()
        assert (row.bound_to, Orchestrator.objects.count()) == (door.record("first"), 1)

    def test_one_that_is_bound_to_another_record_is_not_approved_and_the_page_says_so(
        self, door: FrontDoor, make_credential: MakeCredential
    ) -> None:
        row, basic = make_credential("shared")
        for name in ("first", "second"):
            enroll(door, basic, ClientMachine=name)
        row.one_time, row.bound_to = True, door.record("first")
        row.save()
        second = door.record("second")
        outlooks = explain(
            second, store.load(), now=door.now, claimants=list(Claimant.objects.all())[1:]
        ).outlooks
        assert [o.with_csr.decision.code for o in outlooks] == ["A01F000B"]
        assert not Claimant.objects.filter(
            usable_now(door.now, whole_second(door.now)), orchestrator=second
        ).exists()
        with pytest.raises(approvals.ActRefused):
            door.approve(second)
        assert door.approve(door.record("first"))


class TestBootstrapCertificate:
    def test_it_enrolls_like_a_basic_credential(
        self, door: FrontDoor, make_credential: MakeCredential
    ) -> None:
        der = door.certificate(subject="CN=bootstrap")
        make_credential("by certificate", fingerprint_sha256=_fingerprint(der))
        assert door.register(der, CSR=csr(new_key())).said == (3, "A01F0001", False, False)
        door.approve(door.record())
        assert door.register(der, CSR=csr(new_key())).said == (1, "", True, True)

    def test_one_that_is_expired_or_revoked_is_none(
        self, door: FrontDoor, make_credential: MakeCredential
    ) -> None:
        der = door.certificate(subject="CN=bootstrap", left=10 * DAY)
        make_credential("by certificate", fingerprint_sha256=_fingerprint(der))
        row = certificates.create(read_certificate(der), standing=Standing.OWN, now=door.now)
        assert door.register(der).code == "A01F0001"
        row.revoked_at = door.now
        row.save()
        assert door.register(der).code == "A01F0007"
        row.revoked_at = None
        row.save()
        door.tick(11 * DAY)
        assert door.register(der).code == "A01F0005"


def _fingerprint(der: bytes) -> str:
    return read_certificate(der).fingerprint_sha256
