"""What the planner is told of columns that depend on one another, where a database has such a thing.

A label's value says which key it has, and nearly every approved record has an end: taken for
independent, labels were expected on half of their bearers and records without an end eight times
as often as there are, so that lists within a label read all its bearers.
"""

from django.db import migrations

STATISTICS = (
    ("orch_status_and_end", "orchestrators_orchestrator", "status, certificate_not_after"),
    ("label_key_and_value", "orchestrators_orchestratorlabel", "key, value"),
)


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name, table, columns in STATISTICS:
            schema_editor.execute(f"CREATE STATISTICS {name} (mcv) ON {columns} FROM {table}")
            # They are there from the next count of the table on.
            schema_editor.execute(f"ANALYZE {table}")


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name, _, _ in STATISTICS:
            schema_editor.execute(f"DROP STATISTICS {name}")


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0014_handlers_without_place")]

    operations = [migrations.RunPython(add, remove)]
