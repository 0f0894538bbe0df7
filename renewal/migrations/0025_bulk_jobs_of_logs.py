from __future__ import annotations

from django.db import migrations, models

_ACTS = ("approve", "disapprove", "request", "require", "clear", "reset", "logs")


class Migration(migrations.Migration):
    dependencies = [("renewal", "0024_revoked_by_key")]
    operations = [
        migrations.AlterField(
            model_name="bulkjob",
            name="act",
            field=models.CharField(choices=[(act, act) for act in _ACTS], max_length=12),
        )
    ]
