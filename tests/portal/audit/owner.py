"""What only the owner of the tables can do: write past the triggers and checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

_CHECK = "audit_at_is_a_moment"


@contextmanager
def as_owner() -> Iterator[Any]:
    """Give a cursor that nothing is refused to; what refused stands again at the end."""
    with connection.cursor() as cursor:
        off, on = statements(connection)
        for statement in off:
            cursor.execute(statement)
        yield cursor
        for statement in on:
            cursor.execute(statement)


def statements(to: Any) -> tuple[list[str], list[str]]:
    """Return what takes the protection away, and what puts it back."""
    with to.cursor() as cursor:
        if to.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [_CHECK]
            )
            (check,) = cursor.fetchone()
            role = "SET LOCAL session_replication_role ="
            table = "ALTER TABLE audit_auditentry"
            return (
                [f"{role} replica", f"{table} DROP CONSTRAINT {_CHECK}"],
                [
                    f"{role} origin",
                    f"{table} ADD CONSTRAINT {_CHECK} {check.removesuffix('NOT VALID')} NOT VALID",
                ],
            )
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"
        )
        triggers = cursor.fetchall()
    checks = "PRAGMA ignore_check_constraints"
    return (
        [f"{checks} = ON", *(f"DROP TRIGGER {name}" for name, _ in triggers)],
        [*(sql for _, sql in triggers), f"{checks} = OFF"],
    )
