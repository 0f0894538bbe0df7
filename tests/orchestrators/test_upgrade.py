"""What an upgrade corrects in the records of an existing installation."""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib import import_module

import pytest
from django.apps import apps
from django.utils import timezone

from orchestrators.models import Orchestrator
from orchestrators.records import rename
from tests.portal.pages import fleet

LOOK_ALIKES = import_module("orchestrators.migrations.0013_look_alikes_of_accepted_names")
CONTACTS = import_module("orchestrators.migrations.0017_fill_day_of_last_contact")


@pytest.mark.django_db
@pytest.mark.both_databases
def test_an_accepted_name_looks_like_itself_after_an_upgrade() -> None:
    accepted = fleet.orchestrator("paypal01", now=timezone.now())
    Orchestrator.objects.filter(pk=accepted.pk).update(name_skeleton="hostl")
    other = fleet.orchestrator("web01", now=timezone.now())

    LOOK_ALIKES.correct(apps, None)

    for row in (accepted, other):
        rename(row, row.client_machine)
        assert Orchestrator.objects.get(pk=row.pk).name_skeleton == row.name_skeleton


@pytest.mark.django_db
@pytest.mark.both_databases
def test_the_day_of_the_last_contact_is_that_of_utc_for_all_after_an_upgrade(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CONTACTS, "_BATCH", 2)
    called = [datetime(2026, 3, 9, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC), None]
    days = [date(2026, 3, 9), date(2026, 3, 10), None]
    for number, moment in enumerate(called * 2):
        fleet.orchestrator(f"web{number}", now=timezone.now(), last_seen=moment)
    Orchestrator.objects.update(seen_on=None)
    for _ in range(2):
        with timezone.override("Asia/Tokyo"):
            CONTACTS.fill(apps, None)
        found = Orchestrator.objects.order_by("client_machine").values_list("seen_on", flat=True)
        assert list(found) == days * 2
