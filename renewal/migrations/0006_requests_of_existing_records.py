"""Open a request for every record that waits, and note the one that let a Reset record work."""

from django.db import migrations

BATCH = 1000
NEW, APPROVED = 1, 2


def open_requests(apps, schema_editor):
    using = schema_editor.connection.alias
    records = apps.get_model("orchestrators", "Orchestrator").objects.using(using)
    audit = apps.get_model("audit", "AuditEntry").objects.using(using)
    requests = apps.get_model("renewal", "ApprovalRequest")

    people = set(apps.get_model("access", "User").objects.using(using).values_list("pk", flat=True))

    def last(row, action):
        found = audit.filter(orchestrator_id=row.pk, action=action).order_by("-id").first()
        if found is not None and found.actor_id not in people:
            found.actor_id = None
        return found

    batch = []
    rows = records.filter(status=NEW) | records.filter(status=APPROVED, reset_at__isnull=False)
    for row in rows.iterator(chunk_size=BATCH):
        was_reset = last(row, "reset") if row.reset_at else None
        made = requests(
            orchestrator_id=row.pk,
            generation=row.generation,
            kind="after_reset" if row.reset_at else "first",
            opened_at=row.reset_at or row.created_at,
            caused_by=was_reset.actor_name if was_reset else f"orchestrator {row.client_machine}"[:200],
            caused_by_key=f"user:{was_reset.actor_id}" if was_reset and was_reset.actor_id
            else f"name:{was_reset.actor_name}" if was_reset else "",
            caused_by_user_id=was_reset.actor_id if was_reset else None,
            address=was_reset.source_address if was_reset else row.last_address,
            reason=was_reset.message if was_reset else "",
            old_client_machine=row.client_machine if row.reset_at else "",
            old_thumbprint=was_reset.before.get("thumbprint", "") if was_reset else "",
        )
        if row.status == APPROVED:
            decision = last(row, "approved")
            made.state = "approved"
            made.decided_at = decision.at if decision else row.reset_at
            made.decided_by = decision.actor_name if decision else "unknown"
            made.decided_by_user_id = decision.actor_id if decision else None
            made.decision_reason = decision.message if decision else ""
            made.new_client_machine = row.client_machine
            made.new_thumbprint = row.thumbprint
        batch.append(made)
        if len(batch) == BATCH:
            requests.objects.using(using).bulk_create(batch)
            batch = []
    requests.objects.using(using).bulk_create(batch)


class Migration(migrations.Migration):

    dependencies = [
        ("renewal", "0005_approvals"),
        ("orchestrators", "0002_groups_and_labels"),
        ("access", "0001_initial"),
        ("audit", "0001_initial"),
    ]

    operations = [migrations.RunPython(open_requests, migrations.RunPython.noop)]
