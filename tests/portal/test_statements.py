"""A prepared statement says what its queryset says, on either database, however often it runs."""

from __future__ import annotations

import threading
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import CharField, DateTimeField, UUIDField
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators import sessions
from orchestrators.models import AgentSession, Orchestrator
from portal.statements import Among, Instances, Parameter, Select, Update, _Statement
from renewal import in_session
from renewal.models import Certificate, Revocation
from renewal.revocations import OVERDUE_AFTER
from renewal.selectors.marks import overdue_revocations
from renewal.selectors.surroundings import around
from tests.renewal.fleet import Fleet

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

_ENOUGH = 8
"""Runs until a server has planned a statement for good."""


@pytest.fixture
def fleet(settings: Any, tmp_path: Any) -> Fleet:
    from tests.renewal.fleet import scratch

    scratch(settings, tmp_path)
    return Fleet()


def test_what_a_heartbeat_is_judged_on_is_what_the_orm_reads(fleet: Fleet) -> None:
    now = timezone.now()
    for name in ("a", "b"):
        orchestrator = fleet.entered(name)
        token = sessions.open_session(
            orchestrator,
            lasts=timedelta(hours=3),
            heartbeat_minutes=7,
            thumbprint="",
            address="",
            now=now,
        )
        fingerprint = Certificate.objects.get(orchestrator=orchestrator).fingerprint_sha256
        for shown in (token, "another"):
            digest = sessions.token_digest(shown)
            (expected,) = in_session.query(fingerprint, digest)
            for _ in range(_ENOUGH):
                facts = in_session.for_session(fingerprint, shown)
                assert tuple(facts or ()) == expected
                assert facts is not None
                assert facts.is_live(now) == (shown == token)
                assert facts.orchestrator_id == orchestrator.pk
    assert in_session.for_session("0" * 64, "another") is None


def test_a_contact_is_written_to_its_record_alone(fleet: Fleet) -> None:
    ours, other = fleet.entered("a"), fleet.entered("b")
    fingerprint = Certificate.objects.get(orchestrator=ours).fingerprint_sha256
    facts = in_session.for_session(fingerprint, "")
    assert facts is not None
    before = Orchestrator.objects.filter(pk=other.pk).values().get()

    at = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=timezone.now().tzinfo)
    in_session.note_contact(facts, address="192.0.2.7", now=at)

    ours.refresh_from_db()
    assert (ours.last_seen, ours.last_address) == (at, "192.0.2.7")
    assert ours.last_thumbprint_used == facts.thumbprint
    assert Orchestrator.objects.filter(pk=other.pk).values().get() == before


def test_values_of_every_kind_come_back_as_the_orm_gives_them(fleet: Fleet) -> None:
    made = fleet.entered("a'b\\c %s")
    columns = ("pk", "client_machine", "capabilities", "had_session", "last_seen", "created_at")
    prepared = Select(
        lambda: Orchestrator.objects.filter(
            pk=Parameter("pk", UUIDField()),
            client_machine=Parameter("name", CharField()),
            created_at__lte=Parameter("now", DateTimeField()),
        ).values_list(*columns),
        lambda *row: row,
    )
    expected = Orchestrator.objects.values_list(*columns).get(pk=made.pk)

    for _ in range(_ENOUGH):
        values = {"name": made.client_machine, "now": timezone.now()}
        assert prepared.one(pk=made.pk, **values) == expected
        assert prepared.all(pk=uuid.uuid4(), **values) == []


def test_an_update_says_how_many_rows_it_changed(fleet: Fleet) -> None:
    made = fleet.entered("a")
    rename = Update(
        lambda: Orchestrator.objects.filter(pk=Parameter("pk", UUIDField())),
        version=Parameter("version", CharField()),
    )

    assert rename.run(pk=made.pk, version="1 'quoted'") == 1
    assert rename.run(pk=uuid.uuid4(), version="2") == 0
    made.refresh_from_db()
    assert made.version == "1 'quoted'"


def _by_name() -> Select[uuid.UUID]:
    return Select(
        lambda: Orchestrator.objects.filter(
            client_machine=Parameter("name", CharField())
        ).values_list("pk"),
        lambda pk: pk,
    )


