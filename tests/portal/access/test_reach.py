"""How far a role reaches: what is outside does not exist, on pages and over REST."""

from __future__ import annotations

import re
from collections import Counter
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.models import Job, Orchestrator, OrchestratorGroup, Status
from orchestrators.reach import may_see, within
from portal.access.catalogue import WHOLE_PORTAL, Permission
from portal.access.models import User
from portal.access.permissions import holds
from portal.access.reach import EVERYTHING, NOTHING, Reach, reach
from portal.audit.models import AuditEntry
from renewal import census
from renewal.models import BulkJob, Certificate, Enrollment
from renewal.rules.periods import Periods
from renewal.selectors import fleet as fleet_list
from renewal.selectors.filters import Ends, Filters
from renewal.selectors.marks import Mark
from renewal.selectors.state_counts import tally
from tests.portal.access.conftest import group, label, page_of, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, refused

pytestmark = pytest.mark.django_db
P = Permission
UNKNOWN = UUID("00000000-0000-4000-8000-000000000000")


def reach_of(*held: object) -> Reach:
    return reach(user("ada", *held), P.AGENTS_READ)  # type: ignore[arg-type]


class TestHowRolesCombine:
    def test_a_role_without_a_limit_reaches_everything(self) -> None:
        assert reach_of("Operator") == EVERYTHING

    def test_without_a_role_nothing_is_reached(self) -> None:
        assert reach_of() == NOTHING

    def test_limits_of_one_role_and_of_several_add_up(self) -> None:
        one, two = group("one"), group("two")
        a = role("a", [P.AGENTS_READ], only_groups=[one], only_labels=[("site", "x")])
        b = role("b", [P.AGENTS_READ], only_groups=[two])
        assert reach_of(a, b) == Reach(
            groups=frozenset({one.pk, two.pk}), labels=frozenset({("site", "x")})
        )

    def test_a_role_without_a_limit_outweighs_one_with(self) -> None:
        limited = role("a", [P.AGENTS_READ], only_groups=[group("one")])
        assert reach_of(limited, "Read only") == EVERYTHING

    def test_a_role_lends_its_reach_only_to_what_it_grants(self) -> None:
        one = group("one")
        person = user("ada", "Read only", role("a", [P.AGENTS_MODIFY], only_groups=[one]))
        assert reach(person, P.AGENTS_READ) == EVERYTHING
        for below in (P.AGENTS_MODIFY, P.AGENTS_RESET, P.AGENTS_LOGS):
            assert reach(person, below) == Reach(groups=frozenset({one.pk}))

    def test_a_limited_role_never_grants_what_changes_the_whole_portal(self) -> None:
        person = user("ada", role("a", list(Permission), only_groups=[group("one")]))
        assert {p for p in Permission if not holds(person, p)} == WHOLE_PORTAL

    def test_an_inactive_user_reaches_nothing_and_a_superuser_everything(self) -> None:
        person = user("ada", "Administrator")
        person.is_active = False
        assert reach(person, P.AGENTS_READ) == NOTHING
        assert reach(User.objects.create_superuser("root"), P.AGENTS_READ) == EVERYTHING

    def test_a_limit_to_a_group_that_is_gone_reaches_nothing(self, fleet: rows.Fleet) -> None:
        gone = OrchestratorGroup(pk=2**40)
        limit = reach_of(role("a", [P.AGENTS_READ], only_groups=[gone]))
        assert not limit.everything
        assert not within(Orchestrator.objects.all(), limit).exists()

    def test_all_of_it_costs_one_query(self) -> None:
        person = user("ada", "Operator", role("a", [P.AGENTS_READ], only_groups=[group("one")]))
        person = User.objects.get(pk=person.pk)
        with CaptureQueriesContext(connection) as captured:
            for permission in Permission:
                holds(person, permission)
                reach(person, permission)
        assert len(captured) == 1


