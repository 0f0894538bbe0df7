"""The key that signs the audit log: Ed25519 (RFC 8032), in a file, never in the database.

Owns the folder with the private key (mode 0600) and the public key of each key that ever signed.
Whoever can write the database alone can sign nothing.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_PRIVATE = "signing.key"


class SigningKeyUnusable(RuntimeError):
    """The key file is not what it should be; names the file."""


@dataclass(frozen=True)
class Signer:
    """The private key of this portal's log."""

    key: Ed25519PrivateKey
    key_id: str

    def sign(self, message: bytes) -> str:
        """Return the signature in hex."""
        return self.key.sign(message).hex()


def signer(folder: Path) -> Signer:
    """Return the signer; make its key once. Raises SigningKeyUnusable."""
    path = folder / _PRIVATE
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise SigningKeyUnusable(f"{path} is no private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyUnusable(f"{path} is no Ed25519 key")
    key_id = _key_id(key.public_key())
    _publish(folder, key.public_key(), key_id)
    return Signer(key, key_id)


def public_keys(folder: Path) -> dict[str, Ed25519PublicKey]:
    """Return the public keys by their id. Raises SigningKeyUnusable."""
    keys = {}
    for path in sorted(folder.glob("*.pub.pem")):
        try:
            key = load_pem_public_key(path.read_bytes())
        except ValueError as error:
            raise SigningKeyUnusable(f"{path} is no public key: {error}") from None
        if isinstance(key, Ed25519PublicKey):
            keys[_key_id(key)] = key
    return keys


def is_signed(key: Ed25519PublicKey | None, signature: str | None, message: bytes) -> bool:
    """Say whether a signature (hex) is this key's over this message."""
    # Whoever owns the table can let it be NULL.
    if key is None or signature is None:
        return False
    try:
        key.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _make(path: Path) -> None:
    """Write a new key whole: two processes that start at once agree on one."""
    text = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    _write_whole(path, text)


def _publish(folder: Path, key: Ed25519PublicKey, key_id: str) -> None:
    path = folder / f"{key_id}.pub.pem"
    if not path.exists():
        _write_whole(path, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all; the first of several writers wins."""
    # mkstemp gives each thread a name of its own, and mode 0600.
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        os.unlink(scratch)


def _key_id(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]
