"""What a certificate says, read once and completely.

PURE. Owns the reading of DER and PEM into ``CertificateFacts``. It judges nothing: chains are
judged in ``paths``, a CA's answers in ``answer``, dates and revocation by the rules of renewal.
``cryptography`` parses lazily and raises late; here every part is forced inside one guard, so that
``CertificateUnreadable`` is the only exception (C6 in docs/promises.md).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from renewal.x509.names import San, distinguished_name, has_control, san_of, visible
from renewal.x509.parsing import parser_words

MAX_CERTIFICATE_BYTES = 16 * 1024

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

# encipher_only and decipher_only say something only beside key_agreement; nothing here asks them.
_KEY_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


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
        return _read(encoded)
    except CertificateUnreadable:
        raise
    except Exception as error:
        why = parser_words(error, "a certificate (RFC 5280)")
        raise CertificateUnreadable(f"not a readable certificate: {why}") from error


def _read(encoded: bytes) -> CertificateFacts:
    if encoded.lstrip()[:1] == b"-":
        if encoded.count(b"-----BEGIN ") != 1:
            raise CertificateUnreadable("not exactly one PEM block")
        certificate = x509.load_pem_x509_certificate(encoded)
    else:
        certificate = x509.load_der_x509_certificate(encoded)
    der = certificate.public_bytes(Encoding.DER)
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateUnreadable("larger than 16 KiB")
    extensions = certificate.extensions
    sans = tuple(san_of(name) for name in _names(extensions))
    subject, issuer = certificate.subject, certificate.issuer
    for text in (*_texts(subject), *_texts(issuer), *(value for _, value in sans)):
        # PostgreSQL stores no NUL, and a line break in a name forges lines of a log.
        if has_control(text):
            raise CertificateUnreadable("a name holds a control character")
    if certificate.serial_number < 0:
        raise CertificateUnreadable("the serial number is negative (RFC 5280 §4.1.2.2)")
    key = certificate.public_key()
    spki_der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm, size, curve = _key_facts(key)
    signature_hash = certificate.signature_hash_algorithm
    eku = _eku(extensions)
    return CertificateFacts(
        der=der,
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
        fingerprint_sha256=hashlib.sha256(der).hexdigest(),
        # SHA-1 is what Keyfactor's API and pages show, and what an import may know a certificate
        # by until it is first shown; what authenticates is the SHA-256 above.
        thumbprint_sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
        serial_number=serial_text(certificate.serial_number),
        subject=distinguished_name(subject),
        issuer=distinguished_name(issuer),
        subject_der=subject.public_bytes(),
        issuer_der=issuer.public_bytes(),
        common_name=next((visible(text) for text in _texts(subject, NameOID.COMMON_NAME)), ""),
        sans=sans,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        spki_der=spki_der,
        spki_sha256=hashlib.sha256(spki_der).hexdigest(),
        key_algorithm=algorithm,
        key_size=size,
        curve=curve,
        signature_hash=signature_hash.name if signature_hash else "",
        is_ca=_is_ca(extensions),
        key_usage=_key_usage(extensions),
        eku=eku,
        has_client_auth=ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string in eku,
        subject_key_id=_subject_key_id(extensions),
        authority_key_id=_authority_key_id(extensions),
    )


def _texts(name: x509.Name, oid: x509.ObjectIdentifier | None = None) -> list[str]:
    return [
        attribute.value if isinstance(attribute.value, str) else attribute.value.hex()
        for attribute in name
        if oid is None or attribute.oid == oid
    ]


def _key_facts(key: CertificatePublicKeyTypes) -> tuple[str, int, str]:
    match key:
        case rsa.RSAPublicKey():
            return "RSA", key.key_size, ""
        case ec.EllipticCurvePublicKey():
            return "EC", key.key_size, key.curve.name
        case ed25519.Ed25519PublicKey():
            return "Ed25519", 256, ""
        case ed448.Ed448PublicKey():
            return "Ed448", 456, ""
        case dsa.DSAPublicKey():
            return "DSA", key.key_size, ""
        case _:
            return type(key).__name__.removesuffix("PublicKey"), 0, ""


def _names(extensions: x509.Extensions) -> list[x509.GeneralName]:
    found = _extension(extensions, x509.SubjectAlternativeName)
    return list(found) if found else []


def _is_ca(extensions: x509.Extensions) -> bool:
    found = _extension(extensions, x509.BasicConstraints)
    return bool(found and found.ca)


def _key_usage(extensions: x509.Extensions) -> frozenset[str]:
    found = _extension(extensions, x509.KeyUsage)
    return frozenset(use for use in _KEY_USES if getattr(found, use)) if found else frozenset()


def _eku(extensions: x509.Extensions) -> tuple[str, ...]:
    found = _extension(extensions, x509.ExtendedKeyUsage)
    return tuple(oid.dotted_string for oid in found) if found else ()


def _subject_key_id(extensions: x509.Extensions) -> str:
    found = _extension(extensions, x509.SubjectKeyIdentifier)
    return found.digest.hex() if found else ""


def _authority_key_id(extensions: x509.Extensions) -> str:
    found = _extension(extensions, x509.AuthorityKeyIdentifier)
    return (found.key_identifier or b"").hex() if found else ""


def _extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    for extension in extensions:
        if isinstance(extension.value, kind):
            return extension.value
    return None
