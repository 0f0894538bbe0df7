"""Where an orchestrator lives: its folders, the platform's default home, the lock on it.

Owns paths and the rule that one process at a time uses a home. Does not read the files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The default places of the source (S5 in docs/promises.md).
WINDOWS_HOME = Path(r"C:\Program Files\Keyfactor\Keyfactor Orchestrator")
LINUX_HOME = Path("/opt/keyfactor/orchestrator")
DEFAULT_EXTENSIONS = "extensions"


class HomeInUseError(Exception):
    """Another process runs with this home."""


def default_home(platform: str = sys.platform) -> Path:
    """Return the home of an orchestrator that was installed in the default place."""
    return WINDOWS_HOME if platform == "win32" else LINUX_HOME


@dataclass(frozen=True)
class Home:
    """The folder of one orchestrator."""

    root: Path

    @property
    def configuration(self) -> Path:
        """Folder of everything below except extensions."""
        return self.root / "configuration"

    @property
    def app_settings(self) -> Path:
        """The settings file."""
        return self.configuration / "appsettings.json"

    @property
    def secrets(self) -> Path:
        """The file of passwords."""
        return self.configuration / "orchestratorsecrets.json"

    @property
    def pending(self) -> Path:
        """The key and CSR that have no certificate yet."""
        return self.configuration / "pending-enrollment.json"

    @property
    def journal(self) -> Path:
        """The redo journal of an installation that is under way."""
        return self.configuration / "installation-journal.json"

    @property
    def lock(self) -> Path:
        """The file whose lock says that an orchestrator runs."""
        return self.configuration / "orchestrator.lock"

    def resolve(self, path: str) -> Path:
        """Return ``path``, relative ones counted from the home."""
        return self.root / path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home. The lock ends with the process, however it ends. Raises HomeInUseError."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor, self.root)
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int, root: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise HomeInUseError(f"another orchestrator process uses {root}") from error