def test_a_statement_that_failed_is_no_obstacle_after_the_rollback(fleet: Fleet) -> None:
    made, found = fleet.entered("a"), _by_name()
    for _ in range(_ENOUGH):
        assert found.one(name="a") == made.pk
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    with transaction.atomic():
        Orchestrator.objects.filter(pk=made.pk).update(client_machine="b")
        assert (found.one(name="a"), found.one(name="b")) == (None, made.pk)
        transaction.set_rollback(True)
    assert found.one(name="a") == made.pk


@pytest.mark.django_db(transaction=True)
def test_it_goes_on_over_a_new_connection(fleet: Fleet) -> None:
    made, found = fleet.entered("a"), _by_name()
    for _ in range(_ENOUGH):
        assert found.one(name="a") == made.pk
    connection.close()
    for _ in range(_ENOUGH):
        assert found.one(name="a") == made.pk


@pytest.mark.django_db(transaction=True)
def test_a_row_is_not_locked_outside_of_a_transaction(fleet: Fleet) -> None:
    made = fleet.entered("a")
    locked = Instances(
        lambda: Orchestrator.objects.select_for_update().filter(pk=Parameter("pk", UUIDField()))
    )
    with transaction.atomic():
        assert locked.one(pk=made.pk) == made
    if connection.features.has_select_for_update:
        with pytest.raises(TransactionManagementError):
            locked.one(pk=made.pk)
    else:
        assert locked.one(pk=made.pk) == made


def test_it_is_compiled_once_in_a_thread(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []
    begin = _Statement.__init__

    def counted(self: _Statement, *arguments: Any) -> None:
        compiled.append(threading.get_ident())
        begin(self, *arguments)

    monkeypatch.setattr(_Statement, "__init__", counted)
    names = Select(lambda: Orchestrator.objects.values_list("name_key"), lambda name: name)
    fleet.entered("a")

    with CaptureQueriesContext(connection) as statements:
        assert [names.one(), names.one(), names.all()] == ["a", "a", ["a"]]

    assert len(compiled) == 1
    assert len(statements) == 3


@pytest.mark.parametrize("number", [0, 1, 3, 40])
def test_a_list_of_any_length_is_one_value_of_one_statement(fleet: Fleet, number: int) -> None:
    wanted = [fleet.entered(name).pk for name in ("a", "b", "c")][:number]
    fleet.entered("d")
    asked = wanted + [uuid.uuid4() for _ in range(number - len(wanted))]
    found = Select(
        lambda: Orchestrator.objects.filter(Among("id", "ids", UUIDField())).values_list("pk"),
        lambda pk: pk,
    )
    for _ in range(_ENOUGH):
        assert set(found.all(ids=asked)) == set(wanted)


def test_what_a_list_says_of_its_records_is_what_the_orm_reads(fleet: Fleet) -> None:
    now = timezone.now()
    overdue, live, calm = (fleet.entered(name) for name in ("overdue", "in session", "calm"))
    Revocation.objects.create(
        orchestrator=overdue,
        certificate=Certificate.objects.get(orchestrator=overdue),
        reason="superseded",
        state="waiting",
        created_at=now - OVERDUE_AFTER - timedelta(seconds=1),
        next_attempt_at=now,
    )
    sessions.open_session(
        live,
        lasts=timedelta(hours=3),
        heartbeat_minutes=7,
        thumbprint="",
        address="",
        now=now,
    )
    records = [overdue, live, calm]
    # A moment earlier it was not overdue yet, and a day later no session lives.
    for at in (now, now - timedelta(minutes=5), now + timedelta(days=1)):
        late = set(overdue_revocations(at).values_list("orchestrator_id", flat=True))
        lively = set(AgentSession.objects.live(at).values_list("orchestrator_id", flat=True))
        assert late == (set() if at < now else {overdue.pk})
        assert lively == (set() if at > now else {live.pk})
        for _ in range(_ENOUGH):
            said = dict(zip(records, around(records, now=at), strict=True))
            assert {record.pk for record in records if said[record].is_overdue} == late
            assert {record.pk for record in records if said[record].is_live} == lively
