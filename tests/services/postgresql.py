"""A private PostgreSQL server on a unix socket in a scratch folder.

Owns its start, its databases and its end. It trusts whoever may open the socket: the folder is
this user's (or, for root, the unprivileged server user's) alone.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.services.missing import postgresql_folder
from tests.services.processes import Process

# Nothing of a test outlives the machine, so nothing needs to reach the disk in time.
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "autovacuum_naptime": "10s",
    # As docs/operations.md tells: a page out of order costs little on any disk of today.
    "random_page_cost": "1.1",
}
_PORT = 5432


class PostgresqlMissing(RuntimeError):
    """No PostgreSQL server is installed."""


@dataclass(frozen=True)
class Server:
    """A running server, known by its socket's folder."""

    folder: Path

    def url(self, database: str) -> str:
        """Return the value of DATABASE_URL for one database."""
        return f"postgres://postgres@/{self.folder}/{database}"

    def execute(self, statement: str) -> int:
        """Run a statement; return how many rows it found or changed."""
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            return connection.execute(statement).rowcount  # type: ignore[call-overload]

    def create_database(self, template: str = "template1") -> str:
        """Make a database of its own name; return its name."""
        name = f"portal_{uuid.uuid4().hex[:12]}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def has_database(self, name: str) -> bool:
        return self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == 1

    def rename_database(self, name: str, to: str) -> None:
        self.execute(f'ALTER DATABASE "{name}" RENAME TO "{to}"')

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def server_of(url: str) -> Server | None:
    """Return the server that a DATABASE_URL made by ``Server.url`` points to."""
    prefix = "postgres://postgres@/"
    return Server(Path(url.removeprefix(prefix)).parent) if url.startswith(prefix) else None


@contextmanager
def private_server() -> Iterator[Server]:
    """Start a server in a new scratch folder; stop it by its pid. Raises PostgresqlMissing."""
    programs = postgresql_folder()
    if programs is None:
        raise PostgresqlMissing
    user = _server_user()
    folder = Path(tempfile.mkdtemp(prefix="portal-postgresql-"))
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [
                *(str(programs / "initdb"), "--pgdata", str(data), "--username", "postgres"),
                *("--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
        )
        options = _OPTIONS | {"unix_socket_directories": str(folder)}
        process = Process(
            [
                *(str(programs / "postgres"), "-D", str(data)),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            folder / "log",
            cwd=folder,
            user=user,
        )
        try:
            server = Server(folder)
            process.wait_ready(lambda: _answers(server))
            yield server
        finally:
            # SIGINT is PostgreSQL's fast shutdown.
            process.stop(signal.SIGINT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(server: Server) -> bool:
    try:
        server.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise PostgresqlMissing
