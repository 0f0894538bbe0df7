"""/metrics counts what the rows say, for who may read the whole fleet (/metrics in
docs/operations.md).
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from orchestrators.models import Orchestrator
from portal.access.catalogue import Permission
from portal.access.tokens import issue_token
from portal.audit.trail import Actor
from portal.preferences import store
from renewal.configuration import periods
from renewal.identity import approvals
from renewal.models import CertificateAuthority
from renewal.selectors.states import RenewalState, state_of
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    cache.clear()


def bearer(person: rows.User) -> dict[str, str]:
    lasts = timedelta(days=1)
    _, token = issue_token(person, "prometheus", lasts=lasts, actor=TESTER, now=timezone.now())
    return {"Authorization": f"Bearer {token}"}


def scraped(person: rows.User) -> dict[tuple[str, str], float]:
    """Return every sample by its name and the value of its only label."""
    response = Client().get("/metrics", headers=bearer(person))
    assert response.status_code == 200
    families = text_string_to_metric_families(response.content.decode())
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_states_are_the_ones_that_the_lists_show() -> None:
    now = timezone.now()
    rows.fleet(now)
    real = Orchestrator.objects.filter(demonstration=False)
    expected = Counter(state_of(o, periods(store.load()), now=now) for o in real)
    seen = scraped(user("prometheus", "Read only"))
    for state in RenewalState:
        assert seen["portal_orchestrators", state.value] == expected[state], state
    assert sum(expected.values()) == real.count() > 0


def test_the_first_lock_out_open_work_and_the_cas_are_told() -> None:
    fleet = rows.fleet(timezone.now())
    seen = scraped(user("prometheus", "Read only"))
    ends = Orchestrator.objects.filter(
        status=2, certificate_not_after__gt=timezone.now(), demonstration=False
    ).values_list("certificate_not_after", flat=True)
    first = min(end for end in ends if end)
    assert seen["portal_next_expiration_timestamp_seconds", ""] == first.timestamp()
    assert seen["portal_authority_failures_in_a_row", CertificateAuthority.objects.get().name] == 0
    assert seen["portal_broker_up", ""] == 0
    fleet.calm.demonstration = True
    fleet.calm.save()
    cache.clear()
    again = scraped(user("grafana", "Read only"))
    assert sum(v for (name, _), v in seen.items() if name == "portal_orchestrators") == 1 + sum(
        v for (name, _), v in again.items() if name == "portal_orchestrators"
    )


def test_a_csr_that_was_refused_is_counted_until_its_orchestrator_is_reset() -> None:
    fleet, now = rows.fleet(timezone.now()), timezone.now()
    rita = Actor("rita", user("rita", "Operator").pk)
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(csr_refused_at=now - timedelta(hours=1))
    Orchestrator.objects.filter(pk=fleet.warned.pk).update(csr_refused_at=now - timedelta(days=2))
    name = ("portal_orchestrators_csr_refused_24h", "")
    assert scraped(user("prometheus", "Read only"))[name] == 1
    approvals.reset(fleet.calm.pk, actor=rita, now=now, message="lost")
    cache.clear()
    assert scraped(user("grafana", "Read only"))[name] == 0


def test_it_costs_the_same_statements_whatever_the_fleet(
    django_assert_max_num_queries: object,
) -> None:
    rows.fleet(timezone.now())
    headers = bearer(user("prometheus", "Read only"))
    with django_assert_max_num_queries(26):  # type: ignore[operator]
        Client().get("/metrics", headers=headers)


def test_without_a_token_or_with_a_part_of_the_fleet_nothing_is_told() -> None:
    fleet = rows.fleet(timezone.now())
    berlin = group("Berlin", fleet.calm)
    part = user(
        "part", role("Part", [Permission.PORTAL_READ, Permission.AGENTS_READ], only_groups=[berlin])
    )
    assert Client().get("/metrics").status_code == 401
    unknown = Client().get("/metrics", headers={"Authorization": "Bearer unknown"})
    assert (unknown.status_code, unknown["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
    refused = Client().get("/metrics", headers=bearer(part))
    assert refused.status_code == 403
    assert b"/agents/management/read/ for all orchestrators" in refused.content
