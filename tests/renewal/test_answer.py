"""A CA's answer is believed only if it is what was asked for (I5; T21 of the threat model)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from renewal.ca.base import Issued, IssueRequest
from renewal.x509.answer import AnswerFault, AnswerRejected, check_answer
from renewal.x509.names import SanKind
from tests import pki
from tests.pki import ANY_EKU, CLIENT_AUTH, DAY, NOW, SERVER_AUTH, certificate, issuing, root

ROOT, ISSUING = root(), issuing()
ANCHORS = (ROOT,)
DNS = x509.DNSName("agent01.example.com")
URI = x509.UniformResourceIdentifier("urn:x:y")
UPN = x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x05\x00")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)

REQUEST = IssueRequest(
    request_id="intent-1",
    csr_der=pki.csr(),
    spki_der=pki.spki("ec-p256-leaf"),
    subject_der=pki.name("CN=agent01,O=Example").public_bytes(),
    sans=((SanKind.DNS, "agent01.example.com"), (SanKind.URI, "urn:x:y")),
    serial_number=0x1234,
    not_before=NOW,
    not_after=NOW + 365 * DAY,
)


def answer(chain: tuple[bytes, ...] = (ISSUING,), **changes: Any) -> Issued:
    settings: dict[str, Any] = {
        "subject": "CN=agent01,O=Example",
        "sans": [DNS, URI],
        "not_before": NOW,
        "not_after": NOW + 365 * DAY,
    }
    return Issued(certificate(**(settings | changes)), chain)


def verdict(issued: Issued, request: IssueRequest = REQUEST, **changes: Any) -> AnswerFault | None:
    try:
        check_answer(request, issued, **({"anchors": ANCHORS, "now": NOW} | changes))
    except AnswerRejected as rejection:
        return rejection.fault
    return None


def test_the_right_answer_is_returned_as_facts() -> None:
    issued = answer()
    facts = check_answer(REQUEST, issued, anchors=ANCHORS, now=NOW)
    assert facts.der == issued.certificate_der


def server_request() -> IssueRequest:
    eku = (CLIENT_AUTH.dotted_string, SERVER_AUTH.dotted_string)
    return replace(REQUEST, eku=eku)


@pytest.mark.parametrize(
    "issued",
    [
        pytest.param(answer(serial_number=1), id="the smallest serial number"),
        pytest.param(answer(serial_number=2**159 - 1), id="a serial number of 20 octets"),
        pytest.param(answer(sans=[URI, DNS]), id="SANs in another order"),
        pytest.param(answer(sans=[x509.DNSName("AGENT01.example.com"), URI]), id="capitals"),
        pytest.param(answer(not_before=NOW + 10 * MINUTE), id="notBefore 10 minutes ahead"),
        pytest.param(answer(not_before=NOW - DAY), id="notBefore backdated by a day"),
        pytest.param(answer(not_after=NOW + 366 * DAY), id="notAfter a day later"),
        pytest.param(answer(not_after=NOW + DAY), id="a shorter life"),
        pytest.param(answer(not_after=NOW), id="in its last second"),
        pytest.param(answer(chain=(ISSUING, ROOT)), id="the root in the chain"),
    ],
)
def test_an_answer_is_good_with(issued: Issued) -> None:
    assert verdict(issued) is None


ENDED = answer(not_before=NOW - DAY, not_after=NOW - SECOND)

T21: list[tuple[str, AnswerFault, Issued]] = [
    # not a certificate
    ("nothing", AnswerFault.UNREADABLE, Issued(b"")),
    ("HTML", AnswerFault.UNREADABLE, Issued(b"<!DOCTYPE html><title>502</title>")),
    ("a CSR", AnswerFault.UNREADABLE, Issued(pki.csr())),
    ("half a certificate", AnswerFault.UNREADABLE, Issued(certificate()[:200])),
    ("64 MiB", AnswerFault.TOO_LARGE, Issued(bytes(64 * 2**20))),
    ("an endless chain", AnswerFault.TOO_LARGE, answer(chain=(ISSUING,) * 1000)),
    ("64 MiB in the chain", AnswerFault.TOO_LARGE, answer(chain=(bytes(64 * 2**20),))),
    # another certificate
    ("another key", AnswerFault.OTHER_KEY, answer(key_name="ec-p256-other")),
    ("another subject", AnswerFault.OTHER_SUBJECT, answer(subject="CN=agent02,O=Example")),
    ("a subject in capitals", AnswerFault.OTHER_SUBJECT, answer(subject="CN=AGENT01,O=Example")),
    ("an attribute more", AnswerFault.OTHER_SUBJECT, answer(subject="CN=agent01,O=Example,C=DE")),
    ("an attribute less", AnswerFault.OTHER_SUBJECT, answer(subject="CN=agent01")),
    ("attributes swapped", AnswerFault.OTHER_SUBJECT, answer(subject="O=Example,CN=agent01")),
    ("attributes in one RDN", AnswerFault.OTHER_SUBJECT, answer(subject="CN=agent01+O=Example")),
    ("no subject", AnswerFault.OTHER_SUBJECT, answer(subject="")),
    ("a SAN less", AnswerFault.OTHER_SANS, answer(sans=[DNS])),
    ("no SANs", AnswerFault.OTHER_SANS, answer(sans=[])),
    ("a SAN more", AnswerFault.OTHER_SANS, answer(sans=[DNS, URI, x509.DNSName("evil.example")])),
    ("a SAN twice", AnswerFault.OTHER_SANS, answer(sans=[DNS, DNS, URI])),
    ("a wildcard", AnswerFault.OTHER_SANS, answer(sans=[x509.DNSName("*.example.com"), URI])),
    (
        "a UPN beside the SANs",
        AnswerFault.OTHER_SANS,
        answer(sans=[DNS, URI, UPN]),
    ),
    # another purpose
    ("CA:TRUE", AnswerFault.IS_CA, answer(is_ca=True)),
    ("keyCertSign", AnswerFault.IS_CA, answer(key_cert_sign=True)),
    ("no EKU", AnswerFault.OTHER_EKU, answer(eku=None)),
    ("serverAuth alone", AnswerFault.OTHER_EKU, answer(eku=[SERVER_AUTH])),
    ("anyEKU alone", AnswerFault.OTHER_EKU, answer(eku=[ANY_EKU])),
    ("serverAuth added", AnswerFault.OTHER_EKU, answer(eku=[CLIENT_AUTH, SERVER_AUTH])),
    ("anyEKU added", AnswerFault.OTHER_EKU, answer(eku=[CLIENT_AUTH, ANY_EKU])),
    (
        "an enrollment agent",
        AnswerFault.OTHER_EKU,
        answer(eku=[CLIENT_AUTH, ObjectIdentifier("1.3.6.1.4.1.311.20.2.1")]),
    ),
    # another time
    ("already ended", AnswerFault.BAD_VALIDITY, ENDED),
    ("ahead", AnswerFault.BAD_VALIDITY, answer(not_before=NOW + 10 * MINUTE + SECOND)),
    ("backdated too far", AnswerFault.BAD_VALIDITY, answer(not_before=NOW - DAY - SECOND)),
    ("too long", AnswerFault.BAD_VALIDITY, answer(not_after=NOW + 366 * DAY + SECOND)),
    ("100 years", AnswerFault.BAD_VALIDITY, answer(not_after=NOW + 36500 * DAY)),
    # another issuer
    ("no chain", AnswerFault.NOT_TRUSTED, answer(chain=())),
    ("an unreadable chain", AnswerFault.NOT_TRUSTED, answer(chain=(b"junk",))),
    ("a leaf as its chain", AnswerFault.NOT_TRUSTED, answer(chain=(certificate(),))),
    ("self-signed", AnswerFault.NOT_TRUSTED, answer(issuer_key="ec-p256-leaf")),
    (
        "a forged signature under the right names",
        AnswerFault.NOT_TRUSTED,
        answer(issuer_key="ec-p256-foreign", claimed_issuer_key="ec-p256-issuing"),
    ),
    (
        "a CA of its own, sent along",
        AnswerFault.NOT_TRUSTED,
        answer(
            issuer_key="ec-p256-foreign",
            chain=(issuing(key_name="ec-p256-foreign", issuer_key="ec-p256-foreign"),),
        ),
    ),
    (
        "an issuer that has ended",
        AnswerFault.NOT_TRUSTED,
        answer(chain=(issuing(not_after=NOW - SECOND),)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "issued"), [pytest.param(fault, issued, id=title) for title, fault, issued in T21]
)
def test_an_answer_is_rejected_for(fault: AnswerFault, issued: Issued) -> None:
    assert verdict(issued) is fault


@pytest.mark.parametrize("serial_number", [0, 1 << 159, 1 << 160])
def test_a_serial_number_is_rejected_that_is(serial_number: int) -> None:
    """RFC 5280 §4.1.2.2: positive, and at most 20 octets with the sign's bit."""
    der = pki.with_serial(answer().certificate_der, serial_number)
    assert verdict(Issued(der, (ISSUING,))) is AnswerFault.BAD_SERIAL


