"""The endpoints under /Audit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.utils import timezone
from pytest_django import Settings

from orchestrators.models import Orchestrator
from portal.access.catalogue import ROLES
from portal.audit import sealing
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from tests.portal.access.conftest import group, role, user
from tests.portal.audit.owner import as_owner
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

Make = Callable[..., Orchestrator]


@pytest.fixture
def log(settings: Settings, tmp_path: Path, orchestrator: Make) -> dict[str, AuditEntry]:
    """Rows of several kinds, sealed with a key of their own."""
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path)
    alpha = orchestrator("alpha")

    def note(category: Category, action: str, **more: object) -> AuditEntry:
        told = {"object_type": "thing", "object_id": "7", "object_name": "Seven", **more}
        return record(Actor("carl"), category, action, **told)  # type: ignore[arg-type]

    made = {
        "approved": note(Category.ORCHESTRATOR, "approved", orchestrator_id=alpha.pk),
        "failed": note(Category.CERTIFICATE, "revocation_failed", message="a <b> & c\x07"),
        "setting": note(Category.SETTING, "setting_changed"),
    }
    sealing.seal(now=timezone.now)
    return made


def ids(answer: object) -> list[int]:
    return [row["Id"] for row in answer.json()]  # type: ignore[attr-defined]


def test_the_newest_row_comes_first_and_filters_narrow(
    admin: Caller, log: dict[str, AuditEntry]
) -> None:
    mine = 'User -eq "carl"'
    whole = ids(admin.get("Audit", query={"pq.queryString": mine}))
    assert whole == sorted((row.pk for row in log.values()), reverse=True)
    for query, name in (
        ('category -contains "agent"', "approved"),
        ("Category -eq 2007", "setting"),
        ('Action -eq "revocation_failed"', "failed"),
        ("OrchestratorId -ne NULL", "approved"),
    ):
        found = ids(admin.get("Audit", query={"pq.queryString": f"{mine} AND {query}"}))
        assert found == [log[name].pk], query


def test_a_row_has_the_numbers_that_clients_know(admin: Caller, log: dict[str, AuditEntry]) -> None:
    shown = admin.get(f"Audit/{log['failed'].pk}").json()
    assert (shown["Category"], shown["Operation"], shown["Level"]) == (2001, 23, 2)
    assert (shown["User"], shown["ImmutableIdentifier"]) == ("carl", "7")
    assert shown["Signature"]
    assert ElementTree.fromstring(shown["Message"]).findtext("Message") == "a <b> & c"
    assert admin.get(f"Audit/{log['approved'].pk}").json()["Operation"] == 4
    for number in ("404404", "x"):
        refused(admin.get(f"Audit/{number}"), 404, "audit_entry_unknown")


def test_a_row_is_valid_until_somebody_edits_it(admin: Caller, log: dict[str, AuditEntry]) -> None:
    path = f"Audit/{log['setting'].pk}/Validate"
    assert admin.get(path).json() is True
    with as_owner() as cursor:
        cursor.execute(
            "UPDATE audit_auditentry SET message = 'other' WHERE id = %s", [log["setting"].pk]
        )
    assert admin.get(path).json() is False
    assert admin.get(f"Audit/{log['failed'].pk}/Validate").json() is True


def test_a_row_that_is_not_sealed_yet_is_told_so(admin: Caller, log: dict[str, AuditEntry]) -> None:
    new = record(Actor("carl"), Category.SETTING, "x", object_type="thing", object_id=1)
    refused(admin.get(f"Audit/{new.pk}/Validate"), 409, "not_sealed")


def test_rows_outside_a_roles_groups_do_not_exist(log: dict[str, AuditEntry]) -> None:
    berlin_agent = Orchestrator.objects.get()
    berlin = group("Berlin", berlin_agent)
    scoped = role("Berlin", ROLES["Administrator"], only_groups=[berlin])
    bea = Caller({"Authorization": basic(user("bea", scoped).username, rows.PASSWORD)})
    mine = {"QueryString": "User -eq carl"}
    assert ids(bea.get("Audit", query=mine)) == [log["approved"].pk]
    related = AuditEntry.objects.filter(orchestrator_id=berlin_agent.pk).order_by("-pk")
    seen = ids(bea.get("Audit/RelatedEntities", query=mine))
    assert seen == list(related.values_list("pk", flat=True))
    refused(bea.get(f"Audit/{log['failed'].pk}"), 404, "audit_entry_unknown")
    refused(caller_with("Operator").get("Audit"), 403, "permission_missing")


def test_a_download_has_the_rows_of_the_list_and_no_formula(
    admin: Caller, log: dict[str, AuditEntry]
) -> None:
    thing = {"object_type": "thing", "object_id": "=1+1", "object_name": 'x; "@y;-2;3'}
    record(Actor("carl"), Category.SETTING, "x", after={"a": "x;+1"}, **thing)
    query = {"pq.queryString": "User -eq carl", "pq.returnLimit": "3"}
    answer = admin.get("Audit/Download", query=query)
    names, *lines = csv.reader(io.StringIO(answer.json()))
    assert [line[names.index("Id")] for line in lines] == [
        str(row["Id"]) for row in admin.get("Audit", query=query).json()
    ]
    assert "'=1+1" in lines[0]
    # Nor where semicolons part the cells.
    assert {"x; \"'@y;'-2;3", '{"a": "x;\'+1"}'} <= set(lines[0])
    assert answer["X-Next-Cursor"]


def test_related_rows_are_all_about_the_same_things(
    admin: Caller, log: dict[str, AuditEntry]
) -> None:
    path = "Audit/RelatedEntities"
    told = {"object_type": "setting", "object_id": "A"}
    first = record(Actor("carl"), Category.SETTING, "x", **told)
    second = record(Actor("dora"), Category.SETTING, "y", **told)
    by_id = {"pq.queryString": f"Id -eq {first.pk}", "pq.returnLimit": "1"}
    answer = admin.get(path, query=by_id)
    following = admin.get(path, query={**by_id, "cursor": answer["X-Next-Cursor"]})
    assert ids(answer) + ids(following) == [second.pk, first.pk]
    refused(admin.get(path), 400, "parameter_invalid")
    for number in range(51):
        record(Actor("eve"), Category.SETTING, "x", object_type="thing", object_id=number)
    refused(admin.get(path, query={"QueryString": "User -eq eve"}), 400, "query_too_large")
