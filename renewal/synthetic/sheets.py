"""Rows on their way into the database: numbered, and as text that PostgreSQL's COPY reads.

PURE. Owns numbering and the text; knows nothing of what the rows say. What a row leaves out has its
model's default. Writing is `tables.py`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import AutoField, Field, Model

_Line = Callable[[dict[str, Any]], str]

_NOTHING = "\\N"
_SPECIAL = re.compile(r"[\\\t\n\r]").search
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_JSON = json.JSONEncoder(separators=(",", ":")).encode


class Sheet:
    """New rows of one model, numbered from ``first`` on."""

    def __init__(self, model: type[Model], first: int = 1) -> None:
        self.model = model
        self.fields: list[Field[Any, Any]] = list(model._meta.concrete_fields)
        self.is_numbered = is_numbered(model)
        self.rows: list[dict[str, Any]] = []
        self._key = model._meta.pk.attname
        self._next = first
        self._lines: dict[tuple[str, ...], _Line] = {}

    def add(self, **values: Any) -> int:
        """Add a row; return its number (0 for models that are not numbered)."""
        self.rows.append(values)
        if not self.is_numbered:
            return 0
        number = self._next
        values[self._key] = number
        self._next += 1
        return number

    def text(self) -> bytes:
        """Return all rows in COPY's text format, every column in the order of ``fields``."""
        written = []
        for row in self.rows:
            names = tuple(row)
            line = self._lines.get(names)
            if line is None:
                line = self._lines[names] = self._line(names)
            written.append(line(row))
        return "".join(written).encode()

    def _line(self, names: tuple[str, ...]) -> _Line:
        """Return what writes rows that give these columns; the others' cells stand ready."""
        given = [field.attname for field in self.fields if field.attname in names]
        if len(given) != len(names):
            raise TypeError(f"{self.model.__name__} has no {sorted(set(names) - set(given))}")
        ready = [
            "%s" if field.attname in names else _cell(field.get_default()).replace("%", "%%")
            for field in self.fields
        ]
        frame, values, cells = "\t".join(ready) + "\n", itemgetter(*given, given[0]), _CELLS

        def line(row: dict[str, Any]) -> str:
            return frame % tuple([cells[type(value)](value) for value in values(row)[:-1]])

        return line


def is_numbered(model: type[Model]) -> bool:
    return isinstance(model._meta.pk, AutoField)


def _text_cell(value: str) -> str:
    return value.translate(_ESCAPES) if _SPECIAL(value) else value


def _json_cell(value: Any) -> str:
    text = _JSON(value)
    return text.translate(_ESCAPES) if "\\" in text else text


_CELLS: dict[type, Callable[[Any], str]] = {
    str: _text_cell,
    int: str,
    datetime: str,
    date: str,
    UUID: str,
    bool: lambda value: "t" if value else "f",
    bytes: lambda value: f"\\\\x{value.hex()}",
    list: _json_cell,
    dict: _json_cell,
    type(None): lambda _: _NOTHING,
}


def _cell(value: Any) -> str:
    """Return a value, an enum's too, as COPY's text format has it."""
    kind = next(kind for kind in type(value).__mro__ if kind in _CELLS)
    return _CELLS[kind](kind(value) if kind in (int, str) else value)
