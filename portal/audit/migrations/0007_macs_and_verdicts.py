"""Rows say by a MAC that the portal wrote them, seals what the sealer found of it.

What is sealed already stays as it is: its seals have no verdict. Rows that wait for their seal get
a MAC here, once; from then on a row without one is forged. SQLite makes a table anew for a column,
which takes its triggers away.
"""

from importlib import import_module

from django.db import migrations, models
from django.db.models import Exists, OuterRef, Q

from portal.audit import chain, mac

BATCH = 500
on_sqlite = import_module("portal.audit.migrations.0006_append_only_on_sqlite")
TABLE = "audit_auditentry"


def let_change(apps, schema_editor):
    on_sqlite.remove(apps, schema_editor)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER append_only ON {TABLE}")


def refuse_changes(apps, schema_editor):
    on_sqlite.add(apps, schema_editor)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()"
        )


def give_macs(apps, schema_editor):
    using = schema_editor.connection.alias
    seals = apps.get_model("audit", "AuditSeal").objects.using(using)
    entries = apps.get_model("audit", "AuditEntry").objects.using(using)
    waiting = entries.exclude(Exists(seals.filter(entry_id=OuterRef("pk")))).filter(mac="")
    last = 0
    while rows := list(waiting.filter(pk__gt=last).order_by("pk")[:BATCH]):
        last = rows[-1].pk
        for row in rows:
            row.mac = mac.made({name: getattr(row, name) for name in chain.FIELDS})
        entries.bulk_update(rows, ["mac"])


class Migration(migrations.Migration):

    dependencies = [
        ("audit", "0006_append_only_on_sqlite"),
    ]

    operations = [
        migrations.RunPython(let_change, refuse_changes),
        migrations.AddField(
            model_name="auditentry",
            name="mac",
            field=models.CharField(default="", editable=False, max_length=65),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="auditseal",
            name="verdict",
            field=models.CharField(default="", max_length=8),
            preserve_default=False,
        ),
        migrations.RunPython(give_macs, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="auditseal",
            index=models.Index(condition=Q(verdict="forged"), fields=["sequence"], name="audit_forged"),
        ),
        migrations.AddConstraint(
            model_name="auditentry",
            constraint=models.UniqueConstraint(
                condition=~Q(mac=""), fields=["mac"], name="audit_mac_is_of_one_row"
            ),
        ),
        migrations.RunPython(refuse_changes, let_change),
    ]
