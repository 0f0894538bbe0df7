"""Certificate stores: where the client certificate and its key are kept.

Owns the small contract of a store and the two kinds made of files, PKCS#12 and PEM. A store says
*what* is to be written; ``journal.py`` writes it, so that a kill leaves no half of a pair. The
Windows personal store is in ``windows.py``.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    pkcs12,
)

from orchestrators.agent.keys import (
    KeyMaterialError,
    PrivateKey,
    key_pem,
    load_key,
    same_key,
    supported,
)

PASSWORD_BYTES = 32  # 256 bits; 128 are promised (S38 in docs/promises.md).


class StoreError(Exception):
    """The certificate or its key cannot be read, or they do not belong together."""


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, and the intermediates that are sent along."""

    certificate: x509.Certificate
    private_key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        """Refuse halves of two pairs."""
        if not same_key(self.private_key, self.certificate):
            raise StoreError("the certificate and the private key do not belong together")

    @property
    def thumbprint(self) -> str:
        """SHA-1 of the certificate as Windows and Keyfactor show it."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - a name

    def certificates_pem(self) -> bytes:
        """Return leaf and chain as PEM."""
        return b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.chain))


@dataclass(frozen=True)
class StoreUpdate:
    """What is to be written for a new identity, all of it or nothing."""

    files: Mapping[Path, bytes] = field(default_factory=dict, repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class CertificateStore(Protocol):
    """The contract: read the present identity, say what a new one needs."""

    @property
    def description(self) -> str:
        """Where the certificate is kept, for the portal's page and the log."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of this store."""

    def load(self) -> Identity | None:
        """Return the present identity, None if there is none yet. Raises StoreError."""

    def update_for(self, identity: Identity) -> StoreUpdate:
        """Return what has to be written so that ``load`` returns ``identity``."""


def new_password() -> str:
    """Return a random password for one PKCS#12 file."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


@dataclass(frozen=True)
class Pkcs12Store:
    """A PKCS#12 file whose password is a member of the secrets file."""

    path: Path
    password: str = field(repr=False)
    password_member: str

    @property
    def description(self) -> str:
        """Where the certificate is kept."""
        return f"PKCS12 file {self.path.name}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)

    def load(self) -> Identity | None:
        """Open the file with the password."""
        if not self.path.exists():
            return None
        return open_pkcs12(self.path.read_bytes(), self.password, str(self.path))

    def update_for(self, identity: Identity) -> StoreUpdate:
        """Make the file under a password of its own, and prove that it opens."""
        password = new_password()
        content = pkcs12.serialize_key_and_certificates(
            b"orchestrator",
            identity.private_key,
            identity.certificate,
            identity.chain,
            BestAvailableEncryption(password.encode()),
        )
        open_pkcs12(content, password, str(self.path))
        return StoreUpdate(files={self.path: content}, secrets={self.password_member: password})


def open_pkcs12(content: bytes, password: str, name: str) -> Identity:
    """Return the identity in a PKCS#12 file. Raises StoreError."""
    try:
        key, certificate, chain = pkcs12.load_key_and_certificates(
            content, password.encode() if password else None
        )
        if certificate is None or key is None:
            raise StoreError(f"{name} holds no certificate with a private key")
        return Identity(certificate, supported(key), tuple(chain))
    except (ValueError, KeyMaterialError) as error:
        raise StoreError(f"{name} cannot be opened with its password: {error}") from error


@dataclass(frozen=True)
class PemStore:
    """A PEM file of the certificate (and chain) and one of the unencrypted key."""

    certificate_path: Path
    key_path: Path

    @property
    def description(self) -> str:
        """Where the certificate is kept."""
        return f"PEM files {self.certificate_path.name}, {self.key_path.name}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The two files."""
        return (self.certificate_path, self.key_path)

    def load(self) -> Identity | None:
        """Read both files; both or none must be there."""
        present = [path.exists() for path in (self.certificate_path, self.key_path)]
        if not any(present):
            return None
        if not all(present):
            raise StoreError(f"only one of {self.certificate_path} and {self.key_path} exists")
        return open_pem(self.certificate_path.read_bytes(), self.key_path.read_bytes())

    def update_for(self, identity: Identity) -> StoreUpdate:
        """Write both files, and prove that they are a pair."""
        certificate, key = identity.certificates_pem(), key_pem(identity.private_key)
        open_pem(certificate, key)
        return StoreUpdate(files={self.certificate_path: certificate, self.key_path: key})


def open_pem(certificate: bytes, key: bytes) -> Identity:
    """Return the identity in PEM texts. Raises StoreError."""
    try:
        leaf, *chain = x509.load_pem_x509_certificates(certificate)
        return Identity(leaf, load_key(key), tuple(chain))
    except (ValueError, KeyMaterialError) as error:
        raise StoreError(f"the PEM files cannot be read: {error}") from error
