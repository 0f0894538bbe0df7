"""Renewal through the front door: rows 4 to 13, from the CSR to the proven certificate.

Owns enrollment as an agent sees it. The CA's own faults are `tests/faults`'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import Mock

import pytest
from cryptography import x509
from django.contrib.auth.models import Group
from django.db.models.functions import Now

from orchestrators import groups
from orchestrators.models import Orchestrator
from portal.access.models import RoleReach, User
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal import readiness, revocations
from renewal.identity import approvals
from renewal.models import Certificate, CertificateAuthority, Enrollment, Revocation, Template
from renewal.rules.periods import Periods
from renewal.selectors.marks import Mark, marked
from tests.agent_api.front_door import (
    DAY,
    HOUR,
    OPERATOR,
    FrontDoor,
    Host,
    actions,
    csr,
    new_key,
    refusals,
    row_of,
    spki,
    thumbprint,
)

pytestmark = pytest.mark.both_databases
MINUTE = timedelta(minutes=1)


class TestDelivery:
    def test_token_and_certificate_come_together(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        assert host.register().code == "A0100007"
        reply, key = host.send_csr()
        assert reply.said == (1, "", True, True)
        assert x509.load_der_x509_certificate(reply.certificate).public_key().public_numbers() == (
            key.public_key().public_numbers()
        )

    def test_the_certificate_is_bare_base64_of_the_leaf(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        text = host.send_csr()[0].session["Certificate"]
        assert isinstance(text, str)
        assert "-" not in text
        assert "\n" not in text

    def test_flag_require_gives_token_and_certificate_to_a_csr(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 2)
        assert host.register().said == (3, "A0100008", False, False)
        assert host.send_csr()[0].said == (1, "", True, True)

    def test_the_expiry_period_gives_token_and_certificate_to_a_csr(
        self, make_host: Callable[..., Host]
    ) -> None:
        assert make_host(left=20 * DAY).send_csr()[0].said == (1, "", True, True)

    def test_thumbprints_move_when_the_certificate_is_delivered(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        old = host.thumbprint
        reply, _ = host.send_csr()
        record = host.record
        assert record.legacy_thumbprint == old
        assert record.thumbprint == thumbprint(reply.certificate)
        assert record.last_thumbprint_used == old
        assert record.flag == 1

    def test_inside_the_session_both_certificates_work(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        old = host.certificate
        host.renew()
        assert host.heartbeat().body["SessionValid"]
        assert door.heartbeat(old, host.token).body["SessionValid"]

    def test_the_certificate_counts_from_its_issue_not_from_its_backdated_start(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        row = row_of(host.send_csr()[0].certificate)
        assert row.not_before == door.now - MINUTE
        assert row.counted_from == door.now


class TestUnaskedCSR:
    def test_it_is_enrolled_if_none_was_issued_for_a_day(self, door: FrontDoor, host: Host) -> None:
        assert host.send_csr()[0].said == (1, "", True, True)

    def test_it_is_not_due_within_a_day(self, door: FrontDoor, host: Host) -> None:
        host.renew()
        host.register()
        door.tick(DAY - MINUTE)
        reply, _ = host.send_csr()
        assert reply.said == (1, "A01F0018", True, False)
        assert len(door.ca.ledger) == 1
        door.tick(2 * MINUTE)
        assert host.send_csr()[0].said == (1, "", True, True)


class TestLostReply:
    def test_the_same_csr_gets_the_same_certificate_and_no_second_ca_call(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        first, key = host.send_csr()
        for _ in range(3):
            again, _ = host.send_csr(key)
            assert again.certificate == first.certificate
        assert len(door.ca.ledger) == 1

    def test_a_new_key_gets_a_second_certificate_and_legacy_stays(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        first, _ = host.send_csr()
        second, _ = host.send_csr()
        assert second.said == (1, "", True, True)
        record = host.record
        assert record.legacy_thumbprint == host.thumbprint
        assert record.thumbprint == thumbprint(second.certificate)
        assert row_of(first.certificate).standing == "overtaken"

    def test_a_third_key_has_to_wait_an_hour_and_then_gives_up_the_first(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        first, _ = host.send_csr()
        second, _ = host.send_csr()
        limited, _ = host.send_csr()
        assert limited.said == (2, "A0100007", True, False)
        assert "Two certificates were delivered and not used" in limited.message
        assert "UTC" in limited.message
        door.tick(61 * MINUTE)
        third, _ = host.send_csr()
        assert third.said == (1, "", True, True)
        assert row_of(first.certificate).revoked_at == door.now
        assert row_of(second.certificate).standing == "overtaken"
        assert len(door.ca.ledger) == 3

    def test_the_one_overtaken_still_works_and_the_newer_one_stays(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.setting("RevokeOldClientAuthCertificate", "true")
        door.set_flag(host.record, 1)
        old = row_of(host.certificate)
        first, key = host.send_csr()
        second, _ = host.send_csr()
        host.install(first, key)
        assert host.register().said == (1, "", True, False)
        record = host.record
        assert record.legacy_thumbprint == thumbprint(first.certificate)
        assert record.thumbprint == thumbprint(second.certificate)
        assert row_of(second.certificate).revoked_at is None
        old.refresh_from_db()
        assert old.standing == "superseded"
        assert host.register().code == "A0100007"

    def test_the_old_certificate_is_told_to_renew_again(self, door: FrontDoor, host: Host) -> None:
        host.send_csr()
        assert host.register().said == (2, "A0100007", True, False)
        assert host.record.legacy_thumbprint == host.thumbprint

    def test_flag_require_refuses_the_old_certificate_without_a_csr(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 2)
        host.send_csr()
        assert host.register().said == (3, "A0100008", False, False)
        assert host.send_csr()[0].said == (1, "", True, True)


class TestPromotion:
    def test_the_first_session_moves_everything_in_one_order(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.setting("RevokeOldClientAuthCertificate", "true")
        door.set_flag(host.record, 2)
        lost, _ = host.send_csr()
        old = host.row
        host.renew()
        before = len(actions(host.record))
        assert host.register().said == (1, "", True, False)
        assert actions(host.record)[before:] == [
            "flag_cleared",
            "certificate_proven",
            "legacy_thumbprint_cleared",
            "revocation_requested",
            "revoke_at_its_issuer",
        ]
        record = host.record
        assert (record.flag, record.legacy_thumbprint) == (0, "")
        assert record.thumbprint == record.last_thumbprint_used == host.thumbprint
        assert row_of(lost.certificate).revoked_at == door.now
        old.refresh_from_db()
        assert old.standing == "superseded"

    def test_the_old_certificate_is_revoked_as_superseded_if_the_setting_is_on(
        self, door: FrontDoor, host: Host
    ) -> None:
        host.renew()
        host.register()
        door.tick(2 * DAY)
        door.setting("RevokeOldClientAuthCertificate", "true")
        old = host.row
        host.renew()
        host.register()
        revocation = Revocation.objects.get(certificate=old)
        assert (revocation.reason, revocation.state) == ("superseded", "waiting")
        door.run_workers()
        revocation.refresh_from_db()
        assert revocation.state == "done"

    def test_with_the_setting_off_the_old_one_is_dropped_and_not_revoked(
        self, door: FrontDoor, host: Host
    ) -> None:
        host.renew()
        host.register()
        door.tick(2 * DAY)
        old, old_certificate = host.row, host.certificate
        host.renew()
        host.register()
        old.refresh_from_db()
        assert old.revoked_at is None
        refused = door.register(old_certificate, AgentId=host.agent_id)
        assert refused.said == (3, "A01F0008", False, False)

    def test_a_revocation_whose_message_comes_twice_is_carried_out_once(
        self, door: FrontDoor, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        door.setting("RevokeOldClientAuthCertificate", "true")
        for _ in range(2):
            host.renew()
            host.register()
            door.tick(DAY)
        row = Revocation.objects.get()
        calls: list[object] = []
        monkeypatch.setattr(
            revocations.issuers, "backend", lambda authority: Mock(revoke=calls.append)
        )
        for _ in range(2):
            revocations.run(row.pk, now=door.now)
        assert len(calls) == 1
        assert actions(host.record).count("revoked") == 1

    def test_a_revocation_whose_worker_did_not_come_back_is_taken_up_by_the_databases_clock(
        self, door: FrontDoor, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        door.setting("RevokeOldClientAuthCertificate", "true")
        for _ in range(2):
            host.renew()
            host.register()
            door.tick(DAY)
        row = Revocation.objects.get()
        backends = revocations.issuers.backend
        monkeypatch.setattr(
            revocations.issuers, "backend", Mock(side_effect=KeyboardInterrupt("worker killed"))
        )
        with pytest.raises(KeyboardInterrupt):
            revocations.run(row.pk, now=door.now)
        monkeypatch.setattr(revocations.issuers, "backend", backends)
        # A host whose clock is a day ahead ends nobody's lease.
        assert revocations.sweep(now=door.now + DAY) == []
        Revocation.objects.update(lease_until=Now() - timedelta(seconds=1))
        assert revocations.sweep(now=door.now) == [row.pk]
        revocations.run(row.pk, now=door.now)
        row.refresh_from_db()
        assert (row.state, row.lease_until) == ("done", None)

    def test_a_foreign_certificate_is_to_be_revoked_at_its_issuer(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.setting("RevokeOldClientAuthCertificate", "true")
        host.renew()
        host.register()
        assert "revoke_at_its_issuer" in actions(host.record)
        assert not Revocation.objects.exists()

    def test_a_flag_set_after_the_intent_stays(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        reply, key = host.send_csr()
        door.set_flag(host.record, 1)
        host.install(reply, key)
        assert host.register().said == (2, "A0100007", True, False)
        assert host.record.flag == 1

    def test_a_csr_over_the_issued_certificate_promotes_it_first(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 2)
        host.renew()
        door.set_flag(host.record, 2)
        reply, _ = host.send_csr()
        assert reply.said == (1, "", True, True)
        assert host.row.standing == "legacy"
        assert host.row.proven_at == door.now
        assert "legacy_thumbprint_cleared" in actions(host.record)

    def test_an_issued_certificate_under_a_newer_require_is_not_promoted_without_a_csr(
        self, door: FrontDoor, host: Host
    ) -> None:
        host.renew()
        door.set_flag(host.record, 2)
        assert host.register().said == (3, "A0100008", False, False)
        assert host.row.standing == "issued"

    def test_the_next_session_of_a_proven_certificate_moves_nothing(self, host: Host) -> None:
        host.renew()
        host.register()
        before = actions(host.record)
        host.register()
        assert actions(host.record) == before


class TestHeartbeat:
    def test_with_the_new_certificate_it_clears_the_flag_and_nothing_else(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        old = host.certificate
        host.renew()
        assert door.heartbeat(old, host.token).body["SessionValid"]
        assert host.record.flag == 1
        assert host.heartbeat().body["SessionValid"]
        record = host.record
        assert record.flag == 0
        assert record.legacy_thumbprint == thumbprint(old)
        assert host.row.standing == "issued"
        assert actions(record)[-1] == "flag_cleared"

    def test_a_flag_set_after_the_intent_survives_it(self, door: FrontDoor, host: Host) -> None:
        host.renew()
        door.set_flag(host.record, 2)
        assert host.heartbeat().body["SessionValid"]
        assert host.record.flag == 2


class TestSlowCA:
    def test_at_level_1_work_goes_on_and_the_same_csr_gets_it_later(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        door.ca.is_slow = True
        reply, key = host.send_csr()
        assert reply.said == (2, "A0100007", True, False)
        assert "waits for a worker of the portal" in reply.message
        door.run_workers()
        assert host.send_csr(key)[0].said == (1, "", True, True)
        assert len(door.ca.ledger) == 1

    @pytest.mark.parametrize("state", ["waiting", "unknown"])
    def test_a_disabled_one_is_asked_for_nothing_not_even_for_what_it_may_have(
        self, door: FrontDoor, host: Host, state: str
    ) -> None:
        door.set_flag(host.record, 1)
        door.ca.is_slow = True
        host.send_csr()
        Enrollment.objects.update(state=state, next_attempt_at=door.now)
        CertificateAuthority.objects.update(enabled=False)
        door.run_workers()
        assert (Enrollment.objects.get().state, door.ca.ledger) == (state, [])
        CertificateAuthority.objects.update(enabled=True)
        door.run_workers()
        assert (Enrollment.objects.get().state, len(door.ca.ledger)) == ("issued", 1)

    def test_at_level_2_there_is_no_session(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 2)
        door.ca.is_slow = True
        assert host.send_csr()[0].said == (3, "A0100008", False, False)

    def test_at_level_0_it_costs_the_certificate_alone(self, door: FrontDoor, host: Host) -> None:
        door.ca.is_slow = True
        assert host.send_csr()[0].said == (1, "A01F0023", True, False)

    def test_a_client_that_drops_its_key_is_backed_off(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        door.ca.is_slow = True
        for _ in range(4):
            host.send_csr()
            door.run_workers()
        assert len(door.ca.ledger) == 1
        assert "slower than the portal may hold" in host.send_csr()[0].message
        door.tick(16 * MINUTE)
        host.send_csr()
        door.run_workers()
        assert len(door.ca.ledger) == 2
        door.tick(16 * MINUTE)
        host.send_csr()
        door.run_workers()
        assert len(door.ca.ledger) == 2


class TestWhileItWaits:
    def test_a_certificate_that_was_overtaken_by_a_session_gets_nothing(
        self, door: FrontDoor, host: Host
    ) -> None:
        """The old certificate's CSR is with the CA while the new certificate has its session."""
        reply, _ = host.send_csr()
        newer = Host(door, host.name, reply.certificate, new_key(), host.agent_id)
        door.ca.before_signing = lambda: _once(door, newer)
        door.set_flag(host.record, 1)
        late, _ = host.send_csr()
        assert late.said == (3, "A01F0008", False, False)
        assert newer.heartbeat().body["SessionValid"] is True


