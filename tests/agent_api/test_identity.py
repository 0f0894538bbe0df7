"""Whose certificate it is: strangers, names of others, Reset and return, Disapprove and Approve.

Owns rows 2a, 14 and 17 to 20. That victims' rows stay as they were is asserted column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orchestrators import records
from orchestrators.models import AgentSession, BootstrapCredential, Orchestrator
from orchestrators.protocol.codes import TEXTS, Code
from orchestrators.protocol.requests import RegisterRequest
from renewal import revocations
from renewal.identity import approvals, trust
from renewal.models import Certificate, Claimant, TrustAnchor
from tests import pki
from tests.agent_api.front_door import (
    DAY,
    OPERATOR,
    FrontDoor,
    Host,
    actions,
    csr,
    new_key,
    refusals,
    row_of,
    thumbprint,
)

pytestmark = pytest.mark.both_databases


@contextmanager
def untouched(host: Host) -> Iterator[None]:
    """Nothing of this host's record, certificates or sessions may change."""

    def state() -> list[object]:
        return [
            list(Orchestrator.objects.filter(pk=host.agent_id).values()),
            list(Certificate.objects.filter(orchestrator=host.agent_id).order_by("pk").values()),
            list(AgentSession.objects.filter(orchestrator=host.agent_id).order_by("pk").values()),
        ]

    before = state()
    host.door.tick(DAY)
    yield
    assert state() == before


def test_a_subject_that_would_turn_its_line_round_is_kept_with_hex_pairs(door: FrontDoor) -> None:
    """A format or direction character in a name is written as RFC 4514 §2.4 allows."""
    key = new_key()
    stranger = door.certificate(key, subject="CN=evil\u202egnp.exe\u200b")
    assert Host(door, "n1", stranger, key).register().code == "A01F0001"
    row = Certificate.objects.get(orchestrator__client_machine="n1")
    assert row.subject_name == r"CN=evil\E2\80\AEgnp.exe\E2\80\8B"
    assert row.common_name == r"evil\E2\80\AEgnp.exe\E2\80\8B"


class TestNamesOfOthers:
    def test_another_records_agent_id_is_refused(
        self, host: Host, make_host: Callable[..., Host]
    ) -> None:
        rogue = make_host("rogue")
        with untouched(host):
            reply = rogue.register(AgentId=host.agent_id)
            assert reply.said == (3, "A01F0004", False, False)
        assert refusals() == ["refused_A01F0004"]

    def test_another_records_name_is_refused(
        self, host: Host, make_host: Callable[..., Host]
    ) -> None:
        rogue = make_host("rogue")
        with untouched(host):
            reply = rogue.register(ClientMachine="AGENT01.", CSR=csr(new_key()))
            assert reply.said == (3, "A01F0004", False, False)
        assert host.door.ca.ledger == []

    def test_a_name_that_nobody_has_is_a_hint(self, host: Host) -> None:
        assert host.register(ClientMachine="renamed").said == (1, "", True, False)
        record = host.record
        assert (record.client_machine, record.client_machine_seen) == ("agent01", "renamed")

    def test_a_start_stamp_is_no_other_name(self, host: Host) -> None:
        assert host.register(ClientMachine="agent01_20260601120000").status == 1
        assert host.record.client_machine_seen == ""


