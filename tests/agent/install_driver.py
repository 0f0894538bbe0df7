"""Installs a certificate in a process of its own and kills it at a given point.

Run by ``test_crash.py``: ``python -m tests.agent.install_driver HOME MODE AT``.

- ``step AT``: SIGKILL before step AT of the installation.
- ``call AT``: SIGKILL before system call AT that changes the disk; AT counts from 0 over opening,
  flushing, renaming and deleting files, also those that a recovery makes.
- ``recover AT``: as ``call``, while a recovery runs.

Exit status 0 means that the end was reached before the point AT.
"""

from __future__ import annotations

import base64
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrators.agent.home import Home
from orchestrators.agent.install import installation, marry, open_store, recover
from orchestrators.agent.journal import Journal
from orchestrators.agent.pending import PendingFile
from orchestrators.agent.settings import read_settings
from tests.agent.windows_double import FolderStores

_CALLS = ("open", "fsync", "replace", "unlink", "rename", "remove")
CERTIFICATE = "answer.b64"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(at: int) -> None:
    """Let call ``at`` of those that change the disk be the last thing that does not happen."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            if count == at:
                die()
            count += 1
            return function(*arguments, **keywords)

        return call

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))


def main() -> None:
    home, mode, at = Home(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    stores = FolderStores(home.root / "stores")
    if mode == "recover":
        die_at_call(at)
        recover(home)
        return
    store = open_store(home, read_settings(home), stores)
    pending = PendingFile(home.pending).load()
    assert pending is not None
    answer = (home.root / CERTIFICATE).read_text()
    identity = marry(base64.b64encode(base64.b64decode(answer)).decode(), pending, store.load())
    if mode == "call":
        die_at_call(at)
    changes = installation(home, store.update_for(identity), "id-from-portal")
    for number, step in enumerate(Journal(home.journal).steps(changes)):
        if mode == "step" and number == at:
            die()
        step.run()


if __name__ == "__main__":
    main()
