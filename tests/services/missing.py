"""What a test needs from the machine and does not find there.

Owns the names of the packages and the one way to skip: loudly, with what to install, and as a
failure where the environment says CI=true.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

DEBIAN_PACKAGES = {
    "PostgreSQL": "postgresql",
    "Redis": "redis-server",
    "nginx": "nginx",
    "Chromium": "chromium",
    "OpenSSL": "openssl",
}


def postgresql_folder() -> Path | None:
    """Return the folder of initdb and postgres: the newest of Debian's, else the one on PATH."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(
        versions, key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0
    )
    if newest:
        return newest[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def find(what: str) -> str | None:
    """Return the program behind a name of DEBIAN_PACKAGES, or nothing."""
    if what == "PostgreSQL":
        folder = postgresql_folder()
        return str(folder / "postgres") if folder else None
    programs = {
        "Redis": ("valkey-server", "redis-server"),
        "nginx": ("nginx", "/usr/sbin/nginx"),
        "Chromium": ("chromium", "chromium-browser", "google-chrome"),
        "OpenSSL": ("openssl",),
    }[what]
    return next((found for program in programs if (found := shutil.which(program))), None)


def skip_without(what: str) -> NoReturn:
    """End the test as skipped, naming what to install."""
    import pytest  # absent where only the demonstration runs

    pytest.skip(f"{what} is not installed: apt-get install {DEBIAN_PACKAGES[what]}")


def skips_are_failures() -> bool:
    """Return whether this run must not leave a test out."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")
