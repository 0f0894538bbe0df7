"""One supervised process: its command, its start, its restarts and its end.

Owns the process group of each child and the back-off between restarts. Which children there are
is ``plan``; when they all start and stop is ``supervisor``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 60.0
"""A child that ran this long has recovered; its next restart is quick again."""
_HOPELESS_SECONDS = 5.0
_HOPELESS_STARTS = 3

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Plan:
    """What to run. ``discard`` throws away state that may keep the process from starting."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stays: bool = True
    """False for a process that may end by itself with status 0."""
    discard: Callable[[], None] | None = None


class Child:
    """A process that is started again when it dies, each time a little later."""

    def __init__(self, plan: Plan, *, held: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self._held = held
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_again_at = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._quick_deaths = 0
        self._done = False

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def start(self) -> None:
        """Start the process in a group of its own, bound to this process's life."""
        self._process = subprocess.Popen(
            self.plan.command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.plan.environment},
            process_group=0,
            preexec_fn=_die_with_parent(os.getpid()) if sys.platform == "linux" else None,
        )
        self._started_at = time.monotonic()

    def watch(self) -> bool:
        """Start the process again if it has died and its pause is over.

        Returns whether its process id is another one than before.
        """
        now = time.monotonic()
        if self._done or self.pid is not None:
            return False
        if self._process is not None:
            self._note_death(self._process.returncode, now)
            self._process = None
        if self._done or now < self._start_again_at or self._held.exists():
            return False
        self.start()
        return True

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def await_stop(self, deadline: float) -> None:
        """Wait until ``deadline`` (monotonic), then kill; what is left of the group goes too."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._say(f"{self.plan.name} does not stop; it is killed.")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _note_death(self, status: int, now: float) -> None:
        if status == 0 and not self.plan.stays:
            self._done = True
            return
        lived = now - self._started_at
        if lived >= SETTLED_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if lived < _HOPELESS_SECONDS else 0
        if self._quick_deaths == _HOPELESS_STARTS and self.plan.discard:
            self._say(f"{self.plan.name} does not start; its state is discarded.")
            self.plan.discard()
        self._start_again_at = now + self._pause
        self._say(
            f"{self.plan.name} ended ({_describe(status)}); it starts again in {self._pause:g} s."
        )
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)


def _describe(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def _die_with_parent(parent: int) -> Callable[[], None]:
    """Return what a new process does before exec: no supervisor, no child (prctl(2))."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            # The supervisor died before the signal was bound.
            os._exit(1)

    return bind
