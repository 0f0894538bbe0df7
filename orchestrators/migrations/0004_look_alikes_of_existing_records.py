"""What the names of existing records look like."""

from django.db import migrations

from orchestrators.confusables import skeleton

_BATCH = 2000


def fill(apps, schema_editor):
    orchestrators = apps.get_model("orchestrators", "Orchestrator")
    batch = []
    rows = orchestrators.objects.exclude(client_machine="").only("client_machine")
    for row in rows.iterator(chunk_size=_BATCH):
        row.name_skeleton = skeleton(row.client_machine)
        batch.append(row)
        if len(batch) == _BATCH:
            orchestrators.objects.bulk_update(batch, ["name_skeleton"])
            batch = []
    orchestrators.objects.bulk_update(batch, ["name_skeleton"])


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0003_auto_registration")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
