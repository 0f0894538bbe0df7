"""How many SQL statements each page costs: checked in, and the same with 3 and with 20 rows.

Transaction control is not counted. A page whose number changes is a line in the diff of
query_counts.json, which UPDATE_QUERY_COUNTS=1 writes anew.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators import groups, labels
from orchestrators.models import AutoRegistrationRule, Orchestrator, Status
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import Reach
from portal.access.role_changes import save_role
from portal.access.tokens import issue_token
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal import census
from renewal.bulk import trail
from renewal.group_issuance import set_issuance
from renewal.identity import approval_requests
from renewal.models import (
    ApprovalRequest,
    BulkItem,
    BulkJob,
    Certificate,
    CertificateAuthority,
    Claimant,
    Enrollment,
    Template,
)
from renewal.rules.standing import Standing
from tests.portal.pages import fleet as rows

BASELINE = Path(__file__).with_name("query_counts.json")
CONTROL = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")
PAGES = (
    "/",
    "/orchestrators",
    "/orchestrators?state=required",
    "/orchestrators?mark=revocation",
    "/orchestrators?mark=enrollment-failed",
    "/orchestrators?ends=30d",
    "/orchestrators?group=nobody",
    "/orchestrators?q=host",
    "/orchestrators?sort=name",
    "/orchestrators?mark=offline",
    "/orchestrators?seen=30d&sort=seen",
    "/orchestrators?account=orchestrators&answer=none",
    "/orchestrators/{orchestrator}",
    "/orchestrators/{disapproved}",
    "/orchestrators/{orchestrator}/certificate",
    "/orchestrators/{orchestrator}/timeline",
    "/orchestrators/{orchestrator}/requests",
    "/orchestrators/{orchestrator}/logs",
    "/orchestrators/{orchestrator}/parameters",
    "/orchestrators/{orchestrator}/access",
    "/orchestrators/{orchestrator}/audit",
    "/orchestrators/act?act=reset&ids={orchestrator}",
    "/orchestrators/act?act=request&{ids}",
    "/orchestrators/act?act=approve&{ids}",
    "/orchestrators/all/preview?act=approve&state=waiting",
    "/orchestrators/all/preview?act=request",
    "/orchestrators/add",
    "/orchestrators/auto-registration",
    "/orchestrators/auto-registration/{rule}",
    "/orchestrators/auto-registration/try?client_machine=host-9",
    "/approvals",
    "/approvals?tab=mine",
    "/approvals?tab=all",
    "/approvals?tab=done",
    "/approvals/{approval}",
    "/jobs",
    "/enrollments",
    "/enrollments?state=open",
    "/enrollments?state=failed&ended=24h",
    "/enrollments?q=unit",
    "/enrollments/{enrollment}",
    "/jobs/{job}",
    "/jobs/{job}/audit",
    "/forecast",
    "/certificates",
    "/certificates?q=host",
    "/certificates/{certificate}",
    "/certificates/{certificate}/revoke",
    "/certificates?use=in-use&issuer=1&key=EC-256&ends=30d",
    "/authorities",
    "/authorities/{authority}",
    "/authorities/{authority}/edit",
    "/templates/{template}",
    "/trusted-issuers",
    "/settings",
    "/settings/SessionLengthMinutes",
    "/audit",
    "/audit?q=host",
    "/audit/verification",
    "/account",
    "/groups",
    "/orchestrators/assign?{ids}",
    "/access",
    "/access/users",
    "/access/users?kind=service",
    "/access/users/{user}",
    "/access/tokens",
    "/account/tokens",
)


def statements(path: str) -> int:
    # The same mixture however many there are: a page asks more of who approved ones are.
    chosen = [
        pk
        for kind in ("unit-", "host-")
        for pk in Orchestrator.objects.filter(client_machine__startswith=kind)
        .order_by("client_machine")
        .values_list("pk", flat=True)[:10]
    ]
    ids = "&".join(f"ids={pk}" for pk in chosen)
    path = path.format(
        orchestrator=Orchestrator.objects.get(client_machine="unit-0").pk,
        disapproved=Orchestrator.objects.get(client_machine="out").pk,
        certificate=Certificate.objects.earliest("pk").pk,
        rule=AutoRegistrationRule.objects.earliest("pk").pk,
        approval=ApprovalRequest.objects.earliest("pk").pk,
        authority=CertificateAuthority.objects.earliest("pk").pk,
        template=Template.objects.earliest("pk").pk,
        ids=ids,
        enrollment=Enrollment.objects.earliest("pk").pk,
        user=User.objects.get(username="orchestrators").pk,
        job=BulkJob.objects.earliest("pk").pk,
    )
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return sum(not q["sql"].lstrip().upper().startswith(CONTROL) for q in captured)


def _item(made: Orchestrator, now) -> None:
    """Add an item to the one bulk job that there is, with its row in the audit log."""
    admin = User.objects.get(username="admin")
    job = BulkJob.objects.first() or BulkJob.objects.create(
        act="request",
        total=3,
        # So many are counted by what came of them.
        changed=3,
        requested_by=admin,
        requested_by_name="admin",
        created_at=now,
    )
    BulkItem.objects.create(job=job, orchestrator_id=made.pk, state="changed")
    actor = Actor("admin", admin.pk, request_id=job.audit_group)
    record(
        actor,
        Category.ORCHESTRATOR,
        "renewal_requested",
        object_type="orchestrator",
        object_id=made.pk,
        orchestrator_id=made.pk,
    )
    # The newest row, so that each first page of the log shows a job.
    trail.tell_submitted(job, actor)


def grow(first: int, last: int, now) -> None:
    """Add records with all that pages show around them."""
    holder = Orchestrator.objects.filter(client_machine="unit-0").first()
    out = Orchestrator.objects.filter(client_machine="out").first() or rows.approved(
        "out", now=now, left=timedelta(days=9), status=Status.DISAPPROVED
    )
    for number in range(first, last):
        made = rows.approved(
            f"unit-{number}", now=now, left=timedelta(days=5 * number + 3), flag=number % 3
        )
        holder = holder or made
        rows.rule(f"Rule {number}", now=now, name_patterns=("unit-*",))
        group, _ = groups.save_group(f"group-{number}", actor=rows.ALICE, now=now)
        groups.assign([made.pk], group, actor=rows.ALICE)
        if number:
            set_issuance(group, rows.authority(now), rows.template(now), actor=rows.ALICE)
        labels.set_labels([made.pk], put={"number": str(number)}, actor=rows.ALICE)
        save_role(
            f"role-{number}",
            permissions=[Permission.AGENTS_READ],
            limit=Reach(groups=frozenset({group.pk})),
            giver=None,
            actor=rows.ALICE,
        )
        rows.user(f"user-{number}", f"role-{number}")
        for name in ("admin", f"user-{number}"):
            issue_token(
                User.objects.get(username=name),
                f"token-{number}",
                lasts=timedelta(days=1),
                actor=rows.ALICE,
                now=timezone.now(),
            )
        rows.noted(holder, "logs_requested", message=str(number))
        rows.noted(out, "disapproved", message=str(number))
        _item(made, now)
        rows.certificate(holder, now=now, standing=Standing.SUPERSEDED)
        rows.enrollment(made, now=now, state="refused")
        rows.enrollment(made, now=now)
        waiting = rows.orchestrator(f"host-{number}", now=now, status=1)
        approval_requests.ensure_open(waiting, approval_requests.Cause("x"), now=now)
        Claimant.objects.create(
            orchestrator=waiting,
            generation=0,
            certificate=rows.certificate(waiting, now=now, standing=Standing.SEEN),
            first_seen=now,
            last_seen=now,
        )


def test_each_page_costs_as_many_statements_with_3_rows_as_with_20(db, now, settings, tmp_path):
    # A folder without keys of the audit log, which the dashboard would look for blocks of.
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path)
    rows.set_up(now)
    rows.user("admin", "Administrator")
    census.take_due(now=now)
    grow(0, 3, now)
    # What a process looks up once and keeps is not what a page costs.
    statements("/")
    few = {path: statements(path) for path in PAGES}
    grow(3, 20, now)
    many = {path: statements(path) for path in PAGES}
    assert few == many
    if os.environ.get("UPDATE_QUERY_COUNTS"):
        BASELINE.write_text(json.dumps(many, indent=2, sort_keys=True) + "\n")
    assert many == json.loads(BASELINE.read_text())
