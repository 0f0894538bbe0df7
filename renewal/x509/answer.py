"""Whether a CA's answer is the certificate that was asked for.

PURE. Owns every check between a CA's answer and its storage as deliverable: a CA may be buggy,
misconfigured or hostile, and an orchestrator replaces a working certificate by what it is given.
Duplicate serial numbers need the database and are not looked for here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from cryptography import x509

from renewal.ca.base import Issued, IssueRequest
from renewal.x509.certificates import (
    MAX_CERTIFICATE_BYTES,
    CertificateFacts,
    CertificateUnreadable,
    read_certificate,
)
from renewal.x509.names import NameInvalid, canonical_san, same_subject
from renewal.x509.paths import PathVerifier, Verdict

MAX_CERTIFICATES = 10
MAX_CLOCK_AHEAD = timedelta(minutes=10)
MAX_VALIDITY_SLACK = timedelta(days=1)


class AnswerFault(StrEnum):
    """What is wrong with an answer, stable for logs and filters."""

    TOO_LARGE = "too large"
    UNREADABLE = "unreadable"
    OTHER_KEY = "other key"
    OTHER_SUBJECT = "other subject"
    OTHER_SANS = "other SANs"
    OTHER_EKU = "other EKU"
    IS_CA = "is a CA"
    BAD_SERIAL = "bad serial number"
    BAD_VALIDITY = "bad validity"
    NOT_TRUSTED = "not from this CA"


class AnswerRejected(Exception):
    """The answer must not be delivered; ``reason`` is a sentence for the operator."""

    def __init__(self, fault: AnswerFault, reason: str) -> None:
        super().__init__(f"{fault.value}: {reason}")
        self.fault = fault
        self.reason = reason


def check_answer(
    request: IssueRequest, issued: Issued, *, anchors: Sequence[bytes], now: datetime
) -> CertificateFacts:
    """Return the facts of a certificate that may be delivered, or raise ``AnswerRejected``.

    What is accepted beyond what was asked for:

    - another serial number, if it is positive and has at most 20 octets (RFC 5280 §4.1.2.2);
    - another string type in the subject, another order of the SANs;
    - a notBefore up to a day before the one asked for (CAs backdate), or up to 10 minutes ahead
      of this clock (clocks differ);
    - a notAfter up to a day after the one asked for (CAs round), or any earlier one that has not
      passed yet.

    No other EKU than those asked for: a CA that adds one is told apart from a template that lists
    it, for a certificate must not be good for more than its template says.
    """
    facts = _read(issued)
    certificate = facts.certificate
    if facts.spki_der != request.spki_der:
        raise AnswerRejected(AnswerFault.OTHER_KEY, "the certificate is for another key")
    if not same_subject(certificate.subject, x509.Name.from_bytes(request.subject_der)):
        raise AnswerRejected(AnswerFault.OTHER_SUBJECT, f"the subject is {facts.subject!a}")
    _check_sans(request, facts)
    _check_purpose(request, facts)
    _check_serial(certificate.serial_number)
    _check_validity(request, facts, now)
    # Judged at a moment at which the certificate is valid, so that its issuers must be valid too.
    verdict = _verifier(tuple(anchors), issued.chain_der).verify_facts(
        facts, max(now, facts.not_before)
    )
    if verdict is not Verdict.CHAINS:
        raise AnswerRejected(
            AnswerFault.NOT_TRUSTED, "the signature does not lead to this CA's trust anchors"
        )
    return facts


def _read(issued: Issued) -> CertificateFacts:
    certificates = (issued.certificate_der, *issued.chain_der)
    if len(certificates) > MAX_CERTIFICATES or any(
        len(der) > MAX_CERTIFICATE_BYTES for der in certificates
    ):
        raise AnswerRejected(
            AnswerFault.TOO_LARGE, "the answer has over 10 certificates or one over 16 KiB"
        )
    try:
        return read_certificate(issued.certificate_der)
    except CertificateUnreadable as error:
        raise AnswerRejected(AnswerFault.UNREADABLE, str(error)) from error


def _check_sans(request: IssueRequest, facts: CertificateFacts) -> None:
    try:
        given = sorted(canonical_san(san) for san in facts.sans)
    except NameInvalid as error:
        raise AnswerRejected(AnswerFault.OTHER_SANS, str(error)) from error
    if given != sorted(canonical_san(san) for san in request.sans):
        shown = ", ".join(f"{kind.value}:{value}" for kind, value in given)[:200]
        raise AnswerRejected(AnswerFault.OTHER_SANS, f"the SANs are {shown or 'missing'!a}")


def _check_purpose(request: IssueRequest, facts: CertificateFacts) -> None:
    if facts.is_ca or facts.key_usage & {"key_cert_sign", "crl_sign"}:
        raise AnswerRejected(AnswerFault.IS_CA, "the certificate could sign certificates or CRLs")
    if not facts.has_client_auth:
        raise AnswerRejected(AnswerFault.OTHER_EKU, "the EKU has no clientAuth")
    if added := set(facts.eku) - set(request.eku):
        raise AnswerRejected(
            AnswerFault.OTHER_EKU, f"the CA added the EKU {', '.join(sorted(added))}"
        )


def _check_serial(serial_number: int) -> None:
    if serial_number <= 0 or serial_number.bit_length() > 159:
        raise AnswerRejected(
            AnswerFault.BAD_SERIAL, "the serial number is not positive with at most 20 octets"
        )


def _check_validity(request: IssueRequest, facts: CertificateFacts, now: datetime) -> None:
    # An administrator may have asked for a certificate that has ended: then it is no surprise.
    if facts.not_after < now and facts.not_after < request.not_after:
        raise _bad_validity(f"it ended at {facts.not_after:%Y-%m-%d %H:%M:%S}Z")
    if facts.not_before > max(now, request.not_before) + MAX_CLOCK_AHEAD:
        raise _bad_validity(f"it begins only at {facts.not_before:%Y-%m-%d %H:%M:%S}Z")
    if facts.not_before < request.not_before - MAX_VALIDITY_SLACK:
        raise _bad_validity(f"it begins already at {facts.not_before:%Y-%m-%d %H:%M:%S}Z")
    if facts.not_after > request.not_after + MAX_VALIDITY_SLACK:
        raise _bad_validity(f"it ends only at {facts.not_after:%Y-%m-%d %H:%M:%S}Z")


def _bad_validity(reason: str) -> AnswerRejected:
    return AnswerRejected(AnswerFault.BAD_VALIDITY, reason)


# A CA answers with the same chain again and again; a hostile one only empties this cache.
@lru_cache(maxsize=32)
def _verifier(anchors: tuple[bytes, ...], chain: tuple[bytes, ...]) -> PathVerifier:
    try:
        return PathVerifier(anchors, chain)
    except CertificateUnreadable as error:
        raise AnswerRejected(AnswerFault.NOT_TRUSTED, f"chain or anchor: {error}") from error
