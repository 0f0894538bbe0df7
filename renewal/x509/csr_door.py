"""The one door through which CSRs come in.

PURE. Owns size, armour, parsing, key and proof of possession; each refusal has its code. Names are
judged in ``names_policy`` with the same ``CSRRefused``; reuse of keys, dates and rates are not
judged here, for they need the database. Cheap checks come first, and no input raises anything but
``CSRRefused`` (C6, S23 in docs/promises.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, PublicKeyAlgorithmOID

from orchestrators.protocol.codes import Code
from renewal.x509.keys import (
    KeyUnsuitable,
    KeyWeak,
    check_not_prime,
    check_small_factors,
    key_type_of,
)
from renewal.x509.names import San, san_of
from renewal.x509.parsing import parser_words

MAX_CSR_BYTES = 16 * 1024
_MAX_CHARACTERS = 24 * 1024
"""16 KiB in base64, with room for line breaks and armour."""

_WHITESPACE = " \t\r\n"
_NO_WHITESPACE = str.maketrans("", "", _WHITESPACE)
_PEM = re.compile(
    r"-----BEGIN (?P<label>(?:NEW )?CERTIFICATE REQUEST)-----"
    r"(?P<body>[A-Za-z0-9+/=\s]*)"
    r"-----END (?P=label)-----"
)
_PRIVATE_KEY_DER = re.compile(
    # SEQUENCE, its length, then INTEGER 0, 1 or 3: PKCS#1, SEC 1, PKCS#8 or PKCS#12.
    rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)\x02\x01[\x00\x01\x03]",
    re.DOTALL,
)
_KEY_ALGORITHMS = frozenset(
    {
        PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
        PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
        PublicKeyAlgorithmOID.ED25519,
    }
)
_SOUND_HASHES = frozenset({"sha256", "sha384", "sha512"})
_EXTENSION_REQUESTS = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"})
"""extensionRequest (RFC 2985 §5.4.2) and Microsoft's older name for it: one is read, not both."""


class CSRRefused(Exception):
    """The CSR is refused; ``detail`` is a sentence that never quotes the request's body."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ParsedCSR:
    """A CSR whose form, key and signature are good. Nothing in it has been granted yet."""

    der: bytes
    spki_der: bytes
    spki_sha256: str
    key_type: str
    subject: x509.Name
    common_names: tuple[str, ...]
    sans: tuple[San, ...]
    extension_oids: tuple[str, ...] = field(default=())
    attribute_oids: tuple[str, ...] = field(default=())


def open_csr(raw: str) -> ParsedCSR:
    """Open a CSR in PEM or bare base64 DER; raise ``CSRRefused`` and nothing else."""
    der = _decode(raw)
    try:
        csr = x509.load_der_x509_csr(der)
        key, key_type = _open_key(csr)
        _check_signature(csr)
        parsed = _parsed(der, csr, key, key_type)
        check_not_prime(key)
        return parsed
    except CSRRefused:
        raise
    except KeyWeak as error:
        raise CSRRefused(Code.KEY_WEAK, str(error)) from None
    except Exception as error:
        words = parser_words(error, "a PKCS#10 request (RFC 2986)")
        raise CSRRefused(Code.CSR_PARSE, words) from error


def check_key_type(parsed: ParsedCSR, allowed: frozenset[str]) -> None:
    """Refuse a key whose type the template does not list (S56 in docs/promises.md)."""
    if parsed.key_type not in allowed:
        listed = ", ".join(sorted(allowed)) or "none"
        raise CSRRefused(
            Code.KEY_TYPE, f"the key is {parsed.key_type}, the template allows {listed}"
        )


def _decode(raw: str) -> bytes:
    # First of all, and whatever else is wrong: nobody who sent a key may be told only "too long".
    if "PRIVATE KEY" in raw.upper():
        raise CSRRefused(Code.KEY_IN_BODY, "a PRIVATE KEY block was sent")
    if len(raw) > _MAX_CHARACTERS:
        raise CSRRefused(Code.CSR_FORMAT, "the CSR is longer than 16 KiB")
    text = raw.strip(_WHITESPACE)
    if not text:
        raise CSRRefused(Code.CSR_FORMAT, "the CSR is empty")
    if text.startswith("-"):
        found = _PEM.fullmatch(text)
        if not found:
            raise CSRRefused(
                Code.CSR_FORMAT,
                "the CSR is not exactly one PEM block CERTIFICATE REQUEST with nothing around it",
            )
        text = found["body"]
    try:
        der = base64.b64decode(text.translate(_NO_WHITESPACE), validate=True)
    except (binascii.Error, ValueError):
        raise CSRRefused(Code.CSR_FORMAT, "the CSR is neither PEM nor base64") from None
    if len(der) > MAX_CSR_BYTES:
        raise CSRRefused(Code.CSR_FORMAT, "the CSR is longer than 16 KiB")
    if _PRIVATE_KEY_DER.match(der) or b"PRIVATE KEY" in der:
        raise CSRRefused(Code.KEY_IN_BODY, "a private key was sent in place of a CSR")
    return der


def _open_key(csr: x509.CertificateSigningRequest) -> tuple[PublicKeyTypes, str]:
    # cryptography reads a key that is bound to RSASSA-PSS as if it were any RSA key.
    # The attribute exists at run time, its type hint does not yet.
    algorithm: x509.ObjectIdentifier = csr.public_key_algorithm_oid  # type: ignore[attr-defined]
    if algorithm not in _KEY_ALGORITHMS:
        raise CSRRefused(
            Code.KEY_TYPE, f"keys of the algorithm {algorithm.dotted_string} are not certified"
        )
    try:
        key = csr.public_key()
        key_type = key_type_of(key)
    except KeyUnsuitable as error:
        raise CSRRefused(Code.KEY_TYPE, str(error)) from None
    except (UnsupportedAlgorithm, ValueError) as error:
        words = parser_words(error, "a public key (RFC 5280 §4.1.2.7)")
        raise CSRRefused(Code.KEY_TYPE, f"the key cannot be read: {words}") from error
    check_small_factors(key)
    # One key has one encoding, for keys are recognised by the hash of it. cryptography would also
    # take curve parameters spelled out (CVE-2020-0601) and compressed points.
    if _spki_of(csr) != key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise CSRRefused(
            Code.KEY_TYPE,
            "the key is not encoded as a named curve and uncompressed point (RFC 5480 §2) "
            "or as an RSA key (RFC 3279 §2.3.1)",
        )
    return key, key_type


def _spki_of(csr: x509.CertificateSigningRequest) -> bytes:
    """Return the third element of CertificationRequestInfo, which has been parsed already."""
    info = csr.tbs_certrequest_bytes
    start = _content(info, 0)[0]
    for _version_and_subject in range(2):
        start = sum(_content(info, start))
    return info[start : sum(_content(info, start))]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the DER element at a position starts, and its length."""
    length = der[at + 1]
    if length < 0x80:
        return at + 2, length
    start = at + 2 + (length & 0x7F)
    return start, int.from_bytes(der[at + 2 : start], "big")


