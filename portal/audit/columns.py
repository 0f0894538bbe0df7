"""Columns of the audit tables: read as they are stored, whatever somebody wrote into them.

Owns what a cell says that the portal cannot have written (SQLite keeps anything in any column,
PostgreSQL knows moments that Python does not): a value that no seal was made of, so that the row is
found as edited and every page can still show it. In the schema each is Django's own column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models import F, Func, QuerySet
from django.db.models.fields.json import KeyTransform

UNREADABLE_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
UNREADABLE_NUMBER = -1
UNREADABLE_ID = UUID(int=0)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""A moment outside of these is not one of the portal's."""

_DEEPEST = 64
_MOST_SHOWN = 2000


class _AsText(models.Field):
    """What is selected as text: bytes if SQLite stored text, else a str."""

    casts_on_postgresql = True
    kind: str

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        if compiler.query.subquery:
            return sql, params
        if compiler.connection.vendor == "postgresql":
            return (f"({sql})::text" if self.casts_on_postgresql else sql), params
        # A text that is no UTF-8 cannot be fetched as text. What is not stored as text is quoted:
        # it is another value, also to every comparison in the database.
        return (
            f"CASE typeof({sql}) WHEN 'null' THEN NULL WHEN 'text' THEN CAST({sql} AS BLOB) "
            f"ELSE quote({sql}) END",
            tuple(params) * 3,
        )

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.kind}", args, kwargs


class _WithoutConverter(_AsText):
    """For types whose text the backend would convert, or refuse to, before this field sees it."""

    def get_internal_type(self) -> str:
        return type(self).__name__

    def db_type(self, connection: Any) -> Any:
        return connection.data_types[self.kind]


class TextColumn(_AsText, models.CharField):
    kind = "CharField"
    casts_on_postgresql = False

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return _decoded(value)


class MomentColumn(_WithoutConverter, models.DateTimeField):
    kind = "DateTimeField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> datetime | None:
        if value is None:
            return None
        text = _decoded(value)
        try:
            moment = datetime.fromisoformat(text)
            if connection.vendor == "sqlite":
                # In another form it is another value to every comparison in the database.
                if isinstance(value, str) or str(moment) != text:
                    return UNREADABLE_MOMENT
                moment = moment.replace(tzinfo=UTC)
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return UNREADABLE_MOMENT
        return moment if EARLIEST <= moment < LATEST else UNREADABLE_MOMENT


class IdColumn(_WithoutConverter, models.UUIDField):
    kind = "UUIDField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> UUID | None:
        if value is None:
            return None
        text = _decoded(value)
        try:
            found = UUID(text)
        except ValueError:
            return UNREADABLE_ID
        is_as_written = connection.vendor != "sqlite" or found.hex == text
        return found if is_as_written else UNREADABLE_ID


class ObjectColumn(_AsText, models.JSONField):
    """A JSON object; another value is shown under the name "unreadable"."""

    kind = "JSONField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if isinstance(expression, KeyTransform):
            return super().from_db_value(_decoded(value), expression, connection)
        found = parsed(value)
        return found if isinstance(found, dict) else {"unreadable": _shown(value)}


class FindingsColumn(_AsText, models.JSONField):
    """A list of findings (`findings.Report.told`)."""

    kind = "JSONField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> list[Any]:
        found = parsed(value)
        if isinstance(found, list) and all(isinstance(each, dict) for each in found):
            return found
        return [{"kind": "broken_off", "sentence": "What was found cannot be read. Verify again."}]


class _AsNumber(models.Field):
    kind: str

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        if compiler.query.subquery or compiler.connection.vendor != "sqlite":
            return sql, params
        return (
            f"CASE typeof({sql}) WHEN 'integer' THEN {sql} WHEN 'null' THEN NULL "
            f"ELSE {UNREADABLE_NUMBER} END",
            tuple(params) * 2,
        )

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.kind}", args, kwargs


class NumberColumn(_AsNumber, models.BigIntegerField):
    kind = "BigIntegerField"


class KeyColumn(_AsNumber, models.ForeignKey):
    kind = "ForeignKey"

    def get_col(self, alias: str, output_field: Any = None) -> Any:
        # Django selects it as the column that it refers to.
        return super().get_col(alias, output_field or self)


def numbered(rows: QuerySet[Any], column: str) -> QuerySet[Any]:
    """Return the rows whose ``column`` is a number: on SQLite a text comes after every number, and
    whoever owns a table can let a number be missing.
    """
    if connection.vendor != "sqlite":
        return rows.filter(**{f"{column}__isnull": False})
    kind = Func(F(column), function="typeof", output_field=models.TextField())
    found: QuerySet[Any] = rows.alias(_kind=kind).filter(_kind="integer")
    return found


def parsed(value: Any) -> Any:
    """Return stored JSON; None for what no reply could hold again."""
    text = _decoded(value)
    # Quoted on SQLite: it was not text.
    if text is None or (isinstance(value, str) and connection.vendor == "sqlite"):
        return None
    try:
        found = json.loads(text, parse_float=_finite, parse_constant=_finite)
        if "\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    is_shallow = text.count("[") + text.count("{") <= _DEEPEST or _depth(found) <= _DEEPEST
    return found if is_shallow else None


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _shown(value: Any) -> str:
    return str(_decoded(value))[:_MOST_SHOWN]


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{text} is no number of JSON")
    return number


def _depth(value: Any) -> int:
    level: list[Any] = [value]
    depth = 0
    while level and depth <= _DEEPEST:
        depth += 1
        level = [inner for each in level for inner in _inside(each)]
    return depth


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
