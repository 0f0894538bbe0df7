"""Durable files: written aside, flushed, renamed into place, readable by their owner only.

Owns the order of system calls that survives a kill or a power cut at any point. Does not know
what the files hold, nor that several of them may belong together (see ``journal.py``).
"""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ONLY = 0o600


def sync_directory(folder: Path) -> None:
    """Flush a folder's entries. Windows cannot open folders and journals renames by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, content: bytes) -> None:
    """Create ``path`` with ``content``, flushed to disk; a left-over of that name is dropped."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, OWNER_ONLY), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    sync_directory(path.parent)


def rename(source: Path, target: Path) -> None:
    """Move ``source`` over ``target`` (same folder), durably."""
    os.replace(source, target)
    sync_directory(target.parent)


def write_atomic(path: Path, content: bytes) -> None:
    """Replace ``path``: readers see the old content or the new one, never a part."""
    aside = path.with_name(f"{path.name}.tmp")
    write_new(aside, content)
    rename(aside, path)


def remove(path: Path) -> None:
    """Delete ``path`` if it is there, durably."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
