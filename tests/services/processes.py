"""Processes that a test starts: waited for with a deadline, stopped by their own pid.

Owns no knowledge of what they are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class NotInTime(AssertionError):
    """Something did not happen before its deadline."""


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Poll ``condition`` until it is true. Raises NotInTime."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def accepts(address: tuple[str, int] | Path) -> bool:
    """Return whether something listens on a port or a unix socket."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        target = str(address) if isinstance(address, Path) else address
        return probe.connect_ex(target) == 0


class Process:
    """One started process with its output in a file.

    ``environment`` is the whole environment; without it, this process's own is inherited.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        user: str | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=environment,
                user=user,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_ready(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Poll until ``condition``; an early end of the process is reported with its output."""

        def ready() -> object:
            if self.popen.poll() is not None:
                raise NotInTime(f"ended with {self.popen.returncode}: {self.output()}")
            return condition()

        try:
            wait_until(ready, "the process is ready", seconds)
        except NotInTime as error:
            raise NotInTime(f"{error}: {self.output()}") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> int:
        """Stop the process by its pid; a deaf one is killed. Returns its exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(how)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()


@contextlib.contextmanager
def running(process: Process, condition: Callable[[], object]) -> Iterator[Process]:
    """Wait for ``condition``, hand the process out, stop it."""
    try:
        process.wait_ready(condition)
        yield process
    finally:
        process.stop()


def gunicorn(
    module: str, bind: str, data_dir: Path, log: Path, environment: Mapping[str, str]
) -> Process:
    """Start gunicorn with one of the portal's configurations and the echo site."""
    return Process(
        [sys.executable, "-m", "gunicorn", "-c", f"python:portal.runtime.{module}"],
        log,
        environment={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.services.echo_site",
            "PORTAL_DATA_DIR": str(data_dir),
            "PORTAL_BIND": bind,
            "PORTAL_WEB_PROCESSES": "1",
            "PYTHONPATH": str(ROOT),
            **environment,
        },
    )
