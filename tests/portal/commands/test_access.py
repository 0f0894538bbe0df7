"""``manage.py role``, ``group`` and ``label``: idempotent, JSON, refused with a stable code."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group

from orchestrators.models import Orchestrator, OrchestratorGroup
from portal.access.catalogue import ROLES
from portal.access.role_changes import content_of
from portal.preferences import store
from renewal.configuration import choose


def test_a_role_is_made_limited_and_made_unlimited(run: Any) -> None:
    run("group", "--name", "Berlin")
    flags = ("--name", "Berlin operators", "--permission", "/agents/management/read/")
    flags += ("--permission", "AgentManagement: Modify", "--only-group", "berlin")
    flags += ("--description", "Keeps Berlin going")
    made = run("role", *flags, "--only-label", "Site=b1")
    assert made == {
        "changed": True,
        "name": "Berlin operators",
        "description": "Keeps Berlin going",
        "permissions": ["/agents/management/modify/", "/agents/management/read/"],
        "limited": True,
        "only_groups": ["Berlin"],
        "only_labels": ["site=b1"],
        "users": 0,
    }
    assert not run("role", *flags, "--only-label", "site=b1")["changed"]
    assert not run("role", "--name", "Berlin operators")["changed"]
    freed = run("role", "--name", "Berlin operators", "--unlimited")
    assert (freed["changed"], freed["limited"]) == (True, False)


def test_a_role_is_removed_once_and_a_shipped_one_restored(run: Any) -> None:
    run("role", "--name", "r", "--permission", "AgentManagement:Read")
    assert run("role", "--name", "r", "--remove")["changed"]
    assert not run("role", "--name", "r", "--remove")["changed"]
    run("role", "--name", "Operator", "--permission", "/portal/read/")
    assert run("role", "--name", "Operator", "--restore")["changed"]
    assert not run("role", "--name", "Operator", "--restore")["changed"]
    assert content_of(Group.objects.get(name="Operator")).permissions == ROLES["Operator"]


def test_a_group_is_made_filled_emptied_and_removed(run: Any, certificate_file: Any) -> None:
    run("orchestrator", "--name", "agent01", "--certificate", certificate_file("agent01"))
    made = run("group", "--name", "Berlin", "--member", "agent01", "--description", "Rack 7")
    assert (made["changed"], made["moved"]) == (True, 1)
    again = run("group", "--name", " berlin ", "--member", "agent01")
    assert (again["changed"], again["moved"], again["name"]) == (False, 0, "Berlin")
    assert Orchestrator.objects.get().group.name == "Berlin"


def test_a_groups_ca_and_template_come_before_the_settings(run: Any, set_up: None) -> None:
    run("template", "--name", "Short", "--validity-days", "30")
    made = run("group", "--name", "Berlin", "--template", "Short")
    assert (made["authority"], made["template"]) == (None, "Short")
    assert not run("group", "--name", "Berlin", "--template", "Short")["changed"]
    chosen = choose(store.load(), group_id=OrchestratorGroup.objects.get().pk)
    assert (chosen.authority.name, chosen.template.name) == ("local", "Short")
    assert chosen.chosen_by == "group Berlin"
    assert choose(store.load()).chosen_by == "settings"
    run("group", "--name", "Berlin", "--template", "")
    assert choose(store.load(), group_id=OrchestratorGroup.objects.get().pk).chosen_by == "settings"


def test_labels_are_put_and_removed(run: Any, certificate_file: Any) -> None:
    run("orchestrator", "--name", "agent01", "--certificate", certificate_file("agent01"))
    put = run("label", "--name", "agent01", "--set", "Site = b1", "--set", "rack=7")
    assert put["labels"] == {"rack": "7", "site": "b1"}
    assert not run("label", "--name", "agent01", "--set", "site=b1")["changed"]
    moved = run("label", "--name", "agent01", "--set", "site=b2", "--remove", "rack")
    assert moved["labels"] == {"site": "b2"}


REFUSED = {
    "an unknown permission": (
        ("role", "--name", "r", "--permission", "/all/"), "unknown_permission",
    ),
    "a role limited to a group that is not there": (
        ("role", "--name", "r", "--only-group", "nowhere"), "unknown_group",
    ),
    "a role limited and unlimited": (
        ("role", "--name", "r", "--only-label", "a=b", "--unlimited"), "usage",
    ),
    "a shipped role removed": (("role", "--name", "Operator", "--remove"), "shipped_role"),
    "a role of one's own restored": (("role", "--name", "r", "--restore"), "unknown_role"),
    "a label without a value": (("role", "--name", "r", "--only-label", "a="), "label_invalid"),
    "a group without a name": (("group", "--name", " "), "group_invalid"),
    "a group with an unknown CA": (
        ("group", "--name", "g", "--authority", "none"), "unknown_authority",
    ),
    "a label of nobody": (("label", "--name", "x", "--set", "a=b"), "unknown_orchestrator"),
}  # fmt: skip


@pytest.mark.parametrize(("flags", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused_with_its_code(flags: Any, code: str, refused: Any) -> None:
    assert refused(*flags) == code


def test_a_group_that_is_used_is_not_removed(run: Any, refused: Any, certificate_file: Any) -> None:
    run("orchestrator", "--name", "agent01", "--certificate", certificate_file("agent01"))
    run("group", "--name", "Berlin", "--member", "agent01")
    assert refused("group", "--name", "Berlin", "--remove") == "group_not_empty"
    run("group", "--name", "Bonn")
    run("role", "--name", "r", "--only-group", "Bonn")
    assert refused("group", "--name", "Bonn", "--remove") == "group_limits_roles"
    run("role", "--name", "r", "--remove")
    assert run("group", "--name", "Bonn", "--remove")["changed"]
    assert not run("group", "--name", "Bonn", "--remove")["changed"]
