from datetime import UTC
from typing import Any

from django.db import migrations
from django.db.models.functions import TruncDate

_BATCH = 2_000


def fill(apps: Any, schema_editor: Any) -> None:
    """Write the day of the last contact of the records that were there before, in batches by id.

    Each batch is one statement and no transaction lasts longer: nobody waits for the whole. What
    was broken off is begun again. No index has the column yet, so none is touched.
    """
    records = apps.get_model("orchestrators", "Orchestrator").objects.order_by("pk")
    rows = records.all()
    while ids := list(rows.values_list("pk", flat=True)[:_BATCH]):
        records.filter(pk__gte=ids[0], pk__lte=ids[-1], last_seen__isnull=False).order_by().update(
            seen_on=TruncDate("last_seen", tzinfo=UTC)
        )
        rows = records.filter(pk__gt=ids[-1])


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orchestrators", "0016_day_of_last_contact")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
