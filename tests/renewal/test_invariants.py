"""Each invariant, violated by hand in a healthy fleet, is reported: itself and nothing else."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import QuerySet
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.audit import sealing
from portal.audit.models import AuditEntry
from renewal import revocations
from renewal.identity import trust
from renewal.invariants.report import MOST_PER_QUESTION, Violation, told
from renewal.invariants.verify import INVARIANTS, verify
from renewal.models import (
    ApprovalRequest,
    Certificate,
    CertificateAuthority,
    Enrollment,
    Revocation,
)
from tests.portal.audit.owner import as_owner
from tests.renewal.fleet import ACTOR, Fleet, scratch

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

DAY = timedelta(days=1)


@dataclass
class Healthy:
    """One orchestrator for each thing that can have happened."""

    fleet: Fleet
    new: Orchestrator
    renewed: Orchestrator
    unproven: Orchestrator
    flagged: Orchestrator
    disapproved: Orchestrator
    back: Orchestrator
    waiting: Enrollment


@pytest.fixture(scope="module")
def made(kept: Path) -> Healthy:
    trust.forget()
    fleet = Fleet()
    entered = {
        name: fleet.entered(name)
        for name in ("renewed", "unproven", "flagged", "disapproved", "restored", "back", "new")
    }
    # Asked to renew, renewed, renewed again: the flag and both old certificates are gone.
    fleet.flagged(entered["renewed"])
    for _ in range(2):
        fleet.proven(entered["renewed"], fleet.renewed(entered["renewed"]))
    # Three replies were lost: the first certificate was given up, two may still come.
    for _ in range(3):
        fleet.renewed(entered["unproven"])
        fleet.later(2 * timedelta(hours=1))
    fleet.flagged(entered["flagged"])
    for name in ("disapproved", "restored"):
        fleet.renewed(entered[name])
        fleet.disapproved(entered[name])
    fleet.approved(entered["restored"])
    # Reset while a request was waiting; came back with another certificate.
    fleet.asked(entered["back"])
    fleet.reset(entered["back"])
    fleet.seen(entered["back"], fleet.given("back"))
    fleet.approved(entered["back"])
    fleet.reset(entered["new"])
    fleet.revoked()
    fleet.now = timezone.now()
    waiting = fleet.asked(entered.pop("restored"))
    for orchestrator in entered.values():
        orchestrator.refresh_from_db()
    return Healthy(fleet=fleet, waiting=waiting, **entered)


@pytest.fixture
def healthy(made: Healthy, db: None, kept: Path, settings: Any, tmp_path: Path) -> Healthy:
    # Files are not undone by a roll-back: each test has its own.
    scratch(settings, shutil.copytree(kept, tmp_path / "data"))
    return copy.deepcopy(made)


def found() -> set[str]:
    return {violation.invariant for violation in verify(now=timezone.now())}


def standing(orchestrator: Orchestrator, which: str) -> Certificate:
    return Certificate.objects.get(orchestrator=orchestrator, standing=which)


def change(row: Any, **values: Any) -> None:
    assert type(row)._default_manager.filter(pk=row.pk).update(**values) == 1


def rewrite(entry: AuditEntry, **values: Any) -> None:
    """Change an audit row as the tables' owner can: past the code and past the triggers."""
    with as_owner():
        QuerySet(AuditEntry).filter(pk=entry.pk).update(**values)


def newest(orchestrator: Orchestrator) -> Enrollment:
    row = Enrollment.objects.filter(orchestrator=orchestrator).order_by("-pk").first()
    assert row
    return row


def test_a_healthy_fleet_violates_nothing(healthy: Healthy) -> None:
    assert verify(now=timezone.now()) == []


# --- planting ---------------------------------------------------------------------------------


def two_in_use(fleet: Healthy) -> None:
    change(standing(fleet.unproven, "overtaken"), standing="current")
    change(fleet.unproven, certificate_not_after=standing(fleet.unproven, "legacy").not_after)


def given_up_alive(fleet: Healthy) -> None:
    row = standing(fleet.unproven, "discarded")
    Revocation.objects.filter(certificate=row).delete()
    change(row, revoked_at=None)


def accepted_on_a_new_record(fleet: Healthy) -> None:
    row = Certificate.objects.filter(orchestrator=fleet.new, standing="archived").get()
    change(row, standing="current")
    change(fleet.new, thumbprint=row.thumbprint, certificate_not_after=row.not_after)


def accepted_of_nobody(fleet: Healthy) -> None:
    change(standing(fleet.flagged, "current"), orchestrator=None)
    change(fleet.flagged, thumbprint="", certificate_not_after=None)


def never_delivered(fleet: Healthy) -> None:
    change(standing(fleet.unproven, "overtaken"), delivered_at=None)


def another_thumbprint(fleet: Healthy) -> None:
    change(fleet.renewed, thumbprint="0" * 40)


def another_legacy_thumbprint(fleet: Healthy) -> None:
    change(fleet.unproven, legacy_thumbprint="")


def another_end(fleet: Healthy) -> None:
    change(fleet.renewed, certificate_not_after=None)


