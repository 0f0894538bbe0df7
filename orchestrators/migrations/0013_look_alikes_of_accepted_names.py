"""What the names look like that operators accepted: records kept the look of their former name."""

from django.db import migrations

from orchestrators.confusables import skeleton

_BATCH = 2000


def correct(apps, schema_editor):
    orchestrators = apps.get_model("orchestrators", "Orchestrator")
    batch = []
    rows = orchestrators.objects.only("client_machine", "name_skeleton")
    for row in rows.iterator(chunk_size=_BATCH):
        looks = skeleton(row.client_machine)
        if row.name_skeleton == looks:
            continue
        row.name_skeleton = looks
        batch.append(row)
        if len(batch) == _BATCH:
            orchestrators.objects.bulk_update(batch, ["name_skeleton"])
            batch = []
    orchestrators.objects.bulk_update(batch, ["name_skeleton"])


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0012_counted_for_roles")]

    operations = [migrations.RunPython(correct, migrations.RunPython.noop)]
