"""Certificates, CSRs and DER for tests.

Keys are checked in under ``tests/fixtures/keys`` and guard nothing: making keys is slow, and only
the tests of key generation make any.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from renewal.x509.certificates import CertificateFacts, read_certificate

KEYS = Path(__file__).parent / "fixtures" / "keys"
NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
ANY_EKU = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


@cache
def key(name: str) -> Any:
    return load_pem_private_key((KEYS / f"{name}.pem").read_bytes(), None)


def spki(name: str) -> bytes:
    return key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def name(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text) if text else x509.Name([])


def hash_for(signing_key: Any) -> hashes.HashAlgorithm | None:
    if isinstance(signing_key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    return hashes.SHA256()


def _is_ecdsa(signing_key: Any) -> bool | None:
    return True if isinstance(signing_key, ec.EllipticCurvePrivateKey) else None


def certificate(
    subject: str = "CN=agent01",
    *,
    key_name: str = "ec-p256-leaf",
    issuer: str = "CN=Test Issuing CA",
    issuer_key: str = "ec-p256-issuing",
    not_before: datetime = NOW - DAY,
    not_after: datetime = NOW + 365 * DAY,
    serial_number: int = 0x1234,
    is_ca: bool | None = False,
    path_length: int | None = None,
    eku: Iterable[x509.ObjectIdentifier] | None = (CLIENT_AUTH,),
    sans: Iterable[x509.GeneralName] = (),
    key_cert_sign: bool = False,
    claimed_issuer_key: str = "",
    extensions: Iterable[x509.ExtensionType] = (),
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """Return a certificate's DER; ``claimed_issuer_key`` writes another key's id into the AKI."""
    signing_key = key(issuer_key)
    public_key = key(key_name).public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                key(claimed_issuer_key or issuer_key).public_key()
            ),
            critical=False,
        )
    )
    if is_ca is not None:
        constraints = x509.BasicConstraints(ca=is_ca, path_length=path_length)
        builder = builder.add_extension(constraints, critical=True)
    if eku is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(eku)), critical=False)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(sans)), critical=False)
    if is_ca or key_cert_sign:
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(
        signing_key, algorithm or hash_for(signing_key), ecdsa_deterministic=_is_ecdsa(signing_key)
    )
    return signed.public_bytes(Encoding.DER)


def root(**changes: Any) -> bytes:
    settings: dict[str, Any] = {
        "key_name": "ec-p256-root",
        "issuer": "CN=Test Root CA",
        "issuer_key": "ec-p256-root",
        "not_before": NOW - 3650 * DAY,
        "not_after": NOW + 3650 * DAY,
        "is_ca": True,
        "eku": None,
    }
    return certificate("CN=Test Root CA", **(settings | changes))


def issuing(**changes: Any) -> bytes:
    settings: dict[str, Any] = {
        "key_name": "ec-p256-issuing",
        "issuer": "CN=Test Root CA",
        "issuer_key": "ec-p256-root",
        "not_before": NOW - 1000 * DAY,
        "not_after": NOW + 1000 * DAY,
        "is_ca": True,
        "eku": None,
    }
    return certificate("CN=Test Issuing CA", **(settings | changes))


def facts(**changes: Any) -> CertificateFacts:
    return read_certificate(certificate(**changes))


def csr(
    subject: str | x509.Name = "CN=agent01",
    *,
    key_name: str = "ec-p256-leaf",
    sans: Iterable[x509.GeneralName] = (),
    extensions: Iterable[x509.ExtensionType] = (),
    challenge_password: bytes = b"",
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """Return a CSR's DER."""
    signing_key = key(key_name)
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        name(subject) if isinstance(subject, str) else subject
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(sans)), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    if challenge_password:
        builder = builder.add_attribute(
            x509.oid.AttributeOID.CHALLENGE_PASSWORD, challenge_password
        )
    signed = builder.sign(
        signing_key, algorithm or hash_for(signing_key), ecdsa_deterministic=_is_ecdsa(signing_key)
    )
    return signed.public_bytes(Encoding.DER)


def b64(der: bytes) -> str:
    return base64.b64encode(der).decode("ascii")


def pem(der: bytes, label: str = "CERTIFICATE REQUEST") -> str:
    text = b64(der)
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


# --- DER by hand, for what no library writes -------------------------------------------------


