"""The configuration as one document: what is exported is applied elsewhere, and a plan is true."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from orchestrators.models import AutoRegistrationRule, Orchestrator, OrchestratorGroup
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal.models import Certificate, Template
from renewal.rules.standing import ACCEPTED
from tests.portal.pages import fleet as rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
Run = Callable[..., dict[str, Any]]
Refused = Callable[..., str]

WANTED: dict[str, Any] = {
    "portal_configuration": 1,
    "templates": {"Short": {"key_types": ["EC-P256"], "validity_seconds": 604800}},
    "groups": {
        "Berlin": {"description": "The cellar", "authority": "local", "template": "Short"},
        "Bonn": {},
    },
    "settings": {"CertificateAuthorityForSubmittedCSRs": "local"},
    "roles": {
        "Berlin admins": {
            "description": "Keeps Berlin going",
            "permissions": ["/portal/read/", "/agents/management/read/"],
            "only_groups": ["Berlin"],
            "only_labels": ["site=b1"],
        }
    },
    "auto_registration_rules": {
        "Web": {
            "position": 1,
            "outcome": "allow",
            "name_patterns": ["web*"],
            "networks": ["10.0.0.0/8"],
            "parameters": ["site=b*"],
            "assign_group": "Berlin",
            "assign_labels": ["site=b1"],
        },
        "Rest": {"position": 2, "outcome": "deny"},
    },
}


@pytest.fixture
def document(tmp_path: Path) -> Callable[[Any], str]:
    def write(content: Any) -> str:
        path = tmp_path / "portal.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_a_document_is_planned_applied_and_exported_again(
    run: Run, set_up: None, document: Callable[[Any], str]
) -> None:
    path = document(WANTED)
    planned = run("configuration", "plan", path)
    assert (planned["changed"], Template.objects.filter(name="Short").exists()) == (False, False)
    assert {(c["section"], c["name"], c["action"]) for c in planned["changes"]} == {
        ("templates", "Short", "add"),
        ("groups", "Berlin", "add"),
        ("groups", "Bonn", "add"),
        ("roles", "Berlin admins", "add"),
        ("auto_registration_rules", "Web", "add"),
        ("auto_registration_rules", "Rest", "add"),
    }
    applied = run("configuration", "apply", path)
    assert applied["changes"] == planned["changes"]
    assert run("configuration", "apply", path)["changed"] is False
    exported = run("configuration", "export")
    web = exported["auto_registration_rules"]["Web"]
    assert web | WANTED["auto_registration_rules"]["Web"] == web
    assert exported["roles"]["Berlin admins"] == {
        "description": "Keeps Berlin going",
        "permissions": ["/agents/management/read/", "/portal/read/"],
        "only_groups": ["Berlin"],
        "only_labels": ["site=b1"],
    }
    assert exported["groups"]["Berlin"] == WANTED["groups"]["Berlin"]
    assert run("configuration", "plan", document(exported))["changes"] == []


def test_who_may_ask_moves_with_the_document_and_is_never_widened(
    run: Run, refused: Refused, set_up: None, document: Callable[[Any], str]
) -> None:
    run("user", "--username", "svc", "--service-account")
    run("template", "--name", "Guarded", "--allowed-requester", "svc")
    run("certificate_authority", "--name", "local", "--allowed-requester", "svc")
    exported = run("configuration", "export")
    guarded = document(exported)
    assert run("configuration", "plan", guarded)["changes"] == []
    run("template", "--name", "Guarded", "--allowed-requester", "everybody")
    run("certificate_authority", "--name", "local", "--allowed-requester", "everybody")
    planned = run("configuration", "plan", guarded)["changes"]
    assert {(c["section"], c["name"], c["action"]) for c in planned} == {
        ("certificate_authorities", "local", "add"),
        ("templates", "Guarded", "change"),
    }
    assert run("configuration", "apply", guarded)["changes"] == planned
    assert run("configuration", "export") == exported
    assert run("template", "--name", "Guarded")["allowed_requesters"] == ["svc"]
    # Without the member, and where the section lacks the CA, whoever may ask stays.
    less = copy.deepcopy(exported) | {"certificate_authorities": {}}
    del less["templates"]["Guarded"]["allowed_requesters"]
    assert run("configuration", "apply", document(less), "--prune")["changes"] == []

    Template.objects.filter(name="Guarded").delete()
    User.objects.filter(username="svc").update(username="svc-old")
    for what in ("plan", "apply"):
        assert refused("configuration", what, document(exported)) == "unknown_user"
    assert not Template.objects.filter(name="Guarded").exists()


def test_a_setting_that_was_changed_by_hand_is_told_and_put_back(
    run: Run, set_up: None, document: Callable[[Any], str]
) -> None:
    path = document(run("configuration", "export"))
    run("setting", "--name", "SessionLengthMinutes", "--value", "120")
    (change,) = run("configuration", "plan", path, "--prune")["changes"]
    assert (change["name"], change["action"], change["before"]) == (
        "SessionLengthMinutes",
        "remove",
        "120",
    )
    run("configuration", "apply", path, "--prune")
    assert store.load().text("SessionLengthMinutes") != "120"


def test_without_prune_what_the_document_lacks_stays(
    run: Run, set_up: None, document: Callable[[Any], str]
) -> None:
    run("configuration", "apply", document(WANTED))
    less = {"portal_configuration": 1, "roles": {}, "groups": {}, "auto_registration_rules": {}}
    assert run("configuration", "apply", document(less))["changed"] is False
    run("configuration", "apply", document(less), "--prune")
    assert not OrchestratorGroup.objects.exists()
    assert not AutoRegistrationRule.objects.exists()
    assert not Group.objects.filter(name="Berlin admins").exists()
    assert Group.objects.filter(name="Administrator").exists()


def test_a_fleet_moves_with_its_certificates(
    run: Run, set_up: None, document: Callable[[Any], str]
) -> None:
    rows.fleet(timezone.now())
    exported = run("configuration", "export", "--with-fleet")
    known = Orchestrator.objects.filter(
        status=2, demonstration=False, certificates__standing__in=ACCEPTED
    )
    assert [a["AgentId"] for a in exported["agents"]] == [
        str(pk) for pk in known.order_by("name_key", "pk").distinct().values_list("pk", flat=True)
    ]
    assert all(agent["Certificate"] for agent in exported["agents"])
    assert any(agent["LegacyCertificate"] for agent in exported["agents"])
    assert run("configuration", "apply", document(exported))["changed"] is False
    revoked = exported["agents"][0]["AgentId"]
    Certificate.objects.filter(orchestrator=revoked).update(revoked_at=timezone.now())
    left = run("configuration", "export", "--with-fleet")["agents"]
    assert [agent["AgentId"] for agent in left] == [a["AgentId"] for a in exported["agents"][1:]]


def test_no_secret_stands_in_it(run: Run, set_up: None) -> None:
    text = json.dumps(run("configuration", "export", "--with-fleet")).lower()
    assert "passphrase" not in text
    assert "private" not in text
    assert "password" not in text


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def made(document: dict[str, Any]) -> None:
        *before, last = path.split("/")
        place: Any = document
        for name in before:
            place = place[name]
        place[last] = value

    return made


REFUSED: dict[str, Callable[[dict[str, Any]], None]] = {
    "another version": change("portal_configuration", 2),
    "true for the version": change("portal_configuration", True),
    "an entry that is null": change("groups/Cologne", None),
    "a fleet that is null": change("agents", None),
    "half a surrogate pair in a name": change("groups/\ud800", {}),
    "a NUL in a text": change("groups/Bonn/description", "a\0b"),
    "a NUL in a list": change("roles/Berlin admins/only_labels", ["site=a\0"]),
    "an unknown section": change("users", {}),
    "a section that is no object": change("roles", []),
    "an unknown member": change("groups/Bonn/colour", "red"),
    "a member of another type": change("templates/Short/validity_seconds", "7 days"),
    "true for a number": change("templates/Short/validity_seconds", True),
    "a permission that is not there": change("roles/Berlin admins/permissions", ["/everything/"]),
    "a group that is not there": change("roles/Berlin admins/only_groups", ["Nowhere"]),
    "a CA that is not there": change("groups/Bonn/authority", "Nowhere"),
    "requesters of a CA that is not there": change("certificate_authorities", {"Nowhere": {}}),
    "requesters who are no texts": change("templates/Short/allowed_requesters", [7]),
    "a setting that is not there": change("settings/Nothing", "1"),
    "a value that a setting does not take": change("settings/SessionLengthMinutes", "soon"),
    "a rule with half a label": change("auto_registration_rules/Rest/assign_labels", ["site"]),
    "a rule with an unknown outcome": change("auto_registration_rules/Rest/outcome", "perhaps"),
    "an agent that cannot be taken in": change("agents", [{"ClientMachine": "web01"}]),
}


@pytest.mark.parametrize("spoil", REFUSED.values(), ids=REFUSED.keys())
def test_a_document_is_refused_whole_with(
    refused: Refused,
    run: Run,
    set_up: None,
    document: Callable[[Any], str],
    spoil: Callable[[dict[str, Any]], None],
) -> None:
    content = copy.deepcopy(WANTED)
    spoil(content)
    before = run("configuration", "export", "--with-fleet")
    entries = AuditEntry.objects.count()
    for what in ("plan", "apply"):
        assert refused("configuration", what, document(content)) == "document_refused"
    assert run("configuration", "export", "--with-fleet") == before
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize(
    "text",
    ['{"portal_configuration": 1, "groups": {"A": {}, "A": {}}}',
     '{"portal_configuration": 1, "portal_configuration": 1}',
     '{"portal_configuration": 1, "groups": {"A": {"description": NaN}}}'],
    ids=["one name twice", "one section twice", "no number"],
)  # fmt: skip
def test_json_that_can_be_read_in_two_ways_is_refused(
    refused: Refused, set_up: None, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "portal.json"
    path.write_text(text)
    assert refused("configuration", "plan", str(path)) == "document_refused"
