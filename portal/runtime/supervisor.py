"""Starts, watches and stops the processes of one installation.

Owns their order: the broker before those who speak to it, the demonstration fleet when the agents'
port answers, and the other way round at the end. Knows nothing of what set-up did before.
"""

from __future__ import annotations

import http.client
import signal
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from portal.runtime.children import Child, Plan
from portal.runtime.installation import processes_file, write_processes

_WATCH_SECONDS = 0.2
_READY_SECONDS = 60.0
_STOP_SECONDS = 35.0


class NotReady(RuntimeError):
    """A server did not answer in time."""


class Supervisor:
    """The processes of one data folder."""

    def __init__(self, data_dir: Path, say: Callable[[str], None]) -> None:
        self._data_dir = data_dir
        self._say = say
        self._stop = threading.Event()
        self._started: list[list[Child]] = []

    def install_signal_handlers(self) -> None:
        """Let Ctrl-C, SIGTERM and a closed terminal stop every process."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def start(self, plans: Sequence[Plan]) -> None:
        """Start processes together; stopping goes group by group in reverse."""
        held = self._data_dir / "held"
        group = [Child(plan, held=held / plan.name, say=self._say) for plan in plans]
        self._started.append(group)
        for child in group:
            child.start()
        self._write()

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Watch until ``ready``. Raises NotReady; returns early when asked to stop."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self._stop.is_set() and not ready():
            if time.monotonic() > deadline:
                raise NotReady(f"{what} did not answer within {_READY_SECONDS:g} s.")
            self._watch()

    @property
    def is_stopping(self) -> bool:
        """Whether a signal asked for the end."""
        return self._stop.is_set()

    def run(self) -> None:
        """Watch until a signal asks to stop."""
        while not self._stop.is_set():
            self._watch()

    def stop(self) -> None:
        """Stop every process, the ones started last first."""
        for group in reversed(self._started):
            for child in group:
                child.ask_to_stop()
            deadline = time.monotonic() + _STOP_SECONDS
            for child in group:
                child.await_stop(deadline)
        self._started.clear()
        processes_file(self._data_dir).unlink(missing_ok=True)

    def _watch(self) -> None:
        # Each child is watched, whatever the ones before it answer.
        changed = [child.watch() for group in self._started for child in group]
        if any(changed):
            self._write()
        self._stop.wait(_WATCH_SECONDS)

    def _write(self) -> None:
        pids = {child.plan.name: child.pid for group in self._started for child in group}
        write_processes(self._data_dir, {name: pid for name, pid in pids.items() if pid})

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set() and number == signal.SIGINT:
            # A second Ctrl-C: whoever is left dies with this process.
            raise KeyboardInterrupt
        self._stop.set()


def answers(host: str, port: int, ca_file: Path | None = None) -> bool:
    """Return whether the portal answers there; with a CA file, over TLS that it vouches for."""
    try:
        connection: http.client.HTTPConnection
        if ca_file is None:
            connection = http.client.HTTPConnection(host, port, timeout=2)
        else:
            context = ssl.create_default_context(cafile=str(ca_file))
            connection = http.client.HTTPSConnection(host, port, timeout=2, context=context)
        connection.request("GET", "/livez")
        status = connection.getresponse().status
        connection.close()
    except (OSError, http.client.HTTPException):
        return False
    return status == 200
