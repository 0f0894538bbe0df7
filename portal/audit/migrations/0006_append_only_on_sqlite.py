"""SQLite refuses to change or delete audit rows and seals too, and numbers that are far off.

Whoever owns the database can take all of this away: the chain tells then.
"""

from django.db import migrations

KEYS = {
    "audit_auditentry": (),
    "audit_auditseal": ("sequence", "entry_id"),
    "audit_auditblock": ("number",),
}
"""Each table with the columns by which INSERT OR REPLACE would take a row away: no trigger of
SQLite fires for what it deletes.
"""
ENTRIES = "audit_auditentry"
LEAP = 10_000_000
REFUSED = "RAISE(ABORT, 'the audit log is append-only: this is refused')"


def trigger(name, table, act, when=""):
    return f"CREATE TRIGGER {name} BEFORE {act} ON {table} {when} BEGIN SELECT {REFUSED}; END"


def add_on_sqlite(execute):
    for table, keys in KEYS.items():
        execute(trigger(f"{table}_no_update", table, "UPDATE"))
        execute(trigger(f"{table}_no_delete", table, "DELETE"))
        if keys:
            same = " OR ".join(f"{key} = NEW.{key}" for key in keys)
            when = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"
            execute(trigger(f"{table}_no_replace", table, "INSERT", when))
    # -1 stands for a number that SQLite gives itself. The highest of all would be the last one.
    highest = f"(SELECT coalesce(max(id), 0) FROM {ENTRIES})"
    when = (
        f"WHEN NEW.id <> -1 AND (NEW.id <= {highest} OR NEW.id > {highest} + {LEAP})"
    )
    execute(trigger(f"{ENTRIES}_no_number", ENTRIES, "INSERT", when))


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        add_on_sqlite(schema_editor.execute)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for table, keys in KEYS.items():
            for name in ("no_update", "no_delete", *(["no_replace"] if keys else [])):
                schema_editor.execute(f"DROP TRIGGER {table}_{name}")
        schema_editor.execute(f"DROP TRIGGER {ENTRIES}_no_number")


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_moments_and_free_sequences")]
    operations = [migrations.RunPython(add, remove)]
