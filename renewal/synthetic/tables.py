"""The tables of a synthetic fleet: filled by COPY on PostgreSQL, by inserts elsewhere.

Owns writing, what is highest already, and indexes that are built after the rows are there. Every
write is part of the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.db import connection
from django.db.models import Max, Model

from renewal.synthetic.sheets import Sheet, is_numbered


def next_number(model: type[Model]) -> int:
    """Return a number from which on rows can be numbered (1 for models that are not)."""
    if not is_numbered(model):
        return 1
    largest = model._default_manager.aggregate(largest=Max("pk"))["largest"]
    return int(largest or 0) + 1


def insert(sheet: Sheet) -> None:
    """Write rows as the ORM does."""
    objects = [sheet.model(**row) for row in sheet.rows]
    sheet.model._default_manager.bulk_create(objects, batch_size=500)


def copy(model: type[Model], text: bytes) -> None:
    """Write the text of a sheet (PostgreSQL)."""
    if not text:
        return
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in model._meta.concrete_fields)
    statement = f"COPY {quote(model._meta.db_table)} ({columns}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        stream.write(text)


def number_on(models: Iterable[type[Model]]) -> None:
    """Let whoever inserts next get numbers beyond those that were given here."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for model in models:
            if is_numbered(model):
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s, false)",
                    [model._meta.db_table, model._meta.pk.column, next_number(model)],
                )


@contextmanager
def without_indexes(models: Sequence[type[Model]]) -> Iterator[None]:
    """Let tables be filled without indexes and foreign keys, built again at the end (PostgreSQL).

    Primary keys stay. Runs in the caller's transaction: after a failure everything is as before.
    """
    if connection.vendor != "postgresql":
        yield
        return
    tables = [model._meta.db_table for model in models]
    again = []
    with connection.cursor() as cursor:
        # Tables with checks that are still to come cannot be changed.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for kind in ("f", "u"):
            cursor.execute(
                "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) "
                "FROM pg_constraint WHERE contype = %s AND conrelid::regclass::text = ANY(%s)",
                [kind, tables],
            )
            for table, name, definition in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
                again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        cursor.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
            "WHERE NOT indisprimary AND indrelid::regclass::text = ANY(%s)",
            [tables],
        )
        for name, definition in cursor.fetchall():
            cursor.execute(f"DROP INDEX {name}")
            again.append(definition)
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL maintenance_work_mem = '512MB'")
        # Foreign keys last: what they refer to is unique by then.
        for statement in reversed(again):
            cursor.execute(statement)
        for table in tables:
            cursor.execute(f"ANALYZE {table}")
