"""The page of enrollments: queues, causes, the list with its filters, and what can be done."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from portal.access.catalogue import Permission
from portal.audit.models import AuditEntry
from renewal import census
from renewal.enrollment import work
from renewal.models import CertificateAuthority, Enrollment
from renewal.rules.retry import ENROLLMENT_TIME_LIMIT
from renewal.selectors import counting, queue
from tests.portal.access.conftest import group, role, user
from tests.portal.pages import fleet as rows

HOUR = timedelta(hours=1)


@pytest.fixture
def enrolling(fleet: rows.Fleet, now: datetime) -> dict[str, Enrollment]:
    """One enrollment of each kind at two CAs; the fleet has two issued ones besides."""
    vault = rows.authority(now, "Vault")
    ended = {"finished_at": now - HOUR / 2}
    return {
        "waiting": rows.enrollment(
            fleet.calm,
            now=now,
            authority=vault,
            created_at=now - 3 * HOUR,
            next_attempt_at=now + HOUR / 4,
            attempts=3,
            last_error="connection refused",
        ),
        "due": rows.enrollment(fleet.warned, now=now, created_at=now - HOUR),
        "pending": rows.enrollment(
            fleet.requested, now=now, authority=vault, state="pending", finished_at=None
        ),
        "refused": rows.enrollment(fleet.calm, now=now, state="refused", last_error="no", **ended),
        "other": rows.enrollment(fleet.wrong, now=now, state="refused", last_error="no", **ended),
        "silent": rows.enrollment(
            fleet.must_renew, now=now, state="expired", authority=vault, **ended
        ),
        "old": rows.enrollment(
            fleet.expired, now=now, state="rejected", finished_at=now - 30 * HOUR
        ),
        "discarded": rows.enrollment(fleet.expired, now=now, state="discarded", **ended),
    }


def listed(client: Client, query: str) -> set[int]:
    response = client.get(f"/enrollments?{query}")
    assert response.status_code == 200, query
    return {line.row.pk for line in response.context["lines"]}


def test_the_queue_of_each_ca_is_counted_with_age_next_try_rate_and_causes(enrolling, admin, now):
    portal_ca, vault = admin.get("/enrollments").context["board"].queues
    assert (portal_ca.waiting.value, portal_ca.under_way.value) == (1, 0)
    assert (vault.waiting.value, vault.under_way.value) == (1, 1)
    assert vault.oldest == enrolling["waiting"].created_at
    assert vault.next_try == enrolling["waiting"].next_attempt_at
    assert [(c.state, c.text, c.count) for c in portal_ca.causes] == [("refused", "no", 2)]
    assert [(c.state, c.text, c.count) for c in vault.causes] == [("expired", "", 1)]
    assert (str(portal_ca.issued), str(vault.issued)) == ("0", "0")
    Enrollment.objects.filter(state="issued").update(finished_at=now - HOUR / 2)
    assert str(admin.get("/enrollments").context["board"].queues[0].issued) == "2"


def test_each_number_leads_to_as_many_enrollments(enrolling, admin, now):
    html = admin.get("/enrollments").content.decode()
    board = html[html.index('id="queues"') : html.index('id="list-search"')]
    found = re.findall(r'href="/enrollments\?(state=[^"]+ca=[^"]+)">(\d+)</a>', board)
    causes = re.findall(r'id="cause-[^"]+" href="/enrollments\?([^"]+)">.*?<td[^>]*>(\d+)', board)
    assert (len(found), len(causes)) == (5, 2)
    for query, number in [*found, *causes]:
        assert len(listed(admin, unescape(query))) == int(number), query


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=open", {"waiting", "due", "pending"}),
        ("state=waiting", {"waiting", "due"}),
        ("state=under-way", {"pending"}),
        ("state=unknown", set()),
        ("state=failed", {"refused", "other", "silent", "old"}),
        ("state=failed&ended=24h", {"refused", "other", "silent"}),
        ("state=discarded", {"discarded"}),
        ("older=2h", {"waiting"}),
        ("state=waiting&older=30m", {"waiting", "due"}),
        ("cause=no", {"refused", "other"}),
        ("cause=none&state=expired", {"silent"}),
        ("cause=n", set()),
        ("cause=no&state=failed", {"refused", "other"}),
        ("cause=none&state=discarded", set()),
        ("cause=connection%20refused&state=waiting", set()),
        ("cause=connection%20refused&older=2h", set()),
        ("state=failed&q=app-server", {"refused"}),
        ("q=cloned", {"other"}),
        ("fleet=demonstration", set()),
        ("ca=999999", set()),
        ("template=999999", set()),
        ("ended=2001-01-01", set()),
    ],
)
def test_a_filter_finds_what_it_names(enrolling, admin, query, names):
    assert listed(admin, query) == {enrolling[name].pk for name in names}


def test_the_whole_list_the_ca_and_the_template_find_all_that_is_theirs(enrolling, admin, now):
    vault = enrolling["waiting"].authority
    everything = set(Enrollment.objects.values_list("pk", flat=True))
    assert listed(admin, "") == listed(admin, f"template={rows.template(now).pk}") == everything
    assert listed(admin, f"ca={vault.pk}") == {
        enrolling[name].pk for name in ("waiting", "pending", "silent")
    }
    assert listed(admin, "ended=7d&state=issued") == everything - {
        each.pk for each in enrolling.values()
    }


@pytest.mark.both_databases
@pytest.mark.parametrize("query", ["", "state=waiting", "state=failed"])
def test_pages_follow_one_another_without_loss(fleet, admin, now, query):
    for number in range(120):
        holder = rows.orchestrator(f"unit-{number:03}", now=now)
        rows.enrollment(holder, now=now, **({"state": "refused"} if number % 2 else {}))
    seen: list[int] = []
    path = f"/enrollments?{query}"
    while path:
        page = admin.get(path).context["page"]
        seen += [row.pk for row in page.rows]
        path = f"/enrollments?{query}&cursor={page.following}" if page.following else ""
    assert len(seen) == len(set(seen)) >= 60


def test_open_ones_come_oldest_first_with_owner_reason_next_try_and_deadline(enrolling, admin):
    html = unescape(admin.get("/enrollments?state=waiting").content.decode())
    rows_ = html[html.index('id="list"') :]
    assert rows_.index("Connection refused") < rows_.index("The request is waiting.")
    assert "It is up to the CA Vault; next try" in rows_
    assert "; given up" in rows_
    page = unescape(admin.get(f"/enrollments/{enrolling['waiting'].pk}").content.decode())
    for said in ("Connection refused", "the CA Vault", "if nothing has come of it", "Stuck"):
        assert said in page, said
    assert ENROLLMENT_TIME_LIMIT == 24 * HOUR


@pytest.mark.parametrize("state", ["waiting", "pending", "unknown"])
def test_a_disabled_ca_is_the_reason_and_an_operators_turn(enrolling, admin, now, state):
    row = enrolling["due"]
    Enrollment.objects.filter(pk=row.pk).update(state=state, next_attempt_at=now + HOUR)
    CertificateAuthority.objects.update(enabled=False)
    page = unescape(admin.get(f"/enrollments/{row.pk}").content.decode())
    assert "The CA Portal CA is disabled: nobody asks it." in page
    assert "<dt>Turn of</dt><dd>an operator</dd>" in page
    assert "It cannot be tried now. The CA Portal CA is disabled." in page
    assert ("give the request up" in page) is (state == "waiting")
    listed_ = unescape(admin.get("/enrollments?state=open").content.decode())
    requests = admin.get(f"/orchestrators/{row.orchestrator_id}/requests").content.decode()
    assert "the CA is disabled: nobody asks it" in requests
    for said in (page, listed_.split("<tbody>")[2], requests):
        assert "next try" not in said.lower()
    queues = listed_.split("<tbody>")[1].split("</tbody>")[0]
    assert queues.count('data-head="Next try" class="nowrap"><span class="muted">–') == 2


@pytest.mark.both_databases
def test_one_is_tried_now_once_with_a_reason_in_the_log(enrolling, admin, now):
    row = enrolling["waiting"]
    path = f"/enrollments/{row.pk}/retry"
    answer = admin.post(path, {"message": "The vault is back"}, follow=True).content.decode()
    assert "A worker asks the CA as soon as there is room." in answer
    row.refresh_from_db()
    assert row.next_attempt_at <= datetime.now(now.tzinfo)
    entry = AuditEntry.objects.get(action="enrollment_retried")
    assert (entry.actor_name, entry.message) == ("administrator", "The vault is back")
    assert (entry.object_id, entry.orchestrator_id) == (str(row.pk), row.orchestrator_id)
    assert "It is due already" in unescape(admin.post(path, follow=True).content.decode())
    assert AuditEntry.objects.filter(action="enrollment_retried").count() == 1


@pytest.mark.both_databases
def test_one_that_no_ca_has_is_given_up_and_one_that_a_ca_may_have_is_not(enrolling, admin):
    row, pending = enrolling["waiting"], enrolling["pending"]
    admin.post(f"/enrollments/{row.pk}/give-up", {"message": "Other CA now"})
    row.refresh_from_db()
    assert (row.state, row.last_error) == ("discarded", "given up by administrator: Other CA now")
    assert row.finished_at is not None
    entry = AuditEntry.objects.get(action="enrollment_given_up")
    assert entry.before == {"state": "waiting", "error": "connection refused"}
    said = unescape(admin.post(f"/enrollments/{row.pk}/give-up", follow=True).content.decode())
    assert "It has ended." in said
    said = unescape(admin.post(f"/enrollments/{pending.pk}/give-up", follow=True).content.decode())
    assert "The CA may have it" in said
    pending.refresh_from_db()
    assert pending.state == "pending"
    assert AuditEntry.objects.filter(action="enrollment_given_up").count() == 1
    # Whoever holds the row by then has it: a worker does not ask for what was given up.
    assert not work.enroll_one(row.pk, now=row.finished_at)


def test_the_queue_of_a_ca_is_tried_now_and_no_other(enrolling, admin, now, fleet):
    vault = enrolling["waiting"].authority
    later = rows.enrollment(fleet.wrong, now=now, next_attempt_at=now + HOUR)
    said = admin.post("/enrollments/retry", {"ca": vault.pk}, follow=True).content.decode()
    assert "1 of Vault:" in said
    assert Enrollment.objects.get(pk=enrolling["waiting"].pk).next_attempt_at < now + HOUR / 8
    assert Enrollment.objects.get(pk=later.pk).next_attempt_at == now + HOUR
    entry = AuditEntry.objects.get(action="enrollments_retried")
    assert (entry.object_name, entry.after) == ("Vault", {"number": 1})
    said = admin.post("/enrollments/retry", {"ca": vault.pk}, follow=True).content.decode()
    assert "Nothing waits for a later try at Vault." in said
    assert admin.post("/enrollments/retry", {"ca": "x"}).status_code == 400
    assert admin.post("/enrollments/retry", {"ca": "999999"}).status_code == 404
    CertificateAuthority.objects.update(enabled=False)
    said = admin.post("/enrollments/retry", {"ca": vault.pk}, follow=True).content.decode()
    assert "The CA Vault is disabled." in said


@pytest.fixture
def berlin(enrolling: Any, fleet: rows.Fleet, client: Client) -> Client:
    """Somebody who sees and asks those of one group."""
    inside = group("Berlin", fleet.calm)
    held = (Permission.PORTAL_READ, Permission.AGENTS_READ, Permission.AGENTS_RENEW)
    client.force_login(user("lea", role("Berlin", held, only_groups=[inside])))
    return client


def test_a_limited_role_counts_lists_and_acts_on_its_own_alone(enrolling, berlin, now, fleet):
    own = {row.pk for row in (enrolling["waiting"], enrolling["refused"])}
    assert listed(berlin, "") == own
    assert listed(berlin, "q=cloned") == set()
    queues = {q.authority.name: q for q in berlin.get("/enrollments").context["board"].queues}
    assert (queues["Vault"].waiting.value, queues["Vault"].under_way.value) == (1, 0)
    assert queues["Portal CA"].failed.value == 1
    foreign = enrolling["due"]
    Enrollment.objects.filter(pk=foreign.pk).update(next_attempt_at=now + HOUR)
    for path in ("", "/retry", "/give-up"):
        send: Callable[..., Any] = berlin.post if path else berlin.get
        assert send(f"/enrollments/{foreign.pk}{path}").status_code == 404
    berlin.post("/enrollments/retry", {"ca": foreign.authority_id})
    assert Enrollment.objects.get(pk=foreign.pk).next_attempt_at == now + HOUR
    # No certificate is linked that the role does not open.
    Enrollment.objects.filter(pk=enrolling["refused"].pk).update(
        state="issued", certificate=fleet.calm.certificates.get()
    )
    html = berlin.get("/enrollments").content.decode()
    assert "/certificates/" not in html[html.index('id="list"') :]


def test_where_more_is_there_than_is_counted_a_number_says_so(enrolling, admin, now, monkeypatch):
    for name in (counting, queue):
        monkeypatch.setattr(name, "CAP", 1)
    portal_ca, vault = admin.get("/enrollments").context["board"].queues
    assert (str(vault.waiting), vault.under_way.is_capped) == ("1+", True)
    assert portal_ca.failed.is_capped
    Enrollment.objects.filter(state="issued").update(finished_at=now - HOUR / 4)
    # Two in a quarter of an hour.
    issued = admin.get("/enrollments").context["board"].queues[0].issued
    assert issued.is_estimate
    assert 7 <= issued.count <= 8


def test_the_dashboards_numbers_of_enrollments_lead_to_them(enrolling, admin, now):
    census.take_due(now=now)
    html = unescape(admin.get("/").content.decode())
    (query,) = re.findall(r'href="/enrollments\?(state=open[^"]*)">Enrollments under way', html)
    under_way = admin.get("/").context["overview"].open_enrollments.value
    assert len(listed(admin, query)) == under_way == 3
    assert "/enrollments?state=failed&ended=24h" in html
    done = re.findall(r'data-number="(\d+)"><a href="/enrollments\?([^"]+)"', html)
    assert done
    for number, query in done:
        assert len(listed(admin, query)) == int(number), query