class TestStrangers:
    def test_a_trusted_stranger_that_names_an_approved_record_is_refused(
        self, door: FrontDoor, host: Host
    ) -> None:
        certificate = door.certificate()
        with untouched(host):
            for agent_id in (host.agent_id, ""):
                reply = door.register(certificate, AgentId=agent_id, CSR=csr(new_key()))
                assert reply.said == (3, "A01F0003", False, False)
        assert "Reset" in _remedy("A01F0003")
        assert Orchestrator.objects.count() == 1

    def test_an_expired_stranger_makes_no_record(self, door: FrontDoor) -> None:
        reply = door.register(door.certificate(left=-DAY))
        assert reply.said == (3, "A01F0005", False, False)
        assert not Orchestrator.objects.exists()

    def test_one_that_is_not_yet_valid_makes_no_record(self, door: FrontDoor) -> None:
        reply = door.register(door.certificate(left=400 * DAY))
        assert reply.said == (3, "A01F0006", False, False)
        assert not Orchestrator.objects.exists()

    def test_a_foreign_issuer_is_nobody(self, door: FrontDoor) -> None:
        foreign = pki.certificate(not_after=door.now + DAY)
        reply = door.register(foreign)
        assert (reply.http, reply.code) == (401, "A01F0040")
        assert not Orchestrator.objects.exists()

    @pytest.mark.parametrize("eku", [(), (pki.SERVER_AUTH,), (pki.ANY_EKU,), None])
    def test_a_certificate_that_is_not_for_clients_is_refused_readably(
        self, door: FrontDoor, eku: tuple[object, ...] | None
    ) -> None:
        trust.add_anchor(pki.root(), name="foreign root", actor=OPERATOR, now=door.now)
        made = pki.certificate(
            issuer="CN=Test Root CA",
            issuer_key="ec-p256-root",
            eku=eku or None,  # type: ignore[arg-type]
            not_after=door.now + DAY,
        )
        assert door.register(made).said == (3, "A01F000D", False, False)
        assert refusals() == ["refused_A01F000D"]
        # An agent that is told of an error waits; one without a session registers and reads why.
        beat = door.heartbeat(made, "x")
        assert (beat.status, beat.body["SessionValid"]) == (1, False)

    def test_a_foreign_issuer_that_is_trusted_may_come_forward(self, door: FrontDoor) -> None:
        trust.add_anchor(pki.root(), name="foreign root", actor=OPERATOR, now=door.now)
        made = pki.certificate(
            issuer="CN=Test Root CA", issuer_key="ec-p256-root", not_after=door.now + DAY
        )
        assert door.register(made).code == "A01F0001"

    def test_an_issuer_that_is_trusted_no_longer_counts_from_the_next_call(
        self, door: FrontDoor, host: Host
    ) -> None:
        for anchor in TrustAnchor.objects.all():
            trust.remove_anchor(anchor, actor=OPERATOR, now=door.now)
        assert host.register().http == 401
        assert host.heartbeat().http == 401

    def test_nobody_gets_401_in_json(self, door: FrontDoor) -> None:
        reply = door.register()
        assert (reply.http, reply.status, reply.code) == (401, 3, "A01F0040")


class TestItsOwnButUnusable:
    def test_an_expired_one_is_told_the_way_back(self, door: FrontDoor, host: Host) -> None:
        door.tick(300 * DAY + DAY)
        reply, _ = host.send_csr()
        assert reply.said == (3, "A01F0005", False, False)
        record = host.record
        assert record.last_seen == door.now
        assert record.last_error_code == "A01F0005"
        assert record.last_thumbprint_used == host.thumbprint
        assert door.ca.ledger == []

    def test_a_revoked_one_is_refused_from_the_next_call(self, door: FrontDoor, host: Host) -> None:
        host.renew()
        host.register()
        revocations.request(
            host.row,
            reason="keyCompromise",
            cause="by hand",
            by_service_account=False,
            actor=OPERATOR,
            now=door.now,
        )
        assert host.register().said == (3, "A01F0007", False, False)
        assert not host.heartbeat().body["SessionValid"]

    def test_a_dropped_one_raises_the_wrong_certificate_state(
        self, door: FrontDoor, host: Host
    ) -> None:
        old = host.certificate
        host.renew()
        host.register()
        assert door.register(old, AgentId=host.agent_id).said == (3, "A01F0008", False, False)
        record = host.record
        assert record.last_thumbprint_used == thumbprint(old)
        assert record.last_thumbprint_used not in (record.thumbprint, record.legacy_thumbprint)
        assert host.heartbeat().body["SessionValid"]


