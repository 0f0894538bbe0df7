"""The inbox of approvals: what waits for whom, what is shown, what a decision does (S32, C13)."""

from __future__ import annotations

from datetime import datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.test import Client

from orchestrators.models import Orchestrator, OrchestratorGroup, Status
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.preferences import store
from renewal.identity import approval_requests, approvals, claimants
from renewal.models import ApprovalComment, ApprovalRequest, ApprovalVote, Claimant
from renewal.rules.standing import Standing
from renewal.selectors import inbox
from tests.portal.pages import fleet as rows

pytestmark = pytest.mark.both_databases


def request_of(record: Orchestrator) -> ApprovalRequest:
    return ApprovalRequest.objects.filter(orchestrator=record).latest("pk")


def listed(client: Client, tab: str = "waiting") -> list[str]:
    page = client.get("/approvals", {"tab": tab})
    assert page.status_code == 200
    return [e["request"].orchestrator.client_machine for e in page.context["rows"]]


def token(record: Orchestrator) -> str:
    (claimant,) = Claimant.objects.filter(orchestrator=record).select_related("certificate")
    return f"{claimant.pk}:{claimants.mark_of(claimant)}"


def decide(client, record, decision="approve", *, request=None, follow=True, **form):
    pk = (request or request_of(record)).pk
    return client.post(f"/approvals/{pk}/decide", {"decision": decision, **form}, follow=follow)


def fresh(record):
    return Orchestrator.objects.get(pk=record.pk)


def setting(name: str, value: object, now) -> None:
    store.change(name, str(value), actor=rows.ALICE, now=now)


def person(name: str, role: str = "Administrator") -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(rows.user(name, role))
    return client


def actor(name: str) -> Actor:
    return Actor(name, User.objects.get(username=name).pk)


def counted(name: str, now: datetime) -> int:
    return inbox.count_waiting_for(User.objects.get(username=name), now=now).value