def _check_signature(csr: x509.CertificateSigningRequest) -> None:
    try:
        algorithm = csr.signature_hash_algorithm
    except UnsupportedAlgorithm:
        raise CSRRefused(
            Code.CSR_SIGNATURE,
            f"the signature algorithm {csr.signature_algorithm_oid.dotted_string} is not known",
        ) from None
    # Before the signature itself: OpenSSL calls a SHA-1 signature invalid, which would accuse the
    # sender of tampering. Ed25519 has no hash to choose.
    if algorithm is not None and algorithm.name not in _SOUND_HASHES:
        raise CSRRefused(
            Code.CSR_SIGNATURE,
            f"the CSR is signed with {algorithm.name.upper()}; use SHA-256, SHA-384 or SHA-512",
        )
    if not csr.is_signature_valid:
        raise CSRRefused(Code.CSR_SIGNATURE, "the signature does not verify with the CSR's own key")


def _parsed(
    der: bytes, csr: x509.CertificateSigningRequest, key: PublicKeyTypes, key_type: str
) -> ParsedCSR:
    attributes = [attribute.oid.dotted_string for attribute in csr.attributes]
    if len(set(attributes)) != len(attributes) or set(attributes) >= _EXTENSION_REQUESTS:
        raise CSRRefused(Code.CSR_PARSE, "an attribute occurs twice")
    extensions = list(csr.extensions)
    sans: tuple[San, ...] = ()
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            sans = tuple(san_of(name) for name in extension.value)
    common_names = tuple(
        attribute.value
        for attribute in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if isinstance(attribute.value, str)
    )
    csr.subject.rfc4514_string()
    spki_der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ParsedCSR(
        der=der,
        spki_der=spki_der,
        spki_sha256=hashlib.sha256(spki_der).hexdigest(),
        key_type=key_type,
        subject=csr.subject,
        common_names=common_names,
        sans=sans,
        extension_oids=tuple(extension.oid.dotted_string for extension in extensions),
        attribute_oids=tuple(attributes),
    )
