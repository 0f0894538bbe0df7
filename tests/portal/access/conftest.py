"""What the tests of access share: people with roles of their own, and orchestrators in groups.

Owns no expectation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as DjangoPermission
from django.test import Client
from django.utils import timezone

from orchestrators import groups, labels
from orchestrators.models import Orchestrator, OrchestratorGroup
from portal.access.catalogue import ROLES, Permission
from portal.access.models import RoleReach, User
from portal.audit.trail import Actor
from tests.portal.pages import fleet as rows

TESTER = Actor("tester")
MakeRole = Callable[..., Group]


def role(
    name: str,
    permissions: Iterable[Permission],
    *,
    only_groups: Iterable[OrchestratorGroup] = (),
    only_labels: Iterable[tuple[str, str]] = (),
) -> Group:
    """A role with these permissions, limited to these groups and labels if there are any."""
    made = Group.objects.create(name=name)
    made.permissions.set(DjangoPermission.objects.filter(codename__in=list(permissions)))
    for group in only_groups:
        RoleReach.objects.create(role=made, orchestrator_group=group.pk)
    for key, value in only_labels:
        RoleReach.objects.create(role=made, label_key=key, label_value=value)
    return made


def user(name: str, *held: Group | str) -> User:
    made = User.objects.create_user(name, password=rows.PASSWORD)
    for each in held:
        made.groups.add(Group.objects.get(name=each) if isinstance(each, str) else each)
    return made


def group(name: str, *members: Orchestrator) -> OrchestratorGroup:
    made, _ = groups.save_group(name, actor=TESTER, now=timezone.now())
    groups.assign([o.pk for o in members], made, actor=TESTER)
    for each in members:
        each.refresh_from_db()
    return made


def label(text: str, *bearers: Orchestrator) -> tuple[str, str]:
    key, value = labels.parse(text)
    labels.set_labels([o.pk for o in bearers], put={key: value}, actor=TESTER)
    return key, value


def page_of(person: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(person, "django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def fleet(db: None) -> rows.Fleet:
    return rows.fleet(timezone.now())


@pytest.fixture
def berlin(fleet: rows.Fleet) -> OrchestratorGroup:
    return group("Berlin", fleet.calm, fleet.waiting, fleet.renewed)


@pytest.fixture
def scoped(berlin: OrchestratorGroup) -> User:
    """Somebody who may do everything to the orchestrators of Berlin, and see no others."""
    everything = role("Berlin admins", ROLES["Administrator"], only_groups=[berlin])
    return user("bea", everything)
