"""Certificates and CSRs by the million: a few are signed, the others are these with fields changed.

PURE. Owns the documents of a synthetic fleet. Each has a key, serial number, name and dates of its
own and can be read by every parser; the signature is that of the template and does not fit, so
that none of them authenticates anybody. Public keys are distinct points of P-256 (a running sum of
the generator, cheap by batched inversion) or random moduli.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# FIPS 186-4 D.1.2.3 (P-256).
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BLOCK = 512
_RSA_BYTES = 256

NAME_LENGTH = 33
"""Names have one length, so that they fit where the template's stood."""
_NAME = "n" * NAME_LENGTH
_SERIAL = int.from_bytes(b"\x5a" * 16, "big")
_NOT_BEFORE = datetime(2011, 1, 2, 3, 4, 5, tzinfo=UTC)
_NOT_AFTER = datetime(2012, 6, 7, 8, 9, 10, tzinfo=UTC)
_MODULUS = b"\xa5" * _RSA_BYTES
ISSUERS = ("Synthetic Fleet Issuing CA", "Synthetic Fleet Corporate CA")
"""Of this portal, and of somebody else."""


@dataclass(frozen=True, slots=True)
class Document:
    """One certificate as its row needs it, and the CSR that asked for it."""

    der: bytes
    csr_der: bytes
    subject_der: bytes
    serial_number: str
    spki_sha256: str
    fingerprint_sha256: str
    thumbprint: str
    key_algorithm: str
    key_size: int


def points(start: int) -> Iterator[bytes]:
    """Yield distinct public points of P-256, uncompressed, from ``start`` times the generator on.

    start · G, (start + 1) · G, … in blocks: one inversion modulo p for all sums of a block.
    """
    table = [_point(number) for number in range(1, _BLOCK + 1)]
    base = _point(start % (_ORDER - 2**64) + 2**32)
    while True:
        x, y = base
        yield _encoded(x, y)
        products, product = [], 1
        for other_x, _ in table:
            products.append(product)
            product = product * (other_x - x) % _P
        inverse = pow(product, -1, _P)
        sums = []
        for index in range(_BLOCK - 1, -1, -1):
            other_x, other_y = table[index]
            slope = (other_y - y) * inverse * products[index] % _P
            inverse = inverse * (other_x - x) % _P
            sum_x = (slope * slope - x - other_x) % _P
            sums.append((sum_x, (slope * (x - sum_x) - y) % _P))
        sums.reverse()
        for sum_x, sum_y in sums[:-1]:
            yield _encoded(sum_x, sum_y)
        base = sums[-1]


class Printer:
    """Makes documents; one for each chunk of a fleet."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._points = points(random.getrandbits(255))
        elliptic, modular = ec.derive_private_key(7, ec.SECP256R1()), _rsa_template()
        place = elliptic.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._forms = {
            "EC": [_form(elliptic.public_key(), place, issuer) for issuer in ISSUERS],
            "RSA": [_form(modular, _MODULUS, issuer) for issuer in ISSUERS],
        }

    def document(
        self, name: str, not_before: datetime, not_after: datetime, *, is_ours: bool
    ) -> Document:
        """Return a certificate for ``name`` (of the length that names have), with a new key."""
        random = self._random
        algorithm = "RSA" if random.random() < 0.2 else "EC"
        key = _modulus(random) if algorithm == "RSA" else next(self._points)
        form = self._forms[algorithm][0 if is_ours else 1]
        # The first bit stays clear and the first octet is not zero: 16 octets in DER.
        serial = bytes([random.randrange(1, 128)]) + random.randbytes(15)
        fields = {
            "name": name.encode(),
            "serial": serial,
            "not_before": f"{not_before:%y%m%d%H%M%SZ}".encode(),
            "not_after": f"{not_after:%y%m%d%H%M%SZ}".encode(),
            "key": key,
        }
        der = form.certificate.filled(fields)
        return Document(
            der=der,
            csr_der=form.csr.filled(fields) if is_ours else b"",
            subject_der=form.subject.filled(fields),
            serial_number=serial.hex(),
            spki_sha256=hashlib.sha256(form.spki.filled(fields)).hexdigest(),
            fingerprint_sha256=hashlib.sha256(der).hexdigest(),
            thumbprint=hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
            key_algorithm=algorithm,
            key_size=256 if algorithm == "EC" else 8 * _RSA_BYTES,
        )


class _Blank:
    """A DER document with fields of a fixed length left to be filled in."""

    def __init__(self, document: bytes, marks: Sequence[tuple[str, bytes]]) -> None:
        self._parts: list[bytes] = []
        self._fields: list[str] = []
        while found := min(
            ((document.index(mark), name, mark) for name, mark in marks if mark in document),
            default=None,
        ):
            at, name, mark = found
            self._parts.append(document[:at])
            self._fields.append(name)
            document = document[at + len(mark) :]
        self._parts.append(document)

    def filled(self, fields: dict[str, bytes]) -> bytes:
        pieces: list[bytes] = []
        for part, name in zip(self._parts, self._fields, strict=False):
            pieces += (part, fields[name])
        return b"".join((*pieces, self._parts[-1]))


@dataclass(frozen=True)
class _Form:
    certificate: _Blank
    csr: _Blank
    subject: _Blank
    spki: _Blank


def _form(
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, place: bytes, issuer: str
) -> _Form:
    # Signing with the curve's smallest keys says what these signatures are worth.
    signer = ec.derive_private_key(3, ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    san = x509.SubjectAlternativeName([x509.DNSName(_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(_SERIAL)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(san, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    )
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # A CSR carries its signer's key: that is exchanged for this form's whole key.
    signers = signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    marks = [
        ("serial", _SERIAL.to_bytes(16, "big")),
        ("name", _NAME.encode()),
        ("not_before", f"{_NOT_BEFORE:%y%m%d%H%M%SZ}".encode()),
        ("not_after", f"{_NOT_AFTER:%y%m%d%H%M%SZ}".encode()),
        ("key", place),
    ]
    return _Form(
        certificate=_Blank(certificate.public_bytes(Encoding.DER), marks),
        csr=_Blank(_csr(subject, signer, signers, spki), marks),
        subject=_Blank(subject.public_bytes(), marks),
        spki=_Blank(spki, marks),
    )


def _csr(
    subject: x509.Name, signer: ec.EllipticCurvePrivateKey, signers: bytes, spki: bytes
) -> bytes:
    """Return a CSR with another key than its signer's (RFC 2986 §4)."""
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    info = signed.tbs_certrequest_bytes
    whole = signed.public_bytes(Encoding.DER)
    rest = whole[whole.index(info) + len(info) :]
    content = info[info.index(b"\x02\x01\x00") :].replace(signers, spki)
    return _sequence(_sequence(content) + rest)


def _sequence(content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return b"\x30" + bytes([size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return b"\x30" + bytes([0x80 | len(octets)]) + octets + content


def _rsa_template() -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(65537, int.from_bytes(_MODULUS, "big")).public_key()


def _modulus(random: Random) -> bytes:
    """Return what looks like an RSA modulus: full length, odd. Nobody knows its factors."""
    drawn = bytearray(random.randbytes(_RSA_BYTES))
    drawn[0] |= 0x80
    drawn[-1] |= 1
    return bytes(drawn)


def _point(number: int) -> tuple[int, int]:
    public = ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
    return public.x, public.y


def _encoded(x: int, y: int) -> bytes:
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