class TestReset:
    def test_everything_leaves_the_record_and_stays_as_history(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1)
        host.send_csr()
        door.reset(host.record)
        record = host.record
        assert record.status == 1
        assert record.generation == 1
        assert (record.flag, record.last_error_code) == (0, "")
        assert {record.thumbprint, record.legacy_thumbprint, record.last_thumbprint_used} == {""}
        assert set(
            Certificate.objects.filter(orchestrator=record).values_list("standing", flat=True)
        ) == {"archived"}
        assert not host.heartbeat().body["SessionValid"]

    def test_the_old_certificate_may_come_back_and_needs_approval(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.reset(host.record)
        assert host.register().said == (3, "A01F0001", False, False)
        assert door.approve(host.record)
        assert host.register().said == (1, "", True, False)

    def test_a_different_certificate_may_come_back(self, door: FrontDoor, host: Host) -> None:
        door.reset(host.record)
        host.certificate = door.certificate()
        assert host.register().said == (3, "A01F0001", False, False)
        assert Orchestrator.objects.count() == 1
        assert door.approve(host.record)
        assert host.register().said == (1, "", True, False)
        assert host.record.thumbprint == host.thumbprint

    def test_a_different_name_is_a_hint_and_no_bar(self, door: FrontDoor, host: Host) -> None:
        door.reset(host.record)
        host.certificate = door.certificate()
        host.register(ClientMachine="renamed")
        door.approve(host.record)
        assert host.register().status == 1
        assert host.record.client_machine == "agent01"

    def test_approval_needs_somebody_who_came_forward(self, door: FrontDoor, host: Host) -> None:
        door.reset(host.record)
        with pytest.raises(approvals.ActRefused) as refused:
            door.approve(host.record)
        assert refused.value.reason == "nobody_seen"

    def test_the_old_certificate_gives_way_to_a_stranger(self, door: FrontDoor, host: Host) -> None:
        door.reset(host.record)
        host.register()
        host.certificate = door.certificate()
        host.register()
        door.approve(host.record)
        assert host.record.thumbprint == host.thumbprint

    def test_two_strangers_are_a_conflict_and_the_approver_chooses(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.reset(host.record)
        strangers = [door.certificate() for _ in range(2)]
        for stranger in strangers:
            assert door.register(stranger, AgentId=host.agent_id).code == "A01F0001"
        with pytest.raises(approvals.ActRefused) as refused:
            door.approve(host.record)
        assert refused.value.reason == "conflict"
        second = Claimant.objects.get(certificate=row_of(strangers[1]))
        door.approve(
            host.record,
            claimant=second.pk,
            fingerprint=row_of(strangers[1]).fingerprint_sha256,
        )
        host.certificate = strangers[1]
        assert host.register().status == 1
        host.certificate = strangers[0]
        assert host.register().code == "A01F0003"

    def test_a_certificate_and_a_credential_are_a_conflict_too(
        self,
        door: FrontDoor,
        host: Host,
        make_credential: Callable[..., tuple[BootstrapCredential, tuple[str, str]]],
    ) -> None:
        door.reset(host.record)
        door.register(door.certificate(), AgentId=host.agent_id)
        door.register(basic=make_credential()[1])
        with pytest.raises(approvals.ActRefused) as refused:
            door.approve(host.record)
        assert refused.value.reason == "conflict"

    def test_somebody_else_since_the_page_was_shown_is_refused(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.reset(host.record)
        host.register()
        with pytest.raises(approvals.ActRefused) as refused:
            door.approve(host.record, claimant=0)
        assert refused.value.reason == "changed"

    def test_a_certificate_that_another_record_ever_held_claims_nothing(
        self, door: FrontDoor, host: Host, make_host: Callable[..., Host]
    ) -> None:
        other = make_host("other")
        door.reset(other.record)
        door.reset(host.record)
        with untouched(host):
            reply = door.register(other.certificate, AgentId=host.agent_id, ClientMachine="x")
            assert reply.said == (3, "A01F0004", False, False)

    def test_one_stranger_who_came_forward_twice_is_approved_once(
        self, door: FrontDoor, make_host: Callable[..., Host]
    ) -> None:
        one, other = make_host("one"), make_host("two")
        door.reset(one.record)
        door.reset(other.record)
        stranger = door.certificate()
        door.register(stranger, AgentId=one.agent_id, ClientMachine="one")
        door.register(stranger, AgentId=other.agent_id, ClientMachine="two")
        door.approve(one.record)
        with pytest.raises(approvals.ActRefused) as refused:
            door.approve(other.record)
        assert refused.value.reason == "nobody_seen"
        assert row_of(stranger).orchestrator_id == one.record.pk

    def test_the_certificates_named_are_revoked_with_it(self, door: FrontDoor, host: Host) -> None:
        host.renew()
        host.register()
        door.reset(host.record, also_revoke=[host.row.pk])
        assert host.register().said == (3, "A01F0007", False, False)
        with pytest.raises(approvals.ActRefused):
            door.reset(host.record, also_revoke=[10**6])

    def test_one_of_another_ca_is_refused_here_and_told_to_be_revoked_at_its_issuer(
        self, door: FrontDoor, host: Host
    ) -> None:
        assert host.row.authority is None
        door.reset(host.record, also_revoke=[host.row.pk])
        assert host.register().said == (3, "A01F0007", False, False)
        assert "revoke_at_its_issuer" in actions(host.record)
        with pytest.raises(approvals.ActRefused):
            door.approve(host.record)

    def test_certificates_delivered_before_it_are_not_revoked(
        self, door: FrontDoor, host: Host
    ) -> None:
        reply, key = host.send_csr()
        door.reset(host.record)
        door.run_workers()
        host.install(reply, key)
        assert host.register().code == "A01F0001"
        door.approve(host.record)
        assert host.register().status == 1

    def test_the_order_in_the_timeline(self, door: FrontDoor, host: Host) -> None:
        door.reset(host.record, message="the disk is broken")
        host.register()
        door.approve(host.record)
        assert actions(host.record)[-2:] == ["reset", "approved"]


class TestDisapprove:
    def test_it_takes_effect_at_the_next_call_and_approving_restores_everything(
        self, door: FrontDoor, host: Host
    ) -> None:
        issued, key = host.send_csr()
        before = host.record
        approvals.disapprove(before.pk, actor=OPERATOR, now=door.now)
        assert not host.heartbeat().body["SessionValid"]
        assert host.register().said == (3, "A01F0002", False, False)
        door.approve(before)
        after = host.record
        assert (after.thumbprint, after.legacy_thumbprint) == (
            before.thumbprint,
            before.legacy_thumbprint,
        )
        assert host.register().code == "A0100007"
        host.install(issued, key)
        assert host.register().said == (1, "", True, False)

    def test_a_name_taken_meanwhile_is_a_reason_to_refuse_the_approval(
        self, door: FrontDoor, host: Host, make_host: Callable[..., Host]
    ) -> None:
        approvals.disapprove(host.record.pk, actor=OPERATOR, now=door.now)
        other = make_host("agent02")
        Orchestrator.objects.filter(pk=other.agent_id).update(
            client_machine="agent01", name_key="agent01", claim_key="agent01"
        )
        with pytest.raises(approvals.ActRefused) as refused:
            door.approve(host.record)
        assert refused.value.reason == "name_taken"


def test_a_refresh_writes_only_what_it_owns(door: FrontDoor) -> None:
    """A stale copy of a New record must not undo an approval."""
    certificate = door.certificate()
    door.register(certificate)
    stale = door.record()
    door.approve(stale)
    body = RegisterRequest.parse({"ClientMachine": "agent01"})
    records.refresh_new(stale, body, records.Contact("", ""), now=door.now)
    assert door.record().status == 2
    assert door.record().thumbprint == thumbprint(certificate)


def _remedy(code: str) -> str:
    return TEXTS[Code(code)].remedy
