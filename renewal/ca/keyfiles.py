"""The files in which the local CA keeps its keys.

PLAIN. Owns how a key is made and how files come to be: readable by their owner only, synced, and
all at once or not at all. What is in the certificates beside them is the CA's matter.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from renewal.ca.base import CAMisconfigured
from renewal.ca.profiles import SigningKey
from renewal.x509.keys import KEY_TYPES

_CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {
    "EC-P256": ec.SECP256R1,
    "EC-P384": ec.SECP384R1,
    "EC-P521": ec.SECP521R1,
}


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What changes when a file is written or replaced."""

    path: str
    inode: int
    size: int
    modified_ns: int


def file_identity(path: Path) -> FileIdentity:
    """Return the file's identity; raise ``CAMisconfigured`` if there is none."""
    try:
        found = path.stat()
    except OSError as error:
        raise CAMisconfigured(f"{path} cannot be read: {why(error)}") from error
    return FileIdentity(str(path), found.st_ino, found.st_size, found.st_mtime_ns)


def why(error: Exception) -> str:
    """Return an error's own words; those of the system without the path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def new_key(key_type: str) -> SigningKey:
    """Make a key of a type that ``renewal.x509.keys`` names."""
    if key_type not in KEY_TYPES:
        raise CAMisconfigured(f"key type {key_type!r} is not one of {', '.join(KEY_TYPES)}")
    if key_type in _CURVES:
        return ec.generate_private_key(_CURVES[key_type]())
    if key_type == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=int(key_type.split("-")[1]))


def write_folder(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write all files aside and move the folder into place: there is no half a CA."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        for name, content in files.items():
            _write(aside / name, content)
        # Fails if the folder exists and is not empty, also if another process made it just now.
        os.rename(aside, directory)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CAMisconfigured(f"{directory} cannot be made: {why(error)}") from error
    _sync_folder(directory.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in the place of another: readers see the one or the other."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    _write(aside, content)
    os.replace(aside, path)
    _sync_folder(path.parent)


def _write(path: Path, content: bytes) -> None:
    # The mode is there from the first byte on, and a file or link in its place is not followed.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