def _once(door: FrontDoor, newer: Host) -> None:
    door.ca.before_signing = lambda: None
    assert newer.register().token


class TestCADown:
    def test_level_1_works_on_and_is_told_why(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        door.ca.is_down = True
        reply, key = host.send_csr()
        assert reply.said == (2, "A0100007", True, False)
        assert "does not answer" in reply.message
        door.ca.is_down = False
        door.tick(HOUR)
        assert host.send_csr(key)[0].said == (1, "", True, True)

    @pytest.mark.parametrize("flag", [1, 2])
    def test_however_long_it_was_down_the_next_key_is_served_when_it_is_back(
        self, door: FrontDoor, host: Host, flag: int
    ) -> None:
        """A client that makes a new key at every try must not use up its calls on a CA that
        issued nothing.
        """
        door.set_flag(host.record, flag)
        door.ca.is_down = True
        for _ in range(12):
            assert not host.send_csr()[0].certificate
            door.tick(HOUR / 3)
        door.ca.is_down = False
        assert host.send_csr()[0].said == (1, "", True, True)

    def test_a_newer_key_replaces_one_that_no_ca_answered(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        door.ca.is_down = True
        for _ in range(3):
            host.send_csr()
        assert list(Enrollment.objects.order_by("pk").values_list("state", flat=True)) == [
            "discarded",
            "discarded",
            "waiting",
        ]

    def test_a_lost_request_does_not_stand_in_the_way_of_a_newer_one(
        self, door: FrontDoor, host: Host
    ) -> None:
        """A worker died, a new key waits for the CA: the sweep must get past both."""
        door.set_flag(host.record, 1)
        door.ca.before_signing = _die
        host.send_csr()
        assert Enrollment.objects.get().state == "unknown"
        door.ca.before_signing = lambda: None
        door.ca.is_down = True
        host.send_csr()
        door.tick(HOUR)
        door.run_workers()
        states = list(Enrollment.objects.order_by("pk").values_list("state", flat=True))
        assert states == ["unknown", "waiting"]
        door.ca.is_down = False
        for _ in range(4):
            door.tick(2 * HOUR)
            door.run_workers()
        assert [e.state for e in Enrollment.objects.order_by("pk")] == ["discarded", "issued"]
        assert Certificate.objects.get(enrollment=Enrollment.objects.earliest("pk")).revoked_at


def _die() -> None:
    raise RuntimeError("the worker is gone")


class TestRefusals:
    @pytest.mark.parametrize("flag", [0, 1, 2])
    def test_a_foreign_name_is_refused_and_no_ca_is_asked(
        self, door: FrontDoor, host: Host, flag: int
    ) -> None:
        door.set_flag(host.record, flag)
        asked = csr(new_key(), "CN=somebody-else")
        reply = host.register(CSR=asked)
        assert reply.said == (3 if flag == 2 else 2, "A01F0017", flag < 2, False)
        assert door.ca.ledger == []
        # The log names whose certificate it was and what was asked for.
        (entry,) = AuditEntry.objects.filter(category="refusal")
        assert (entry.action, entry.actor_name) == ("refused_A01F0017", f"orchestrator {host.name}")
        assert entry.after["csr_sha256"] == hashlib.sha256(asked.encode()).hexdigest()
        assert "somebody-else" in entry.after["detail"]
        # And it counts as failed, on the first page too, for a day.
        for at, failed in ((door.now, [host.record]), (door.now + DAY, [])):
            found = Orchestrator.objects.filter(marked(Mark.ENROLLMENT_FAILED, Periods(), now=at))
            assert list(found) == failed

    @pytest.mark.parametrize(
        ("permission", "access"),
        [
            ("enroll_csr", "/certificates/enrollment/csr/"),
            ("certificates_read", "/certificates/collections/read/"),
        ],
    )
    def test_a_missing_permission_is_named(
        self, door: FrontDoor, host: Host, permission: str, access: str
    ) -> None:
        role = Group.objects.get(name="Orchestrator")
        role.permissions.remove(role.permissions.get(codename=permission))
        door.set_flag(host.record, 1)
        reply, _ = host.send_csr()
        assert reply.said == (2, "A01F0020", True, False)
        assert f"Missing: {access}." in reply.message
        assert door.ca.ledger == []
        (entry,) = AuditEntry.objects.filter(category="refusal")
        assert access in entry.after["detail"]

    @pytest.mark.parametrize("what", ["CA", "template"])
    def test_a_service_account_that_the_ca_does_not_let_ask_is_named(
        self, door: FrontDoor, host: Host, what: str
    ) -> None:
        row = door.ca.row if what == "CA" else Template.objects.get()
        row.allowed_requesters.set([User.objects.create_user("somebody else")])
        door.set_flag(host.record, 1)
        reply, key = host.send_csr()
        assert reply.said == (2, "A01F0020", True, False)
        why = f"orchestrators is none of the allowed requesters of the {what} {row.name}"
        assert why in reply.message
        assert door.ca.ledger == []
        (entry,) = AuditEntry.objects.filter(category="refusal")
        assert why in entry.after["detail"]
        # Once it may ask, the same CSR is enough.
        row.allowed_requesters.add(host.record.service_account)
        assert host.send_csr(key)[0].said == (1, "", True, True)

    def test_a_service_account_whose_role_is_limited_to_others_enrolls_for_them_alone(
        self, door: FrontDoor, host: Host
    ) -> None:
        berlin, _ = groups.save_group("Berlin", actor=OPERATOR, now=door.now)
        role = Group.objects.get(name="Orchestrator")
        RoleReach.objects.create(role=role, orchestrator_group=berlin.pk)
        door.set_flag(host.record, 1)
        assert host.send_csr()[0].said == (2, "A01F0020", True, False)
        checks = readiness.of_orchestrator(host.record, store.load())
        assert [check.ok for check in checks[:3]] == [False, False, False]
        account = host.record.service_account
        assert not any(check.ok for check in readiness.everywhere(account, store.load())[:3])
        groups.assign([host.record.pk], berlin, actor=OPERATOR)
        account = host.record.service_account
        assert all(check.ok for check in readiness.everywhere(account, store.load())[:3])
        assert host.send_csr()[0].said == (1, "", True, True)

    def test_a_key_that_was_used_is_refused(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        reply, _ = host.send_csr(host.key)
        assert reply.said == (2, "A01F0016", True, False)

    def test_the_current_key_passes_if_the_setting_allows_it(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.setting("AllowReuseOfCurrentKey", "true")
        assert host.send_csr(host.key)[0].said == (1, "", True, True)

    def test_another_orchestrators_key_is_refused(
        self, door: FrontDoor, host: Host, make_host: Callable[..., Host]
    ) -> None:
        other = make_host("agent02")
        reply, _ = host.send_csr(other.key)
        assert reply.code == "A01F0016"
        waiting = new_key()
        door.ca.is_slow = True
        other.send_csr(waiting)
        assert host.send_csr(waiting)[0].code == "A01F0016"

    def test_without_a_ca_in_the_settings_the_orchestrator_is_told(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.setting("CertificateAuthorityForSubmittedCSRs", "")
        door.set_flag(host.record, 2)
        reply, _ = host.send_csr()
        assert reply.said == (3, "A01F0021", False, False)
        assert "Certificate Authority For Submitted CSRs" in reply.message

    def test_five_calls_a_day_are_enough(self, door: FrontDoor, host: Host) -> None:
        for _ in range(5):
            door.set_flag(host.record, 1)
            host.renew()
            host.register()
            door.tick(MINUTE)
        door.set_flag(host.record, 1)
        reply, _ = host.send_csr()
        assert reply.said == (2, "A0100007", True, False)
        assert "5 certificates were asked for in 24 hours" in reply.message
        assert len(door.ca.ledger) == 5

    def test_refusals_for_cause_are_audited_once_in_a_while(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.tick(301 * DAY)
        for _ in range(3):
            assert host.register().code == "A01F0005"
        assert refusals() == ["refused_A01F0005"]


class TestFencing:
    def test_a_reset_during_the_ca_call_discards_and_revokes_the_certificate(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        door.ca.before_signing = lambda: door.reset(host.record)
        reply, _ = host.send_csr()
        assert reply.said == (3, "A01F0001", False, False)
        row = Enrollment.objects.get()
        assert row.state == "discarded"
        assert row.certificate is not None
        assert row.certificate.revoked_at == door.now
        record = host.record
        assert (record.thumbprint, record.legacy_thumbprint) == ("", "")

    def test_a_disapproval_during_the_wait_is_answered_as_such(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.ca.before_signing = lambda: approvals.disapprove(
            host.record.pk, actor=OPERATOR, now=door.now
        )
        assert host.send_csr()[0].said == (3, "A01F0002", False, False)
        assert Enrollment.objects.get().state == "discarded"

    def test_an_older_intent_never_overtakes_a_newer_delivery(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        door.ca.before_signing = _die
        host.send_csr()
        door.ca.before_signing = lambda: None
        newer, _ = host.send_csr()
        door.tick(HOUR)
        door.run_workers()
        older = Enrollment.objects.earliest("pk")
        assert older.state == "discarded"
        assert host.record.thumbprint == thumbprint(newer.certificate)
        assert row_of(newer.certificate).revoked_at is None


def test_the_key_in_the_ledger_is_the_csrs(door: FrontDoor, host: Host) -> None:
    _, key = host.send_csr()
    assert [request.spki_der for request in door.ca.ledger] == [spki(key)]


def test_every_orchestrator_keeps_its_own(
    door: FrontDoor, host: Host, make_host: Callable[..., Host]
) -> None:
    other = make_host("agent02")
    before = Orchestrator.objects.filter(pk=other.agent_id).values().get()
    door.set_flag(host.record, 2)
    host.renew()
    host.register()
    assert Orchestrator.objects.filter(pk=other.agent_id).values().get() == before
