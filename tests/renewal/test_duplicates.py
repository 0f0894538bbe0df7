"""Clones and duplicates among orchestrators that work already, and handlers that fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from orchestrators.models import AgentSession, HandlerHealth, Orchestrator, Status
from orchestrators.records import rename
from orchestrators.registration.health import failing_handlers
from portal.access.models import User
from portal.access.reach import Reach
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from renewal.selectors import duplicates

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
A, B = "192.0.2.1", "198.51.100.2"


def record(name: str, status: int = Status.APPROVED, **fields: Any) -> Orchestrator:
    account = User.objects.get(username=SHARED_SERVICE_ACCOUNT)
    made = Orchestrator(service_account=account, status=status, created_at=timezone.now(), **fields)
    rename(made, name)
    made.save(force_insert=True)
    return made


def sessions(one: Orchestrator, *seen: tuple[str, str], now: datetime, days: int = 1) -> None:
    """Give a record ended sessions from these (thumbprint, address), an hour apart."""
    for number, (thumbprint, address) in enumerate(seen):
        at = now - timedelta(days=days) + timedelta(hours=number)
        AgentSession.objects.create(
            orchestrator=one,
            token_digest=f"{one.pk}{number}"[-60:],
            started_at=at,
            expires_at=at + timedelta(hours=1),
            ended_at=at,
            heartbeat_minutes=5,
            thumbprint=thumbprint,
            address=address,
        )


def test_records_of_one_name_are_told_together() -> None:
    old = record("web-1")
    new = record("web-1_20260601120000", Status.NEW)
    record("web-2")
    record("web-1_20260701120000", Status.DISAPPROVED)
    record("web-1_20260801120000", Status.NEW, demonstration=True)
    record("", Status.NEW)
    record("", Status.NEW)
    (found,) = duplicates.same_names()
    assert set(found.records) == {old.pk, new.pk}
    assert duplicates.same_names(seen=Reach(groups=frozenset({4711}))) == []


SEEN = {
    "a host that moved": ([("AA", A), ("AA", A), ("AA", B)], False),
    "two hosts in turn": ([("AA", A), ("AA", B), ("AA", A)], True),
    "another certificate at each address": ([("AA", A), ("BB", B), ("AA", A)], False),
    "one host": ([("AA", A), ("AA", A)], False),
}


@pytest.mark.parametrize(("seen", "expected"), SEEN.values(), ids=SEEN)
def test_one_certificate_at_two_hosts_is_told(seen: list[tuple[str, str]], expected: bool) -> None:
    now = timezone.now()
    one = record("web-1")
    sessions(one, *seen, now=now)
    found = duplicates.two_hosts(now=now)
    assert [(each.orchestrator, each.addresses) for each in found] == (
        [(one.pk, [A, B])] if expected else []
    )


def test_what_was_long_ago_is_not_told() -> None:
    now = timezone.now()
    sessions(record("web-1"), ("AA", A), ("AA", B), ("AA", A), now=now, days=60)
    assert duplicates.two_hosts(now=now) == []


def test_a_handler_fails_from_its_last_failure_to_its_next_answer(settings: Any) -> None:
    now = timezone.now()
    names = ("acme.Down", "acme.Well", "acme.Never")
    settings.CONFIG = replace(settings.CONFIG, registration_handlers=names)
    for path, answered, failed in (
        ("acme.Down", now - timedelta(hours=1), now),
        ("acme.Well", now, now - timedelta(hours=1)),
        ("acme.NotNamedAnyMore", None, now),
    ):
        HandlerHealth.objects.create(path=path, last_answer_at=answered, last_error_at=failed)
    assert [row.path for row in failing_handlers()] == ["acme.Down"]
