"""The data folder as one running installation: its lock and what a crash left behind.

Owns the rule that one supervisor at most runs on a data folder, and the list of processes that it
started, which the next one reads to end those that outlived a crash.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

_LEFTOVER_SECONDS = 5.0


class AlreadyRunning(RuntimeError):
    """Another supervisor holds the data folder."""


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for this process. Raises AlreadyRunning.

    The kernel gives the lock back when the process ends, however it ends.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "run_portal.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = file.read().strip() or "?"
            raise AlreadyRunning(
                f"The portal already runs on {data_dir} (process {holder}); stop it first."
            ) from None
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def processes_file(data_dir: Path) -> Path:
    """Return the path of the list of running processes, written by the supervisor."""
    return data_dir / "processes.json"


def write_processes(data_dir: Path, pids: Mapping[str, int]) -> None:
    """Record which processes run."""
    path = processes_file(data_dir)
    known = {name: {"pid": pid, "started": _started(pid)} for name, pid in pids.items()}
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(known))
    aside.replace(path)


def end_leftovers(data_dir: Path) -> list[str]:
    """End what a crashed supervisor left running; return the names.

    A process counts only if it started when the list says: its id may belong to another by now.
    """
    path = processes_file(data_dir)
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    left = {
        name: entry["pid"]
        for name, entry in known.items()
        if entry["started"] and _started(entry["pid"]) == entry["started"]
    }
    for how, seconds in ((signal.SIGTERM, _LEFTOVER_SECONDS), (signal.SIGKILL, 1.0)):
        for pid in left.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, how)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(_started(pid) for pid in left.values()):
            time.sleep(0.05)
    path.unlink(missing_ok=True)
    return sorted(left)


def _started(pid: int) -> str:
    """Return when a process started, in any form that stays the same; empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        found = subprocess.run(
            ["ps", "-p", str(pid), "-o", "lstart="], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()
    # Fields after the command's closing parenthesis: state is the third, starttime the 22nd.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