class TestLists:
    def test_what_waits_is_what_can_be_decided_and_nothing_else(self, fleet, admin, now):
        """A list that misses what a person can approve is worse than none."""
        silent = rows.orchestrator("silent", now=now, status=Status.NEW)
        approval_requests.ensure_open(silent, approval_requests.Cause("x"), now=now)
        expired = rows._waiting("late-host", now)
        Claimant.objects.filter(orchestrator=expired).update(
            certificate=rows.certificate(expired, now=now, left=-rows.DAY, standing=Standing.SEEN)
        )
        waiting = {"new-host.example.com", "contested-host", "returning-host"}
        assert set(listed(admin)) == waiting
        assert waiting | {"silent", "late-host"} <= set(listed(admin, "all"))
        for record in Orchestrator.objects.filter(status=Status.NEW):
            usable = claimants.usable(record, now=now)
            assert (record.client_machine in waiting) == bool(usable)
        assert counted("administrator", now) == 3

    def test_acts_on_several_are_offered_for_all_that_wait(self, fleet, admin):
        # Whoever shows a risk as well, two of the three: together they are disapproved alone.
        waiting = admin.get("/approvals").content.decode()
        assert waiting.count('name="requests"') == 3
        assert waiting.count('name="decision"') == 2
        assert 'name="requests"' not in admin.get("/approvals?tab=done").content.decode()

    def test_it_is_counted_in_the_navigation_and_on_the_first_page(self, fleet, admin):
        page = admin.get("/").content.decode()
        assert '<span class="visually-hidden">, waiting for you: </span>3</span>' in page
        assert 'href="/approvals">Wait for your approval</a>' in page

    def test_nothing_waits_for_one_who_may_not_approve(self, fleet, as_role):
        reader = as_role("Read only")
        assert listed(reader) == []
        assert "Your roles do not approve" in reader.get("/approvals?tab=waiting").content.decode()
        assert "contested-host" in listed(reader, "all")
        assert decide(reader, fleet.waiting, shown=token(fleet.waiting)).status_code == 403
        assert fresh(fleet.waiting).status == Status.NEW

    def test_nothing_waits_for_a_resetter_whom_the_policy_bars(self, fleet, admin, now):
        rita = person("rita")
        approvals.reset(fleet.calm.pk, actor=actor("rita"), now=now)
        fleet.calm.refresh_from_db()
        _comes_back(fleet.calm, now)
        name = fleet.calm.client_machine
        assert name in listed(rita)
        assert counted("rita", now) == len(listed(rita))
        setting("ApproverDiffersFromResetter", "true", now)
        assert name not in listed(rita)
        assert counted("rita", now) == len(listed(rita)) == counted("administrator", now) - 1
        assert name in listed(rita, "mine")
        assert name in listed(admin)
        # Nor once somebody else Reset it again; a Reset that was granted bars nobody any more.
        approvals.reset(fleet.calm.pk, actor=actor("administrator"), now=now)
        fleet.calm.refresh_from_db()
        _comes_back(fleet.calm, now)
        assert name not in listed(rita)
        assert name not in listed(admin)
        page = rita.get(f"/approvals/{request_of(fleet.calm).pk}").content.decode()
        assert "by policy, somebody else" in page
        approvals.approve(fleet.calm.pk, actor=rows.ALICE, now=now)
        approvals.reset(fleet.calm.pk, actor=rows.ALICE, now=now)
        fleet.calm.refresh_from_db()
        _comes_back(fleet.calm, now)
        assert name in listed(rita)

    def test_what_one_voted_on_waits_for_the_others(self, fleet, admin, now):
        setting("ApprovalsForFirstRegistration", 2, now)
        decide(admin, fleet.waiting, shown=token(fleet.waiting))
        assert "new-host.example.com" not in listed(admin)
        assert counted("administrator", now) == len(listed(admin))
        assert "new-host.example.com" in listed(admin, "mine")
        assert "new-host.example.com" in listed(person("bob"))

    def test_who_has_voted_is_offered_no_second_approval(self, fleet, now):
        setting("ApprovalsForFirstRegistration", 2, now)
        amy, bob = person("amy", "Approver"), person("bob", "Approver")
        url, approve = f"/approvals/{request_of(fleet.waiting).pk}", 'value="approve"'
        assert approve in amy.get(url).content.decode()
        decide(amy, fleet.waiting, shown=token(fleet.waiting))
        assert approve not in amy.get(url).content.decode()
        assert 'value="disapprove"' in amy.get(url).content.decode()
        assert approve in bob.get(url).content.decode()

    def test_what_is_out_of_reach_is_not_there(self, fleet, now):
        group = OrchestratorGroup.objects.create(name="Plant", name_key="plant", created_at=now)
        Orchestrator.objects.filter(pk=fleet.waiting.pk).update(group=group)
        limited = _limited_to(group)
        assert listed(limited) == ["new-host.example.com"]
        assert listed(limited, "all") == ["new-host.example.com"]
        other = request_of(fleet.returning)
        unknown = limited.get("/approvals/999999")
        for answer in (
            limited.get(f"/approvals/{other.pk}"),
            decide(limited, fleet.returning, shown=token(fleet.returning)),
        ):
            assert answer.status_code == unknown.status_code == 404
        assert fresh(fleet.returning).status == Status.NEW

    def test_the_demonstration_fleet_is_not_counted(self, fleet, admin, now):
        rows._waiting("demo-new", now, demonstration=True)
        assert "demo-new" in listed(admin)
        assert counted("administrator", now) == 3


