"""A synthetic fleet holds every invariant, is the same for the same seed, and is never real."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from orchestrators.confusables import skeleton
from orchestrators.contact_day import day_of
from orchestrators.labels import bearers
from orchestrators.models import AgentSession, Orchestrator, OrchestratorGroup, Status
from orchestrators.protocol.codes import Code
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.management.base import CommandFailed
from portal.preferences import store
from renewal.configuration import periods
from renewal.invariants.verify import verify
from renewal.models import Certificate, Claimant, Enrollment, Revocation
from renewal.rules.lifecycle import EnrollmentState, RevocationState
from renewal.rules.standing import Standing
from renewal.selectors.fleet import PAGE_SIZE
from renewal.selectors.marks import Mark, marked
from renewal.selectors.states import RenewalState, having
from renewal.synthetic import draw
from renewal.synthetic import load as loading
from renewal.synthetic.documents import Printer
from renewal.synthetic.ledger import Ledger, World
from renewal.synthetic.lives import MODELS, Lives
from renewal.synthetic.sheets import Sheet
from renewal.x509.certificates import read_certificate
from tests.portal.audit.conftest import Log
from tests.renewal.fleet import Fleet, scratch

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    scratch(settings, tmp_path)


def load(orchestrators: int, certificates: int, *more: str) -> dict[str, Any]:
    output = StringIO()
    call_command(
        "load_fleet",
        *("--orchestrators", str(orchestrators), "--certificates", str(certificates), *more),
        stdout=output,
        stderr=StringIO(),
    )
    answer: dict[str, Any] = json.loads(output.getvalue())
    return answer


def test_it_has_the_size_that_was_asked_for_and_holds_every_invariant() -> None:
    answer = load(900, 2500, "--seed", "7")

    assert answer == {
        "changed": True,
        "loaded": 900,
        "orchestrators": 900,
        "certificates": 2500,
        "seed": 7,
        "troubled": False,
    }
    assert Orchestrator.objects.count() == 900
    assert Certificate.objects.filter(orchestrator__isnull=False).count() == 2500
    assert verify(now=timezone.now()) == []
    for seen, day in Orchestrator.objects.values_list("last_seen", "seen_on"):
        assert day == (day_of(seen) if seen else None)


def test_its_audit_rows_are_no_tampering_in_a_log_that_was_sealed_before(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(2)
    assert log.seal() >= 2
    load(150, 300)
    log.now = timezone.now()
    assert log.seal() > 100
    assert log.report().findings == []


def test_it_has_something_of_everything_that_a_fleet_has() -> None:
    load(1500, 4500)

    assert set(Orchestrator.objects.values_list("status", flat=True)) == set(Status.values)
    assert set(Orchestrator.objects.values_list("flag", flat=True)) == {0, 1, 2}
    standings = set(Certificate.objects.values_list("standing", flat=True))
    assert standings >= {
        str(standing)
        for standing in Standing
        if standing not in (Standing.DISCARDED, Standing.REJECTED, Standing.OWN)
    }
    assert RevocationState.DONE in set(Revocation.objects.values_list("state", flat=True))
    states = set(Enrollment.objects.values_list("state", flat=True))
    assert states >= {EnrollmentState.ISSUED, EnrollmentState.REFUSED, EnrollmentState.EXPIRED}
    assert AgentSession.objects.live(timezone.now()).exists()
    assert Claimant.objects.filter(certificate=None).exists()
    assert Claimant.objects.filter(credential=None).exists()
    ends = set(
        Orchestrator.objects.exclude(certificate_not_after=None).values_list(
            "certificate_not_after__month", flat=True
        )
    )
    assert len(ends) >= 10
    assert OrchestratorGroup.objects.filter(orchestrators__isnull=False).distinct().count() > 20
    assert Orchestrator.objects.filter(group=None).exists()
    assert bearers("tier=production").count() > 500
    named = Orchestrator.objects.values_list("client_machine", "name_skeleton")
    assert all(skeleton(name) == stored for name, stored in named)


def test_in_a_troubled_one_a_list_of_anything_that_goes_wrong_fills_a_page() -> None:
    load(1000, 3000, "--troubled")

    now, known = timezone.now(), periods(store.load())
    assert verify(now=now) == []
    marks = (Mark.REVOCATION, Mark.ENROLLMENT_FAILED, Mark.REQUIRED, Mark.REQUESTED, Mark.UNUSED)
    lists = {
        **{mark: Orchestrator.objects.filter(marked(mark, known, now=now)) for mark in marks},
        **{
            state: Orchestrator.objects.filter(having(state, known, now=now))
            for state in RenewalState
        },
        **{state: Enrollment.objects.filter(state=state) for state in EnrollmentState},
        "one code": Orchestrator.objects.filter(last_error_code=str(Code.KEY_WEAK)),
    }
    assert {name for name, rows in lists.items() if rows.count() <= PAGE_SIZE} == set()


def test_every_document_is_what_its_row_says() -> None:
    load(60, 150)

    rows = list(Certificate.objects.filter(orchestrator__isnull=False))
    for row in rows:
        facts = read_certificate(bytes(row.der))
        assert facts.fingerprint_sha256 == row.fingerprint_sha256
        assert facts.thumbprint_sha1 == row.thumbprint
        assert facts.spki_sha256 == row.spki_sha256
        assert facts.serial_number == row.serial_number
        assert (facts.subject, facts.issuer) == (row.subject_name, row.issuer_name)
        assert (facts.not_before, facts.not_after) == (row.not_before, row.not_after)
        assert (facts.key_algorithm, facts.key_size) == (row.key_algorithm, row.key_size)
    assert len({row.spki_sha256 for row in rows}) == 150


def test_the_same_seed_gives_the_same_fleet_and_another_seed_another() -> None:
    def fleet(seed: int) -> list[Any]:
        order = loading.Order(40, 90, seed, datetime(2026, 5, 1, tzinfo=UTC))
        return _sheets(order)

    assert fleet(3) == fleet(3)
    assert fleet(3) != fleet(4)


def test_running_it_again_changes_nothing_and_another_size_is_refused() -> None:
    load(30, 60)

    assert load(30, 60)["changed"] is False
    assert Orchestrator.objects.count() == 30
    with pytest.raises(CommandFailed) as refused:
        load(31, 62)
    assert refused.value.code == "other_fleet"
    with pytest.raises(CommandFailed) as refused:
        load(30, 60, "--troubled")
    assert refused.value.code == "other_fleet"
    assert Orchestrator.objects.count() == 30


@pytest.mark.parametrize("is_large", [False, True], ids=["filling indexes", "building indexes"])
def test_a_run_that_was_interrupted_leaves_nothing_and_the_next_one_everything(
    monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    monkeypatch.setattr(loading, "CHUNK", 20)
    monkeypatch.setattr(loading, "_LARGE", 0 if is_large else 10**9)
    before = _structure()

    def interrupted(done: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    now = timezone.now()
    order = loading.Order(70, 150, 1, now)
    with pytest.raises(KeyboardInterrupt):
        loading.load(order, actor=Actor("test"), now=now, told=interrupted)

    assert not Orchestrator.objects.exists()
    assert _structure() == before
    assert loading.load(order, actor=Actor("test"), now=now) == 70
    assert Orchestrator.objects.count() == 70
    assert Certificate.objects.filter(orchestrator__isnull=False).count() == 150
    assert _structure() == before
    assert verify(now=now) == []


def test_beside_real_orchestrators_it_is_loaded_only_when_told_and_marked() -> None:
    Fleet().entered("real")

    with pytest.raises(CommandFailed) as refused:
        load(10, 20)
    assert refused.value.code == "real_orchestrators"
    assert Orchestrator.objects.count() == 1

    load(10, 20, "--beside-real-orchestrators")
    assert Orchestrator.objects.filter(demonstration=True).count() == 10


def test_nobody_takes_it_for_a_real_fleet() -> None:
    load(20, 40)

    rows = Orchestrator.objects.select_related("service_account")
    assert {row.service_account.username for row in rows} == {loading.NAME}
    assert all(row.client_machine.endswith(".synthetic.invalid") for row in rows)
    ours = Certificate.objects.filter(authority__isnull=False, orchestrator__isnull=False)
    assert {row.authority.enabled for row in ours if row.authority} == {False}
    assert AuditEntry.objects.filter(object_type="synthetic_fleet").exists()


def test_rows_that_come_later_get_numbers_of_their_own() -> None:
    load(10, 20)
    largest = max(AuditEntry.objects.values_list("pk", flat=True))

    made = AuditEntry.objects.create(
        actor_name="a", category="access", action="a", object_type="a", object_id="a"
    )

    assert made.pk > largest


def test_an_unknown_column_is_an_error() -> None:
    sheet = Sheet(AuditEntry)
    sheet.add(colour="red")
    with pytest.raises(TypeError, match="colour"):
        sheet.text()


def _sheets(order: loading.Order) -> list[Any]:
    random = Random(order.seed)
    sheets = {model: Sheet(model) for model in MODELS}
    groups = dict.fromkeys((*draw.SITES, draw.PILOT), 1)
    world = World(order.at, 1, 1, 1, "synthetic", 1, groups, is_demonstration=False)
    lives = Lives(Ledger(sheets, random, world), Printer(random))
    plans = draw.plans(random, order.orchestrators, order.certificates)
    for number, plan in enumerate(plans):
        lives.live(number, plan)
    return [sheet.rows for sheet in sheets.values()]


def _structure() -> dict[str, Any]:
    """Return indexes and constraints of every table that is filled (PostgreSQL alone drops any)."""
    if connection.vendor != "postgresql":
        return {}
    with connection.cursor() as cursor:
        found = {
            model.__name__: connection.introspection.get_constraints(cursor, model._meta.db_table)
            for model in MODELS
        }
    for constraints in found.values():
        for each in constraints.values():
            # It writes the cast of a list before or behind the bracket: the same condition.
            each["definition"] = re.sub(r"[()]|::[a-z ]+(\[\])?", "", each.get("definition") or "")
    return found
