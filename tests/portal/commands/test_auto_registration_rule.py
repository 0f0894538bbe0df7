"""Rules of auto-registration by command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from orchestrators import groups
from orchestrators.registration import editing
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor

pytestmark = pytest.mark.django_db
Run = Callable[..., dict[str, Any]]
RULE = "auto_registration_rule"


def names(run: Run) -> list[str]:
    return [rule["name"] for rule in run(RULE)["rules"]]


def test_a_rule_is_made_once_and_what_no_flag_says_stays(run: Run) -> None:
    groups.save_group("Vienna", actor=Actor("a"), now=timezone.now())
    flags = (RULE, "--name", "Web", "--outcome", "allow", "--name-pattern", "web*")
    flags += ("--network", "10.1.2.3", "--parameter", "site=v*", "--assign-label", "tier=web")
    flags += ("--assign-group", "vienna", "--role", "Orchestrator")
    first, second = run(*flags), run(*flags)
    assert first == {
        "changed": True,
        "name": "Web",
        "outcome": "allow",
        "description": "",
        "enabled": True,
        "name_patterns": ["web*"],
        "networks": ["10.1.2.3/32"],
        "service_account": "",
        "role": "Orchestrator",
        "credential": "",
        "parameters": ["site=v*"],
        "assign_service_account": "",
        "assign_group": "Vienna",
        "assign_labels": {"tier": "web"},
        "position": 1,
        "hits": 0,
        "last_hit_at": None,
    }
    assert second == {**first, "changed": False}
    third = run(RULE, "--name", "Web", "--disable", "--network", "", "--assign-group", "")
    assert third == {
        **first,
        "enabled": False,
        "networks": [],
        "assign_group": "",
    }
    actions = AuditEntry.objects.filter(object_type="auto_registration_rule")
    assert list(actions.order_by("pk").values_list("action", flat=True)) == [
        "rule_added",
        "rule_changed",
    ]


def test_rules_are_ordered_and_deleted(run: Run) -> None:
    for name in "abc":
        run(RULE, "--name", name)
    assert run(RULE, "--name", "c", "--position", "1")["position"] == 1
    assert names(run) == ["c", "a", "b"]
    assert run(RULE, "--name", "c", "--position", "1")["changed"] is False
    assert run(RULE, "--name", "a", "--delete")["changed"] is True
    assert run(RULE, "--name", "a", "--delete")["changed"] is False
    assert names(run) == ["c", "b"]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--network", "10.0.0.0/33"), "network_invalid"),
        (("--parameter", "site"), "usage"),
        (("--assign-label", "Ä=1"), "label_invalid"),
        (("--assign-group", "none"), "unknown_group"),
        (("--role", "none"), "unknown_role"),
        (("--credential", "none"), "unknown_credential"),
        (("--service-account", "none"), "unknown_service_account"),
        (("--name-pattern", "x" * 300), "text_too_long"),
    ],
)
def test_a_bad_rule_is_refused_with_its_code(
    refused: Callable[..., str], flags: tuple[str, ...], code: str
) -> None:
    assert refused(RULE, "--name", "Web", *flags) == code
    assert not editing.ordered()
