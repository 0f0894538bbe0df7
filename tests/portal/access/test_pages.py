"""What the pages of access, groups and readiness show, and what they change."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from orchestrators import labels
from orchestrators.models import Orchestrator, OrchestratorGroup
from portal.access.catalogue import CATALOGUE, Permission
from portal.access.models import User
from portal.access.reach import Reach
from portal.access.role_changes import content_of
from portal.audit.models import AuditEntry
from renewal.issuers import save_authority
from renewal.models import CertificateAuthority, GroupIssuance
from tests.portal.access.conftest import TESTER, group, label, page_of, role, user
from tests.portal.pages import fleet as rows

pytestmark = pytest.mark.django_db
P = Permission


@pytest.fixture
def admin() -> Client:
    return page_of(user("ada", "Administrator"))


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return str(response.content.decode())


def test_the_matrix_shows_old_and_new_names_and_what_is_included(admin: Client) -> None:
    role("Modifier", [P.AGENTS_MODIFY], only_labels=[("site", "x")])
    shown = text_of(admin, "/access")
    for entry in CATALOGUE:
        assert entry.access_string in shown
        assert entry.older_name in shown
    assert "Modifier grants /agents/management/modify/, which includes it" in shown
    assert "label site=x" in shown


def test_a_role_is_made_limited_changed_and_removed(admin: Client) -> None:
    berlin = group("Berlin")
    form = {
        "name": "Berlin operators",
        "description": "Who looks after Berlin",
        "permissions": ["agents_read", "agents_reset"],
        "groups": [str(berlin.pk)],
        "labels": "Site = b1\n\n",
    }
    response = admin.post("/access/roles/add", form)
    made = Group.objects.get(name="Berlin operators")
    assert response["Location"] == f"/access/roles/{made.pk}"
    content = content_of(made)
    assert content.permissions == {P.AGENTS_READ, P.AGENTS_RESET}
    assert content.limit == Reach(groups=frozenset({berlin.pk}), labels=frozenset({("site", "b1")}))
    assert "group Berlin, label site=b1" in text_of(admin, f"/access/roles/{made.pk}")
    assert "Who looks after Berlin" in text_of(admin, f"/access/roles/{made.pk}")
    admin.post(f"/access/roles/{made.pk}", {**form, "groups": [], "labels": ""})
    assert content_of(made).limit.everything
    assert admin.post(f"/access/roles/{made.pk}/delete")["Location"] == "/access"
    assert not Group.objects.filter(pk=made.pk).exists()


def test_a_wrong_label_or_a_taken_name_is_told_in_the_form(admin: Client) -> None:
    for form, said in (
        ({"name": "r", "labels": "nonsense"}, "is no label"),
        ({"name": "Operator"}, "already"),
        ({"name": "r", "permissions": ["all"]}, "not one of the available choices"),
    ):
        response = admin.post("/access/roles/add", form)
        assert response.status_code == 400
        assert said in response.content.decode()


def test_a_user_is_added_gets_roles_and_is_deactivated(admin: Client) -> None:
    admin.post("/access/users/add", {"username": "vera", "role": "Auditor"})
    vera = User.objects.get(username="vera")
    path = f"/access/users/{vera.pk}"
    admin.post(path, {"email": "v@example.com", "is_active": "on", "roles": ["Read only"]})
    vera.refresh_from_db()
    assert vera.email == "v@example.com"
    assert [r.name for r in vera.groups.all()] == ["Read only"]
    admin.post(path, {"roles": ["Read only"]})
    vera.refresh_from_db()
    assert not vera.is_active


def test_of_two_who_change_access_the_second_is_told_and_overwrites_nothing(admin: Client) -> None:
    vera = user("vera", "Auditor")
    clerk = role("Clerk", [P.PORTAL_READ])
    for path, first, late in (
        (
            f"/access/users/{vera.pk}",
            {"is_active": "on", "roles": ["Auditor", "Approver"]},
            {"is_active": "on", "roles": ["Auditor"], "email": "v@example.com"},
        ),
        (
            f"/access/roles/{clerk.pk}",
            {"name": "Clerk", "permissions": ["portal_read", "agents_read"]},
            {"name": "Clerk", "permissions": ["portal_read"], "description": "Reads"},
        ),
    ):
        found = re.search(r'name="revision" value="(\w+)"', admin.get(path).content.decode())
        assert found
        assert admin.post(path, {**first, "revision": found[1]}).status_code == 302
        refused = admin.post(path, {**late, "revision": found[1]})
        assert refused.status_code == 400
        assert "Somebody has changed it since you opened it" in refused.content.decode()
    assert sorted(r.name for r in vera.groups.all()) == ["Approver", "Auditor"]
    assert content_of(clerk).permissions == {P.PORTAL_READ, P.AGENTS_READ}


def test_the_page_of_a_user_says_which_role_grants_what_and_how_far(admin: Client) -> None:
    berlin = group("Berlin")
    modifier = role("Modifier", [P.AGENTS_MODIFY], only_groups=[berlin])
    vera = user("vera", "Read only", modifier)
    lines = admin.get(f"/access/users/{vera.pk}").context["lines"]
    told = {line.entry.permission: (words, [(s.role, s.by.permission) for s, _ in sources])
            for line, words, sources in lines}  # fmt: skip
    assert told[P.AGENTS_RESET] == ("group Berlin", [("Modifier", P.AGENTS_MODIFY)])
    assert told[P.AGENTS_READ] == ("all orchestrators", [("Read only", P.AGENTS_READ)])
    assert told[P.AUDITING_READ] == ("nothing", [])


def test_a_group_is_made_given_a_template_and_removed(admin: Client, fleet: rows.Fleet) -> None:
    assert admin.post("/groups", {"name": "Berlin", "description": "Rack 7"}).status_code == 302
    berlin = OrchestratorGroup.objects.get()
    form = {"name": "Berlin 2", "template": "Orchestrator"}
    admin.post(f"/groups/{berlin.pk}", form)
    berlin.refresh_from_db()
    assert (berlin.name, GroupIssuance.objects.get().template.name) == ("Berlin 2", "Orchestrator")
    assert admin.post("/groups", {"name": "BERLIN 2"}).status_code == 400
    assert admin.post(f"/groups/{berlin.pk}/delete")["Location"] == "/groups"
    assert not OrchestratorGroup.objects.exists()


def test_group_and_labels_are_set_for_many_and_the_list_is_filtered_by_them(
    admin: Client, fleet: rows.Fleet
) -> None:
    group("Berlin")
    ids = [str(fleet.calm.pk), str(fleet.warned.pk)]
    shown = admin.post("/orchestrators/assign", {"ids": ids})
    assert shown.status_code == 200
    assert not AuditEntry.objects.filter(action="group_assigned").exists()
    sent = {"ids": ids, "confirmed": "1", "group": "=Berlin", "put": "site=b1\nrack=7"}
    assert admin.post("/orchestrators/assign", sent)["Location"] == "/orchestrators"
    for query in ("group=Berlin", "group=BERLIN", "label=site%3Db1", "label=rack"):
        page = admin.get(f"/orchestrators?{query}").context["page"]
        assert {str(row.orchestrator.pk) for row in page.rows} == set(ids), query
    assert admin.get("/orchestrators?label=site%3Db2").context["page"].rows == []
    one = {"ids": ids[:1], "confirmed": "1", "remove": "rack, nothing"}
    admin.post("/orchestrators/assign", one)
    assert labels.labels_of(fleet.calm) == {"site": "b1"}
    detail = text_of(admin, f"/orchestrators/{fleet.calm.pk}")
    assert "site=b1" in detail
    assert AuditEntry.objects.filter(action="labels_changed").count() == 3


LABELS = {
    "no equals sign": "site",
    "no value": "site=",
    "a key with a space": "my site=x",
    "a key of 64 characters": f"{'k' * 64}=x",
    "a value of 64 characters": f"k={'x' * 64}",
    "a bidi mark": "k=a\u202eb",
    "a NUL": "k=a\0b",
}


@pytest.mark.parametrize("text", LABELS.values(), ids=LABELS.keys())
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(labels.GroupingRefused) as refused:
        labels.parse(text)
    assert refused.value.reason == "label_invalid"


def test_an_orchestrator_bears_32_labels_and_not_one_more(fleet: rows.Fleet) -> None:
    many = {f"k{n}": "v" for n in range(labels.MOST_LABELS)}
    labels.set_labels([fleet.calm.pk], put=many, actor=TESTER)
    with pytest.raises(labels.GroupingRefused):
        labels.set_labels([fleet.warned.pk, fleet.calm.pk], put={"more": "v"}, actor=TESTER)
    assert labels.labels_of(fleet.warned) == {}


def test_hostile_names_are_shown_as_text(admin: Client, fleet: rows.Fleet) -> None:
    label("k=<script>alert(1)</script>", fleet.calm)
    group('<img src=x onerror="1">', fleet.calm)
    for path in ("/groups", "/orchestrators", f"/orchestrators/{fleet.calm.pk}"):
        shown = text_of(admin, path)
        assert "<script>alert" not in shown
        assert "<img src" not in shown


def test_readiness_is_red_with_the_remedy_and_green_when_it_is_done(
    admin: Client, fleet: rows.Fleet
) -> None:
    account = rows.service_account()
    path = f"/access/users/{account.pk}"
    assert [c.ok for c in admin.get(path).context["checks"]] == [True] * 5 + [None]
    account.groups.clear()
    CertificateAuthority.objects.get().allowed_requesters.add(user("other"))
    checks = admin.get(path).context["checks"]
    assert [c.ok for c in checks] == [False, False, False, False, True, None]
    assert all(c.remedy for c in checks if c.ok is False)
    shown = text_of(admin, f"/orchestrators/{fleet.calm.pk}/access")
    assert "Add orchestrators to the requesters of Portal CA." in shown
    assert "/certificates/enrollment/csr/ is missing" in shown


def test_a_test_call_is_made_on_demand_and_its_result_kept_with_its_time(
    admin: Client, fleet: rows.Fleet
) -> None:
    authority = CertificateAuthority.objects.get()
    response = admin.post(f"/authorities/{authority.pk}/test", {"next": "https://evil.example/"})
    assert response["Location"] == f"/authorities/{authority.pk}"
    authority.refresh_from_db()
    assert authority.test_passed is False
    assert authority.tested_at is not None
    assert authority.test_message
    assert escape(authority.test_message) in text_of(admin, "/authorities")
    assert AuditEntry.objects.get(action="authority_tested").after["passed"] is False
    CertificateAuthority.objects.update(test_passed=True)
    save_authority(
        name=authority.name,
        alias="local",
        options={"directory": "elsewhere", "passphrase": "other"},
        actor=TESTER,
        now=timezone.now(),
    )
    account = rows.service_account()
    checks = admin.get(f"/access/users/{account.pk}").context["checks"]
    assert (checks[-1].ok, checks[-1].remedy) == (None, "Test it.")


def test_readiness_looks_at_each_ca_that_a_group_chooses(admin: Client, fleet: rows.Fleet) -> None:
    account, portal_ca = rows.service_account(), CertificateAuthority.objects.get()
    closed = CertificateAuthority.objects.get()
    closed.pk, closed.name = None, "Closed CA"
    closed.save()
    closed.allowed_requesters.set([user("other")])
    for number in range(22):
        host = rows.approved(f"host-{number}", now=timezone.now(), left=timedelta(days=300))
        GroupIssuance.objects.create(
            group=group(f"Group {number:02}", host),
            authority=closed if number == 21 else portal_ca,
        )
    checks = admin.get(f"/access/users/{account.pk}").context["checks"]
    (told,) = [check for check in checks if "requester of the CA Closed CA" in check.name]
    assert told.ok is False


def test_the_account_page_of_a_limited_person_tells_the_reach(scoped: User) -> None:
    assert "group Berlin" in text_of(page_of(scoped), "/account")


def test_no_orchestrator_is_in_a_group_at_first(fleet: rows.Fleet) -> None:
    assert not Orchestrator.objects.filter(group__isnull=False).exists()
