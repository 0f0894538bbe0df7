"""Statements of the ORM that are compiled once in a thread and run many times with other values.

Owns the compiling and the filling in. The ORM's compiler writes the SQL of whichever database and
the ORM's converters read what comes back: a prepared statement says what its queryset says. What is
saved is the compiling, which costs a hot call most of its time, and on PostgreSQL the planning as
well (unless PORTAL_DATABASE_PREPARES is off). Whatever decides the SHAPE of a statement (tables,
NULL or not) is fixed; only values vary. A list of any length is one value (`Among`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import BooleanField, Expression, F, Field, Func, Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql import InsertQuery, UpdateQuery
from django.db.models.sql.compiler import SQLCompiler
from django.db.transaction import TransactionManagementError

Row = TypeVar("Row")
Instance = TypeVar("Instance", bound=Model)
_Compiler = Callable[[Any], SQLCompiler]
"""Makes a compiler for a connection."""


class Parameter(Expression):
    """Stands in a statement for a value that is given at each run; None only where it is stored."""

    def __init__(self, name: str, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, Any]:
        return "%s", (self,)

    def prepared(self, value: Any, on: Any) -> Any:
        """Return a value as the database takes it."""
        return self.output_field.get_db_prep_value(value, on)


class _ListParameter(Parameter):
    """Stands for a list of values."""

    def prepared(self, value: Any, on: Any) -> Any:
        each = [self.output_field.get_db_prep_value(one, on) for one in value]
        return each if on.vendor == "postgresql" else json.dumps(each)


class Among(Func):
    """Says whether a column's value is one of a list that is given at each run."""

    output_field: Any = BooleanField()
    template = "%(expressions)s"

    def __init__(self, column: str, name: str, field: Field[Any, Any]) -> None:
        super().__init__(F(column), _ListParameter(name, field))

    def as_postgresql(self, compiler: SQLCompiler, connection: Any) -> Any:
        return super().as_sql(
            compiler, connection, template="%(expressions)s)", arg_joiner=" = ANY("
        )

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> Any:
        return super().as_sql(
            compiler,
            connection,
            template="%(expressions)s))",
            arg_joiner=" IN (SELECT value FROM json_each(",
        )


class Select(Generic[Row]):
    """A queryset of values; ``row`` makes of a row's columns what is returned."""

    def __init__(self, queryset: Callable[[], QuerySet[Any, Any]], row: Callable[..., Row]) -> None:
        self._row = row
        self._statements = _Statements(lambda on: queryset().query.get_compiler(connection=on))

    def all(self, **values: Any) -> list[Row]:
        """Return all rows for these values."""
        return [self._row(*row) for row in self._statements.here().rows(values)]

    def one(self, **values: Any) -> Row | None:
        """Return the only row for these values; None if there is none."""
        found = self.all(**values)
        return found[0] if found else None


class Instances(Generic[Instance]):
    """A queryset of instances, with those that it selects along."""

    def __init__(self, queryset: Callable[[], QuerySet[Instance, Instance]]) -> None:
        self._statements = _Statements(lambda on: queryset().query.get_compiler(connection=on))

    def one(self, **values: Any) -> Instance | None:
        """Return the only one for these values; None if there is none."""
        statement = self._statements.here()
        for row in statement.rows(values):
            found: Instance = statement.instance(row)
            return found
        return None


class Update:
    """An UPDATE of a queryset's rows."""

    def __init__(self, queryset: Callable[[], QuerySet[Any, Any]], **columns: Any) -> None:
        def compiler(on: Any) -> SQLCompiler:
            query: Any = queryset().query.chain(UpdateQuery)
            query.add_update_values(columns)
            compiled: SQLCompiler = query.get_compiler(connection=on)
            return compiled

        self._statements = _Statements(compiler)

    def run(self, **values: Any) -> int:
        """Return how many rows were updated."""
        return self._statements.here().run(values)


class Insert:
    """An INSERT of one row whose columns are all given at each run, but its number."""

    def __init__(self, model: Callable[[], type[Model]]) -> None:
        def compiler(on: Any) -> SQLCompiler:
            kind = model()
            fields = [field for field in kind._meta.concrete_fields if not field.primary_key]
            blank = kind()
            for field in fields:
                blank.__dict__[field.attname] = Parameter(field.attname, field)
            query: Any = InsertQuery(kind)
            query.insert_values(fields, [blank])
            compiled: SQLCompiler = query.get_compiler(connection=on)
            return compiled

        self._statements = _Statements(compiler)

    def run(self, **values: Any) -> None:
        self._statements.here().run(values)


class _Statements:
    """One statement on each thread's connection."""

    def __init__(self, compiler: _Compiler) -> None:
        self._compiler = compiler
        self._here = threading.local()

    def here(self) -> _Statement:
        on = connections[DEFAULT_DB_ALIAS]
        known: _Statement | None = getattr(self._here, "statement", None)
        if known is None or known.on is not on:
            known = self._here.statement = _Statement(on, self._compiler(on))
        return known


class _Statement:
    def __init__(self, on: Any, compiler: SQLCompiler) -> None:
        self.on = on
        self._compiler = compiler
        written: Any = compiler.as_sql()
        # An INSERT is a list of statements, here of one.
        self._sql, parameters = written[0] if isinstance(written, list) else written
        self._parameters: list[Any] = list(parameters)
        columns = [column for column, *_ in compiler.select or ()]
        self._converters = compiler.get_converters(columns)
        self._names: list[str] = []
        self._populators: list[Any] = []

    def rows(self, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        if (
            self._compiler.query.select_for_update
            and self.on.features.has_select_for_update
            and self.on.get_autocommit()
        ):
            # The compiler says so of what it compiles, which was once, elsewhere.
            raise TransactionManagementError("A lock outlives no statement without a transaction.")
        with self._cursor() as cursor:
            cursor.execute(self._sql, self._filled(values))
            found = cursor.fetchall()
        if not self._converters:
            return found  # type: ignore[no-any-return]
        return list(self._compiler.apply_converters(found, self._converters))

    def instance(self, row: Sequence[Any]) -> Any:
        """Return a row as the ORM makes an instance of it (`ModelIterable`)."""
        compiler, database = self._compiler, self.on.alias
        klass: Any = compiler.klass_info
        first, last = klass["select_fields"][0], klass["select_fields"][-1]
        if not self._names:
            columns: Any = compiler.select
            self._names = [column.target.attname for column, *_ in columns[first : last + 1]]
            self._populators = get_related_populators(klass, columns, database)  # type: ignore[call-arg]
        made = klass["model"].from_db(database, self._names, row[first : last + 1])
        for populator in self._populators:
            populator.populate(row, made)
        return made

    def run(self, values: Mapping[str, Any]) -> int:
        with self._cursor() as cursor:
            cursor.execute(self._sql, self._filled(values))
            return int(cursor.rowcount)

    def _filled(self, values: Mapping[str, Any]) -> list[Any]:
        return [
            one.prepared(values[one.name], self.on) if isinstance(one, Parameter) else one
            for one in self._parameters
        ]

    def _cursor(self) -> Any:
        cursor = self.on.cursor()
        if self.on.vendor == "postgresql":
            from portal.preparing import PreparingCursor

            # The wrapper stays: it counts statements and tells errors in Django's words.
            cursor.cursor = PreparingCursor(self.on.connection)  # type: ignore[call-arg]
        return cursor
