"""Bulk actions: what is done is what was previewed, once, by whom it is allowed, until stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from orchestrators.models import (
    AgentSession,
    BootstrapCredential,
    Orchestrator,
    OrchestratorGroup,
    Status,
)
from portal.access.models import RoleReach, User
from portal.access.permissions import PermissionMissing
from portal.audit import authorship
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.preferences import store
from renewal import retention
from renewal.bulk import flags, service, work
from renewal.bulk.selection import Selection
from renewal.bulk.service import BulkRefused, Frozen, Order
from renewal.identity import approvals, trust
from renewal.invariants.verify import verify
from renewal.models import BulkItem, BulkJob, Claimant
from renewal.rules.acts import FLAGS, VOTE, VOTED, Act, Outcome
from renewal.rules.bulk_lifecycle import BulkState, ItemState
from renewal.selectors.filters import Filters
from renewal.selectors.states import RenewalState
from renewal.synthetic import load as loading

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

EVERYBODY = Selection(filters=Filters())


@pytest.fixture(scope="module")
def loaded(kept: Path) -> datetime:
    trust.forget()
    moment = timezone.now()
    loading.load(loading.Order(240, 600, 5, moment), actor=Actor("test"), now=moment)
    return moment


@pytest.fixture
def now(loaded: datetime, db: None) -> datetime:
    """A fleet of 240 in every state, and its moment."""
    return loaded


@pytest.fixture
def ada(db: None) -> User:
    user = User.objects.create_user("ada")
    user.groups.add(Group.objects.get(name="Administrator"))
    return user


def submitted(order: Order, user: User, now: datetime) -> BulkJob:
    seen = service.preview(order, user=user, now=now)
    return service.submit(order, seen.frozen, user=user, actor=_actor(user), now=now)


def results(job: BulkJob) -> dict[Any, str]:
    return dict(job.items.values_list("orchestrator_id", "state"))


def fleet() -> dict[Any, tuple[Any, ...]]:
    rows = Orchestrator.objects.annotate(asked=Count("jobs")).values_list(
        "pk", "status", "flag", "flag_counter", "generation", "asked"
    )
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("act", list(Act))
def test_what_is_done_is_what_was_previewed_record_by_record(
    act: Act, now: datetime, ada: User
) -> None:
    order = Order(act, EVERYBODY, reason="because")
    seen = service.preview(order, user=ada, now=now)
    before = fleet()

    job = service.submit(order, seen.frozen, user=ada, actor=_actor(ada), now=now)
    assert fleet() == before
    assert work.run(job.pk, now=now) is False

    after = fleet()
    expected = {
        Outcome.CHANGE: ItemState.CHANGED,
        Outcome.UNCHANGED: ItemState.UNCHANGED,
        Outcome.SKIP: ItemState.SKIPPED,
    }
    assert results(job) == {e.pk: expected[e.verdict.outcome] for e in seen.entries}
    assert {pk for pk in after if after[pk] != before[pk]} == {
        e.pk for e in seen.of(Outcome.CHANGE)
    }
    reasons = Counter(job.items.filter(state="skipped").values_list("reason", flat=True))
    assert reasons == Counter(e.verdict.reason for e in seen.of(Outcome.SKIP))
    job.refresh_from_db()
    assert (job.state, job.looked_at) == (BulkState.DONE, 240)
    acts = AuditEntry.objects.filter(request_id=job.audit_group, orchestrator_id__isnull=False)
    assert set(acts.values_list("orchestrator_id", flat=True)) == {
        e.pk for e in seen.of(Outcome.CHANGE)
    }
    assert set(acts.values_list("actor_name", "message")) <= {("ada", "because")}
    assert verify(now=now) == []


@pytest.mark.parametrize(
    ("act", "at_once"),
    [(act, False) for act in sorted(FLAGS)] + [(Act.REQUEST, True), (Act.REQUIRE, True)],
)
def test_flags_set_all_at_once_and_row_by_row_leave_the_same_rows(
    act: Act, at_once: bool, now: datetime, ada: User
) -> None:
    """On PostgreSQL the two ways are compared; elsewhere the one that there is with itself."""
    keys = sorted(Orchestrator.objects.values_list("pk", flat=True))
    Orchestrator.objects.filter(pk__in=keys[:40]).update(flag=2)
    order = Order(act, Selection(ids=tuple(keys)), reason="it's 100 % needed", at_once=at_once)
    job = submitted(order, ada, now)
    items = dict(job.items.values_list("pk", "orchestrator_id"))
    gone = Orchestrator.objects.filter(certificates=None).first()
    assert gone
    gone.delete()
    reached = set(keys[20:])

    def outcome(way: Any) -> tuple[Any, ...]:
        point = transaction.savepoint()
        known = AuditEntry.objects.aggregate(last=Max("pk"))["last"]
        counts = way(job, items, reached, now=now)
        told = AuditEntry.objects.filter(pk__gt=known).order_by("pk").values()
        left = (
            counts,
            fleet(),
            list(job.items.order_by("pk").values()),
            [{name: row[name] for name in row if name not in ("id", "mac")} for row in told],
            authorship.forged(told),
            list(AgentSession.objects.order_by("pk").values()),
        )
        transaction.savepoint_rollback(point)
        return left

    portable = outcome(flags._row_by_row)
    assert portable[0]["skipped"] in (20, 21)
    assert portable[0]["changed"] > 0
    assert len(portable[3]) == portable[0]["changed"]
    assert portable[4] == set()
    assert outcome(flags.set_flags) == portable


def test_a_preview_changes_nothing(now: datetime, ada: User) -> None:
    before = fleet(), AuditEntry.objects.count()

    service.preview(Order(Act.RESET, EVERYBODY), user=ada, now=now)

    assert (fleet(), AuditEntry.objects.count()) == before
    assert not BulkJob.objects.exists()


def test_only_what_the_filters_name_is_touched(now: datetime, ada: User) -> None:
    selection = Selection(filters=Filters(state=RenewalState.DISAPPROVED))
    disapproved = set(
        Orchestrator.objects.filter(status=Status.DISAPPROVED).values_list("pk", flat=True)
    )
    assert disapproved

    job = submitted(Order(Act.APPROVE, selection), ada, now)
    work.run(job.pk, now=now)

    assert set(results(job)) == disapproved
    assert job.query == "state=disapproved"
    assert not Orchestrator.objects.filter(status=Status.DISAPPROVED).exists()


def test_a_selection_that_changed_since_the_preview_is_refused(now: datetime, ada: User) -> None:
    selection = Selection(filters=Filters(state=RenewalState.DISAPPROVED))
    order = Order(Act.APPROVE, selection)
    seen = service.preview(order, user=ada, now=now)
    one = Orchestrator.objects.filter(status=Status.APPROVED).first()
    assert one
    approvals.disapprove(one.pk, actor=Actor("other"), now=now)

    with pytest.raises(BulkRefused) as refused:
        service.submit(order, seen.frozen, user=ada, actor=_actor(ada), now=now)

    assert refused.value.reason == "selection_changed"
    assert f"{seen.frozen.count} then, {seen.frozen.count + 1} now" in str(refused.value)
    assert not BulkJob.objects.exists()


def test_another_stranger_since_the_preview_of_an_approval_is_refused(
    now: datetime, ada: User
) -> None:
    order = Order(Act.APPROVE, Selection(filters=Filters(state=RenewalState.WAITING)))
    seen = service.preview(order, user=ada, now=now)
    claimant = Claimant.objects.filter(certificate__isnull=False).first()
    assert claimant
    claimant.pk = None
    claimant.certificate = None
    claimant.credential_id = BootstrapCredential.objects.get().pk
    BootstrapCredential.objects.update(revoked_at=None)
    claimant.save()

    with pytest.raises(BulkRefused) as refused:
        service.submit(order, seen.frozen, user=ada, actor=_actor(ada), now=now)

    assert refused.value.reason == "selection_changed"
    assert "somebody else came forward" in str(refused.value)


def test_a_worker_that_dies_between_batches_is_replaced_and_nothing_is_done_twice(
    now: datetime, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SET_BATCH", 50)
    job = submitted(Order(Act.REQUEST, EVERYBODY), ada, now)
    counters = dict(Orchestrator.objects.values_list("pk", "flag_counter"))
    _take(job, "dead")
    assert work.batch(job.pk, "dead", now=now)
    assert work.run(job.pk, now=now) is False, "the dead worker's lease still holds"
    assert BulkJob.objects.get().looked_at == 50

    BulkJob.objects.update(lease_until=now.replace(year=2020))
    assert work.waiting() == [job.pk]
    work.run(job.pk, now=now)

    after = dict(Orchestrator.objects.values_list("pk", "flag_counter"))
    assert after == {pk: counter + 1 for pk, counter in counters.items()}
    assert BulkJob.objects.get().state == BulkState.DONE
    assert work.batch(job.pk, "dead", now=now) is False


def test_a_batch_that_breaks_leaves_neither_flags_nor_audit_rows_nor_results(
    now: datetime, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(Order(Act.REQUIRE, EVERYBODY), ada, now)
    before, rows = fleet(), AuditEntry.objects.count()
    _take(job, "worker")

    real = flags.set_flags

    def broken(*given: Any, **named: Any) -> None:
        real(*given, **named)
        raise RuntimeError("the power went")

    monkeypatch.setattr(flags, "set_flags", broken)
    with pytest.raises(RuntimeError):
        work.batch(job.pk, "worker", now=now)

    assert fleet() == before
    assert AuditEntry.objects.count() == rows
    assert set(results(job).values()) == {ItemState.WAITING}


@pytest.mark.parametrize("act", [Act.REQUEST, Act.DISAPPROVE])
def test_a_cancel_stops_after_the_batch_that_runs(
    act: Act, now: datetime, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SET_BATCH", 40)
    monkeypatch.setattr(work, "ITEM_BATCH", 40)
    job = submitted(Order(act, EVERYBODY), ada, now)
    _take(job, "worker")
    work.batch(job.pk, "worker", now=now)
    done = fleet()

    service.cancel(job.pk, actor=_actor(ada), now=now)

    assert work.batch(job.pk, "worker", now=now) is False
    assert work.run(job.pk, now=now) is False
    assert fleet() == done
    assert Counter(results(job).values())[ItemState.WAITING] == 200
    assert BulkJob.objects.get().state == BulkState.CANCELED
    assert AuditEntry.objects.filter(action="bulk_action_canceled").exists()
    with pytest.raises(BulkRefused) as refused:
        service.cancel(job.pk, actor=_actor(ada), now=now)
    assert refused.value.reason == "wrong_state"


def test_a_retry_takes_up_what_was_left_skipped_or_failed_and_nothing_else(
    now: datetime, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(Order(Act.DISAPPROVE, EVERYBODY), ada, now)
    real = approvals.disapprove
    unlucky = sorted(Orchestrator.objects.filter(status=2).values_list("pk", flat=True))[:7]

    def sometimes(pk: Any, **rest: Any) -> bool:
        if pk in unlucky:
            raise RuntimeError("disk full")
        return real(pk, **rest)

    monkeypatch.setattr(approvals, "disapprove", sometimes)
    work.run(job.pk, now=now)
    job.refresh_from_db()
    assert (job.state, job.failed) == (BulkState.DONE, 7)
    generations = {pk: row[3] for pk, row in fleet().items() if pk not in unlucky}

    monkeypatch.setattr(approvals, "disapprove", real)
    service.retry(job.pk, user=ada, actor=_actor(ada), now=now)
    work.run(job.pk, now=now)

    job.refresh_from_db()
    assert (job.failed, job.looked_at, job.state) == (0, 240, BulkState.DONE)
    assert {pk: row[3] for pk, row in fleet().items() if pk not in unlucky} == generations
    assert not Orchestrator.objects.exclude(status=Status.DISAPPROVED).exists()
    with pytest.raises(BulkRefused) as refused:
        service.retry(job.pk, user=ada, actor=_actor(ada), now=now)
    assert refused.value.reason == "nothing_to_retry"
    job.refresh_from_db()
    assert job.state == BulkState.DONE


@pytest.mark.parametrize("act", [Act.RESET, Act.DISAPPROVE])
def test_a_retry_leaves_alone_what_moved_on_since_it_was_shown(
    act: Act, now: datetime, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(Order(act, EVERYBODY, reason="because"), ada, now)
    service.cancel(job.pk, actor=_actor(ada), now=now)
    moved, still = Orchestrator.objects.filter(status=Status.APPROVED).order_by("pk")[:2]
    approvals.reset(moved.pk, actor=_actor(ada), now=now, message="by hand")
    after_the_reset = fleet()[moved.pk]

    service.retry(job.pk, user=ada, actor=_actor(ada), now=now)
    work.run(job.pk, now=now)

    item = job.items.get(orchestrator_id=moved.pk)
    assert (item.state, item.reason) == (ItemState.SKIPPED, "moved_on")
    assert fleet()[moved.pk] == after_the_reset
    assert results(job)[still.pk] == ItemState.CHANGED


def test_a_reset_meanwhile_is_another_selection_of_a_reset(now: datetime, ada: User) -> None:
    order = Order(Act.RESET, EVERYBODY, reason="because")
    seen = service.preview(order, user=ada, now=now)
    one = Orchestrator.objects.order_by("pk")[0]
    approvals.reset(one.pk, actor=_actor(ada), now=now, message="by hand")
    with pytest.raises(BulkRefused) as refused:
        service.submit(order, seen.frozen, user=ada, actor=_actor(ada), now=now)
    assert refused.value.reason == "selection_changed"


def test_a_vote_is_previewed_as_a_vote_and_one_that_was_given_as_unchanged(
    now: datetime, ada: User
) -> None:
    store.change("ApprovalsForFirstRegistration", "2", actor=_actor(ada), now=now)
    waiting = Selection(filters=Filters(state=RenewalState.WAITING))
    order = Order(Act.APPROVE, waiting)
    seen = service.preview(order, user=ada, now=now)
    votes = {e.pk for e in seen.entries if e.verdict == VOTE}
    assert votes
    job = service.submit(order, seen.frozen, user=ada, actor=_actor(ada), now=now)
    work.run(job.pk, now=now)
    assert {i.orchestrator_id for i in job.items.filter(reason="vote")} == votes
    again = {e.pk: e.verdict for e in service.preview(order, user=ada, now=now).entries}
    assert {pk for pk, verdict in again.items() if verdict == VOTED} == votes


def _withdraw_role(user: User) -> None:
    user.groups.clear()


def _deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


@pytest.mark.parametrize("withdraw", [_withdraw_role, _deactivate, User.delete])
def test_a_permission_that_is_withdrawn_meanwhile_ends_the_acts(
    withdraw: Callable[[User], Any], now: datetime, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SET_BATCH", 40)
    job = submitted(Order(Act.REQUEST, EVERYBODY), ada, now)
    _take(job, "worker")
    work.batch(job.pk, "worker", now=now)
    done = fleet()

    withdraw(ada)
    BulkJob.objects.update(lease_until=None)
    work.run(job.pk, now=now)

    assert fleet() == done
    assert Counter(job.items.values_list("state", "reason")) == {
        ("changed", ""): 40,
        ("skipped", "permission_missing"): 200,
    }


def test_what_leaves_the_reach_meanwhile_is_skipped_as_if_it_did_not_exist(
    now: datetime, ada: User
) -> None:
    job = submitted(Order(Act.REQUEST, EVERYBODY), ada, now)
    gone = Orchestrator.objects.filter(certificates=None).order_by("pk").first()
    assert gone
    key = gone.pk
    gone.delete()

    work.run(job.pk, now=now)

    item = job.items.get(orchestrator_id=key)
    assert (item.state, item.reason) == (ItemState.SKIPPED, "unknown")
    job.refresh_from_db()
    assert (job.changed, job.skipped) == (239, 1)


def test_a_role_that_reaches_a_group_previews_and_does_that_group_alone(now: datetime) -> None:
    role = Group.objects.create(name="North only")
    role.permissions.set(Group.objects.get(name="Administrator").permissions.all())
    north = OrchestratorGroup.objects.create(name="North", name_key="north", created_at=now)
    RoleReach.objects.create(role=role, orchestrator_group=north.pk)
    inside = sorted(Orchestrator.objects.values_list("pk", flat=True))[:30]
    Orchestrator.objects.filter(pk__in=inside).update(group=north)
    nora = User.objects.create_user("nora")
    nora.groups.add(role)
    order = Order(Act.REQUEST, EVERYBODY)
    seen = service.preview(order, user=nora, now=now)
    assert [entry.pk for entry in seen.entries] == inside

    job = service.submit(order, seen.frozen, user=nora, actor=_actor(nora), now=now)
    Orchestrator.objects.filter(pk__in=inside[:10]).update(group=None)
    work.run(job.pk, now=now)

    assert Counter(job.items.values_list("state", "reason")) == {
        ("changed", ""): 20,
        ("skipped", "unknown"): 10,
    }


def test_now_means_that_the_sessions_end_with_the_batch(now: datetime, ada: User) -> None:
    assert AgentSession.objects.filter(ended_at=None).exists()

    job = submitted(Order(Act.REQUIRE, EVERYBODY, at_once=True), ada, now)
    work.run(job.pk, now=now)

    assert not AgentSession.objects.filter(ended_at=None).exists()


@pytest.mark.parametrize("act", list(Act))
def test_nobody_previews_or_submits_what_they_may_not_do(act: Act, now: datetime) -> None:
    eve = User.objects.create_user("eve")
    eve.groups.add(Group.objects.get(name="Read only"))

    with pytest.raises(PermissionMissing):
        service.preview(Order(act, EVERYBODY), user=eve, now=now)
    with pytest.raises(PermissionMissing):
        service.submit(
            Order(act, EVERYBODY, "x"), Frozen(240, ""), user=eve, actor=_actor(eve), now=now
        )
    assert not BulkJob.objects.exists()


def test_a_job_is_taken_up_again_only_by_who_submitted_it(now: datetime, ada: User) -> None:
    job = submitted(Order(Act.APPROVE, EVERYBODY), ada, now)
    work.run(job.pk, now=now)
    bob = User.objects.create_user("bob")
    bob.groups.add(Group.objects.get(name="Administrator"))

    with pytest.raises(BulkRefused) as refused:
        service.retry(job.pk, user=bob, actor=_actor(bob), now=now)

    assert refused.value.reason == "not_yours"
    assert BulkJob.objects.get().state == BulkState.DONE


def test_the_number_of_statements_grows_with_the_batches_not_with_the_items(
    now: datetime, ada: User, django_assert_max_num_queries: Any
) -> None:
    job = submitted(Order(Act.REQUEST, EVERYBODY), ada, now)

    with django_assert_max_num_queries(30):
        work.run(job.pk, now=now)


@pytest.mark.parametrize(
    ("setting", "days_later", "is_kept"),
    [("30", 29, True), ("30", 31, False), ("0", 4000, True)],
    ids=["within the days", "after the days", "never, if the setting is 0"],
)
def test_a_finished_job_goes_after_the_days_of_the_setting_and_an_open_one_stays(
    setting: str, days_later: int, is_kept: bool, now: datetime, ada: User
) -> None:
    store.change("BulkJobDays", setting, actor=_actor(ada), now=now)
    job = submitted(Order(Act.CLEAR, EVERYBODY), ada, now)
    work.run(job.pk, now=now)
    still_open = submitted(Order(Act.REQUEST, EVERYBODY), ada, now)
    told = AuditEntry.objects.filter(request_id=job.audit_group).count()

    retention.tidy(now=now + timedelta(days=days_later))

    assert BulkJob.objects.filter(pk=job.pk).exists() is is_kept
    assert BulkItem.objects.filter(job_id=job.pk).count() == (240 if is_kept else 0)
    assert still_open.items.count() == 240
    assert AuditEntry.objects.filter(request_id=job.audit_group).count() == told


def _take(job: BulkJob, holder: str) -> None:
    assert work._claim(job.pk, holder, now=job.created_at)


def _actor(user: User) -> Actor:
    return Actor(user.username, user.pk, "192.0.2.7")