@pytest.mark.both_databases
def test_groups_and_labels_reach_what_any_of_them_names(fleet: rows.Fleet) -> None:
    one = group("one", fleet.calm)
    site = label("site=north", fleet.warned, fleet.calm)
    label("site=south", fleet.expired)
    by_group = Reach(groups=frozenset({one.pk}))
    by_label = Reach(labels=frozenset({site}))
    for limit, expected in (
        (by_group, {fleet.calm.pk}),
        (by_label, {fleet.calm.pk, fleet.warned.pk}),
        (by_group | by_label, {fleet.calm.pk, fleet.warned.pk}),
        (NOTHING, set()),
    ):
        found = within(Orchestrator.objects.all(), limit)
        assert set(found.values_list("pk", flat=True)) == expected
        assert {o.pk for o in Orchestrator.objects.all() if may_see(o, limit)} == expected
        # Rows of other tables: by the column, and by the relation where they are joined anyway.
        for by in ("orchestrator_id", "orchestrator"):
            held = within(Certificate.objects.all(), limit, by=by)
            assert set(held.values_list("orchestrator_id", flat=True)) == expected, by
    both = within(Orchestrator.objects.all(), by_group, by_label)
    assert set(both.values_list("pk", flat=True)) == {fleet.calm.pk}


COVERS = {
    "everything covers a group": (EVERYTHING, Reach(groups=frozenset({1})), True),
    "a group does not cover everything": (Reach(groups=frozenset({1})), EVERYTHING, False),
    "two groups cover one": (Reach(groups=frozenset({1, 2})), Reach(groups=frozenset({2})), True),
    "a group does not cover another": (
        Reach(groups=frozenset({1})), Reach(groups=frozenset({2})), False,
    ),
    "a group does not cover a label": (
        Reach(groups=frozenset({1})), Reach(labels=frozenset({("a", "b")})), False,
    ),
    "anything covers nothing": (NOTHING, NOTHING, True),
}  # fmt: skip


@pytest.mark.parametrize(("wide", "narrow", "expected"), COVERS.values(), ids=COVERS.keys())
def test_whether_a_reach_covers_another(wide: Reach, narrow: Reach, expected: bool) -> None:
    assert wide.covers(narrow) is expected


def test_counts_and_group_names_of_an_act_are_those_that_one_sees(fleet: rows.Fleet) -> None:
    """The act itself is held for all, to see them for some."""
    berlin, hidden = group("Berlin", fleet.calm), group("Hidden", fleet.warned)
    sees = role("Sees Berlin", [P.PORTAL_READ, P.AGENTS_READ], only_groups=[berlin])
    person = page_of(user("bob", sees, role("Acts", [P.AGENTS_MODIFY, P.AGENTS_RENEW])))
    preview = person.get("/orchestrators/all/preview?act=request").content.decode()
    assert "are expired" not in preview
    assert "wait for approval" not in preview
    form = person.get(f"/orchestrators/assign?ids={fleet.calm.pk}").content.decode()
    assert "Berlin" in form
    assert hidden.name not in form


# --- the pages ----------------------------------------------------------------------------------


def body_of(response: object) -> str:
    """The page without what differs between any two requests."""
    text = response.content.decode()  # type: ignore[attr-defined]
    text = re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", text)
    text = re.sub(r'name="next" value="[^"]+"', "", text)
    return re.sub(r"Reference <code>[^<]+</code>", "", text)


def test_the_list_and_the_counts_leave_out_what_is_outside(fleet: rows.Fleet, scoped: User) -> None:
    client = page_of(scoped)
    listed = client.get("/orchestrators?sort=name").context["page"].rows
    inside = {fleet.calm.pk, fleet.waiting.pk, fleet.renewed.pk}
    assert {row.orchestrator.pk for row in listed} == inside
    seen = client.get("/").context["overview"]
    assert seen.tally.total.value == 3
    assert seen.overdue_revocations.value == 1
    assert seen.demonstration == {}


