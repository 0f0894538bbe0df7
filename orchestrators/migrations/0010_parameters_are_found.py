"""An index for finding orchestrators by a client parameter, where the database has such a thing."""

from django.db import migrations


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX orch_parameters ON orchestrators_orchestrator USING gin "
            "(client_parameters)"
        )


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX orch_parameters")


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0009_indexes_of_marks_by_order")]

    operations = [migrations.RunPython(add, remove)]
