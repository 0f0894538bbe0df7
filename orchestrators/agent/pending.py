"""The pending key: made for a CSR that has no certificate yet.

Owns the file that holds key and CSR from before the CSR is sent until the certificate is
installed, so that a lost reply costs nothing: the same CSR is sent again and the portal answers
with the same certificate. Does not decide when a key is dropped.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from orchestrators.agent import files
from orchestrators.agent.keys import KeyMaterialError, PrivateKey, key_pem, load_key, same_key


@dataclass(frozen=True)
class Pending:
    """A key, its CSR, and a digest of what they were made from (extension and configuration)."""

    csr: x509.CertificateSigningRequest
    private_key: PrivateKey = field(repr=False)
    origin: str

    @property
    def csr_text(self) -> str:
        """Base64 of the DER, without armour and line breaks: the form of the wire."""
        return base64.b64encode(self.csr.public_bytes(Encoding.DER)).decode()


class PendingFile:
    """The file of the pending key, mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Pending | None:
        """Return the pending key; None if there is none, or none that can be used."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            pending = Pending(
                csr=x509.load_der_x509_csr(base64.b64decode(content["csr"])),
                private_key=load_key(content["key"].encode()),
                origin=content["origin"],
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, KeyMaterialError):
            return None
        return pending if same_key(pending.private_key, pending.csr) else None

    def save(self, pending: Pending) -> None:
        """Write key and CSR durably; only then the CSR may be sent."""
        content = {
            "csr": pending.csr_text,
            "key": key_pem(pending.private_key).decode(),
            "origin": pending.origin,
        }
        files.write_atomic(self._path, json.dumps(content, indent=2).encode())

    def drop(self) -> None:
        """Forget the key."""
        files.remove(self._path)
