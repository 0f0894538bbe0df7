"""One server for all worker processes of a test run.

Owns counting its users under a file lock: the first one starts the server in a process of its
own, the last one stops that by its pid. pytest-xdist gives each worker a folder below one that
belongs to the run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def shared(folder: Path, name: str, start: Callable[[], tuple[int, str]]) -> Iterator[str]:
    """Hand out the address of the run's server ``name``; ``start`` returns its pid and address."""
    record = folder / f"{name}.json"
    with locked(folder / f"{name}.lock"):
        known = json.loads(record.read_text()) if record.exists() else None
        if known is None:
            pid, address = start()
            known = {"pid": pid, "address": address, "users": 0}
        known["users"] += 1
        record.write_text(json.dumps(known))
    try:
        yield known["address"]
    finally:
        with locked(folder / f"{name}.lock"):
            known = json.loads(record.read_text())
            known["users"] -= 1
            if known["users"]:
                record.write_text(json.dumps(known))
            else:
                record.unlink()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(known["pid"], signal.SIGTERM)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, for which other processes wait."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
