"""Runs what must hold on both databases on SQLite, then the whole suite on a private PostgreSQL.

``python -m tests.services.run [pytest's arguments]``. Owns which database a run uses and the
exit status of both passes together. With ``--serve`` it only starts the PostgreSQL server, prints
its folder and waits to be stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.services.missing import skips_are_failures
from tests.services.postgresql import PostgresqlMissing, private_server

BOTH_DATABASES = "both_databases"
"""The mark of a test that runs in the pass on SQLite too."""
_NO_TESTS = 5


def main(arguments: list[str]) -> int:
    """Run both passes; return the worse exit status."""
    if arguments == ["--serve"]:
        return serve()
    try:
        with private_server() as server:
            on_sqlite = suite([*arguments, "-m", BOTH_DATABASES], "")
            on_postgresql = suite(arguments, server.url("portal"))
    except PostgresqlMissing:
        print("PostgreSQL is not installed: the suite runs on SQLite alone.", flush=True)
        return suite(arguments, "") or int(skips_are_failures())
    return on_postgresql or (0 if on_sqlite == _NO_TESTS else on_sqlite)


def suite(arguments: list[str], database_url: str) -> int:
    """Run pytest once on a database; an empty URL means SQLite."""
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    if database_url:
        environment["DATABASE_URL"] = database_url
    print(f"Tests on {'PostgreSQL' if database_url else 'SQLite'}", flush=True)
    return subprocess.call([sys.executable, "-m", "pytest", *arguments], env=environment)


def serve() -> int:
    """Keep a server until SIGTERM."""
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with private_server() as server:
        print(server.folder, flush=True)
        signal.sigwait(stop)
    return 0


if __name__ == "__main__":
    # Without a shell in between, a Ctrl-C reaches pytest and this process alike.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main(sys.argv[1:]))