def shared_key(fleet: Healthy) -> None:
    of_another = standing(fleet.renewed, "current").spki_sha256
    row = standing(fleet.flagged, "current")
    change(row, spki_sha256=of_another)
    change(row.enrollment, spki_sha256=of_another)


def shared_thumbprint(fleet: Healthy) -> None:
    of_another = standing(fleet.renewed, "current").thumbprint
    change(standing(fleet.flagged, "current"), thumbprint=of_another)
    change(fleet.flagged, thumbprint=of_another)


def issued_without_certificate(fleet: Healthy) -> None:
    change(newest(fleet.renewed), certificate=None)


def another_key(fleet: Healthy) -> None:
    change(newest(fleet.renewed), spki_sha256="0" * 64)


def another_authority(fleet: Healthy) -> None:
    other = CertificateAuthority.objects.create(
        name="other", type="local", enabled=False, created_at=timezone.now()
    )
    change(newest(fleet.renewed), authority=other)


def another_orchestrator(fleet: Healthy) -> None:
    change(newest(fleet.renewed), orchestrator=fleet.new)


def too_long(fleet: Healthy) -> None:
    row = newest(fleet.renewed)
    change(row, not_after=row.not_after - 2 * DAY)


def other_sans(fleet: Healthy) -> None:
    change(newest(fleet.renewed), sans=[["dns", "other"]])


def other_subject(fleet: Healthy) -> None:
    change(newest(fleet.unproven), subject_der=bytes(newest(fleet.renewed).subject_der))


def refused_with_certificate(fleet: Healthy) -> None:
    change(newest(fleet.renewed), state="refused")


def delivered_without_intent(fleet: Healthy) -> None:
    Enrollment.objects.filter(certificate=standing(fleet.unproven, "overtaken")).delete()


def wrong_answer_alive(fleet: Healthy) -> None:
    row = fleet.fleet.given("rejected")
    change(row, standing="rejected")


def chosen_by_nobody(fleet: Healthy) -> None:
    change(newest(fleet.renewed), chosen_by="")


def an_operators_names_for_an_orchestrator(fleet: Healthy) -> None:
    change(newest(fleet.renewed), for_operator=True)


def any_usage(fleet: Healthy) -> None:
    change(newest(fleet.renewed), extended_key_usages=["1.3.6.1.5.5.7.3.2", "2.5.29.37.0"])


def key_of_another_csr(fleet: Healthy) -> None:
    change(fleet.waiting, csr_der=bytes(newest(fleet.renewed).csr_der))


def replaced_without_session(fleet: Healthy) -> None:
    for row in Certificate.objects.filter(orchestrator=fleet.renewed, proven_at__isnull=False):
        change(row, proven_at=row.proven_at - DAY if row.proven_at else None)


def revoked_while_accepted(fleet: Healthy) -> None:
    revocations.request(
        standing(fleet.unproven, "legacy"),
        reason="superseded",
        cause="too early",
        by_service_account=True,
        actor=ACTOR,
        now=timezone.now(),
    )


def revoked_before_cleared(fleet: Healthy) -> None:
    row = Certificate.objects.filter(orchestrator=fleet.renewed, standing="superseded").first()
    revocation = Revocation.objects.get(certificate=row)
    change(revocation, created_at=revocation.created_at - DAY)


def flag_gone(fleet: Healthy) -> None:
    change(fleet.flagged, flag=0)


def flag_from_nowhere(fleet: Healthy) -> None:
    change(fleet.back, flag=1)


def flag_left(fleet: Healthy) -> None:
    fleet.fleet.flagged(fleet.renewed)
    change(standing(fleet.renewed, "current"), intent_flag_counter=9)


def waiting_for_an_older_generation(fleet: Healthy) -> None:
    change(fleet.waiting, generation=0)


def delivered_over_a_fence(fleet: Healthy) -> None:
    """As if the answer had come after the Disapprove."""
    row = newest(fleet.disapproved)
    entry = AuditEntry.objects.get(
        object_type="enrollment", object_id=str(row.pk), action="certificate_issued"
    )
    rewrite(entry, id=AuditEntry.objects.latest("pk").pk + 1)


def fenced_off_alive(fleet: Healthy) -> None:
    row = newest(fleet.unproven)
    change(row, state="discarded")
    change(standing(fleet.unproven, "issued"), standing="archived")
    change(fleet.unproven, thumbprint=standing(fleet.unproven, "legacy").thumbprint)


def nobody_takes_it(fleet: Healthy) -> None:
    change(fleet.waiting, next_attempt_at=timezone.now() - DAY)


def lease_ran_out(fleet: Healthy) -> None:
    change(fleet.waiting, state="submitted", lease_until=timezone.now() - DAY)


def revocation_left_alone(fleet: Healthy) -> None:
    row = Revocation.objects.first()
    assert row
    change(row, state="waiting", next_attempt_at=timezone.now() - DAY)


def revoked_and_not_told(fleet: Healthy) -> None:
    change(fleet.fleet.given("lost"), revoked_at=timezone.now())


def an_edited_audit_row(fleet: Healthy) -> None:
    sealing.seal(now=timezone.now)
    rewrite(AuditEntry.objects.latest("pk"), message="x")


