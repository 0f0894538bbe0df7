"""Answers of a CA that are no answer to the request, each wrong in one way.

Owns the making only: that none of them reaches an orchestrator is `test_wrong_answers.py`'s.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from renewal.ca import profiles
from renewal.ca.base import Issued, IssueRequest
from renewal.x509.certificates import serial_text
from tests.faults.ledger import Ledger, changed

Answer = Callable[[Ledger, IssueRequest], Issued]


def _another_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def _other_key(ledger: Ledger, request: IssueRequest) -> Issued:
    spki = _another_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ledger.sign(changed(request, spki_der=spki))


def _other_subject(ledger: Ledger, request: IssueRequest) -> Issued:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody else")])
    return ledger.sign(changed(request, subject_der=name.public_bytes()))


def _a_ca(ledger: Ledger, request: IssueRequest) -> Issued:
    made = profiles.issuing_certificate(
        ledger.authority(),
        x509.Name.from_bytes(request.subject_der),
        _key_of(request),
        request.not_before,
        request.not_after,
    )
    return Issued(made.public_bytes(Encoding.DER))


def _key_of(request: IssueRequest) -> ec.EllipticCurvePublicKey:
    key = x509.load_der_x509_csr(request.csr_der).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def _wrong_issuer(ledger: Ledger, request: IssueRequest) -> Issued:
    other = Ledger.create(
        ledger.folder / f"impostor-{serial_text(request.serial_number)}",
        "An impostor of the test's CA",
    )
    return other.sign(request)


def _expired(ledger: Ledger, request: IssueRequest) -> Issued:
    return ledger.sign(changed(request, not_after=request.not_before + timedelta(seconds=30)))


def _a_century(ledger: Ledger, request: IssueRequest) -> Issued:
    return ledger.sign(changed(request, not_after=request.not_after + timedelta(days=36500)))


def _more_purposes(ledger: Ledger, request: IssueRequest) -> Issued:
    return ledger.sign(changed(request, eku=(*request.eku, "1.3.6.1.5.5.7.3.1")))


def _the_serial_twice(ledger: Ledger, request: IssueRequest) -> Issued:
    first = ledger.lines("issued")[-1]
    return ledger.sign(changed(request, serial_number=int(first["serial"], 16)))


def _somebody_elses(ledger: Ledger, request: IssueRequest) -> Issued:
    return Issued(base64.b64decode(ledger.lines("issued")[-1]["certificate"]))


def _a_megabyte(ledger: Ledger, request: IssueRequest) -> Issued:
    return Issued(b"\x30\x84\x00\x10\x00\x00" + bytes(1 << 20))


def _a_web_page(ledger: Ledger, request: IssueRequest) -> Issued:
    return Issued(b"<!DOCTYPE html><html><body>Sign in to continue</body></html>")


def _an_endless_chain(ledger: Ledger, request: IssueRequest) -> Issued:
    root = ledger.root.public_bytes(Encoding.DER)
    return Issued(ledger.sign(request).certificate_der, (root,) * 5000)


ANSWERS: dict[str, Answer] = {
    "other key": _other_key,
    "other subject": _other_subject,
    "a CA": _a_ca,
    "wrong issuer": _wrong_issuer,
    "expired": _expired,
    "a century": _a_century,
    "more purposes": _more_purposes,
    "the serial twice": _the_serial_twice,
    "somebody else's": _somebody_elses,
    "a megabyte": _a_megabyte,
    "a web page": _a_web_page,
    "an endless chain": _an_endless_chain,
}
"""The matrix, by what is wrong."""
