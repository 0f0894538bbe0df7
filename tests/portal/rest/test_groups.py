"""Groups, labels and names of orchestrators over the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrators.models import Orchestrator, OrchestratorGroup
from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry, Category
from tests.portal.access.conftest import group, role, user
from tests.portal.rest.conftest import Caller, basic, refused

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]
DRY = {"dry_run": "true"}
NOBODY = "00000000-0000-4000-8000-000000000000"
MODIFY = [Permission.AGENTS_READ, Permission.AGENTS_MODIFY]


def changes() -> int:
    return AuditEntry.objects.exclude(category=Category.REFUSAL).count()


@pytest.mark.both_databases
def test_a_group_is_made_filled_renamed_emptied_and_removed(
    admin: Caller, orchestrator: Make
) -> None:
    made = str(orchestrator().pk)
    foreseen = admin.post("Groups", {"Name": "Bonn"}, query=DRY).json()
    assert foreseen["Changes"][0]["After"] == {"name": "Bonn", "description": ""}
    assert not OrchestratorGroup.objects.exists()
    new = admin.post("Groups", {"Name": "Bonn", "Description": "east wing"}).json()
    path = f"Groups/{new['Id']}"
    assert admin.get("Groups").json() == [admin.get(path).json()] == [new]
    refused(admin.post("Groups", {"Name": "bonn", "Description": "x"}), 400, "name_taken")
    assert admin.get(path).json() == new
    refused(admin.post("Groups", {"Name": " "}), 400, "value_invalid")

    put = {"AgentIds": [made], "Group": "BONN"}
    assert admin.post("Agents/SetGroup", put, query=DRY).json()["Changes"][0]["Id"] == made
    told = {"Changed": [made], "Unchanged": []}
    assert admin.post("Agents/SetGroup", put).json() == told
    assert admin.post("Agents/SetGroup", put).json() == {"Changed": [], "Unchanged": [made]}
    (still,) = admin.post("Agents/SetGroup", put, query=DRY).json()["Changes"]
    assert (still["Id"], still["Outcome"]) == (made, "unchanged")
    refused(admin.send("DELETE", path), 400, "in_use")

    tag = admin.get(path)["ETag"]
    renamed = admin.send("PUT", path, {"Name": "Köln"}, headers={"If-Match": tag})
    assert renamed.json() == {**new, "Name": "Köln"}
    stale = admin.send("DELETE", path, headers={"If-Match": tag})
    refused(stale, 412, "precondition_failed")
    refused(admin.send("PUT", path, {"Id": new["Id"] + 1}), 400, "value_invalid")
    assert admin.post("Agents/SetGroup", {"AgentIds": [made], "Group": None}).json() == told
    assert admin.send("DELETE", path).status_code == 204
    refused(admin.get(path), 404, "group_unknown")


@pytest.mark.both_databases
def test_labels_are_set_and_removed_and_those_with_other_keys_stay(
    admin: Caller, orchestrator: Make
) -> None:
    first, second = orchestrator("a"), orchestrator("b")
    first.labels.create(key="old", value="1")
    first.labels.create(key="kept", value="1")
    ids = [str(first.pk), str(second.pk)]
    body = {"AgentIds": ids, "Set": {"Region": "eu"}, "Remove": ["OLD"]}
    assert admin.post("Agents/SetLabels", body).json() == {"Changed": ids, "Unchanged": []}
    rows = {o["AgentId"]: o for o in admin.get("Agents", query={"includeRenewal": "1"}).json()}
    assert rows[ids[0]]["Renewal"]["Labels"] == {"kept": "1", "region": "eu"}
    assert rows[ids[1]]["Renewal"]["Labels"] == {"region": "eu"}


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "a group that does not exist": ("SetGroup", {"Group": "Nowhere"}, "group_unknown"),
    "a group that is no text": ("SetGroup", {"Group": 7}, "value_invalid"),
    "no group at all": ("SetGroup", {}, "member_missing"),
    "labels that are a list": ("SetLabels", {"Set": ["a=b"]}, "value_invalid"),
    "a key with a space": ("SetLabels", {"Set": {"a b": "c"}}, "value_invalid"),
    "a value that is a number": ("SetLabels", {"Set": {"a": 1}}, "value_invalid"),
    "a value with a NUL": ("SetLabels", {"Set": {"a": "b\0"}}, "value_invalid"),
    "a key with an equals sign": ("SetLabels", {"Set": {"a=b": "c"}}, "value_invalid"),
    "one key twice": ("SetLabels", {"Set": {"k": "1", " K": "2"}}, "value_invalid"),
    "a key to remove that is none": ("SetLabels", {"Remove": ["a b\u202e"]}, "value_invalid"),
    "keys to remove that are a number": ("SetLabels", {"Remove": 0}, "value_invalid"),
    "33 labels": ("SetLabels", {"Set": {f"k{n}": "v" for n in range(33)}}, "act_refused"),
    "nothing to do": ("SetLabels", {"Set": {}}, "member_missing"),
}


@pytest.mark.parametrize(("call", "body", "code"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_and_changes_nothing(
    admin: Caller, orchestrator: Make, call: str, body: dict[str, Any], code: str
) -> None:
    made = str(orchestrator().pk)
    before = changes()
    for options in ({}, {"query": DRY}):
        refused(admin.post(f"Agents/{call}", {"AgentIds": [made], **body}, **options), 400, code)
    assert changes() == before


def test_all_of_a_list_or_none_and_nobody_leaves_the_reach_of_who_assigns(
    admin: Caller, orchestrator: Make
) -> None:
    inside, outside = orchestrator("in"), orchestrator("out")
    berlin, bonn = group("Berlin", inside), group("Bonn")
    held = role("Berliners", MODIFY, only_groups=[berlin])
    lea = Caller({"Authorization": basic(user("lea", held).username)})
    before = changes()
    both = [str(inside.pk), str(outside.pk)]
    for ids in (both, [str(inside.pk), NOBODY]):
        for call, body in (("SetGroup", {"Group": "Berlin"}), ("SetLabels", {"Set": {"a": "b"}})):
            answer = lea.post(f"Agents/{call}", {"AgentIds": ids, **body})
            assert ids[1] in refused(answer, 400, "orchestrator_unknown")["Message"]
    one = [str(inside.pk)]
    refused(lea.post("Agents/SetGroup", {"AgentIds": one, "Group": None}), 400, "act_refused")
    refused(lea.post("Agents/SetGroup", {"AgentIds": one, "Group": "Bonn"}), 400, "group_unknown")
    for method, path in (("POST", "Groups"), ("PUT", f"Groups/{berlin.pk}")):
        refused(lea.send(method, path, {"Name": "New"}), 403, "permission_missing")
    assert [row["Name"] for row in lea.get("Groups").json()] == ["Berlin"]
    refused(lea.get(f"Groups/{bonn.pk}"), 404, "group_unknown")
    refused(admin.send("DELETE", f"Groups/{berlin.pk}"), 400, "in_use")
    assert changes() == before
    assert lea.post("Agents/SetLabels", {"AgentIds": one, "Set": {"a": "b"}}).status_code == 200


@pytest.mark.both_databases
def test_names_are_set_and_the_seen_one_is_accepted(admin: Caller, orchestrator: Make) -> None:
    made = orchestrator("web-1", client_machine_seen="web-2")
    path = f"Agents/{made.pk}/Names"
    first = admin.get(path)
    assert first.json() == {"ClientMachine": "web-1", "Seen": "web-2", "ExtraNames": []}
    body = {"ExtraNames": ["www.example.test"]}
    (foreseen,) = admin.post(path, body, query=DRY).json()["Changes"]
    assert foreseen["After"] == {"names": ["www.example.test"]}
    tagged = {"headers": {"If-Match": first["ETag"]}}
    assert admin.post(path, body, **tagged).json() == {**first.json(), **body}
    refused(admin.post(path, body, **tagged), 412, "precondition_failed")
    refused(admin.post(path, {"ExtraNames": ["x" * 254]}), 400, "value_invalid")
    refused(admin.post(f"{path}/Accept", {"Name": "web-3"}), 400, "act_refused")
    accepted = admin.post(f"{path}/Accept", {"Name": "web-2"}).json()
    assert accepted == {"ClientMachine": "web-2", "Seen": None, **body}
    assert admin.post(f"{path}/Accept", {"Name": "web-2"}).json() == accepted
    refused(admin.post(f"{path}/Accept", {"Name": "web-9"}), 400, "act_refused")
    refused(admin.get(f"Agents/{NOBODY}/Names"), 404, "orchestrator_unknown")