def six_calls_in_a_day(fleet: Healthy) -> None:
    row = newest(fleet.renewed)
    for number in range(6):
        row.pk, row.certificate, row.state = None, None, "refused"
        row.serial_number = f"{number:x}"
        row.called_at = timezone.now() - timedelta(hours=1)
        row.save(force_insert=True)


def never_left_alone(fleet: Healthy) -> None:
    change(fleet.fleet.authority, failures_in_a_row=3)


def returned_unasked(fleet: Healthy) -> None:
    ApprovalRequest.objects.filter(orchestrator=fleet.back, state="approved").delete()


def still_asked_for(fleet: Healthy) -> None:
    row = ApprovalRequest.objects.get(orchestrator=fleet.new, state="open")
    change(row, orchestrator=fleet.flagged, generation=fleet.flagged.generation)


def waiting_unseen(fleet: Healthy) -> None:
    fleet.fleet.seen(fleet.new, fleet.fleet.given("new"))
    ApprovalRequest.objects.filter(orchestrator=fleet.new).delete()


def of_another_generation(fleet: Healthy) -> None:
    change(ApprovalRequest.objects.get(orchestrator=fleet.new, state="open"), generation=9)


def decided_by_nobody(fleet: Healthy) -> None:
    row = ApprovalRequest.objects.filter(orchestrator=fleet.back, state="approved").latest("pk")
    change(row, decided_by="")


def looks_of_another_name(fleet: Healthy) -> None:
    change(fleet.renewed, name_skeleton="another")


PLANTED: list[tuple[str, Callable[[Healthy], None]]] = [
    ("I2", two_in_use),
    ("I2", given_up_alive),
    ("I3", accepted_on_a_new_record),
    ("I3", accepted_of_nobody),
    ("I3", never_delivered),
    ("I3", another_thumbprint),
    ("I3", another_legacy_thumbprint),
    ("I3", another_end),
    ("I4", shared_key),
    ("I4", shared_thumbprint),
    ("I5", issued_without_certificate),
    ("I5", another_key),
    ("I5", another_authority),
    ("I5", another_orchestrator),
    ("I5", too_long),
    ("I5", other_sans),
    ("I5", other_subject),
    ("I5", refused_with_certificate),
    ("I5", delivered_without_intent),
    ("I5", wrong_answer_alive),
    ("I6", chosen_by_nobody),
    ("I6", an_operators_names_for_an_orchestrator),
    ("I6", any_usage),
    ("I6", key_of_another_csr),
    ("I8", replaced_without_session),
    ("I8", revoked_while_accepted),
    ("I8", revoked_before_cleared),
    ("I9", flag_gone),
    ("I9", flag_from_nowhere),
    ("I9", flag_left),
    ("I12", waiting_for_an_older_generation),
    ("I12", delivered_over_a_fence),
    ("I12", fenced_off_alive),
    ("I13", nobody_takes_it),
    ("I13", lease_ran_out),
    ("I13", revocation_left_alone),
    ("I13", revoked_and_not_told),
    ("I15", an_edited_audit_row),
    ("I18", six_calls_in_a_day),
    ("I18", never_left_alone),
    ("C13", returned_unasked),
    ("C13", still_asked_for),
    ("C13", waiting_unseen),
    ("C13", of_another_generation),
    ("C13", decided_by_nobody),
    ("T8", looks_of_another_name),
]


@pytest.mark.parametrize(
    ("invariant", "plant"), PLANTED, ids=[f"{i} {p.__name__}" for i, p in PLANTED]
)
def test_a_planted_violation_is_reported_and_nothing_else(
    healthy: Healthy, invariant: str, plant: Callable[[Healthy], None]
) -> None:
    plant(healthy)

    assert found() == {invariant}


def test_every_invariant_has_a_planted_violation() -> None:
    assert list(dict.fromkeys(invariant for invariant, _ in PLANTED)) == list(INVARIANTS)


def test_the_command_reports_ids_and_a_sentence_with_status_2(healthy: Healthy) -> None:
    said = StringIO()
    call_command("verify_invariants", "--json", stdout=said)
    assert json.loads(said.getvalue())["holds"] is True
    flag_gone(healthy)
    said = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("verify_invariants", "--json", stdout=said)

    assert ended.value.code == 2
    assert json.loads(said.getvalue()) == {
        "verified": list(INVARIANTS),
        "holds": False,
        "violations": [
            {
                "invariant": "I9",
                "object_type": "orchestrator",
                "ids": [str(healthy.flagged.pk)],
                "sentence": "The flag is gone without a newer certificate, an operator or a Reset.",
            }
        ],
    }


def test_one_question_tells_a_hundred_violations_at_most() -> None:
    assert len(list(told("I2", "certificate", range(1000), "Too many."))) == MOST_PER_QUESTION
    assert next(told("I4", "certificate", [(1, 2)], "Shared.")) == Violation(
        "I4", "certificate", ("1", "2"), "Shared."
    )


def test_the_number_of_questions_does_not_depend_on_the_fleet(
    healthy: Healthy, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(51):
        verify(now=timezone.now())