@pytest.mark.both_databases
def test_within_a_label_as_many_are_counted_as_are_listed(fleet: rows.Fleet) -> None:
    now = timezone.now()
    outside = {fleet.warned.pk, fleet.waiting.pk}
    inside = Orchestrator.objects.exclude(pk__in=outside)
    site = label("site=north", *inside)
    for filters in (
        Filters(),
        Filters(ends=Ends(days=3650)),
        Filters(query="a"),
        *(Filters(mark=mark) for mark in Mark),
    ):
        asked = {"reach": Reach(labels=frozenset({site, ("no", "such")})), "now": now}
        listed = fleet_list.page(filters, Periods(), **asked).rows
        every = fleet_list.page(filters, Periods(), reach=EVERYTHING, now=now).rows
        named = [row.orchestrator.pk for row in every if row.orchestrator.pk not in outside]
        assert [row.orchestrator.pk for row in listed] == named
        counted = tally(filters, Periods(), **asked)
        assert counted.total.value == len(named)
        by_state = {state: n.value for state, n in counted.by_state.items() if n.value}
        assert by_state == Counter(row.state for row in listed)


def test_a_search_for_what_is_outside_finds_nothing(fleet: rows.Fleet, scoped: User) -> None:
    client = page_of(scoped)
    for query in (fleet.warned.client_machine, str(fleet.warned.pk), fleet.warned.thumbprint):
        assert client.get("/orchestrators", {"q": query}).context["page"].rows == []
        assert client.get("/certificates", {"q": query}).context["rows"] == []
    assert client.get("/certificates", {"q": fleet.calm.thumbprint}).context["rows"]


def test_certificates_and_audit_show_only_what_is_within(fleet: rows.Fleet, scoped: User) -> None:
    client = page_of(scoped)
    mine = {fleet.calm.pk, fleet.waiting.pk, fleet.renewed.pk}
    shown = client.get("/certificates?shown=all").context["rows"]
    assert {row.certificate.orchestrator_id for row in shown} == mine
    events = [
        event
        for group in client.get("/audit").context["groups"]
        for event in (group.first, *group.others)
    ]
    assert {told.entry.orchestrator_id for told in events} == mine
    assert AuditEntry.objects.exclude(orchestrator_id__in=mine).exists()


@pytest.fixture
def collector(fleet: rows.Fleet, berlin: OrchestratorGroup) -> User:
    """Somebody who sees every certificate, and the orchestrators of Berlin alone."""
    everywhere = role("Certificates", [P.PORTAL_READ, P.CERTIFICATES_READ, P.CERTIFICATES_REVOKE])
    return user("cora", everywhere, role("Berlin", [P.AGENTS_READ], only_groups=[berlin]))


def requested_by_itself(record: Orchestrator) -> Certificate:
    """Return the newest certificate of a record, as one that it asked for."""
    found = Certificate.objects.filter(orchestrator=record).latest("pk")
    by = f"orchestrator {record.client_machine}"
    Enrollment.objects.filter(certificate=found).delete()
    rows.enrollment(record, now=timezone.now(), certificate=found, state="issued", requested_by=by)
    AuditEntry.objects.create(
        actor_name=by,
        category="certificate",
        action="certificate_issued",
        object_type="certificate",
        object_id=str(found.pk),
        orchestrator_id=record.pk,
    )
    return found


