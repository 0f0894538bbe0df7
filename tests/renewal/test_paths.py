"""Chains: who is trusted, who is not, and why (I3, T10)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from renewal.x509.certificates import CertificateUnreadable
from renewal.x509.paths import PathVerifier, Verdict
from tests import pki
from tests.pki import ANY_EKU, CLIENT_AUTH, DAY, NOW, SERVER_AUTH, certificate, issuing, root

ROOT, ISSUING = root(), issuing()
VERIFIER = PathVerifier([ROOT], [ISSUING])


@pytest.mark.parametrize(
    "key_name",
    ["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256-leaf", "ec-p384", "ec-p521", "ed25519"],
)
def test_a_key_of_each_type_chains(key_name: str) -> None:
    assert VERIFIER.verify(certificate(key_name=key_name), NOW) is Verdict.CHAINS


@pytest.mark.parametrize("ca_key", ["rsa-2048", "ec-p384", "ec-p521", "ed25519"])
def test_an_authority_of_each_type_is_an_anchor(ca_key: str) -> None:
    anchor = root(key_name=ca_key, issuer_key=ca_key)
    leaf = certificate(issuer="CN=Test Root CA", issuer_key=ca_key)
    assert PathVerifier([anchor]).verify(leaf, NOW) is Verdict.CHAINS


def test_an_issuing_ca_alone_is_an_anchor() -> None:
    assert PathVerifier([ISSUING]).verify(certificate(), NOW) is Verdict.CHAINS


@pytest.mark.parametrize(
    ("leaf", "verdict"),
    [
        pytest.param(certificate(), Verdict.CHAINS, id="a client certificate, without SAN"),
        pytest.param(
            certificate(sans=[x509.DNSName("a.example")]), Verdict.CHAINS, id="with a SAN"
        ),
        pytest.param(certificate(""), Verdict.CHAINS, id="with neither subject nor SAN"),
        pytest.param(
            certificate(eku=[SERVER_AUTH, CLIENT_AUTH]), Verdict.CHAINS, id="for servers too"
        ),
        pytest.param(
            certificate(issuer_key="ec-p256-foreign", claimed_issuer_key="ec-p256-issuing"),
            Verdict.NOT_TRUSTED,
            id="right issuer name and AKI, another key's signature (T10)",
        ),
        pytest.param(
            certificate()[:-1] + bytes([certificate()[-1] ^ 1]),
            Verdict.NOT_TRUSTED,
            id="one bit of the signature flipped",
        ),
        pytest.param(
            certificate().replace(b"agent01", b"agent02"),
            Verdict.NOT_TRUSTED,
            id="one letter of the subject changed",
        ),
        pytest.param(
            certificate(issuer="CN=Unknown", issuer_key="ec-p256-foreign"),
            Verdict.NOT_TRUSTED,
            id="from an unknown issuer",
        ),
        pytest.param(
            certificate(issuer="CN=agent01", issuer_key="ec-p256-leaf"),
            Verdict.NOT_TRUSTED,
            id="self-signed",
        ),
        pytest.param(
            certificate("CN=Test Root CA", issuer="CN=Test Root CA", issuer_key="ec-p256-leaf"),
            Verdict.NOT_TRUSTED,
            id="self-signed in the root's name",
        ),
        pytest.param(certificate(eku=None), Verdict.NOT_CLIENT_AUTH, id="without EKU"),
        pytest.param(certificate(eku=[SERVER_AUTH]), Verdict.NOT_CLIENT_AUTH, id="for servers"),
        pytest.param(certificate(eku=[ANY_EKU]), Verdict.NOT_CLIENT_AUTH, id="anyEKU alone"),
        pytest.param(certificate(eku=[ANY_EKU, CLIENT_AUTH]), Verdict.CHAINS, id="anyEKU, client"),
        pytest.param(ISSUING, Verdict.IS_CA, id="the issuing CA"),
        pytest.param(ROOT, Verdict.IS_CA, id="the root"),
        pytest.param(certificate(is_ca=True), Verdict.IS_CA, id="a CA with clientAuth"),
        pytest.param(b"", Verdict.UNREADABLE, id="nothing"),
        pytest.param(b"\x30\x03\x02\x01\x01", Verdict.UNREADABLE, id="another SEQUENCE"),
        pytest.param(pki.csr(), Verdict.UNREADABLE, id="a CSR"),
    ],
)
def test_verdict(leaf: bytes, verdict: Verdict) -> None:
    assert VERIFIER.verify(leaf, NOW) is verdict


def test_a_critical_extension_that_nobody_knows_is_not_trusted() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert VERIFIER.verify(certificate(extensions=[unknown]), NOW) is Verdict.CHAINS
    builder = x509.CertificateBuilder(extensions=[x509.Extension(unknown.oid, True, unknown)])
    critical = (
        builder.subject_name(pki.name("CN=a"))
        .issuer_name(pki.name("CN=Test Issuing CA"))
        .public_key(pki.key("ec-p256-leaf").public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(pki.key("ec-p256-issuing"), pki.hash_for(None))
    )
    verdict = VERIFIER.verify(critical.public_bytes(pki.Encoding.DER), NOW)
    assert verdict is Verdict.NOT_TRUSTED


def test_a_leaf_cannot_issue() -> None:
    """A client certificate in the place of an intermediate is no authority."""
    with pytest.raises(CertificateUnreadable, match="not a CA"):
        PathVerifier([ROOT], [certificate()])
    with pytest.raises(CertificateUnreadable, match="not a CA"):
        PathVerifier([certificate()])


def test_a_path_longer_than_its_issuer_allows_is_not_trusted() -> None:
    short = issuing(path_length=0)
    sub = certificate(
        "CN=Sub CA", key_name="ec-p256-other", is_ca=True, eku=None, not_after=NOW + 500 * DAY
    )
    leaf = certificate(issuer="CN=Sub CA", issuer_key="ec-p256-other")
    assert PathVerifier([ROOT], [issuing(), sub]).verify(leaf, NOW) is Verdict.CHAINS
    assert PathVerifier([ROOT], [short, sub]).verify(leaf, NOW) is Verdict.NOT_TRUSTED


def test_an_authority_for_servers_only_issues_no_client_certificates() -> None:
    servers_only = issuing(eku=[SERVER_AUTH])
    assert PathVerifier([ROOT], [servers_only]).verify(certificate(), NOW) is Verdict.NOT_TRUSTED
    for eku in ([CLIENT_AUTH], [ANY_EKU], None):
        verifier = PathVerifier([ROOT], [issuing(eku=eku)])
        assert verifier.verify(certificate(), NOW) is Verdict.CHAINS


def test_a_signature_with_sha_1_is_not_trusted() -> None:
    sha1 = pki.sha1_certificate()
    anchor = root(key_name="rsa-2048", issuer_key="rsa-2048")
    assert PathVerifier([anchor]).verify(sha1, NOW) is Verdict.NOT_TRUSTED


def test_without_anchors_nobody_is_trusted() -> None:
    assert PathVerifier([], [ISSUING]).verify(certificate(), NOW) is Verdict.NOT_TRUSTED


# --- Dates -----------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)
LEAF = certificate(not_before=NOW - DAY, not_after=NOW + DAY)


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(NOW - 2 * DAY, id="not yet valid"),
        pytest.param(NOW - DAY, id="at notBefore"),
        pytest.param(NOW + DAY, id="at notAfter"),
        pytest.param(NOW + DAY + SECOND, id="expired"),
    ],
)
def test_the_dates_of_the_certificate_itself_are_not_judged(now: datetime) -> None:
    assert VERIFIER.verify(LEAF, now) is Verdict.CHAINS


@pytest.mark.parametrize(
    ("not_before", "not_after", "verdict"),
    [
        pytest.param(NOW - DAY, NOW + DAY, Verdict.CHAINS, id="valid"),
        pytest.param(NOW - DAY, NOW, Verdict.CHAINS, id="in its last second"),
        pytest.param(NOW, NOW + DAY, Verdict.CHAINS, id="in its first second"),
        pytest.param(NOW - DAY, NOW - SECOND, Verdict.NOT_TRUSTED, id="expired"),
        pytest.param(NOW + SECOND, NOW + DAY, Verdict.NOT_TRUSTED, id="not yet valid"),
    ],
)
@pytest.mark.parametrize("role", ["anchor", "intermediate"])
def test_a_valid_certificate_needs_authorities_that_are_valid_now(
    role: str, not_before: datetime, not_after: datetime, verdict: Verdict
) -> None:
    dates = {"not_before": not_before, "not_after": not_after}
    anchor = root(**dates) if role == "anchor" else ROOT
    intermediate = issuing(**dates) if role == "intermediate" else ISSUING
    assert PathVerifier([anchor], [intermediate]).verify(certificate(), NOW) is verdict


def test_an_expired_certificate_is_told_from_a_foreign_one_though_its_issuer_expired_too() -> None:
    old = issuing(not_after=NOW - 5 * DAY)
    expired = certificate(not_before=NOW - 400 * DAY, not_after=NOW - DAY)
    foreign = certificate(
        not_before=NOW - 400 * DAY, not_after=NOW - DAY, issuer_key="ec-p256-foreign"
    )
    verifier = PathVerifier([ROOT], [old])
    assert verifier.verify(expired, NOW) is Verdict.CHAINS
    assert verifier.verify(foreign, NOW) is Verdict.NOT_TRUSTED


def test_a_backdated_certificate_chains_to_an_authority_made_after_its_end() -> None:
    young = issuing(not_before=NOW - timedelta(hours=1))
    ended = certificate(not_before=NOW - 366 * DAY, not_after=NOW - DAY)
    aged = certificate(not_before=NOW - 345 * DAY, not_after=NOW + 20 * DAY)
    verifier = PathVerifier([ROOT], [young])
    assert verifier.verify(ended, NOW) is Verdict.CHAINS
    assert verifier.verify(aged, NOW) is Verdict.CHAINS


def test_an_issuer_certified_anew_goes_on_beside_its_expired_certificate() -> None:
    expired = issuing(not_after=NOW - DAY, serial_number=1)
    renewed = issuing(not_before=NOW - DAY, serial_number=2)
    for intermediates in ([expired, renewed], [renewed, expired]):
        assert PathVerifier([ROOT], intermediates).verify(certificate(), NOW) is Verdict.CHAINS


def test_one_verifier_follows_the_clock_in_both_directions() -> None:
    short = issuing(not_before=NOW - DAY, not_after=NOW + DAY)
    verifier = PathVerifier([ROOT], [short])
    leaf = certificate(not_before=NOW - 100 * DAY, not_after=NOW + 100 * DAY)
    verdicts = [verifier.verify(leaf, NOW + days * DAY) for days in (0, 2, 0, -2, 0)]
    assert verdicts == [
        Verdict.CHAINS,
        Verdict.NOT_TRUSTED,
        Verdict.CHAINS,
        Verdict.NOT_TRUSTED,
        Verdict.CHAINS,
    ]
