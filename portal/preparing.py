"""psycopg's cursor for statements whose values go to PostgreSQL apart from their text.

Owns that a statement which the server has prepared is told like any other where statements are
captured. Imported only where psycopg is in use.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.base import ServerBindingCursor


class PreparingCursor(ServerBindingCursor):
    """Has the server keep a statement that comes often (the connection's threshold)."""

    def _send_query_prepared(self, name: bytes, pgq: Any, **options: Any) -> None:
        # Django reads the last statement here.
        self._query = pgq
        super()._send_query_prepared(name, pgq, **options)  # type: ignore[misc]
