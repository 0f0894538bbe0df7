"""What a certificate says, read once and completely.

PURE. Owns the reading of DER and PEM into ``CertificateFacts``. It judges nothing: chains are
judged in ``paths``, a CA's answers in ``answer``, dates and revocation by the rules of renewal.
``cryptography`` parses lazily and raises late; here every part is forced inside one guard, so that
``CertificateUnreadable`` is the only exception (C6 in docs/promises.md).
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from renewal.x509.names import San, has_control, san_of

MAX_CERTIFICATE_BYTES = 16 * 1024


class CertificateUnreadable(ValueError):
    """The bytes are not one certificate that the portal can read."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate's contents. ``serial_number`` and all digests are hex text."""

    der: bytes
    pem: str
    fingerprint_sha256: str
    thumbprint_sha1: str
    serial_number: str
    subject: str
    issuer: str
    subject_der: bytes
    issuer_der: bytes
    common_name: str
    sans: tuple[San, ...]
    not_before: datetime
    not_after: datetime
    spki_der: bytes
    spki_sha256: str
    key_algorithm: str
    key_size: int
    curve: str
    signature_hash: str
    is_ca: bool
    key_usage: frozenset[str]
    eku: tuple[str, ...]
    has_client_auth: bool
    subject_key_id: str
    authority_key_id: str

    @property
    def is_self_issued(self) -> bool:
        return self.subject_der == self.issuer_der

    @property
    def certificate(self) -> x509.Certificate:
        """The parsed object, for the few who must verify with it."""
        return x509.load_der_x509_certificate(self.der)


def serial_text(serial_number: int) -> str:
    """Return a serial number as lower-case hex, two digits to the octet."""
    return serial_number.to_bytes(max(1, (serial_number.bit_length() + 7) // 8), "big").hex()


def read_certificate(data: bytes | str) -> CertificateFacts:
    """Read one certificate, DER or PEM; raise nothing but ``CertificateUnreadable``."""
    encoded = data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
    # PEM is a third larger than DER, with armour and line breaks.
    if len(encoded) > 2 * MAX_CERTIFICATE_BYTES:
        raise CertificateUnreadable("larger than 16 KiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(encoded)
    except CertificateUnreadable:
        raise
    except Exception as error:
        raise CertificateUnreadable(f"not a readable certificate ({error})"[:300]) from error


def _read(encoded: bytes) -> CertificateFacts:
    raise NotImplementedError
