"""Rows on their way into the database by the thousand: COPY on PostgreSQL, inserts elsewhere.

Owns numbering and writing; knows nothing of what the rows say. What a row leaves out has its
model's default. Every write is part of the caller's transaction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import AutoField, Field, JSONField, Max, Model

_NOTHING = "\\N"
_SPECIAL = re.compile(r"[\\\t\n\r]").search
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Sheet:
    """New rows of one model."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self._fields: list[Field[Any, Any]] = list(model._meta.concrete_fields)
        self._place = {field.attname: place for place, field in enumerate(self._fields)}
        self._is_json = [isinstance(field, JSONField) for field in self._fields]
        self._is_numbered = isinstance(model._meta.pk, AutoField)
        self._defaults = [None if f.primary_key else f.get_default() for f in self._fields]
        self._key = self._place[model._meta.pk.attname]
        self._next = 0
        self.rows: list[list[Any]] = []

    def start(self) -> None:
        """Begin: number on from the largest number that is there."""
        if self._is_numbered:
            largest = self.model._default_manager.aggregate(largest=Max("pk"))["largest"]
            self._next = (largest or 0) + 1

    def add(self, **values: Any) -> int:
        """Add a row; return its number (0 for models that are not numbered)."""
        row = self._defaults.copy()
        for name, value in values.items():
            row[self._place[name]] = value
        self.rows.append(row)
        if not self._is_numbered:
            return 0
        number = self._next
        row[self._key] = number
        self._next += 1
        return number

    def write(self) -> None:
        """Write all rows and begin a new sheet."""
        if self.rows and connection.vendor == "postgresql":
            self._copy()
        elif self.rows:
            names = [field.attname for field in self._fields]
            objects = [self.model(**dict(zip(names, row, strict=True))) for row in self.rows]
            self.model._default_manager.bulk_create(objects, batch_size=500)
        self.rows = []

    def _copy(self) -> None:
        quote = connection.ops.quote_name
        table = quote(self.model._meta.db_table)
        columns = ", ".join(quote(str(field.column)) for field in self._fields)
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for piece in self._pieces():
                    copy.write(piece)
            if self._is_numbered:
                # Whoever inserts next gets a number beyond ours.
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s)",
                    [table, self._fields[self._key].column, self._next - 1],
                )

    def _pieces(self) -> Iterator[str]:
        cells = [_json_cell if is_json else None for is_json in self._is_json]
        defaults = [
            (value, (cell or _cell)(value))
            for value, cell in zip(self._defaults, cells, strict=True)
        ]
        for start in range(0, len(self.rows), 500):
            lines = []
            for row in self.rows[start : start + 500]:
                line = [
                    text if value is default else (cell or _CELLS.get(type(value), _cell))(value)
                    for value, (default, text), cell in zip(row, defaults, cells, strict=True)
                ]
                lines.append("\t".join(line))
            yield "\n".join(lines) + "\n"


def _json_cell(value: Any) -> str:
    text = json.dumps(value)
    return text.translate(_ESCAPES) if "\\" in text else text


def _text_cell(value: str) -> str:
    return value.translate(_ESCAPES) if _SPECIAL(value) else value


def _cell(value: Any) -> str:
    """Return a value as COPY's text format has it."""
    return _NOTHING if value is None else _text_cell(str(value))


_CELLS: dict[type, Callable[[Any], str]] = {
    str: _text_cell,
    int: str,
    datetime: str,
    bool: lambda value: "t" if value else "f",
    bytes: lambda value: f"\\\\x{value.hex()}",
}


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
        cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
        # Foreign keys last: what they refer to is unique by then.
        for statement in reversed(again):
            cursor.execute(statement)
        for table in tables:
            cursor.execute(f"ANALYZE {table}")
