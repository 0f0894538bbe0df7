from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orchestrators", "0015_statistics_of_columns_together")]

    operations = [
        migrations.AddField(
            model_name="orchestrator", name="seen_on", field=models.DateField(null=True)
        ),
    ]
