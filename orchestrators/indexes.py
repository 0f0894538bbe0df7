"""The indexes of orchestrators: which list or count each of them serves.

Owns what the lists and counts of a large fleet cost: a filter that is offered and that few records
pass has an index of its own.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from orchestrators.protocol.codes import RENEWAL_CODES
from orchestrators.statuses import Reenrollment, Status

# No index on last_seen: it changes with every contact (HOT updates). Its day changes once a day.
OF_ORCHESTRATORS: list[models.Index] = [
    models.Index(fields=["status", "certificate_not_after", "id"], name="orch_expiry"),
    models.Index(fields=["status", "name_key", "id"], name="orch_name"),
    models.Index(
        fields=["group", "status", "certificate_not_after", "id"],
        name="orch_group_expiry",
        condition=Q(group__isnull=False),
    ),
    models.Index(
        fields=["group", "name_key", "id"],
        name="orch_group_name",
        condition=Q(group__isnull=False),
    ),
    models.Index(fields=["thumbprint"], name="orch_thumbprint"),
    models.Index(fields=["name_skeleton"], name="orch_look_alikes"),
    # Each filter that lists offer and few records pass has its own small index.
    # By end and by name, as the lists of approved and of other records are ordered.
    *(
        models.Index(fields=["status", *order, "id"], name=f"{name}{by}", condition=rare)
        for name, rare in (
            (
                "orch_required",
                Q(flag=Reenrollment.REQUIRED)
                | Q(certificate_not_after__lte=F("certificate_counted_from")),
            ),
            ("orch_requested", Q(flag=Reenrollment.REQUESTED)),
            ("orch_unused", Q(awaiting_first_use_since__isnull=False)),
        )
        for by, order in (("", ("certificate_not_after",)), ("_by_name", ("name_key",)))
    ),
    models.Index(
        fields=["csr_refused_at"],
        name="orch_csr_refused",
        condition=Q(csr_refused_at__isnull=False),
    ),
    models.Index(
        fields=["name_key", "id"],
        name="orch_without_end",
        condition=Q(status=Status.APPROVED, certificate_not_after__isnull=True),
    ),
    models.Index(
        fields=["name_key", "id"],
        name="orch_marked_without_end",
        condition=Q(status=Status.APPROVED, certificate_not_after__isnull=True)
        & (Q(flag__gt=0) | Q(awaiting_first_use_since__isnull=False)),
    ),
    models.Index(
        fields=["name_key", "id"],
        name="orch_returning",
        condition=Q(status=Status.NEW, reset_at__isnull=False),
    ),
    # Alone: of the comparison in `orch_required` the planner expects a third of the fleet.
    models.Index(
        fields=["id"],
        name="orch_required_by_flag",
        condition=Q(flag=Reenrollment.REQUIRED),
    ),
    # With the group, by which it is counted for roles without reading the rows.
    models.Index(
        fields=["certificate_not_after", "id"],
        include=["group"],
        name="orch_wrong_certificate",
        condition=Q(status=Status.APPROVED)
        & ~Q(last_thumbprint_used="")
        & ~Q(last_thumbprint_used=F("thumbprint"))
        & ~Q(last_thumbprint_used=F("legacy_thumbprint")),
    ),
    models.Index(
        fields=["name_key", "id"],
        name="orch_wrong_without_end",
        condition=Q(status=Status.APPROVED, certificate_not_after__isnull=True)
        & ~Q(last_thumbprint_used="")
        & ~Q(last_thumbprint_used=F("thumbprint"))
        & ~Q(last_thumbprint_used=F("legacy_thumbprint")),
    ),
    models.Index(
        fields=["id"],
        name="orch_other_name",
        condition=~Q(client_machine_seen=""),
    ),
    models.Index(
        fields=["id"],
        name="orch_demonstration",
        condition=Q(demonstration=True),
    ),
    models.Index(
        fields=["platform", "status", "certificate_not_after", "id"],
        name="orch_platform",
    ),
    models.Index(
        fields=["version", "status", "certificate_not_after", "id"],
        name="orch_version",
    ),
    models.Index(
        fields=["service_account", "status", "certificate_not_after", "id"],
        name="orch_account",
    ),
    models.Index(
        fields=["last_error_code", "status", "certificate_not_after", "id"],
        name="orch_answer",
    ),
    # With what the offline ones are counted by without reading the rows.
    models.Index(
        fields=["seen_on", "name_key", "id"],
        include=["status", "group"],
        name="orch_seen",
        condition=Q(seen_on__isnull=False),
    ),
    models.Index(
        fields=["name_key", "id"],
        name="orch_never_seen",
        condition=Q(seen_on__isnull=True),
    ),
    models.Index(
        fields=["status", "name_key", "id"],
        name="orch_never_seen_by_status",
        condition=Q(seen_on__isnull=True),
    ),
    models.Index(
        fields=["last_error_at"],
        name="orch_failed",
        condition=Q(last_error_at__isnull=False) & ~Q(last_error_code__in=sorted(RENEWAL_CODES)),
    ),
]
