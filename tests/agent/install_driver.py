"""Installs a certificate, or recovers, over and over, killed at one point after the other.

Run by ``test_crash.py``: ``python -m tests.agent.install_driver HOME MODE PREFIX``. Point N works
on a copy of HOME named PREFIX-N, in a forked process of its own; the first N that is beyond the
end ends the run. Prints how many were killed.

- ``step``: SIGKILL before step N of the installation.
- ``call``: SIGKILL before system call N that changes the disk: opening, flushing, renaming and
  deleting files.
- ``recover``: as ``call``, while a recovery runs.
"""

from __future__ import annotations

import itertools
import os
import shutil
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


def work(home: Home, mode: str, at: int) -> None:
    """Do the work of a mode and die at point ``at``, if it comes to that."""
    if mode == "recover":
        die_at_call(at)
        recover(home)
        return
    stores = FolderStores(home.root / "stores")
    store = open_store(home, read_settings(home), stores)
    pending = PendingFile(home.pending).load()
    assert pending is not None
    identity = marry((home.root / CERTIFICATE).read_text(), pending, store.load())
    if mode == "call":
        die_at_call(at)
    changes = installation(home, store.update_for(identity), "id-from-portal")
    for number, step in enumerate(Journal(home.journal).steps(changes)):
        if mode == "step" and number == at:
            die()
        step.run()


def copy_of(home: Home, root: Path) -> Home:
    """Copy a home; a journal names absolute paths, they become those of the copy."""
    copy = Home(root)
    shutil.copytree(home.root, root)
    if copy.journal.exists():
        text = copy.journal.read_text()
        copy.journal.write_text(text.replace(f"{home.root}/", f"{root}/"))
    return copy


def was_killed(home: Home, mode: str, at: int) -> bool:
    """Work in a process of its own."""
    child = os.fork()
    if child == 0:
        work(home, mode, at)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def main() -> None:
    home, mode, prefix = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    for at in itertools.count():
        if not was_killed(copy_of(home, home.root.with_name(f"{prefix}-{at}")), mode, at):
            print(at)
            return


if __name__ == "__main__":
    main()