def test_a_certificate_does_not_tell_of_an_orchestrator_that_is_outside(
    fleet: rows.Fleet, collector: User
) -> None:
    """Who sees every certificate sees no more orchestrators by it: no name, no id, no link."""
    hidden, own = requested_by_itself(fleet.wrong), requested_by_itself(fleet.calm)
    name, key = fleet.wrong.client_machine, str(fleet.wrong.pk)
    client, caller = page_of(collector), caller_for(collector)
    paths = ("/certificates?shown=all", f"/certificates/{hidden.pk}")
    for page in (*(client.get(path) for path in paths), client.get(f"{paths[1]}/revoke")):
        assert page.status_code == 200
        told = page.content.decode().replace(hidden.common_name, "")
        assert key not in told
        assert name not in told.replace(hidden.subject_name, "")
    assert str(fleet.calm.pk) in client.get(paths[0]).content.decode()
    export = b"".join(client.get("/certificates/export.csv?shown=all").streaming_content).decode()
    assert key not in export
    assert str(fleet.calm.pk) in export
    assert fleet.calm.client_machine in client.get(f"/certificates/{own.pk}").content.decode()

    listed = {row["Id"]: row for row in caller.get("Certificates").json()}
    one = caller.get(f"Certificates/{hidden.pk}").json()
    for row in (listed[hidden.pk], one):
        assert (row["OrchestratorId"], row["RequesterName"]) == (None, "an orchestrator")
    assert listed[own.pk]["OrchestratorId"] == str(fleet.calm.pk)
    (history,) = caller.get(f"Certificates/{hidden.pk}/History").json()
    assert history["Username"] == "an orchestrator"
    for path, query, expected in (
        ("Certificates", f'OrchestratorId -eq "{key}"', 0),
        ("Certificates", f'RequesterName -contains "{name}"', 0),
        ("Certificates", f'Requester -contains "{name}"', 0),
        ("Certificates", f'NetBIOSRequester -contains "{name}"', 0),
        ("Certificates", f'OrchestratorId -eq "{fleet.calm.pk}"', 1),
        ("Certificates", f"OrchestratorId -eq NULL AND Id -eq {hidden.pk}", 1),
        (f"Certificates/{hidden.pk}/History", f'Username -contains "{name}"', 0),
        (f"Certificates/{own.pk}/History", f'Username -contains "{fleet.calm.client_machine}"', 1),
    ):
        found = caller.get(path, query={"QueryString": query}).json()
        assert len(found) == expected, (query, found)


PAGES = [
    ("GET", "/orchestrators/{id}", {}),
    ("GET", "/orchestrators/act?act=reset&ids={id}", {}),
    ("POST", "/orchestrators/act/perform", {"act": "reset", "message": "why", "ids": "{id}"}),
    ("POST", "/orchestrators/act/perform", {"act": "approve", "ids": "{id}"}),
    ("POST", "/orchestrators/act/perform", {"act": "require", "ids": "{id}"}),
    ("POST", "/orchestrators/{id}/logs/fetch", {}),
    ("POST", "/orchestrators/{id}/names", {"names": "evil"}),
    ("POST", "/orchestrators/{id}/accept-name", {"name": "cloned-vm-copy"}),
]


