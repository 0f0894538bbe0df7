"""What an upgrade does to the roles of an existing installation."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps

from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import grants_of
from tests.portal.access.conftest import role, user

UPGRADE = import_module("portal.access.migrations.0005_administrators_may_override")


@pytest.mark.django_db
def test_who_held_everything_holds_the_override_of_approvals_too() -> None:
    before = [Permission(name) for name in UPGRADE.BEFORE]
    ada = user("ada", role("All before", before))
    olga = user("olga", role("All but one", before[1:]))

    UPGRADE.give(apps, None)

    held = {name: grants_of(User.objects.get(username=name)) for name in ("ada", "olga")}
    assert Permission.APPROVALS_OVERRIDE in held[ada.username]
    assert Permission.APPROVALS_OVERRIDE not in held[olga.username]
