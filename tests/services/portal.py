"""The real portal as a test's server: every process of ``manage.py run_portal``.

Owns scratch folders, free ports, a fresh database, and the means to disturb: kill, hold, pause.
Each portal is stopped by the pid of its supervisor, which stops the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services.ports import free_port
from tests.services.postgresql import Server
from tests.services.processes import ROOT, Process, wait_until
from tests.services.shared import locked

SETTINGS = "portal.settings"
READY = "Ctrl-C stops it"
# What a developer's shell may have set must not reach a scratch portal.
_FOREIGN = re.compile(r"(PORTAL_|DJANGO_|DATABASE_URL$|REDIS_URL$|DEMO$|CELERY_)")


def environment(data_dir: Path, database_url: str = "") -> dict[str, str]:
    """Return the whole environment of a portal's processes."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "PORTAL_DATA_DIR": str(data_dir),
        **({"DATABASE_URL": database_url} if database_url else {}),
    }


def manage(environment: Mapping[str, str], *arguments: str) -> Any:
    """Run a management command; return its JSON output. A failure raises with what it said."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(
            f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n"
            f"{done.stdout}{done.stderr}"
        )
    return json.loads(done.stdout) if done.stdout.strip() else None


_MIGRATED = "portal_migrated"


def migrated(server: Server) -> str:
    """Return the name of a database with every migration applied, which the server makes once."""
    with locked(server.folder / "migrated.lock"):
        if not server.has_database(_MIGRATED):
            name = server.create_database()
            with tempfile.TemporaryDirectory() as folder:
                manage(environment(Path(folder), server.url(name)), "migrate", "-v0")
            server.rename_database(name, _MIGRATED)
    return _MIGRATED


class Template:
    """An empty database with every migration applied, made once and copied for each portal.

    Processes that have one folder share it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self, data_dir: Path, server: Server | None) -> str:
        """Give a data folder its database; return its DATABASE_URL (empty for SQLite)."""
        if server is not None:
            return server.url(server.create_database(migrated(server)))
        data_dir.mkdir(parents=True)
        # Copies what the write-ahead log still holds, too.
        for path in self.sqlite().parent.glob("portal.sqlite3*"):
            shutil.copy(path, data_dir)
        return ""

    def sqlite(self) -> Path:
        """Return the file of SQLite's."""
        made = self._folder / "sqlite"
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / "sqlite.lock"):
            if not made.exists():
                new = self._folder / "sqlite.new"
                manage(environment(new), "migrate", "-v0")
                new.rename(made)
        return made / "portal.sqlite3"


@dataclass
class PortalUnderTest:
    """A running portal. Names of processes: broker, pages, agents, worker, beat."""

    data_dir: Path
    pages_port: int
    agents_port: int
    environment: dict[str, str]
    flags: tuple[str, ...]
    process: Process = field(init=False)
    administrator_password: str = ""
    _log_start: int = 0

    @property
    def pages_url(self) -> str:
        return f"http://127.0.0.1:{self.pages_port}"

    @property
    def agents_url(self) -> str:
        """Base of the agents' port: https, agent protocol and REST."""
        return f"https://127.0.0.1:{self.agents_port}"

    @property
    def ca_file(self) -> Path:
        """PEM file to verify the agents' port with."""
        return self.data_dir / "tls" / "ca.pem"

    def context(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """Return a client's TLS context for the agents' port."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return context

    def manage(self, *arguments: str) -> Any:
        """Run a management command on this portal's data; return its JSON output."""
        return manage(self.environment, *arguments)

    def start(self) -> None:
        """Start every process and wait until both ports answer."""
        log = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self._log_start = log.stat().st_size if log.exists() else 0
        self.process = Process(
            [
                *(sys.executable, str(ROOT / "manage.py"), "run_portal"),
                *("--pages-port", str(self.pages_port), "--agents-port", str(self.agents_port)),
                *self.flags,
            ],
            log,
            environment=self.environment,
        )
        self.process.wait_ready(lambda: READY in self.said(), seconds=120)
        if found := re.search(r"Password\s+(\S+)", self.said()):
            self.administrator_password = found[1]

    def stop(self) -> int:
        """Stop every process as Ctrl-C does; return the exit status. The data stays."""
        return self.process.stop(signal.SIGINT, seconds=60)

    def crash(self) -> None:
        """Kill the supervisor without warning; its children are on their own."""
        self.process.popen.kill()
        self.process.popen.wait()

    def pid(self, name: str) -> int | None:
        """Return the process id of one of the processes, if it runs."""
        try:
            known = json.loads((self.data_dir / "processes.json").read_text())
        except FileNotFoundError:
            return None
        return known[name]["pid"] if name in known else None

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a process; return its pid. The supervisor starts it again."""
        pid = self.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, how)
        return pid

    def hold(self, name: str) -> None:
        """Kill a process and keep it from starting until ``release``."""
        held = self.data_dir / "held"
        held.mkdir(exist_ok=True)
        (held / name).touch()
        pid = self.kill(name)
        wait_until(lambda: not _runs(pid), f"{name} is gone")

    def release(self, name: str) -> None:
        """Let a held process start, and wait for it."""
        before = self.pid(name)
        (self.data_dir / "held" / name).unlink()
        wait_until(lambda: self.pid(name) not in (before, None), f"{name} is back", 60)

    @contextlib.contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Freeze a process for the length of a block: it neither answers nor ends."""
        pid = self.kill(name, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def said(self) -> str:
        """Return what the processes have printed since the last start."""
        return self.process.log.read_bytes()[self._log_start :].decode(errors="replace")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def portal_under_test(
    template: Template,
    server: Server | None = None,
    *,
    demonstration: bool = False,
    start: bool = True,
    **variables: str,
) -> Iterator[PortalUnderTest]:
    """Run a portal of its own until the block ends.

    ``server`` is the PostgreSQL to use (SQLite without); further keywords are environment
    variables, for instance ``REDIS_URL=…``. The folder has a short path, because unix sockets
    need one, and is removed at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="portal-"))
    data_dir = folder / "data"
    url = template.fill(data_dir, server)
    portal = PortalUnderTest(
        data_dir,
        free_port(),
        free_port(),
        {**environment(data_dir, url), **variables},
        () if demonstration else ("--no-demo",),
    )
    try:
        if start:
            portal.start()
        yield portal
    finally:
        if hasattr(portal, "process"):
            portal.stop()
        if server is not None:
            server.drop_database(url.rpartition("/")[2])
        shutil.rmtree(folder, ignore_errors=True)