class TestDecision:
    def test_approves_what_was_shown_and_keeps_why(self, fleet, admin):
        decide(admin, fleet.waiting, shown=token(fleet.waiting), reason="ticket 7")
        assert fresh(fleet.waiting).status == Status.APPROVED
        request = request_of(fleet.waiting)
        assert (request.state, request.decided_by, request.decision_reason) == (
            "approved",
            "administrator",
            "ticket 7",
        )
        assert "new-host.example.com" in listed(admin, "done")

    def test_a_disapproval_needs_a_reason(self, fleet, admin):
        refused = decide(admin, fleet.waiting, "disapprove")
        assert refused.status_code == 400
        assert "Say why" in refused.content.decode()
        assert fresh(fleet.waiting).status == Status.NEW
        decide(admin, fleet.waiting, "disapprove", reason="not ours")
        assert fresh(fleet.waiting).status == Status.DISAPPROVED
        assert request_of(fleet.waiting).state == "disapproved"

    def test_another_one_since_the_page_was_shown_is_refused_and_nothing_changes(
        self, fleet, admin, now
    ):
        shown = token(fleet.waiting)
        Claimant.objects.filter(orchestrator=fleet.waiting).update(client_machine="db-primary")
        before = _rows()
        answer = decide(admin, fleet.waiting, shown=shown)
        assert "Somebody else came forward" in answer.content.decode()
        assert _rows() == before

    def test_nobody_is_approved_unseen(self, fleet, admin):
        before = _rows()
        answer = decide(admin, fleet.waiting)
        assert "Somebody else came forward" in answer.content.decode()
        assert _rows() == before

    def test_of_several_one_is_chosen(self, fleet, admin):
        before = _rows()
        asked = decide(admin, fleet.conflicting)
        assert asked.status_code == 400
        assert "choose whom you approve" in asked.content.decode()
        assert _rows() == before
        second = Claimant.objects.filter(orchestrator=fleet.conflicting).latest("pk")
        shown = f"{second.pk}:{claimants.mark_of(second)}"
        assert shown in admin.get(f"/approvals/{request_of(fleet.conflicting).pk}").content.decode()
        # What was chosen is still chosen when the reason is refused.
        long = decide(admin, fleet.conflicting, shown=shown, reason="x" * 501)
        assert long.status_code == 400
        assert f'value="{shown}" checked' in long.content.decode()
        decide(admin, fleet.conflicting, shown=shown)
        assert fresh(fleet.conflicting).thumbprint == second.certificate.thumbprint

    def test_a_decision_is_not_replayed(self, fleet, admin, now):
        first, shown = request_of(fleet.waiting), token(fleet.waiting)
        decide(admin, fleet.waiting, shown=shown)
        approvals.reset(fleet.waiting.pk, actor=rows.ALICE, now=now)
        before = _rows()
        for decision in ("approve", "disapprove"):
            answer = decide(
                admin, fleet.waiting, decision, request=first, shown=shown, reason="again"
            )
            assert "decided or withdrawn" in answer.content.decode()
        assert _rows() == before

    @pytest.mark.parametrize(
        "form",
        [
            {"decision": "allow"},
            {"decision": "approve", "shown": "1"},
            {"decision": "approve", "shown": "x:y"},
            {"decision": "approve", "shown": "9" * 30 + ":y"},
            {"decision": "approve", "reason": "x" * 501},
        ],
        ids=["no such decision", "no mark", "no number", "a huge number", "a long reason"],
    )
    def test_bad_input_is_told_and_changes_nothing(self, fleet, admin, form):
        before = _rows()
        assert decide(admin, fleet.waiting, **form).status_code == 400
        assert _rows() == before

    def test_a_resetter_does_not_approve_himself_where_that_is_forbidden(self, fleet, admin, now):
        setting("ApproverDiffersFromResetter", "true", now)
        approvals.reset(fleet.calm.pk, actor=actor("administrator"), now=now)
        fleet.calm.refresh_from_db()
        _comes_back(fleet.calm, now)
        page = admin.get(f"/approvals/{request_of(fleet.calm).pk}").content.decode()
        assert "by policy, somebody else" in page
        before = _rows()
        answer = decide(admin, fleet.calm, shown=token(fleet.calm))
        assert "somebody else approves" in answer.content.decode()
        assert _rows() == before
        assert AuditEntry.objects.get(action="page_refused").object_id.endswith(":policy")

    def test_an_override_needs_its_permission_and_a_reason(self, fleet, admin, now):
        setting("ApprovalsForFirstRegistration", 2, now)
        shown = token(fleet.waiting)
        before = _rows()
        approver = person("amy", "Approver")
        forbidden = decide(approver, fleet.waiting, shown=shown, override="yes", reason="now")
        assert forbidden.status_code == 403
        assert decide(admin, fleet.waiting, shown=shown, override="yes").status_code == 400
        assert _rows() == before
        decide(admin, fleet.waiting, shown=shown, override="yes", reason="the plant stands still")
        assert fresh(fleet.waiting).status == Status.APPROVED
        assert AuditEntry.objects.get(action="approved_by_override").message.startswith("the plant")
        done = admin.get("/approvals?tab=done").content.decode()
        assert "against the policies" in done
        assert "the plant stands still" in done


