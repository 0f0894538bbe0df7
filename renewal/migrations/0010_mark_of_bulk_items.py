from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("renewal", "0009_asking_an_authority")]
    operations = [
        migrations.AddField(
            "bulkitem",
            "mark",
            models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        ),
    ]
