"""What the planner is told of the last answer and the status, where a database has such a thing.

Who waits for approval never got a warning about a certificate. Taken for independent, a warning was
expected on as many of these as of the others, so that a list of who got it read all who wait.
"""

from django.db import migrations


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        table = "orchestrators_orchestrator"
        schema_editor.execute(
            f"CREATE STATISTICS orch_answer_and_status (mcv) ON last_error_code, status FROM {table}"
        )
        # They are there from the next count of the table on.
        schema_editor.execute(f"ANALYZE {table}")


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS orch_answer_and_status")


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0020_room_for_contacts")]

    operations = [migrations.RunPython(add, remove)]
