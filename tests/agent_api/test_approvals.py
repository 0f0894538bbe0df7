"""Approvals by policy, by rule and by override, on records that came through the front door (C13).

Owns what an approval needs. Who may claim a record is `test_identity.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group

from orchestrators.models import Orchestrator
from portal.access.models import RoleReach, User
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.preferences import store
from portal.preferences.typed import SettingInvalid
from renewal.identity import (
    approval_comments,
    approval_expiry,
    approvals,
    claimants,
)
from renewal.identity.approvals import ActRefused, Approval, Shown
from renewal.models import ApprovalRequest, ApprovalVote, Claimant
from renewal.x509.certificates import read_certificate
from tests.agent_api.front_door import DAY, HOUR, FrontDoor, Host, actions, new_key, row_of

pytestmark = pytest.mark.both_databases


@pytest.fixture
def person(db: None) -> Callable[[str], Actor]:
    """Factory of people who may approve and Reset, as actors."""

    def make(name: str) -> Actor:
        user = User.objects.create_user(name)
        user.groups.add(Group.objects.get(name="Administrator"))
        return Actor(name, user.pk, "192.0.2.9")

    return make


def approve(door: FrontDoor, record: Orchestrator, actor: Actor, **more: object) -> Approval:
    return approvals.approve(record.pk, actor=actor, now=door.now, **more)  # type: ignore[arg-type]


def reset(door: FrontDoor, record: Orchestrator, actor: Actor, why: str = "lost") -> None:
    approvals.reset(record.pk, actor=actor, now=door.now, message=why)


def limited_to_a_group_without_members() -> Group:
    """Return a role with every permission for a group that has no members."""
    role = Group.objects.create(name="Elsewhere")
    role.permissions.set(Group.objects.get(name="Administrator").permissions.all())
    RoleReach.objects.create(role=role, orchestrator_group=4711)
    return role


def request_of(record: Orchestrator) -> ApprovalRequest:
    return ApprovalRequest.objects.filter(orchestrator=record).latest("pk")


def refusal(call: Callable[[], object]) -> str:
    """Return the reason why an act is refused; nothing of the record or its requests moved."""
    before = _all_rows()
    with pytest.raises(ActRefused) as refused:
        call()
    assert _all_rows() == before
    return refused.value.reason


def _all_rows() -> list[object]:
    return [
        list(Orchestrator.objects.order_by("pk").values()),
        list(ApprovalRequest.objects.order_by("pk").values()),
        list(ApprovalVote.objects.order_by("pk").values()),
        AuditEntry.objects.count(),
    ]


class TestRequest:
    def test_a_first_registration_opens_one_and_the_next_contact_no_other(
        self, door: FrontDoor
    ) -> None:
        certificate = door.certificate()
        for _ in range(3):
            door.register(certificate)
            door.tick(HOUR)
        (request,) = ApprovalRequest.objects.all()
        assert (request.kind, request.state) == ("first", "open")
        assert request.caused_by == "orchestrator agent01"
        assert request.address == "127.0.0.1"

    def test_a_reset_opens_one_at_once_with_who_it_was(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        old = host.row
        reset(door, host.record, person("rita"), "the disk is broken")
        request = request_of(host.record)
        assert (request.kind, request.state) == ("after_reset", "open")
        assert (request.caused_by, request.reason) == ("rita", "the disk is broken")
        assert (request.old_client_machine, request.old_thumbprint) == ("agent01", old.thumbprint)
        assert request.old_certificate == old

    def test_its_decision_keeps_what_was_approved_and_why(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        reset(door, host.record, person("rita"))
        host.certificate = door.certificate()
        host.register()
        approve(door, host.record, person("amy"), message="seen on the console")
        request = request_of(host.record)
        assert (request.state, request.decided_by) == ("approved", "amy")
        assert request.decision_reason == "seen on the console"
        assert request.new_certificate == host.row
        assert request.new_thumbprint == host.thumbprint

    def test_a_second_reset_takes_its_place_and_remembers_the_old_identity(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        old = host.thumbprint
        rita = person("rita")
        reset(door, host.record, rita)
        reset(door, host.record, rita)
        states = [r.state for r in ApprovalRequest.objects.order_by("pk")]
        assert states == ["approved", "withdrawn", "open"]
        assert request_of(host.record).old_thumbprint == old

    def test_a_disapproval_decides_it_and_asking_again_is_the_same_question(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        rita = person("rita")
        reset(door, host.record, rita)
        host.register()
        approvals.disapprove(host.record.pk, actor=rita, now=door.now, message="not ours")
        assert request_of(host.record).state == "disapproved"
        door.setting("ApproverDiffersFromResetter", "true")
        # Neither a Disapprove in between nor anything else makes the resetter an approver.
        assert refusal(lambda: approve(door, host.record, rita)) == "policy"
        assert approve(door, host.record, person("amy"))
        request = request_of(host.record)
        assert (request.kind, request.caused_by, request.state) == (
            "after_reset",
            "rita",
            "approved",
        )

    def test_a_return_after_disapprove_is_a_question_of_its_own(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        amy = person("amy")
        approvals.disapprove(host.record.pk, actor=amy, now=door.now)
        door.setting("ApprovalsForReturn", 2)
        assert approve(door, host.record, amy) is Approval.VOTED
        assert request_of(host.record).kind == "after_disapprove"
        assert approvals.disapprove(host.record.pk, actor=amy, now=door.now, message="no")
        assert request_of(host.record).state == "disapproved"
        assert not approvals.disapprove(host.record.pk, actor=amy, now=door.now)


class TestResetter:
    def test_may_approve_the_return_unless_a_policy_says_otherwise(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        rita = person("rita")
        reset(door, host.record, rita)
        host.register()
        door.setting("ApproverDiffersFromResetter", "true")
        assert refusal(lambda: approve(door, host.record, rita)) == "policy"
        door.setting("ApproverDiffersFromResetter", "false")
        assert approve(door, host.record, rita) is Approval.APPROVED

    def test_somebody_else_may(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApproverDiffersFromResetter", "true")
        reset(door, host.record, person("rita"))
        host.register()
        assert approve(door, host.record, person("amy")) is Approval.APPROVED
        assert host.register().status == 1

    def test_a_reset_by_somebody_else_frees_none_of_those_before(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApproverDiffersFromResetter", "true")
        rita, ruth = person("rita"), person("ruth")
        reset(door, host.record, rita)
        reset(door, host.record, ruth)
        host.register()
        approvals.disapprove(host.record.pk, actor=ruth, now=door.now)
        for barred in (rita, ruth):
            assert refusal(lambda who=barred: approve(door, host.record, who)) == "policy"
        assert approve(door, host.record, person("amy")) is Approval.APPROVED
        # Of the next Reset, whoever caused it alone.
        reset(door, host.record, ruth)
        host.register()
        assert approve(door, host.record, rita) is Approval.APPROVED

    def test_a_command_and_a_person_are_told_apart_by_name(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.setting("ApproverDiffersFromResetter", "true")
        root = Actor("command (root)")
        reset(door, host.record, root)
        host.register()
        assert refusal(lambda: approve(door, host.record, root)) == "policy"
        assert approve(door, host.record, Actor("command (amy)"))

    def test_an_override_needs_a_reason_and_is_audited_as_one(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApproverDiffersFromResetter", "true")
        door.setting("ApprovalsForReturn", 3)
        rita = person("rita")
        reset(door, host.record, rita)
        host.register()
        reasonless = refusal(lambda: approve(door, host.record, rita, is_override=True))
        assert reasonless == "reason_needed"
        approve(door, host.record, rita, is_override=True, message="the plant stands still")
        assert actions(host.record)[-1] == "approved_by_override"
        assert request_of(host.record).is_override

    def test_an_override_does_not_choose_for_anybody(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        rita = person("rita")
        reset(door, host.record, rita)

        def override() -> object:
            return approve(door, host.record, rita, is_override=True, message="now")

        assert refusal(override) == "nobody_seen"
        for _ in range(2):
            door.register(door.certificate(), AgentId=host.agent_id)
        assert refusal(override) == "conflict"


class TestVotes:
    @pytest.fixture
    def waiting(self, door: FrontDoor) -> Orchestrator:
        door.setting("ApprovalsForFirstRegistration", 2)
        door.register(door.certificate())
        return door.record()

    def test_it_works_only_after_the_last_one(
        self, door: FrontDoor, waiting: Orchestrator, person: Callable[[str], Actor]
    ) -> None:
        assert approve(door, waiting, person("amy")) is Approval.VOTED
        assert door.record().status == 1
        assert approve(door, waiting, person("bob")) is Approval.APPROVED
        assert door.record().status == 2
        assert actions(waiting)[-2:] == ["approval_vote", "approved"]

    def test_a_reset_does_not_make_a_first_registration_easier(
        self, door: FrontDoor, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApprovalsForFirstRegistration", 2)
        amy, certificate = person("amy"), door.certificate()
        door.register(certificate)
        record = door.record()
        reset(door, record, amy)
        door.register(certificate)
        assert approve(door, record, amy) is Approval.VOTED
        assert approve(door, record, person("bob")) is Approval.APPROVED
        reset(door, record, amy)
        door.register(door.certificate(), AgentId=str(record.pk))
        assert approve(door, record, amy) is Approval.APPROVED

    def test_the_same_person_counts_once(
        self, door: FrontDoor, waiting: Orchestrator, person: Callable[[str], Actor]
    ) -> None:
        amy = person("amy")
        assert approve(door, waiting, amy) is Approval.VOTED
        assert approve(door, waiting, amy) is Approval.UNCHANGED
        assert (door.record().status, ApprovalVote.objects.count()) == (1, 1)

    def test_somebody_else_who_comes_forward_voids_them(
        self, door: FrontDoor, waiting: Orchestrator, person: Callable[[str], Actor]
    ) -> None:
        amy, bob = person("amy"), person("bob")
        approve(door, waiting, amy)
        door.register(door.certificate())
        assert ApprovalVote.objects.filter(voided_at=None).count() == 0
        assert actions(waiting)[-1] == "approval_votes_voided"
        assert refusal(lambda: approve(door, waiting, bob)) == "conflict"
        second = Claimant.objects.latest("pk")
        chosen = Shown(claimant=second.pk)
        assert approve(door, waiting, bob, shown=chosen) is Approval.VOTED
        assert approve(door, waiting, amy, shown=chosen) is Approval.APPROVED

    def test_two_who_choose_different_ones_do_not_agree(
        self, door: FrontDoor, waiting: Orchestrator, person: Callable[[str], Actor]
    ) -> None:
        door.register(door.certificate())
        one, other = Claimant.objects.order_by("pk")
        assert approve(door, waiting, person("amy"), shown=Shown(claimant=one.pk))
        answer = approve(door, waiting, person("bob"), shown=Shown(claimant=other.pk))
        assert (answer, door.record().status) == (Approval.VOTED, 1)

    def test_another_name_voids_them(self, door: FrontDoor, person: Callable[[str], Actor]) -> None:
        door.setting("ApprovalsForFirstRegistration", 2)
        certificate = door.certificate()
        door.register(certificate)
        record = door.record()
        approve(door, record, person("amy"))
        door.register(certificate, ClientMachine="db-primary")
        assert approve(door, record, person("bob")) is Approval.VOTED

    def test_a_start_stamp_is_no_other_name(
        self, door: FrontDoor, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApprovalsForFirstRegistration", 2)
        certificate = door.certificate()
        door.register(certificate, ClientMachine="agent01_20260601120000")
        record = Orchestrator.objects.get()
        approve(door, record, person("amy"))
        door.register(certificate, ClientMachine="agent01_20260602120000")
        assert approve(door, record, person("bob")) is Approval.APPROVED

    def test_of_somebody_who_may_not_approve_any_more_does_not_count(
        self, door: FrontDoor, waiting: Orchestrator, person: Callable[[str], Actor]
    ) -> None:
        amy = person("amy")
        approve(door, waiting, amy)
        User.objects.filter(pk=amy.user_id).update(is_active=False)
        assert approve(door, waiting, person("bob")) is Approval.VOTED
        assert approve(door, waiting, person("cora")) is Approval.APPROVED

    def test_of_the_resetter_do_not_count_once_a_policy_says_so(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApprovalsForReturn", 2)
        rita = person("rita")
        reset(door, host.record, rita)
        host.register()
        assert approve(door, host.record, rita) is Approval.VOTED
        door.setting("ApproverDiffersFromResetter", "true")
        assert approve(door, host.record, person("amy")) is Approval.VOTED
        assert approve(door, host.record, person("bob")) is Approval.APPROVED

    @pytest.mark.parametrize("lost", ["the role", "the reach", "the account"])
    def test_of_somebody_counts_only_while_they_may_approve_this_one(
        self, door: FrontDoor, waiting: Orchestrator, person: Callable[[str], Actor], lost: str
    ) -> None:
        amy = person("amy")
        approve(door, waiting, amy)
        account = User.objects.get(pk=amy.user_id)
        if lost == "the role":
            account.groups.clear()
        elif lost == "the reach":
            account.groups.clear()
            account.groups.add(limited_to_a_group_without_members())
        else:
            account.delete()
        assert approve(door, waiting, person("bob")) is Approval.VOTED
        assert approve(door, waiting, person("cora")) is Approval.APPROVED

    def test_of_each_role_somebody_is_needed(
        self, door: FrontDoor, person: Callable[[str], Actor]
    ) -> None:
        amy, bob, cora = person("amy"), person("bob"), person("cora")
        for actor, name in ((amy, "Security"), (bob, "Security"), (cora, "Network")):
            role, _ = Group.objects.get_or_create(name=name)
            User.objects.get(pk=actor.user_id).groups.add(role)
        door.setting("ApprovalRolesForFirstRegistration", "Security, Network")
        door.register(door.certificate())
        record = door.record()
        assert approve(door, record, amy) is Approval.VOTED
        assert approve(door, record, bob) is Approval.VOTED
        last = AuditEntry.objects.filter(action="approval_vote").latest("pk")
        assert (last.after["needed"], last.after["roles_needed"]) == (3, ["Network"])
        assert approve(door, record, cora) is Approval.APPROVED

    @pytest.mark.parametrize("value", ["Nobodys role", "Operator, Operator", "a,b,c,d,e,f"])
    def test_a_policy_names_roles_that_exist(self, door: FrontDoor, value: str) -> None:
        with pytest.raises(SettingInvalid):
            store.change("ApprovalRolesForReturn", value, actor=Actor("test"), now=door.now)


class TestStale:
    def test_a_name_that_changed_since_it_was_shown_is_refused(
        self, door: FrontDoor, person: Callable[[str], Actor]
    ) -> None:
        certificate = door.certificate()
        door.register(certificate)
        record, seen = door.record(), Claimant.objects.get()
        shown = Shown(claimant=seen.pk, mark=claimants.mark_of(seen))
        door.register(certificate, ClientMachine="db-primary")
        amy = person("amy")
        assert refusal(lambda: approve(door, record, amy, shown=shown)) == "changed"

    def test_a_decision_is_not_replayed_on_a_later_request(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        rita, amy = person("rita"), person("amy")
        reset(door, host.record, rita)
        host.register()
        shown = Shown(request=request_of(host.record).pk)
        assert approve(door, host.record, amy, shown=shown)
        assert refusal(lambda: approve(door, host.record, amy, shown=shown)) == "decided"
        reset(door, host.record, rita)
        host.register()
        assert refusal(lambda: approve(door, host.record, amy, shown=shown)) == "decided"
        replayed = refusal(
            lambda: approvals.disapprove(
                host.record.pk, actor=amy, now=door.now, request=shown.request
            )
        )
        assert replayed == "decided"


class TestExpiry:
    def test_what_nobody_touched_is_closed_and_the_next_register_asks_again(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApprovalRequestDays", 30)
        rita = person("rita")
        reset(door, host.record, rita, "the disk is broken")
        host.register()
        door.tick(30 * DAY)
        assert approval_expiry.expire(store.load(), now=door.now) == 0
        door.tick(timedelta(seconds=1))
        assert approval_expiry.expire(store.load(), now=door.now) == 1
        assert approval_expiry.expire(store.load(), now=door.now) == 0
        assert request_of(host.record).state == "expired"
        assert actions(host.record)[-1] == "approval_request_expired"
        assert refusal(lambda: approve(door, host.record, rita)) == "nobody_seen"
        host.register()
        again = request_of(host.record)
        assert (again.state, again.kind, again.caused_by) == ("open", "after_reset", "rita")
        assert (again.reason, bool(again.old_thumbprint)) == ("the disk is broken", True)
        assert approve(door, host.record, rita) is Approval.APPROVED

    def test_a_contact_a_vote_or_a_comment_keeps_it(
        self, door: FrontDoor, person: Callable[[str], Actor]
    ) -> None:
        door.setting("ApprovalRequestDays", 30)
        door.setting("ApprovalsForFirstRegistration", 2)
        for name in ("calls", "voted", "commented", "silent"):
            door.register(door.certificate(subject=f"CN={name}"), ClientMachine=name)
        door.tick(20 * DAY)
        door.register(row_der(door.record("calls")), ClientMachine="calls")
        approve(door, door.record("voted"), person("amy"))
        approval_comments.comment(
            request_of(door.record("commented")), "coming on Monday", actor=person("bob"),
            now=door.now,
        )  # fmt: skip
        door.tick(20 * DAY)
        assert approval_expiry.expire(store.load(), now=door.now) == 1
        assert request_of(door.record("silent")).state == "expired"

    def test_zero_days_is_never(self, door: FrontDoor) -> None:
        door.setting("ApprovalRequestDays", 0)
        door.register(door.certificate())
        door.tick(5000 * DAY)
        assert approval_expiry.expire(store.load(), now=door.now) == 0


def row_der(record: Orchestrator) -> bytes:
    claimant = Claimant.objects.get(orchestrator=record)
    assert claimant.certificate
    return bytes(claimant.certificate.der)


class TestByRule:
    def by_rule(self, door: FrontDoor, der: bytes, record: Orchestrator) -> None:
        seen = claimants.Seen(facts=read_certificate(der))
        approvals.approve_by_rule(
            record.pk, "the first rule", seen=seen, actor=Actor("rule"), now=door.now
        )

    def test_a_first_registration_is_approved_at_once(self, door: FrontDoor) -> None:
        der = door.certificate()
        door.register(der)
        self.by_rule(door, der, door.record())
        assert door.register(der).status == 1
        request = request_of(door.record())
        assert (request.state, request.rule) == ("approved", "the first rule")
        assert actions(door.record())[1] == "approved"

    def test_a_return_is_never(
        self, door: FrontDoor, host: Host, person: Callable[[str], Actor]
    ) -> None:
        reset(door, host.record, person("rita"))
        host.register()
        again = refusal(lambda: self.by_rule(door, host.certificate, host.record))
        assert again == "not_first"
        approvals.disapprove(host.record.pk, actor=person("amy"), now=door.now)
        again = refusal(lambda: self.by_rule(door, host.certificate, host.record))
        assert again == "not_first"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("AGENT01.", "risk"),
            ("agent0l", "risk"),
            ("аgent01", "risk"),
            ("agent01_20260601120000", "risk"),
            ("agent02", ""),
        ],
        ids=["a twin", "a lookalike", "another script", "a successor", "another name"],
    )
    def test_a_name_that_may_be_taken_for_an_approved_one_waits_for_a_person(
        self, door: FrontDoor, host: Host, name: str, reason: str
    ) -> None:
        der = door.certificate(new_key(), subject="CN=x")
        door.register(der, ClientMachine=name)
        found = Orchestrator.objects.filter(status=1).first()
        if name == "AGENT01.":
            # The body names an approved record: no New record is made at all (row 19).
            assert found is None
            return
        assert found is not None
        if reason:
            assert refusal(lambda: self.by_rule(door, der, found)) == reason
        else:
            self.by_rule(door, der, found)

    def test_only_whoever_calls_is_approved(self, door: FrontDoor) -> None:
        der, other = door.certificate(), door.certificate()
        door.register(der)
        assert refusal(lambda: self.by_rule(door, other, door.record())) == "nobody_seen"
        door.register(other)
        assert refusal(lambda: self.by_rule(door, other, door.record())) == "conflict"


def test_the_certificate_of_a_request_is_the_one_that_was_named(
    door: FrontDoor, person: Callable[[str], Actor]
) -> None:
    one, other = door.certificate(), door.certificate()
    door.register(one)
    door.register(other)
    record = door.record()
    wanted = Claimant.objects.get(certificate=row_of(other))
    approve(door, record, person("amy"), shown=Shown(claimant=wanted.pk))
    assert request_of(record).new_certificate == row_of(other)
