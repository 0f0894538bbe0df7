"""Certificates as files that clients send and take: DER, PEM and PKCS #7.

Owns the names of the formats and the reading of a certificate that somebody pasted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate

FORMATS = ("PEM", "DER", "P7B")
"""What x-certificateformat may say; PEM unless it says anything."""
_ROOT_FIRST, _LEAF_FIRST = "rootfirst", "endentityfirst"


def format_of(header: str) -> str:
    """Return the format that x-certificateformat asks for. Raises ApiError."""
    form = header.strip().upper() or "PEM"
    if form not in FORMATS:
        raise ApiError(
            ErrorCode.VALUE_INVALID,
            f"The header x-certificateformat is one of {', '.join(FORMATS)}. Private keys are "
            "never here, so there is no PFX.",
        )
    return form


def encoded(chain: Sequence[CertificateFacts], form: str, *, order: str = "") -> bytes:
    """Return certificates, the leaf first in ``chain``, as one file. Raises ApiError.

    ``order``: EndEntityFirst (also if empty) or RootFirst.
    """
    if order.lower() not in ("", _ROOT_FIRST, _LEAF_FIRST):
        raise ApiError(ErrorCode.VALUE_INVALID, "ChainOrder is EndEntityFirst or RootFirst.")
    ordered = list(reversed(chain)) if order.lower() == _ROOT_FIRST else list(chain)
    if form == "P7B":
        return _pkcs7([facts.der for facts in ordered])
    if form == "PEM":
        return "".join(facts.pem for facts in ordered).encode("ascii")
    if len(ordered) > 1:
        raise ApiError(
            ErrorCode.VALUE_INVALID, "DER holds one certificate: take PEM or P7B for a chain."
        )
    return ordered[0].der


def as_texts(chain: Sequence[CertificateFacts], form: str) -> list[str]:
    """Return certificates one by one in PEM or base64 of DER, or all as base64 of PKCS #7."""
    if form == "PEM":
        return [facts.pem for facts in chain]
    files = [_pkcs7([facts.der for facts in chain])] if form == "P7B" else [f.der for f in chain]
    return [base64.b64encode(file).decode("ascii") for file in files]


def read_pasted(text: str) -> CertificateFacts:
    """Read one certificate in PEM, or base64 of PEM or of DER. Raises ApiError."""
    if "PRIVATE KEY" in text:
        raise ApiError(
            ErrorCode.CERTIFICATE_UNREADABLE, "This is a private key: never send one anywhere."
        )
    try:
        if "-----BEGIN" in text:
            return read_certificate(text)
        return read_certificate(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError) as problem:
        detail = f": {problem}" if isinstance(problem, CertificateUnreadable) else ""
        raise ApiError(
            ErrorCode.CERTIFICATE_UNREADABLE, f"This is no certificate that can be read{detail}."
        ) from None


# The contents that follow one another in a PKCS #7 file of certificates alone (RFC 5652 §5.1).
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_VERSION_1 = bytes.fromhex("020101")
_NO_DIGESTS = _NO_SIGNERS = bytes.fromhex("3100")
_NO_CONTENT = bytes.fromhex("300b06092a864886f70d010701")


def _pkcs7(certificates: Sequence[bytes]) -> bytes:
    """Return a PKCS #7 file that keeps the order of its certificates.

    Existing clients take the first one for the leaf; libraries that write DER sort the set.
    """
    held = _tlv(0xA0, b"".join(certificates))
    content = _tlv(0x30, _VERSION_1 + _NO_DIGESTS + _NO_CONTENT + held + _NO_SIGNERS)
    return _tlv(0x30, _SIGNED_DATA + _tlv(0xA0, content))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
