"""What an upgrade corrects in the records of an existing installation."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.utils import timezone

from orchestrators.models import Orchestrator
from orchestrators.records import rename
from tests.portal.pages import fleet

UPGRADE = import_module("orchestrators.migrations.0013_look_alikes_of_accepted_names")


@pytest.mark.django_db
@pytest.mark.both_databases
def test_an_accepted_name_looks_like_itself_after_an_upgrade() -> None:
    accepted = fleet.orchestrator("paypal01", now=timezone.now())
    Orchestrator.objects.filter(pk=accepted.pk).update(name_skeleton="hostl")
    other = fleet.orchestrator("web01", now=timezone.now())

    UPGRADE.correct(apps, None)

    for row in (accepted, other):
        rename(row, row.client_machine)
        assert Orchestrator.objects.get(pk=row.pk).name_skeleton == row.name_skeleton
