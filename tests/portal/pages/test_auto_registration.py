"""The pages of auto-registration: the list, the form, moving, and "Try"."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrators import groups
from orchestrators.models import AutoRegistrationRule, HandlerHealth, Orchestrator
from orchestrators.registration import editing
from portal.audit.models import AuditEntry
from tests.orchestrators.registration import handlers
from tests.portal.pages import fleet as rows

LIST = "/orchestrators/auto-registration"
RULE = {
    "name": "Web hosts",
    "description": "Machines of the web farm",
    "outcome": "allow",
    "enabled": "on",
    "name_patterns": "web*\r\n  www?\r\n\r\n",
    "networks": "10.0.0.0/8\n192.0.2.7",
    "parameters": "site=v*\nrack=",
    "role": "Orchestrator",
    "service_account": "orchestrators",
    "assign_labels": "Tier=web",
}


def text_of(response) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(text.split())


def names() -> list[str]:
    return [row.name for row in editing.ordered()]


def test_a_rule_is_added_shown_changed_and_deleted(db, now, admin):
    rows.set_up(now)
    assert "No rules" in text_of(admin.get(LIST))
    assert admin.post(f"{LIST}/add", RULE).status_code == 302
    (row,) = AutoRegistrationRule.objects.all()
    assert (row.name_patterns, row.networks) == (["web*", "www?"], ["10.0.0.0/8", "192.0.2.7/32"])
    assert row.parameters == [["site", "v*"], ["rack", ""]]
    assert row.assign_labels == {"tier": "web"}
    shown = text_of(admin.get(LIST))
    assert "Web hosts" in shown
    assert "name web* or www?" in shown
    page = admin.get(f"{LIST}/{row.pk}")
    assert "site=v*" in page.content.decode()
    changed = {**RULE, "outcome": "deny", "version": str(row.version)}
    assert admin.post(f"{LIST}/{row.pk}", changed).status_code == 302
    row.refresh_from_db()
    assert (row.outcome, row.version) == ("deny", 2)
    assert admin.post(f"{LIST}/{row.pk}", changed).status_code == 400
    revision = editing.revision(editing.ordered())
    assert "Delete the rule" in text_of(admin.get(f"{LIST}/{row.pk}/delete"))
    assert admin.post(f"{LIST}/{row.pk}/delete", {"revision": revision}).status_code == 302
    assert not AutoRegistrationRule.objects.exists()
    actions = AuditEntry.objects.filter(object_type="auto_registration_rule").order_by("pk")
    assert list(actions.values_list("action", flat=True)) == [
        "rule_added",
        "rule_changed",
        "rule_deleted",
    ]
    assert actions[1].before["outcome"] == "allow"
    assert admin.get(f"{LIST}/{row.pk}").status_code == 404
    assert admin.get(f"{LIST}/{row.pk}/delete").status_code == 404


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "a\u202eb"}, "control or direction character"),
        ({"name": "Build agents"}, "Another rule has this name"),
        ({"outcome": "maybe"}, "Select a valid choice"),
        ({"networks": "10.0.0.0/33"}, "is not an address or a network"),
        ({"networks": "example.com"}, "is not an address or a network"),
        ({"parameters": "site"}, "is not key=value"),
        ({"name_patterns": "x" * 256}, "At most 255 characters"),
        ({"name_patterns": "x\n" * 51}, "At most 50 values"),
        ({"role": "No such role"}, "Select a valid choice"),
        ({"credential": "none"}, "Select a valid choice"),
        ({"service_account": "admin"}, "Select a valid choice"),
        ({"assign_group": "77"}, "Select a valid choice"),
        ({"assign_labels": "Ä=1"}, "is no key of a label"),
        ({"assign_labels": "site"}, "is not key=value"),
    ],
)
def test_a_bad_rule_is_refused_where_it_was_typed(fleet, admin, wrong, said):
    before = names()
    response = admin.post(f"{LIST}/add", {**RULE, **wrong})
    assert response.status_code == 400
    assert said in text_of(response)
    assert names() == before


def test_rules_are_moved_and_a_stale_page_moves_nothing(db, now, admin):
    first, second, third = (rows.rule(name, now=now) for name in "abc")
    revision = editing.revision(editing.ordered())
    admin.post(f"{LIST}/{third.pk}/move", {"position": "1", "revision": revision})
    assert names() == ["c", "a", "b"]
    page = admin.post(
        f"{LIST}/{first.pk}/move", {"position": "3", "revision": revision}, follow=True
    )
    assert "Somebody else changed the rules meanwhile" in text_of(page)
    assert names() == ["c", "a", "b"]
    for position in ("0", "x", "", "9999"):
        fresh = editing.revision(editing.ordered())
        admin.post(f"{LIST}/{second.pk}/move", {"position": position, "revision": fresh})
        assert names() == ["c", "a", "b"]
    admin.post(f"{LIST}/{second.pk}/delete", {"revision": revision})
    assert names() == ["c", "a", "b"]
    assert AuditEntry.objects.filter(action="rule_moved").count() == 1


def test_a_rule_is_switched_off_and_on(db, now, admin):
    row = rows.rule("a", "allow", now=now)
    for enabled in ("false", "true"):
        page = admin.post(f"{LIST}/{row.pk}/switch", {"enabled": enabled}, follow=True)
        assert f"The rule a is switched {'on' if row.enabled is False else 'off'}" in text_of(page)
        row.refresh_from_db()
        assert row.enabled is (enabled == "true")


def test_the_handlers_are_shown_in_order_with_their_health(db, now, admin, settings):
    paths = tuple(f"{handlers.__name__}.{name}" for name in ("AllowsWeb", "CannotBeMade", "Raises"))
    settings.CONFIG = replace(settings.CONFIG, registration_handlers=paths)
    HandlerHealth.objects.create(path=paths[0], last_answer_at=now)
    HandlerHealth.objects.create(
        path=paths[2],
        last_answer_at=now - timedelta(hours=1),
        failures=3,
        time_outs=2,
        last_error="failed: RuntimeError: the inventory is down",
        last_error_at=now,
    )
    shown = text_of(admin.get(LIST))
    parts = ["web hosts", "OK", "CannotBeMade", "Not loaded", "Raises", "Failing", "is down"]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)


def test_try_shows_rule_by_rule_what_would_happen_and_writes_nothing(fleet, now, admin):
    before = list(AutoRegistrationRule.objects.values())
    entries = AuditEntry.objects.count()
    shown = text_of(admin.get(f"{LIST}/try", {"client_machine": "build-7", "address": "10.1.2.3"}))
    assert "The rule Build agents decides. Approved at once." in shown
    assert "1 rule behind it is not looked at" in shown
    shown = text_of(admin.get(f"{LIST}/try", {"client_machine": "build-7", "address": "11.1.2.3"}))
    assert "The address 11.1.2.3 is not in “10.0.0.0/8”." in shown
    assert "The rule Everybody else decides. An operator decides." in shown
    assert list(AutoRegistrationRule.objects.values()) == before
    assert AuditEntry.objects.count() == entries


def test_try_tells_of_a_twin(fleet, now, admin):
    rows.approved("build-l", now=now, left=timedelta(days=300))
    shown = text_of(admin.get(f"{LIST}/try", {"client_machine": "build-1", "address": "10.1.2.3"}))
    assert "an operator has to look at it" in shown
    assert "is, or looks like, that of an approved orchestrator" in shown


def test_try_takes_a_new_record_and_hides_what_a_role_does_not_reach(fleet, now, admin):
    page = admin.get(f"{LIST}/try", {"record": str(fleet.waiting.pk)})
    assert page.context["form"].initial["client_machine"] == "new-host.example.com"
    offered = {o.client_machine for o in page.context["recent"]}
    assert "returning-host" not in offered
    assert {"new-host.example.com", "contested-host"} <= offered


@pytest.mark.parametrize(
    "given",
    [
        {"client_machine": ""},
        {"client_machine": "a\x00b"},
        {"client_machine": "a\u202eb"},
        {"client_machine": "x", "parameters": "nonsense"},
        {"client_machine": "x", "credential": "none"},
        {"client_machine": "x" * 300},
    ],
)
def test_try_refuses_what_no_orchestrator_could_send(fleet, admin, given):
    assert admin.get(f"{LIST}/try", given).status_code == 400


def test_a_group_that_is_gone_is_told(fleet, now, admin):
    group, _ = groups.save_group("Vienna", actor=rows.ALICE, now=now)
    rows.rule("Vienna", "allow", now=now, assign_group=group.pk)
    assert "group Vienna" in text_of(admin.get(LIST))
    groups.delete_group(group.pk, actor=rows.ALICE)
    assert "one that is gone" in text_of(admin.get(LIST))
    assert Orchestrator.objects.exists()


def test_an_orchestrators_page_says_that_handlers_choose_first(fleet, admin, settings):
    calm = f"/orchestrators/{fleet.calm.pk}"
    assert "registration handlers are asked" not in text_of(admin.get(calm))
    paths = (f"{handlers.__name__}.AllowsWeb", f"{handlers.__name__}.Spy")
    settings.CONFIG = replace(settings.CONFIG, registration_handlers=paths)
    assert "may choose others: web hosts, Spy." in text_of(admin.get(calm))