def test_another_cas_anchor_does_not_do() -> None:
    foreign = root(key_name="ec-p256-foreign", issuer_key="ec-p256-foreign")
    assert verdict(answer(), anchors=(foreign,)) is AnswerFault.NOT_TRUSTED
    assert verdict(answer(), anchors=()) is AnswerFault.NOT_TRUSTED


def test_a_template_that_lists_an_eku_gets_it() -> None:
    both = answer(eku=[CLIENT_AUTH, SERVER_AUTH])
    assert verdict(both, server_request()) is None


def test_a_string_type_in_the_subject_does_not_matter() -> None:
    printable = pki.common_name_der(b"agent01", tag=0x13)
    request = replace(REQUEST, subject_der=printable)
    assert verdict(answer(subject="CN=agent01"), request) is None


def test_a_certificate_that_was_asked_for_as_ended_is_no_surprise() -> None:
    request = replace(REQUEST, not_before=NOW - 366 * DAY, not_after=NOW - DAY)
    ended = answer(not_before=request.not_before, not_after=request.not_after)
    assert verdict(ended, request) is None
    shorter = answer(not_before=request.not_before, not_after=request.not_after - SECOND)
    assert verdict(shorter, request) is AnswerFault.BAD_VALIDITY


def test_a_name_in_an_answer_forges_no_line_of_a_log() -> None:
    with pytest.raises(AnswerRejected) as rejection:
        check_answer(REQUEST, answer(subject="CN=ünïcode"), anchors=ANCHORS, now=NOW)
    assert rejection.value.reason.isascii()
