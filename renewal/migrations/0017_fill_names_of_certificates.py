from typing import Any

from django.db import migrations, transaction

from orchestrators.names import canonical

_BATCH = 2_000


def fill(apps: Any, schema_editor: Any) -> None:
    """Write the names of the certificates that were there before, in batches by their number.

    A transaction for each batch: nobody waits for the whole. What was broken off is begun again.
    """
    certificates = apps.get_model("renewal", "Certificate")
    names = apps.get_model("renewal", "CertificateName")
    last = 0
    while rows := list(
        certificates.objects.filter(pk__gt=last)
        .order_by("pk")
        .only("pk", "common_name", "sans", "name_key")[:_BATCH]
    ):
        last = rows[-1].pk
        others = []
        for row in rows:
            row.name_key = canonical(row.common_name)
            keys = {canonical(value) for _, value in row.sans} - {row.name_key, ""}
            others += [names(certificate_id=row.pk, name_key=key) for key in sorted(keys)]
        with transaction.atomic():
            certificates.objects.bulk_update(rows, ["name_key"])
            names.objects.filter(certificate__in=[row.pk for row in rows]).delete()
            names.objects.bulk_create(others)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("renewal", "0016_names_of_certificates")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
