"""The CSR door: what comes in, and with which code everything else stays out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestrators.protocol.codes import Code
from renewal.x509 import csr_door, keys
from renewal.x509.csr_door import (
    MAX_CSR_BYTES,
    CSRRefused,
    ParsedCSR,
    check_key_type,
    open_csr,
)
from tests import pki
from tests.pki import (
    EXTENSION_REQUEST,
    MS_EXTENSION_REQUEST,
    attribute,
    b64,
    common_name_der,
    csr,
    extension,
    integer,
    oid,
    pem,
    raw_csr,
    rsa_spki,
    sequence,
    set_of,
    tlv,
)

GOOD = csr()
PKCS8, OLD = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL


# --- What comes in ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b64(GOOD), id="bare base64 of the DER, as existing agents send it"),
        pytest.param(pem(GOOD), id="PEM"),
        pytest.param(pem(GOOD, "NEW CERTIFICATE REQUEST"), id="PEM with the older label"),
        pytest.param(pem(GOOD).replace("\n", "\r\n"), id="PEM with CR LF"),
        pytest.param(pem(GOOD).replace("\n", ""), id="PEM without line breaks"),
        pytest.param(f"\r\n {b64(GOOD)}\n", id="base64 with whitespace around it"),
        pytest.param("\n".join(pem(GOOD).splitlines()[1:-1]), id="base64 in lines"),
    ],
)
def test_a_csr_comes_in_as(raw: str) -> None:
    parsed = open_csr(raw)
    assert parsed.der == GOOD
    assert parsed.spki_der == pki.spki("ec-p256-leaf")
    assert parsed.common_names == ("agent01",)
    assert parsed.sans == ()


@pytest.mark.parametrize(
    ("key_name", "key_type"),
    [
        ("rsa-2048", "RSA-2048"),
        ("rsa-3072", "RSA-3072"),
        ("rsa-4096", "RSA-4096"),
        ("ec-p256-leaf", "EC-P256"),
        ("ec-p384", "EC-P384"),
        ("ec-p521", "EC-P521"),
        ("ed25519", "Ed25519"),
    ],
)
def test_a_key_that_a_template_can_list_comes_in_with_its_type(
    key_name: str, key_type: str
) -> None:
    parsed = open_csr(b64(csr(key_name=key_name)))
    assert parsed.key_type == key_type
    check_key_type(parsed, frozenset({key_type}))
    with pytest.raises(CSRRefused) as refusal:
        check_key_type(parsed, frozenset(keys.KEY_TYPES) - {key_type})
    assert refusal.value.code is Code.KEY_TYPE
    assert key_type in refusal.value.detail


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_a_signature_with_sha_2_comes_in(algorithm: hashes.HashAlgorithm) -> None:
    assert open_csr(b64(csr(algorithm=algorithm))).key_type == "EC-P256"
    assert open_csr(b64(csr(key_name="rsa-2048", algorithm=algorithm))).key_type == "RSA-2048"


def test_all_kinds_of_san_are_read() -> None:
    sans = [
        x509.DNSName("agent01.example.com"),
        x509.IPAddress(ip_address("10.0.0.1")),
        x509.UniformResourceIdentifier("urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        x509.RFC822Name("ops@example.com"),
    ]
    assert open_csr(b64(csr(sans=sans))).sans == (
        ("dns", "agent01.example.com"),
        ("ip", "10.0.0.1"),
        ("uri", "urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        ("email", "ops@example.com"),
    )


# --- What stays out --------------------------------------------------------------------------


def san_extension(content: bytes) -> bytes:
    return attribute(EXTENSION_REQUEST, sequence(extension("2.5.29.17", content)))


DNS_A = sequence(tlv(0x82, b"a.example.com"))


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = sequence(content)
    return content


def key_pem(key_name: str = "ec-p256-leaf") -> str:
    return (pki.KEYS / f"{key_name}.pem").read_text()


def compressed_spki() -> bytes:
    public = pki.key("ec-p256-leaf").public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
    return sequence(algorithm, tlv(0x03, b"\x00", point))


def key_der(key_name: str, form: PrivateFormat = PKCS8) -> bytes:
    return pki.key(key_name).private_bytes(Encoding.DER, form, NoEncryption())


RSA_N = pki.key("rsa-2048").public_key().public_numbers().n
EC_POINT_OFF_CURVE = sequence(
    sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
    tlv(0x03, b"\x00\x04" + b"\x01" * 64),
)
EC_POINT_AT_INFINITY = sequence(
    sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), tlv(0x03, b"\x00\x00")
)
UNKNOWN_ALGORITHM = sequence(sequence(oid("1.2.3.4.5")), tlv(0x03, b"\x00" + b"\x01" * 32))

HOSTILE: list[tuple[str, Code, Callable[[], str]]] = [
    # size and armour
    ("nothing", Code.CSR_FORMAT, lambda: ""),
    ("whitespace", Code.CSR_FORMAT, lambda: " \r\n\t"),
    ("prose", Code.CSR_FORMAT, lambda: "please sign this"),
    ("a NUL", Code.CSR_FORMAT, lambda: "\0"),
    ("letters outside ASCII", Code.CSR_FORMAT, lambda: "ÄÖÜ=" * 10),
    ("a lone surrogate", Code.CSR_FORMAT, lambda: "\ud800"),
    ("full-width base64", Code.CSR_FORMAT, lambda: b64(GOOD).replace("M", "\uff2d", 1)),
    ("base64 without its padding", Code.CSR_FORMAT, lambda: b64(b"\x30" * 4).rstrip("=")),
    ("URL-safe base64", Code.CSR_FORMAT, lambda: b64(GOOD)[:40] + "-_" + b64(GOOD)[42:]),
    ("over 16 KiB", Code.CSR_FORMAT, lambda: b64(b"\x30" * (MAX_CSR_BYTES + 1))),
    ("a megabyte", Code.CSR_FORMAT, lambda: "A" * 2**20),
    ("two PEM blocks", Code.CSR_FORMAT, lambda: pem(GOOD) + pem(GOOD)),
    ("a certificate's PEM", Code.CSR_FORMAT, lambda: pem(GOOD, "CERTIFICATE")),
    ("labels that differ", Code.CSR_FORMAT, lambda: pem(GOOD).replace("END C", "END NEW C")),
    ("prose before the PEM", Code.CSR_FORMAT, lambda: "Here:\n" + pem(GOOD)),
    ("prose after the PEM", Code.CSR_FORMAT, lambda: pem(GOOD) + "thanks"),
    ("PEM headers", Code.CSR_FORMAT, lambda: pem(GOOD).replace("\n", "\nA: b\n\n", 1)),
    ("no END line", Code.CSR_FORMAT, lambda: pem(GOOD).partition("-----END")[0]),
    ("a BEGIN line alone", Code.CSR_FORMAT, lambda: "-----BEGIN CERTIFICATE REQUEST-----"),
    # private keys
    ("a private key's PEM", Code.KEY_IN_BODY, key_pem),
    ("a private key after the CSR", Code.KEY_IN_BODY, lambda: pem(GOOD) + key_pem()),
    ("a private key before the CSR", Code.KEY_IN_BODY, lambda: key_pem() + pem(GOOD)),
    ("a huge text with a key", Code.KEY_IN_BODY, lambda: "A" * 10**6 + key_pem()),
    ("an encrypted key's label", Code.KEY_IN_BODY, lambda: "BEGIN ENCRYPTED PRIVATE KEY"),
    ("a label in small letters", Code.KEY_IN_BODY, lambda: key_pem().lower()),
    ("base64 of PKCS#8", Code.KEY_IN_BODY, lambda: b64(key_der("rsa-2048"))),
    ("base64 of PKCS#1", Code.KEY_IN_BODY, lambda: b64(key_der("rsa-2048", OLD))),
    ("base64 of SEC 1", Code.KEY_IN_BODY, lambda: b64(key_der("ec-p521", OLD))),
    ("base64 of an Ed25519 key", Code.KEY_IN_BODY, lambda: b64(key_der("ed25519"))),
    ("base64 of a key's PEM", Code.KEY_IN_BODY, lambda: b64(key_pem().encode())),
    ("a key under a CSR's label", Code.KEY_IN_BODY, lambda: pem(key_der("ec-p256-leaf"))),
    # DER
    ("a certificate's DER", Code.CSR_PARSE, lambda: b64(pki.certificate())),
    ("a public key's DER", Code.CSR_PARSE, lambda: b64(pki.spki("rsa-2048"))),
    ("an empty SEQUENCE", Code.CSR_PARSE, lambda: b64(sequence())),
    ("a truncated CSR", Code.CSR_PARSE, lambda: b64(GOOD[:-1])),
    ("half a CSR", Code.CSR_PARSE, lambda: b64(GOOD[: len(GOOD) // 2])),
    ("a byte after the CSR", Code.CSR_PARSE, lambda: b64(GOOD + b"\0")),
    ("two CSRs in one", Code.CSR_PARSE, lambda: b64(GOOD + GOOD)),
    ("a fourth element", Code.CSR_PARSE, lambda: b64(raw_csr(tail=tlv(0x05)))),
    ("an indefinite length", Code.CSR_PARSE, lambda: b64(b"\x30\x80" + GOOD[4:] + b"\0\0")),
    ("a length of 4 GiB", Code.CSR_PARSE, lambda: b64(b"\x30\x84\xff\xff\xff\xff\x02")),
    ("a length longer than needed", Code.CSR_PARSE, lambda: b64(b"\x30\x83\0" + GOOD[2:])),
    ("version 1", Code.CSR_PARSE, lambda: b64(raw_csr(version=integer(1)))),
    ("a version of 8000 bits", Code.CSR_PARSE, lambda: b64(raw_csr(version=integer(1 << 8000)))),
    ("4000 nested SEQUENCEs", Code.CSR_PARSE, lambda: b64(nested(4000))),
    ("nesting in an attribute", Code.CSR_PARSE, lambda: b64(raw_csr(attributes=nested(3000)))),
    ("BER booleans", Code.CSR_PARSE, lambda: b64(raw_csr(attributes=attribute(
        EXTENSION_REQUEST, sequence(sequence(
            oid("2.5.29.19"), tlv(0x01, b"\x01"), pki.octets(sequence()))))))),
    # attributes and extensions
    ("an extension twice", Code.CSR_PARSE, lambda: b64(raw_csr(attributes=attribute(
        EXTENSION_REQUEST,
        sequence(extension("2.5.29.17", DNS_A), extension("2.5.29.17", DNS_A)))))),
    ("an attribute of two values", Code.CSR_PARSE, lambda: b64(raw_csr(attributes=attribute(
        EXTENSION_REQUEST, sequence(), sequence(extension("2.5.29.17", DNS_A)))))),
    ("an attribute of no value", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=attribute(EXTENSION_REQUEST)))),
    ("an attribute twice", Code.CSR_PARSE, lambda: b64(raw_csr(
        attributes=san_extension(DNS_A) + san_extension(DNS_A)))),
    ("extensions under both names", Code.CSR_PARSE, lambda: b64(raw_csr(
        attributes=san_extension(DNS_A)
        + attribute(MS_EXTENSION_REQUEST, sequence(extension("2.5.29.17", DNS_A)))))),
    ("attributes out of order", Code.CSR_PARSE, lambda: b64(raw_csr(
        attributes=attribute("1.3.6.1.4.1.311.13.2.3", tlv(0x16, b"10.0"))
        + attribute("1.3.6.1.4.1.311.13.2.2", tlv(0x16, b"1"))))),
    ("an attribute that is no SEQUENCE", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=tlv(0x05)))),
    ("extensions that are an INTEGER", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=attribute(EXTENSION_REQUEST, integer(7))))),
    ("a SAN that is an INTEGER", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=san_extension(integer(7))))),
    ("an empty SAN's bytes", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=san_extension(b"")))),
    ("a SAN with bytes after it", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=san_extension(DNS_A + b"\0")))),
    ("a DNS name outside ASCII", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=san_extension(sequence(tlv(0x82, b"\xff\xfe")))))),
    ("an IP address of 5 octets", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=san_extension(sequence(tlv(0x87, b"\1\2\3\4\5")))))),
    ("an unknown kind of SAN", Code.CSR_PARSE, lambda: b64(
        raw_csr(attributes=san_extension(sequence(tlv(0x8F, b"x")))))),
    ("a malformed EKU", Code.CSR_PARSE, lambda: b64(raw_csr(attributes=attribute(
        EXTENSION_REQUEST, sequence(extension("2.5.29.37", integer(1))))))),
    # names
    ("a CN that is no UTF-8", Code.CSR_PARSE, lambda: b64(
        raw_csr(subject=common_name_der(b"\xff\xff")))),
    ("a CN of half a BMP character", Code.CSR_PARSE, lambda: b64(
        raw_csr(subject=common_name_der(b"\x00", 0x1E)))),
    ("a subject that is an INTEGER", Code.CSR_PARSE, lambda: b64(raw_csr(subject=integer(1)))),
    ("an empty RDN", Code.CSR_PARSE, lambda: b64(raw_csr(subject=sequence(set_of())))),
    # keys
    ("RSA of 1024 bits", Code.KEY_TYPE, lambda: b64(csr(key_name="rsa-1024"))),
    ("RSA of 8192 bits", Code.KEY_TYPE, lambda: b64(raw_csr(spki_der=rsa_spki((1 << 8191) + 1)))),
    ("RSA with exponent 3", Code.KEY_TYPE, lambda: b64(csr(key_name="rsa-2048-e3"))),
    ("RSA with exponent 1", Code.KEY_TYPE, lambda: b64(raw_csr(spki_der=rsa_spki(RSA_N, 1)))),
    ("RSA of 2049 bits", Code.KEY_TYPE, lambda: b64(raw_csr(spki_der=rsa_spki((1 << 2048) + 1)))),
    ("RSA of 100,000 bits", Code.KEY_TYPE, lambda: b64(
        raw_csr(spki_der=rsa_spki((1 << 100_000) + 1)))),
    ("RSA with an exponent of 2000 bits", Code.KEY_TYPE, lambda: b64(
        raw_csr(spki_der=rsa_spki(RSA_N, (1 << 2000) + 1)))),
    ("RSA bound to PSS", Code.KEY_TYPE, lambda: b64(
        raw_csr(spki_der=pki.pss_spki()))),
    ("DSA", Code.KEY_TYPE, lambda: b64(csr(key_name="dsa-2048"))),
    ("secp256k1", Code.KEY_TYPE, lambda: b64(csr(key_name="ec-p256k1"))),
    ("brainpool", Code.KEY_TYPE, lambda: b64(csr(key_name="ec-brainpool256"))),
    ("P-224", Code.KEY_TYPE, lambda: b64(csr(key_name="ec-p224"))),
    ("Ed448", Code.KEY_TYPE, lambda: b64(csr(key_name="ed448"))),
    ("explicit curve parameters", Code.KEY_TYPE, lambda: b64(
        raw_csr(spki_der=pki.explicit_curve_spki()))),
    ("a compressed point", Code.KEY_TYPE, lambda: b64(raw_csr(spki_der=compressed_spki()))),
    ("a point off the curve", Code.KEY_TYPE, lambda: b64(raw_csr(spki_der=EC_POINT_OFF_CURVE))),
    ("the point at infinity", Code.KEY_TYPE, lambda: b64(raw_csr(spki_der=EC_POINT_AT_INFINITY))),
    ("an unknown key algorithm", Code.KEY_TYPE, lambda: b64(raw_csr(spki_der=UNKNOWN_ALGORITHM))),
    ("an even RSA modulus", Code.KEY_WEAK, lambda: b64(raw_csr(spki_der=rsa_spki(RSA_N - 1)))),
    ("an RSA modulus divisible by 3", Code.KEY_WEAK, lambda: b64(
        raw_csr(spki_der=rsa_spki(pki.modulus_with_factor(3))))),
    ("an RSA modulus divisible by 751", Code.KEY_WEAK, lambda: b64(
        raw_csr(spki_der=rsa_spki(pki.modulus_with_factor(751))))),
    # signatures
    ("no signature", Code.CSR_SIGNATURE, lambda: b64(raw_csr(signature=b""))),
    ("a signature of zeros", Code.CSR_SIGNATURE, lambda: b64(raw_csr(signature=b"\0" * 72))),
    ("another key's signature", Code.CSR_SIGNATURE, lambda: b64(
        raw_csr(spki_der=pki.spki("ec-p256-other")))),
    ("a flipped bit in the subject", Code.CSR_SIGNATURE, lambda: b64(
        GOOD.replace(b"agent01", b"agent02"))),
    ("an unknown signature algorithm", Code.CSR_SIGNATURE, lambda: b64(
        raw_csr(algorithm=sequence(oid("1.2.3.4"))))),
    ("an RSA algorithm on an EC key", Code.CSR_SIGNATURE, lambda: b64(
        raw_csr(algorithm=sequence(oid("1.2.840.113549.1.1.11"), tlv(0x05))))),
    ("an Ed25519 algorithm on an EC key", Code.CSR_SIGNATURE, lambda: b64(
        raw_csr(algorithm=sequence(oid("1.3.101.112"))))),
    ("PSS without parameters", Code.CSR_PARSE, lambda: b64(
        raw_csr(algorithm=sequence(oid("1.2.840.113549.1.1.10"))))),
    ("ECDSA with SHA-1", Code.CSR_SIGNATURE, lambda: b64(
        raw_csr(algorithm=sequence(oid("1.2.840.10045.4.1"))))),
    ("RSA with SHA-1", Code.CSR_SIGNATURE, lambda: b64(pki.rsa_csr("1.2.840.113549.1.1.5"))),
    ("RSA with MD5", Code.CSR_SIGNATURE, lambda: b64(pki.rsa_csr("1.2.840.113549.1.1.4"))),
    ("RSA with SHA-224", Code.CSR_SIGNATURE, lambda: b64(pki.rsa_csr("1.2.840.113549.1.1.14"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "build"), [pytest.param(code, build, id=title) for title, code, build in HOSTILE]
)
def test_refused_with_its_code(code: Code, build: Callable[[], str]) -> None:
    raw = build()
    verify = patch.object(csr_door, "_check_signature", wraps=csr_door._check_signature)
    with verify as verified, pytest.raises(CSRRefused) as refusal:
        open_csr(raw)
    # A key is judged before anything is computed with it: what a signature costs is bounded.
    assert not (code is Code.KEY_TYPE and verified.called)
    assert refusal.value.code is code
    assert refusal.value.detail
    # A sentence for a person, and not the structure of a parser's error.
    assert "{" not in refusal.value.detail


def test_a_weak_hash_is_named_and_nobody_is_accused() -> None:
    """OpenSSL calls a SHA-1 signature invalid; to the sender that would read as tampering."""
    with pytest.raises(CSRRefused) as refusal:
        open_csr(b64(pki.rsa_csr("1.2.840.113549.1.1.5")))
    assert "SHA1" in refusal.value.detail
    assert "verify" not in refusal.value.detail


def test_a_private_key_is_never_repeated() -> None:
    with pytest.raises(CSRRefused) as refusal:
        open_csr(key_pem())
    secret = key_pem().splitlines()[1]
    assert secret not in str(refusal.value)
    assert secret not in repr(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_key_of_an_algorithm_that_is_not_certified_has_no_type() -> None:
    with pytest.raises(keys.KeyUnsuitable, match="neither"):
        keys.key_type_of(pki.key("dsa-2048").public_key())


def test_a_prime_modulus_is_weak() -> None:
    with pytest.raises(keys.KeyWeak):
        keys.check_not_prime(rsa.RSAPublicNumbers(65537, pki.PRIME_2048).public_key())
    keys.check_not_prime(pki.key("rsa-2048").public_key())


def test_a_csr_whose_modulus_is_prime_is_refused() -> None:
    """Whoever owns such a key can sign: the private exponent is 1/e modulo p - 1."""
    with pytest.raises(CSRRefused) as refusal:
        open_csr(b64(pki.prime_modulus_csr()))
    assert refusal.value.code is Code.KEY_WEAK


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    base=st.sampled_from([GOOD, csr(sans=[x509.DNSName("a.b")]), csr(key_name="rsa-2048")]),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 40),
    tail=st.binary(max_size=8),
)
def test_no_mutation_raises_anything_else(
    base: bytes, edits: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    mutated = bytearray(base)
    for position, value in edits:
        mutated[position % len(mutated)] = value
    _open_quietly(b64(bytes(mutated[: len(mutated) - cut]) + tail))


@settings(max_examples=200, deadline=None)
@given(raw=st.text(max_size=300))
@example(raw="=")
@example(raw="A===")
@example(raw="-----BEGIN")
def test_no_text_raises_anything_else(raw: str) -> None:
    _open_quietly(raw)


def _open_quietly(raw: str) -> None:
    with suppress(CSRRefused):
        assert isinstance(open_csr(raw), ParsedCSR)
