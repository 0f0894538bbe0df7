"""Reading certificates, and the header forms in which proxies forward them."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import quote

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from renewal.x509.certificates import (
    CertificateFacts,
    CertificateUnreadable,
    read_certificate,
    serial_text,
)
from renewal.x509.forwarded import HeaderUnreadable, certificate_from_header
from tests import pki
from tests.pki import ANY_EKU, CLIENT_AUTH, NOW, b64, certificate, pem, sequence, tlv

DER = certificate(
    "CN=agent01,O=Example",
    sans=[
        x509.DNSName("agent01.example.com"),
        x509.IPAddress(ip_address("10.0.0.1")),
        x509.UniformResourceIdentifier("urn:x:y"),
        x509.RFC822Name("ops@example.com"),
        x509.DirectoryName(pki.name("CN=a")),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01x"),
    ],
)
PEM = pem(DER, "CERTIFICATE")
EDGE_DATES = (datetime(1950, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))


def test_everything_is_read() -> None:
    facts = read_certificate(DER)
    public_key = pki.spki("ec-p256-leaf")
    assert facts.der == DER
    assert facts.pem == PEM
    assert facts.fingerprint_sha256 == hashlib.sha256(DER).hexdigest()
    assert facts.thumbprint_sha1 == hashlib.sha1(DER).hexdigest().upper()
    assert facts.serial_number == "1234"
    assert facts.subject == "CN=agent01,O=Example"
    assert facts.issuer == "CN=Test Issuing CA"
    assert facts.common_name == "agent01"
    assert facts.sans == (
        ("dns", "agent01.example.com"),
        ("ip", "10.0.0.1"),
        ("uri", "urn:x:y"),
        ("email", "ops@example.com"),
        ("dirname", "CN=a"),
        ("rid", "1.2.3"),
        ("other", "1.2.3.4:0c0178"),
    )
    assert facts.not_before == NOW - timedelta(days=1)
    assert facts.not_before.tzinfo is UTC or facts.not_before.utcoffset() == timedelta(0)
    assert facts.spki_der == public_key
    assert facts.spki_sha256 == hashlib.sha256(public_key).hexdigest()
    assert facts.signature_hash == "sha256"
    assert facts.eku == (CLIENT_AUTH.dotted_string,)
    assert facts.has_client_auth
    assert not facts.is_ca
    assert not facts.is_self_issued
    assert len(facts.subject_key_id) == len(facts.authority_key_id) == 40


@pytest.mark.parametrize(
    ("key_name", "expected"),
    [
        ("rsa-2048", ("RSA", 2048, "")),
        ("rsa-4096", ("RSA", 4096, "")),
        ("ec-p256-leaf", ("EC", 256, "secp256r1")),
        ("ec-p384", ("EC", 384, "secp384r1")),
        ("ec-p521", ("EC", 521, "secp521r1")),
        ("ec-p256k1", ("EC", 256, "secp256k1")),
        ("ed25519", ("Ed25519", 256, "")),
        ("ed448", ("Ed448", 456, "")),
        ("dsa-2048", ("DSA", 2048, "")),
        ("x25519", ("X25519", 0, "")),
    ],
)
def test_the_key_is_named(key_name: str, expected: tuple[str, int, str]) -> None:
    facts = pki.facts(key_name=key_name)
    assert (facts.key_algorithm, facts.key_size, facts.curve) == expected


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "00"), (1, "01"), (255, "ff"), (256, "0100"), (2**159 - 1, "7f" + "ff" * 19)],
)
def test_a_serial_number_is_lower_case_hex_of_whole_octets(number: int, text: str) -> None:
    assert serial_text(number) == text


def test_a_ca_and_a_bare_certificate_are_read() -> None:
    ca = read_certificate(pki.root())
    assert ca.is_ca
    assert ca.is_self_issued
    assert ca.key_usage == {"key_cert_sign", "crl_sign"}
    bare = pki.facts(is_ca=None, eku=None)
    assert (bare.is_ca, bare.eku, bare.has_client_auth) == (False, (), False)


def test_any_eku_is_not_client_auth() -> None:
    assert not pki.facts(eku=[ANY_EKU]).has_client_auth


@pytest.mark.parametrize("form", [DER, PEM, PEM.encode(), PEM.replace("\n", "\r\n")])
def test_der_and_pem_are_the_same_certificate(form: bytes | str) -> None:
    assert read_certificate(form).der == DER


def test_dates_at_both_ends_of_the_calendar_are_read() -> None:
    facts = pki.facts(not_before=EDGE_DATES[0], not_after=EDGE_DATES[1])
    assert (facts.not_before, facts.not_after) == EDGE_DATES


def with_raw_subject(value: bytes, tag: int = 0x0C) -> bytes:
    good = pki.name("CN=agent01").public_bytes()
    # Same length, so that no length around it changes.
    return certificate().replace(good, pki.common_name_der(value, tag))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param("", id="an empty text"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param(b"\x30", id="one byte"),
        pytest.param(DER[:-1], id="a truncated certificate"),
        pytest.param(DER + b"\0", id="a byte after the certificate"),
        pytest.param(PEM + PEM, id="two PEM blocks"),
        pytest.param(PEM.replace("CERTIFICATE", "PRIVATE KEY"), id="another label"),
        pytest.param(pki.csr(), id="a CSR"),
        pytest.param(b"A" * 40_000, id="40 KB"),
        pytest.param(
            certificate(sans=[x509.DNSName(f"{n:05}.example.com") for n in range(1000)]),
            id="a certificate of over 16 KiB",
        ),
        pytest.param(with_raw_subject(b"agent\x0001"[:7]), id="a NUL in the subject"),
        pytest.param(with_raw_subject(b"agent\n1"), id="a line break in the subject"),
        pytest.param(with_raw_subject(b"\xff" * 7), id="a subject that is no UTF-8"),
        pytest.param(certificate(sans=[x509.DNSName("a\nb")]), id="a line break in a SAN"),
        pytest.param(DER.replace(b"\x02\x02\x12\x34", b"\x02\x02\xff\x34"), id="negative serial"),
        pytest.param(b"\x30\x80" * 2000, id="nested indefinite lengths"),
        pytest.param(sequence(tlv(0x02, b"\x01" * 10_000)), id="a huge INTEGER"),
    ],
)
def test_unreadable_is(data: bytes | str) -> None:
    with pytest.raises(CertificateUnreadable):
        read_certificate(data)


@settings(max_examples=300, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6))
def test_no_mutation_raises_anything_but_unreadable(edits: list[tuple[int, int]]) -> None:
    mutated = bytearray(DER)
    for position, value in edits:
        mutated[position % len(mutated)] = value
    try:
        facts = read_certificate(bytes(mutated))
    except CertificateUnreadable:
        return
    assert isinstance(facts, CertificateFacts)


# --- Header forms ----------------------------------------------------------------------------

ONE_LINE = PEM.replace("\n", "")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(PEM, id="PEM"),
        pytest.param(ONE_LINE, id="PEM with its line breaks left out"),
        pytest.param(PEM.strip().replace("\n", "\n\t"), id="nginx $ssl_client_cert"),
        pytest.param(PEM.strip().replace("\n", " "), id="PEM with spaces for line breaks"),
        pytest.param(quote(PEM, safe=""), id="nginx $ssl_client_escaped_cert"),
        pytest.param(quote(PEM, safe="+=/"), id="AWS X-Amzn-Mtls-Clientcert"),
        pytest.param(b64(DER), id="IIS ARR X-ARR-ClientCert"),
        pytest.param(quote(b64(DER), safe=""), id="URL-encoded base64"),
        pytest.param(f" {b64(DER)} ", id="base64 with spaces around it"),
        pytest.param(f":{b64(DER)}:", id="RFC 9440"),
    ],
)
def test_a_forwarded_certificate_is_read_from(value: str) -> None:
    assert certificate_from_header(value) == DER


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param(" ", id="a space"),
        pytest.param("(null)", id="Apache without a certificate"),
        pytest.param("-", id="a dash"),
        pytest.param(":", id="a colon"),
        pytest.param("::", id="an empty Byte Sequence"),
        pytest.param(f":{b64(DER)}", id="a Byte Sequence without its end"),
        pytest.param(f"{b64(DER)}, {b64(DER)}", id="two headers in one"),
        pytest.param(f":{b64(DER)}:, :{b64(DER)}:", id="two Byte Sequences"),
        pytest.param(PEM + PEM, id="two PEM blocks"),
        pytest.param(quote(PEM + PEM), id="two URL-encoded PEM blocks"),
        pytest.param(quote(quote(PEM)), id="PEM that is URL-encoded twice"),
        pytest.param(PEM.replace("CERTIFICATE", "PRIVATE KEY"), id="another label"),
        pytest.param(PEM.partition("-----END")[0], id="PEM without its end"),
        pytest.param(b64(DER)[:-5] + "!" * 5, id="letters outside base64"),
        pytest.param("%ff%fe", id="escapes outside ASCII"),
        pytest.param("Ünicode", id="letters outside ASCII"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param(b64(b"no certificate"), id="base64 of prose"),
        pytest.param(b64(b"\x30" * 17_000), id="over 16 KiB"),
        pytest.param("A" * 100_000, id="100 KB"),
    ],
)
def test_a_header_is_refused_that_is(value: str) -> None:
    with pytest.raises(HeaderUnreadable):
        certificate_from_header(value)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_no_header_raises_anything_but_unreadable(value: str) -> None:
    try:
        certificate_from_header(value)
    except HeaderUnreadable:
        return


def test_the_digests_are_those_of_openssl() -> None:
    facts = read_certificate(DER)
    for digest, expected in (("sha1", facts.thumbprint_sha1), ("sha256", facts.fingerprint_sha256)):
        answer = subprocess.run(
            ["openssl", "x509", "-inform", "DER", "-noout", "-fingerprint", f"-{digest}"],
            input=DER,
            capture_output=True,
            check=True,
        )
        assert answer.stdout.decode().partition("=")[2].strip().replace(":", "") == expected.upper()