@pytest.mark.parametrize(("method", "path", "form"), PAGES)
def test_what_is_outside_answers_like_what_does_not_exist(
    method: str, path: str, form: dict[str, str], fleet: rows.Fleet, scoped: User
) -> None:
    client = page_of(scoped)
    answers = []
    for pk in (fleet.wrong.pk, UNKNOWN):
        sent = {name: value.format(id=pk) for name, value in form.items()}
        url = path.format(id=pk)
        response = client.post(url, sent) if method == "POST" else client.get(url)
        answers.append((response.status_code, body_of(response)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    noted = AuditEntry.objects.filter(action="target_unknown", actor_name=scoped.username)
    assert noted.count() == (1 if method == "POST" else 0)
    fleet.wrong.refresh_from_db()
    assert (fleet.wrong.status, fleet.wrong.flag, fleet.wrong.extra_names) == (2, 0, [])


def test_a_certificate_and_a_log_of_what_is_outside_do_not_exist(
    fleet: rows.Fleet, scoped: User
) -> None:
    client = page_of(scoped)
    outside = Certificate.objects.filter(orchestrator=fleet.warned).latest("pk").pk
    for ending in ("", ".pem", ".cer"):
        there = client.get(f"/certificates/{outside}{ending}")
        nowhere = client.get(f"/certificates/{2**40}{ending}")
        assert (there.status_code, body_of(there)) == (404, body_of(nowhere))
    job = Job.objects.get()
    assert client.get(f"/orchestrators/{fleet.renewed.pk}/logs/{job.job_id}").status_code == 200
    Job.objects.update(orchestrator=fleet.warned)
    assert client.get(f"/orchestrators/{fleet.warned.pk}/logs/{job.job_id}").status_code == 404


def test_a_bulk_act_does_what_is_within_and_tells_the_rest_as_unknown(
    fleet: rows.Fleet, scoped: User
) -> None:
    client = page_of(scoped)
    sent = {"act": "require", "ids": [str(fleet.calm.pk), str(fleet.warned.pk), str(UNKNOWN)]}
    client.post("/orchestrators/act/perform", sent)
    job = BulkJob.objects.get()
    found = job.items.values_list("orchestrator_id", "state", "reason", "message")
    outcomes = {key: tuple(rest) for key, *rest in found}
    assert outcomes[fleet.calm.pk][0] == "changed"
    assert outcomes[fleet.warned.pk] == outcomes[UNKNOWN]
    assert outcomes[UNKNOWN][:2] == ("skipped", "unknown")
    told = client.get(f"/jobs/{job.pk}").content.decode()
    assert fleet.calm.client_machine in told
    assert fleet.warned.client_machine not in told
    assert str(fleet.warned.pk) not in told
    fleet.warned.refresh_from_db()
    assert fleet.warned.flag == 0


def test_an_act_needs_its_own_reach_beside_that_of_seeing(fleet: rows.Fleet) -> None:
    north = group("north", fleet.calm)
    resets = role("north resets", [P.AGENTS_RESET], only_groups=[north])
    client = page_of(user("ada", "Read only", resets))
    sent = {"act": "reset", "message": "why"}
    assert client.get(f"/orchestrators/{fleet.warned.pk}").status_code == 200
    for target, status, after in ((fleet.warned, 404, 2), (fleet.calm, 302, 1)):
        response = client.post("/orchestrators/act/perform", {**sent, "ids": str(target.pk)})
        target.refresh_from_db()
        assert (response.status_code, target.status) == (status, after)


def test_what_belongs_to_no_orchestrator_yet_needs_a_role_without_a_limit(scoped: User) -> None:
    client = page_of(scoped)
    for path in ("/orchestrators/add", "/certificates/from-csr"):
        response = client.get(path)
        assert response.status_code == 403
        assert "for some orchestrators only" in response.content.decode()


WHOLE_FLEET = ("/orchestrators/add", "/certificates/from-csr", "/audit/verification")


def test_a_limited_role_is_offered_no_page_that_refuses_it(
    fleet: rows.Fleet, berlin: OrchestratorGroup
) -> None:
    held = [P.PORTAL_READ, P.AGENTS_READ, P.AGENTS_APPROVE, P.AGENTS_MODIFY, P.AUDITING_READ]
    held += [P.CERTIFICATES_READ, P.ENROLL_CSR]
    limited = page_of(user("lim", role("Berlin", held, only_groups=[berlin])))
    whole = page_of(user("all", role("Everywhere", held)))
    # An empty forecast offers to add somebody.
    Orchestrator.objects.update(certificate_not_after=None)
    census.latest(Reach(groups=frozenset({berlin.pk})), now=timezone.now())
    census.take_due(now=timezone.now())
    offered: set[str] = set()
    for path in ("/", "/orchestrators", "/forecast", "/certificates", "/audit"):
        found = links_of(limited, path)
        assert not found & set(WHOLE_FLEET), path
        offered |= links_of(whole, path)
    assert offered >= set(WHOLE_FLEET)
    for client, is_offered in ((limited, False), (whole, True)):
        assert ("Verify now" in client.get("/audit").content.decode()) == is_offered


def links_of(client: Client, path: str) -> set[str]:
    return set(re.findall(r'href="([^"#?]+)', client.get(path).content.decode()))


def test_the_list_costs_as_many_statements_with_a_limit_as_without(
    fleet: rows.Fleet, scoped: User
) -> None:
    counts = []
    for person in (scoped, user("ada", "Administrator")):
        client = page_of(person)
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/orchestrators").status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1]


# --- REST ---------------------------------------------------------------------------------------


def caller_for(person: User, client: Client | None = None) -> Caller:
    return Caller({"Authorization": basic(person.username)}, client or Client())


def test_rest_lists_only_what_is_within(fleet: rows.Fleet, scoped: User) -> None:
    caller = caller_for(scoped)
    listed = caller.get("Agents").json()
    assert {row["AgentId"] for row in listed} == {
        str(fleet.calm.pk), str(fleet.waiting.pk), str(fleet.renewed.pk),
    }  # fmt: skip
    query = {"QueryString": f'AgentId -eq "{fleet.warned.pk}"'}
    assert caller.get("Agents", query=query).json() == []


ACTS = {
    "its record": ("GET", "Agents/{id}", None),
    "reset one": ("POST", "Agents/{id}/Reset", None),
    "fetch logs": ("POST", "Agents/{id}/FetchLogs", None),
    "approve": ("POST", "Agents/Approve", ["{id}"]),
    "disapprove": ("POST", "Agents/Disapprove", ["{id}"]),
    "reset": ("POST", "Agents/Reset", ["{id}"]),
}


@pytest.mark.parametrize(("method", "path", "body"), ACTS.values(), ids=ACTS.keys())
def test_rest_answers_outside_like_unknown(
    method: str, path: str, body: list[str] | None, fleet: rows.Fleet, scoped: User
) -> None:
    caller = caller_for(scoped)
    answers = []
    for pk in (fleet.warned.pk, UNKNOWN):
        sent = [text.format(id=pk) for text in body] if body else None
        response = caller.send(method, path.format(id=pk), sent)
        status = 400 if body else 404
        told = refused(response, status, "orchestrator_unknown")
        told.pop("instance")
        answers.append(str(told).replace(str(pk), "ID"))
    assert answers[0] == answers[1]
    noted = AuditEntry.objects.filter(action="target_unknown", actor_name=scoped.username)
    assert [row.object_id for row in noted] == (
        [] if method == "GET" else [f"{scoped.pk}:orchestrator_unknown"]
    )
    fleet.warned.refresh_from_db()
    assert fleet.warned.status == Status.APPROVED


def test_rest_reenrollment_fails_outside_as_unknown_and_changes_the_rest(
    fleet: rows.Fleet, scoped: User
) -> None:
    ids = [str(fleet.calm.pk), str(fleet.warned.pk), str(UNKNOWN)]
    response = caller_for(scoped).post(
        "Agents/SetAuthCertificateReenrollment", {"OrchestratorIds": ids, "Status": 2}
    )
    assert response.json() == {"FailedOrchestratorIds": ids[1:], "Status": 2}
    noted = AuditEntry.objects.get(action="target_unknown")
    assert noted.object_id == f"{scoped.pk}:orchestrator_unknown"
    fleet.calm.refresh_from_db()
    fleet.warned.refresh_from_db()
    assert (fleet.calm.flag, fleet.warned.flag) == (2, 0)


def test_who_may_act_but_not_see_is_told_which_permission_is_missing(fleet: rows.Fleet) -> None:
    person = user("ada", role("acts", [P.AGENTS_MODIFY]))
    body = refused(
        caller_for(person).post("Agents/Reset", [str(fleet.calm.pk)]), 403, "permission_missing"
    )
    assert "/agents/management/read/" in body["Message"]


def test_a_job_of_somebody_else_is_canceled_only_by_who_reaches_all_of_it(
    fleet: rows.Fleet, berlin: OrchestratorGroup
) -> None:
    """Somebody sees every orchestrator and may ask those of Berlin to renew."""
    renews = role("Berlin renews", {P.AGENTS_RENEW}, only_groups=[berlin])
    limited, admin = user("lim", renews, "Read only"), user("anna", "Administrator")
    job = BulkJob.objects.create(
        act="request",
        requested_by=admin,
        requested_by_name="anna",
        total=0,
        digest="",
        state="waiting",
        created_at=timezone.now(),
    )
    assert page_of(limited).post(f"/jobs/{job.pk}/cancel").status_code == 403
    job.refresh_from_db()
    assert job.state == "waiting"
    assert page_of(admin).post(f"/jobs/{job.pk}/cancel").status_code == 302


def test_a_setting_tells_only_of_those_that_its_reader_may_see() -> None:
    made = rows.fleet(timezone.now())
    limited = role("Berlin", [P.AGENTS_READ], only_groups=[group("Berlin", made.calm)])
    whole = role("Settings", [P.PORTAL_READ, P.SETTINGS_READ])
    client = page_of(user("ada", limited, whole))
    page = client.get("/settings/SessionLengthMinutes").content.decode()
    assert "Affects 1 approved orchestrator, of those that you may see." in page
