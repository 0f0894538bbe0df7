"""Rows on their way into the database by the thousand: COPY on PostgreSQL, inserts elsewhere.

Owns numbering and writing; knows nothing of what the rows say. What a row leaves out has its
model's default. Every write is part of the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import AutoField, Field, JSONField, Max, Model

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NOTHING = "\\N"


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
        """Begin a chunk: number on from the largest number that is there."""
        self.rows = []
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

    def write(self) -> int:
        """Write all rows; return how many."""
        if not self.rows:
            return 0
        if connection.vendor == "postgresql":
            self._copy()
        else:
            names = [field.attname for field in self._fields]
            objects = [self.model(**dict(zip(names, row, strict=True))) for row in self.rows]
            self.model._default_manager.bulk_create(objects, batch_size=500)
        return len(self.rows)

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
        for start in range(0, len(self.rows), 500):
            lines = []
            for row in self.rows[start : start + 500]:
                cells = [
                    _cell(value, is_json) for value, is_json in zip(row, self._is_json, strict=True)
                ]
                lines.append("\t".join(cells))
            yield "\n".join(lines) + "\n"


def _cell(value: Any, is_json: bool) -> str:
    """Return a value as COPY's text format has it."""
    if is_json:
        if not value:
            return "[]" if isinstance(value, list) else "{}" if value == {} else _NOTHING
        return json.dumps(value).translate(_ESCAPES)
    if value is None:
        return _NOTHING
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is bool:
        return "t" if value else "f"
    if kind is bytes:
        return "\\\\x" + value.hex()
    if isinstance(value, datetime):
        return str(value)
    return str(value).translate(_ESCAPES)
