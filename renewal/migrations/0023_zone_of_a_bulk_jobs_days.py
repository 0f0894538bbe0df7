from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("renewal", "0022_enrollments_monitored")]
    operations = [
        migrations.AddField(
            model_name="bulkjob",
            name="time_zone",
            field=models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        )
    ]