class TestPage:
    def test_old_and_new_identity_stand_side_by_side(self, fleet, admin, now):
        old = fleet.calm.thumbprint
        approvals.reset(fleet.calm.pk, actor=rows.ALICE, now=now, message="the disk is broken")
        fleet.calm.refresh_from_db()
        new = _comes_back(fleet.calm, now)
        page = admin.get(f"/approvals/{request_of(fleet.calm).pk}").content.decode()
        assert "Re-approval after Reset" in page
        assert "the disk is broken" in page
        assert old in page
        assert new.thumbprint in page

    def test_risks_are_told_and_bar_nothing(self, fleet, admin, now):
        twin = rows._waiting("db-prirnary.example.com", now)
        Orchestrator.objects.filter(client_machine="db-primary.example.com").update(
            name_skeleton=_skeleton("db-primary.example.com")
        )
        page = admin.get(f"/approvals/{request_of(twin).pk}").content.decode()
        assert "can be taken for the approved orchestrator" in page
        decide(admin, twin, shown=token(twin))
        assert fresh(twin).status == Status.APPROVED

    def test_a_comment_is_text_bounded_and_audited(self, fleet, admin):
        url = f"/approvals/{request_of(fleet.waiting).pk}"
        admin.post(f"{url}/comments", {"text": "<script>x</script>\u202e\x00=1+1\r\nline"})
        (kept,) = ApprovalComment.objects.all()
        assert kept.text == "<script>x</script>=1+1\nline"
        page = admin.get(url).content.decode()
        assert "&lt;script&gt;" in page
        assert "<script>x" not in page
        entry = AuditEntry.objects.get(action="approval_comment")
        assert entry.message == "<script>x</script>=1+1 line"
        for text in ("", " \x00 ", "x" * 2001):
            answer = admin.post(f"{url}/comments", {"text": text}, follow=True)
            assert "A comment has" in answer.content.decode()
        assert ApprovalComment.objects.count() == 1

    def test_only_those_who_take_part_comment_and_only_while_it_is_open(
        self, fleet, admin, as_role
    ):
        url = f"/approvals/{request_of(fleet.waiting).pk}/comments"
        assert as_role("Read only").post(url, {"text": "hello"}).status_code == 403
        decide(admin, fleet.waiting, shown=token(fleet.waiting))
        answer = admin.post(url, {"text": "late"}, follow=True)
        assert "takes no more comments" in answer.content.decode()
        assert not ApprovalComment.objects.exists()


