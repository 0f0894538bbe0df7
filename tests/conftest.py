"""Fixtures of the whole suite: servers, browsers, the running portal.

Owns what a run has at its disposal and what a missing program means. What a fixture starts is
in ``tests/services``.
"""

from __future__ import annotations

import dataclasses
import gc
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import compress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import override_settings

from tests.portal.audit import owner
from tests.services.missing import find, skip_without, skips_are_failures
from tests.services.portal import PortalUnderTest, Template, migrated, portal_under_test
from tests.services.postgresql import Server, server_of
from tests.services.processes import ROOT, Process, accepts, running
from tests.services.run import BOTH_DATABASES
from tests.services.shared import shared

# What is imported and collected stays until the end: looking through all of it again and again
# for what could be freed is a tenth of a worker's time.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on garbage is collected, and looked for among what is made from here on."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """With CI=true, a test that was left out is a test that failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and skips_are_failures():
        report.outcome = "failed"
        report.longrepr = f"{report.longrepr}\nCI=true: nothing may be left out."
    return report


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The pass on SQLite does not even import a file of which it would run nothing."""
    if config.option.markexpr != BOTH_DATABASES or not collection_path.match("test_*.py"):
        return None
    return True if BOTH_DATABASES not in collection_path.read_text() else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of faults come first, where one worker process has them all with one portal.

    Workers begin with equal parts of the list and take from the end of another's; what lies
    across two parts would be set up in both.
    """
    items.sort(key=lambda item: not item.nodeid.startswith("tests/faults/"))
    if config.option.markexpr == BOTH_DATABASES:
        # What only PostgreSQL has is tried in the other pass, whatever the rest of its file says.
        elsewhere = [item for item in items if "on_postgresql" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what was left out, and why, whatever the verbosity."""
    reasons = {
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    }
    for reason in sorted(reasons):
        terminalreporter.write_line(f"LEFT OUT: {reason}", yellow=True, bold=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings: None, portal_template: Template
) -> Iterator[None]:
    """Each worker's database is a copy of one: migrating takes seconds, copying next to nothing."""
    with ExitStack() as open_until_the_end:
        if server := server_of(settings.CONFIG.database_url):
            connection.settings_dict["TEST"]["TEMPLATE"] = migrated(server)
        elif connection.vendor == "sqlite":
            # One in memory is there as long as somebody has it open, and Django opens it later.
            name = connection.creation._get_test_db_name()
            copy = open_until_the_end.enter_context(closing(sqlite3.connect(name, uri=True)))
            with closing(sqlite3.connect(portal_template.sqlite())) as made:
                made.backup(copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def _a_flush_empties_what_has_rows() -> None:
    """Between tests that commit, Django empties each table; few have rows, and emptying one on
    PostgreSQL with TRUNCATE makes new files for it and its indexes.

    The audit log's triggers forbid it. On PostgreSQL only a superuser may switch triggers off, as
    the tests' own server has one.
    """
    operations: Any = type(connection.ops)
    flush = operations.execute_sql_flush

    def of_tables_with_rows(self: Any, style: Any, tables: list[str], **options: Any) -> list[str]:
        names = [self.quote_name(table) for table in tables]
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(f'EXISTS (SELECT 1 FROM {n})' for n in names)}")
            has_rows = cursor.fetchone()
        return [f"DELETE FROM {name}" for name in compress(names, has_rows)]

    def without_triggers(self: Any, statements: list[str]) -> None:
        if statements:
            off, on = owner.statements(self.connection)
            statements = [*off, *statements, *on]
        flush(self, statements)

    operations.sql_flush = of_tables_with_rows
    operations.execute_sql_flush = without_triggers


@pytest.fixture(scope="module")
def kept(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """What a module's fixtures write stays for all of its tests, which undo only their own rows.

    For modules without tests that commit. Returns the module's data folder.
    """
    folder = tmp_path_factory.mktemp("kept")
    config = dataclasses.replace(settings.CONFIG, data_dir=folder)
    with django_db_blocker.unblock(), override_settings(CONFIG=config), transaction.atomic():
        yield folder
        transaction.set_rollback(True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A scratch folder whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that all worker processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own


@pytest.fixture(scope="session")
def postgresql(run_folder: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A private PostgreSQL: the one that the suite runs on, else one for this run."""
    if running_on := server_of(settings.CONFIG.database_url):
        yield running_on
        return
    if find("PostgreSQL") is None:
        skip_without("PostgreSQL")

    def start() -> tuple[int, str]:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.services.run", "--serve"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        assert server.stdout
        return server.pid, server.stdout.readline().strip()

    with shared(run_folder, "postgresql", start) as folder:
        yield Server(Path(folder))


@pytest.fixture(scope="session")
def on_postgresql() -> None:
    """For what only PostgreSQL has: locks of rows, triggers, COPY. ``make test`` runs on it."""
    if connection.vendor != "postgresql":
        pytest.skip("this run is on SQLite; run make test for PostgreSQL")


@pytest.fixture(scope="session")
def openssl_program() -> str:
    """Path of the program openssl."""
    return find("OpenSSL") or skip_without("OpenSSL")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis server on a private unix socket: Debian's, not the embedded one."""
    program = find("Redis")
    if program is None:
        skip_without("Redis")
    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "redis.sock"
    process = Process(
        [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
        folder / "log",
    )
    with running(process, lambda: accepts(socket)):
        yield f"redis+socket://{socket}"


@pytest.fixture(scope="session")
def nginx_program() -> str:
    """Path of nginx."""
    return find("nginx") or skip_without("nginx")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of Chromium for Playwright's ``executable_path``."""
    return find("Chromium") or skip_without("Chromium")


@pytest.fixture(scope="session")
def portal_template(run_folder: Path) -> Template:
    """A data folder and database that are set up once in a run and copied for each portal."""
    return Template(run_folder / "template")


@pytest.fixture
def portal_processes(
    portal_template: Template, request: pytest.FixtureRequest
) -> Iterator[Callable[..., PortalUnderTest]]:
    """Factory of running portals: ``portal_processes("postgresql", REDIS_URL=…)``.

    The first argument is the database; see ``tests.services.portal.portal_under_test`` for the
    rest.
    """
    with ExitStack() as portals:

        def start(database: str = "sqlite", **options: Any) -> PortalUnderTest:
            server = request.getfixturevalue("postgresql") if database == "postgresql" else None
            return portals.enter_context(portal_under_test(portal_template, server, **options))

        yield start
