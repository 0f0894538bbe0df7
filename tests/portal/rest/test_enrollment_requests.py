"""Enrollments over the API: listed, tried now, given up; and to whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry
from renewal.models import CertificateAuthority, Enrollment
from tests.portal.access.conftest import role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]
PATH = "Enrollment/Requests"
HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def waiting(orchestrator: Make, now: datetime) -> Enrollment:
    made: Enrollment = rows.enrollment(
        orchestrator("web-1"),
        now=now,
        attempts=2,
        last_error="connection refused",
        next_attempt_at=now + HOUR,
    )
    return made


def test_the_list_says_whose_turn_it_is_and_is_narrowed_by_its_fields(
    admin: Caller, waiting: Enrollment, orchestrator: Make, now: datetime
) -> None:
    failed = rows.enrollment(orchestrator("web-2"), now=now, state="refused", last_error="no")
    both = admin.get(PATH).json()
    assert [each["Id"] for each in both] == [failed.pk, waiting.pk]
    shown = both[1]
    assert shown == admin.get(f"{PATH}/{waiting.pk}").json()
    assert (shown["State"], shown["TurnOf"]) == ("waiting", "the CA Portal CA")
    assert (shown["Reason"], shown["Finished"]) == ("connection refused", None)
    assert shown["NextAttempt"] == f"{waiting.next_attempt_at:%Y-%m-%dT%H:%M:%SZ}"
    assert (both[0]["TurnOf"], both[0]["Reason"]) == (None, "no")
    for query, found in (
        ("State -eq open", [waiting.pk]),
        ("State -ne open", [failed.pk]),
        ('State -eq failed AND Error -startswith "n"', [failed.pk]),
        ("ClientMachine -eq WEB-1", [waiting.pk]),
        ("AgentId -eq NULL", []),
        ('CertificateAuthority -eq "Portal CA" AND Finished -eq NULL', [waiting.pk]),
    ):
        listed = admin.get(PATH, query={"QueryString": query}).json()
        assert [each["Id"] for each in listed] == found, query


@pytest.mark.both_databases
def test_both_acts_do_what_the_page_does_once(admin: Caller, waiting: Enrollment) -> None:
    path = f"{PATH}/{waiting.pk}"
    dry = admin.post(f"{path}/Retry", query={"dry_run": "true"}).json()
    assert [(c["Kind"], c["Action"]) for c in dry["Changes"]] == [
        ("enrollment", "enrollment_retried")
    ]
    before = waiting.next_attempt_at
    assert Enrollment.objects.get(pk=waiting.pk).next_attempt_at == before
    assert admin.post(f"{path}/Retry", {"Reason": "back"}).json()["State"] == "waiting"
    assert Enrollment.objects.get(pk=waiting.pk).next_attempt_at < before
    assert AuditEntry.objects.get(action="enrollment_retried").message == "back"
    refused(admin.post(f"{path}/Retry"), 400, "act_refused")
    given_up = admin.post(f"{path}/GiveUp", {"Reason": "other CA"})
    assert given_up.json()["State"] == "discarded"
    assert "other CA" in given_up.json()["Reason"]
    refused(admin.post(f"{path}/GiveUp"), 400, "act_refused")
    refused(admin.post(f"{path}/GiveUp", {"Why": "x"}), 400, "member_unknown")


def test_the_queue_of_a_ca_is_tried_now(admin: Caller, waiting: Enrollment, now: datetime) -> None:
    body = {"CertificateAuthority": "Portal CA"}
    assert admin.post(f"{PATH}/RetryAll", body).json() == {"Retried": 1}
    assert admin.post(f"{PATH}/RetryAll", body).json() == {"Retried": 0}
    refused(admin.post(f"{PATH}/RetryAll", {"CertificateAuthority": "x"}), 400, "authority_unknown")
    CertificateAuthority.objects.update(enabled=False)
    refused(admin.post(f"{PATH}/RetryAll", body), 400, "act_refused")


def test_beyond_ones_reach_there_is_none(admin: Caller, waiting: Enrollment) -> None:
    held = role(
        "Lea", [Permission.AGENTS_READ, Permission.AGENTS_RENEW], only_labels=[("site", "b")]
    )
    lea = Caller({"Authorization": basic(user("lea", held).username)})
    assert lea.get(PATH).json() == []
    for number in (waiting.pk, 404, "x"):
        refused(lea.get(f"{PATH}/{number}"), 404, "enrollment_unknown")
        refused(lea.post(f"{PATH}/{number}/Retry"), 404, "enrollment_unknown")
        refused(lea.post(f"{PATH}/{number}/GiveUp"), 404, "enrollment_unknown")
    assert lea.post(f"{PATH}/RetryAll", {"CertificateAuthority": "Portal CA"}).json() == {
        "Retried": 0
    }
    reader = caller_with("Read only")
    refused(reader.post(f"{PATH}/{waiting.pk}/Retry"), 403, "permission_missing")