class TestSeveral:
    def alike(self, now, count=3):
        """Records from a network that is known, so that nothing is odd about them."""
        known = rows._waiting("known-host", now)
        approvals.approve(known.pk, actor=rows.ALICE, now=now)
        return [rows._waiting(f"edge-{uuid4().hex}", now) for _ in range(count)]

    def test_those_alike_are_shown_first_and_then_approved(self, db, admin, now):
        records = self.alike(now)
        odd = rows._waiting("odd-host", now, strangers=2)
        keys = [request_of(r).pk for r in (*records, odd)]
        page = admin.post("/approvals/preview", {"decision": "approve", "requests": keys})
        assert {e["assessed"].request.pk for e in page.context["alike"]} == set(keys[:3])
        assert [a.request.pk for a, _ in page.context["odd"]] == [keys[3]]
        form = {f"shown-{e['assessed'].request.pk}": e["token"] for e in page.context["alike"]}
        admin.post("/approvals/decide", {"decision": "approve", "requests": keys, **form})
        assert {fresh(r).status for r in records} == {Status.APPROVED}
        assert fresh(odd).status == Status.NEW

    def test_one_that_changed_since_the_preview_is_left_out(self, db, admin, now):
        records = self.alike(now)
        form = {f"shown-{request_of(r).pk}": token(r) for r in records}
        Claimant.objects.filter(orchestrator=records[0]).update(client_machine="changed-since")
        keys = [request_of(r).pk for r in records]
        answer = admin.post(
            "/approvals/decide", {"decision": "approve", "requests": keys, **form}, follow=True
        )
        assert [fresh(r).status for r in records] == [1, 2, 2]
        assert "Somebody else came forward" in answer.content.decode()

    def test_several_are_disapproved_with_one_reason(self, db, admin, now):
        records = self.alike(now)
        keys = [request_of(r).pk for r in records]
        refused = admin.post("/approvals/decide", {"decision": "disapprove", "requests": keys})
        assert refused.status_code == 400
        assert {fresh(r).status for r in records} == {Status.NEW}
        admin.post(
            "/approvals/decide",
            {"decision": "disapprove", "requests": keys, "reason": "not ours"},
        )
        assert {request_of(r).decision_reason for r in records} == {"not ours"}

    def test_those_with_a_risk_are_disapproved_together_and_never_approved_so(self, db, admin, now):
        records = [
            *self.alike(now, 1),
            rows._waiting("odd-host", now, strangers=2),
            rows._waiting("late-host", now, strangers=2),
        ]
        keys = [request_of(r).pk for r in records]
        page = admin.post("/approvals/preview", {"decision": "disapprove", "requests": keys})
        assert len(page.context["alike"]) == 3
        assert page.context["odd"] == []
        hints = {h.sentence for e in page.context["alike"] for h in e["assessed"].hints}
        text = unescape(page.content.decode())
        assert hints
        assert all(sentence in text for sentence in hints)
        form = {"requests": keys, "reason": "a scanner"}
        admin.post("/approvals/decide", {"decision": "approve"} | form)
        assert {fresh(r).status for r in records[1:]} == {Status.NEW}
        admin.post("/approvals/decide", {"decision": "disapprove"} | form)
        assert {fresh(r).status for r in records} == {Status.DISAPPROVED}
        told = AuditEntry.objects.filter(action="disapproved", message="a scanner")
        assert told.count() == 3
        assert len(set(told.values_list("request_id", flat=True))) == 1

    def test_too_many_or_no_numbers_are_refused(self, db, admin):
        for keys in (["x"], list(range(101))):
            form = {"decision": "approve", "requests": keys}
            assert admin.post("/approvals/preview", form).status_code == 400


def _skeleton(name: str) -> str:
    from orchestrators.confusables import skeleton

    return skeleton(name)


def _comes_back(record: Orchestrator, now):
    seen = rows.certificate(record, now=now, standing=Standing.SEEN)
    claimants.note(
        record,
        claimants.Seen(certificate=seen),
        client_machine=record.client_machine,
        address="10.9.8.7",
        now=now + timedelta(seconds=1),
    )
    return seen


def _limited_to(group: OrchestratorGroup) -> Client:
    from django.contrib.auth.models import Group

    from portal.access.models import RoleReach

    role = Group.objects.create(name="Plant approvers")
    role.permissions.set(Group.objects.get(name="Approver").permissions.all())
    RoleReach.objects.create(role=role, orchestrator_group=group.pk)
    user = rows.user("pia", None)
    user.groups.add(role)
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def _rows() -> list[object]:
    return [
        list(Orchestrator.objects.order_by("pk").values()),
        list(ApprovalRequest.objects.order_by("pk").values()),
        list(ApprovalVote.objects.order_by("pk").values()),
    ]
