"""A portal's rows as they are, read and aged with plain SQL.

Owns the way past the portal's own code: what it believes of itself is not asked, and hours pass by
writing an earlier time.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from tests.services.portal import PortalUnderTest


class Rows:
    """The database of one portal."""

    def __init__(self, portal: PortalUnderTest) -> None:
        self._url = portal.environment.get("DATABASE_URL", "")
        self._file = portal.data_dir / "portal.sqlite3"

    @property
    def is_postgresql(self) -> bool:
        return bool(self._url)

    @property
    def server(self) -> tuple[str, str]:
        """Return PostgreSQL's socket folder and the database's name."""
        folder, _, name = urlsplit(self._url).path.rpartition("/")
        return str(Path(folder)), name

    def __call__(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement with ``?`` for values; return its rows."""
        if self.is_postgresql:
            folder, name = self.server
            with psycopg.connect(
                host="/" + folder.lstrip("/"),
                user="postgres",
                dbname=name,
                autocommit=True,
                row_factory=dict_row,
            ) as connection:
                cursor = connection.execute(statement.replace("?", "%s"), values)  # type: ignore[call-overload]
                return cursor.fetchall() if cursor.description else []
        connection = sqlite3.connect(self._file, timeout=20)
        try:
            connection.row_factory = sqlite3.Row
            with connection:
                found = connection.execute(statement, values).fetchall()
        finally:
            connection.close()
        return [dict(row) for row in found]

    @property
    def just_now(self) -> str:
        """Return a moment that has passed, as the database writes one."""
        moment = datetime.now(UTC) - timedelta(seconds=1)
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f") + ("+00:00" if self.is_postgresql else "")

    def enrollments(self, name: str) -> list[dict[str, Any]]:
        """Return an orchestrator's enrollments, oldest first."""
        return self(
            "SELECT e.id, e.state, e.attempts, e.late, e.last_error, e.generation, e.spki_sha256,"
            " c.thumbprint, c.serial_number AS serial, c.standing"
            " FROM renewal_enrollment e"
            " JOIN orchestrators_orchestrator o ON o.id = e.orchestrator_id"
            " LEFT JOIN renewal_certificate c ON c.id = e.certificate_id"
            " WHERE o.client_machine = ? ORDER BY e.id",
            name,
        )

    def revocations(self, name: str) -> list[dict[str, Any]]:
        """Return the revocations of an orchestrator's certificates, oldest first."""
        return self(
            "SELECT r.id, r.state, r.attempts, r.reason, r.last_error, r.next_attempt_at,"
            " c.serial_number AS serial"
            " FROM renewal_revocation r JOIN renewal_certificate c ON c.id = r.certificate_id"
            " JOIN orchestrators_orchestrator o ON o.id = c.orchestrator_id"
            " WHERE o.client_machine = ? ORDER BY r.id",
            name,
        )

    def unsealed(self) -> list[dict[str, Any]]:
        """Return the audit rows that no seal covers yet."""
        return self(
            "SELECT id FROM audit_auditentry WHERE id NOT IN (SELECT entry_id FROM audit_auditseal)"
        )

    def rejected_serials(self) -> set[str]:
        """Return the serial numbers of certificates that a CA should not have made."""
        found = self("SELECT serial_number FROM renewal_certificate WHERE standing = 'rejected'")
        return {row["serial_number"] for row in found}

    def record(self, name: str) -> dict[str, Any]:
        """Return an orchestrator's record."""
        (found,) = self("SELECT * FROM orchestrators_orchestrator WHERE client_machine = ?", name)
        return found

    def audited(self, name: str, *actions: str) -> list[str]:
        """Return which of these acts the audit log has for an orchestrator, in order."""
        found = self(
            "SELECT a.action FROM audit_auditentry a JOIN orchestrators_orchestrator o"
            " ON a.orchestrator_id = o.id WHERE o.client_machine = ? ORDER BY a.id",
            name,
        )
        return [row["action"] for row in found if row["action"] in actions]

    # --- time ----------------------------------------------------------------------------------

    def retries_are_due(self) -> None:
        """Let every pause of enrollments, revocations and CAs be over."""
        for table, states in (
            ("renewal_enrollment", "('waiting', 'pending', 'unknown')"),
            ("renewal_revocation", "('waiting', 'failed')"),
        ):
            self(f"UPDATE {table} SET next_attempt_at = ? WHERE state IN {states}", self.just_now)
        self("UPDATE renewal_certificateauthority SET resume_at = NULL, failures_in_a_row = 0")

    def leases_run_out(self) -> None:
        """Let every lease of a worker be over."""
        for table in ("renewal_enrollment", "renewal_revocation"):
            self(f"UPDATE {table} SET lease_until = ? WHERE lease_until IS NOT NULL", self.just_now)