def tlv(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def sequence(*contents: bytes) -> bytes:
    return tlv(0x30, *contents)


def set_of(*contents: bytes) -> bytes:
    return tlv(0x31, *contents)


def integer(number: int) -> bytes:
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    return tlv(0x04, content)


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    encoded = b""
    for number in (first * 40 + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | (number & 0x7F))
        encoded += bytes(reversed(groups))
    return tlv(0x06, encoded)


def attribute(dotted: str, *values: bytes) -> bytes:
    return sequence(oid(dotted), set_of(*values))


def extension(dotted: str, content: bytes) -> bytes:
    return sequence(oid(dotted), octets(content))


EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
MS_EXTENSION_REQUEST = "1.3.6.1.4.1.311.2.1.14"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"


def raw_csr(
    *,
    attributes: bytes = b"",
    subject: bytes | None = None,
    spki_der: bytes | None = None,
    version: bytes = integer(0),
    algorithm: bytes | None = None,
    signature: bytes | None = None,
    key_name: str = "ec-p256-leaf",
    tail: bytes = b"",
) -> bytes:
    """Return a CSR built by hand from DER and signed with an EC key, so that only form is wrong."""
    info = sequence(
        version,
        name("CN=agent01").public_bytes() if subject is None else subject,
        spki(key_name) if spki_der is None else spki_der,
        tlv(0xA0, attributes),
    )
    if signature is None:
        signature = key(key_name).sign(info, ec.ECDSA(hashes.SHA256()))
    return sequence(
        info,
        sequence(oid(ECDSA_SHA256)) if algorithm is None else algorithm,
        tlv(0x03, b"\x00", signature),
        tail,
    )


def rsa_spki(modulus: int, exponent: int = 65537) -> bytes:
    numbers = sequence(integer(modulus), integer(exponent))
    algorithm = sequence(oid("1.2.840.113549.1.1.1"), tlv(0x05))
    return sequence(algorithm, tlv(0x03, b"\x00", numbers))


def common_name_der(value: bytes, tag: int = 0x0C) -> bytes:
    return sequence(set_of(sequence(oid(NameOID.COMMON_NAME.dotted_string), tlv(tag, value))))


# --- RSA by hand: weak hashes and weak keys --------------------------------------------------

_DIGESTS = {
    "1.2.840.113549.1.1.4": ("md5", "1.2.840.113549.2.5"),
    "1.2.840.113549.1.1.5": ("sha1", "1.3.14.3.2.26"),
    "1.2.840.113549.1.1.14": ("sha224", "2.16.840.1.101.3.4.2.4"),
    "1.2.840.113549.1.1.11": ("sha256", "2.16.840.1.101.3.4.2.1"),
}

PRIME_2048 = 2**2048 - 1942289


def rsa_csr(
    algorithm: str, *, modulus: int = 0, private_exponent: int = 0, exponent: int = 65537
) -> bytes:
    """Return a CSR with a correct PKCS#1 v1.5 signature of any algorithm, by any RSA key."""
    if not modulus:
        numbers = key("rsa-2048").private_numbers()
        modulus, private_exponent = numbers.public_numbers.n, numbers.d
    info = sequence(
        integer(0),
        name("CN=agent01").public_bytes(),
        rsa_spki(modulus, exponent),
        tlv(0xA0),
    )
    signature = _pkcs1_signature(algorithm, info, modulus, private_exponent)
    return sequence(info, sequence(oid(algorithm), tlv(0x05)), tlv(0x03, b"\x00", signature))


def sha1_certificate() -> bytes:
    """Return a certificate that ``CN=Test Root CA`` with the key rsa-2048 signed with SHA-1."""
    good = x509.load_der_x509_certificate(
        certificate(issuer="CN=Test Root CA", issuer_key="rsa-2048")
    )
    algorithm = sequence(oid("1.2.840.113549.1.1.5"), tlv(0x05))
    sha256 = sequence(oid("1.2.840.113549.1.1.11"), tlv(0x05))
    # Both identifiers have the same length, so that no length around them changes.
    tbs = good.tbs_certificate_bytes.replace(sha256, algorithm)
    numbers = key("rsa-2048").private_numbers()
    signature = _pkcs1_signature("1.2.840.113549.1.1.5", tbs, numbers.public_numbers.n, numbers.d)
    return sequence(tbs, algorithm, tlv(0x03, b"\x00", signature))


def _pkcs1_signature(algorithm: str, data: bytes, modulus: int, private_exponent: int) -> bytes:
    digest_name, digest_oid = _DIGESTS[algorithm]
    digest = hashlib.new(digest_name, data, usedforsecurity=False).digest()
    digest_info = sequence(sequence(oid(digest_oid), tlv(0x05)), octets(digest))
    size = (modulus.bit_length() + 7) // 8
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(digest_info)) + b"\x00" + digest_info
    return pow(int.from_bytes(padded, "big"), private_exponent, modulus).to_bytes(size, "big")


def with_serial(der: bytes, serial_number: int) -> bytes:
    """Return a certificate with another serial number and its signature left as it was."""
    good = x509.load_der_x509_certificate(der)
    tbs = good.tbs_certificate_bytes
    content = tbs[4 if tbs[1] == 0x82 else 3 :].replace(
        integer(good.serial_number), integer(serial_number), 1
    )
    return sequence(
        sequence(content), sequence(oid(ECDSA_SHA256)), tlv(0x03, b"\x00", good.signature)
    )


def prime_modulus_csr() -> bytes:
    """Return a CSR signed by someone who computed the private key from the public one."""
    private_exponent = pow(65537, -1, PRIME_2048 - 1)
    return rsa_csr("1.2.840.113549.1.1.11", modulus=PRIME_2048, private_exponent=private_exponent)


def modulus_with_factor(factor: int, bits: int = 2048) -> int:
    """Return an odd modulus of that size with an odd factor."""
    cofactor = ((1 << bits) - 1) // factor
    return factor * (cofactor - 1 + cofactor % 2)


def pss_spki(key_name: str = "rsa-2048") -> bytes:
    """Return an RSA key that says of itself that it signs with PSS only."""
    numbers = key(key_name).public_key().public_numbers()
    plain = sequence(integer(numbers.n), integer(numbers.e))
    return sequence(sequence(oid("1.2.840.113549.1.1.10")), tlv(0x03, b"\x00", plain))


def explicit_curve_spki() -> bytes:
    """Return P-256 spelled out as a field, two coefficients, a generator and an order."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    generator = bytes.fromhex(
        "04"
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    parameters = sequence(
        integer(1),
        sequence(oid("1.2.840.10045.1.1"), integer(prime)),
        sequence(octets((prime - 3).to_bytes(32, "big")), octets(b.to_bytes(32, "big"))),
        octets(generator),
        integer(order),
        integer(1),
    )
    point = (
        key("ec-p256-leaf").public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    return sequence(sequence(oid("1.2.840.10045.2.1"), parameters), tlv(0x03, b"\x00", point))
