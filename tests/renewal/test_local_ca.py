"""The local CA: files, signatures, CRLs, and pkilint's opinion of all of it."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pkilint.bin import lint_crl, lint_pkix_cert

from renewal.ca import local
from renewal.ca.base import (
    CAMisconfigured,
    CARejected,
    Issued,
    RevocationReason,
    RevokedEntry,
)
from renewal.ca.local import LocalCA
from renewal.x509.answer import check_answer
from renewal.x509.certificates import read_certificate
from renewal.x509.names import SanKind
from renewal.x509.paths import PathVerifier, Verdict
from tests import pki
from tests.contract.ca_backend import issue_request, revoke_request
from tests.pki import DAY, NOW, SERVER_AUTH

PASSPHRASE = "correct horse"
URLS = {
    "crl_url": "http://portal.example.com/crl/local.crl",
    "issuer_url": "http://portal.example.com/crl/local.cer",
}


@dataclass(frozen=True)
class Made:
    ca: LocalCA
    folder: Path

    def opened(self, passphrase: str = PASSPHRASE) -> LocalCA:
        return LocalCA({"directory": str(self.folder), "passphrase": passphrase, **URLS})


Maker = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    def made(key_type: str = "EC-P256", now: datetime = NOW, **settings: int) -> Made:
        folder = tmp_path / key_type
        ca = LocalCA.create(
            folder,
            name="Example",
            passphrase=PASSPHRASE,
            now=now,
            key_type=key_type,
            **URLS,
            **settings,
        )
        return Made(ca, folder)

    return made


def certificate_of(issued: Issued) -> x509.Certificate:
    return x509.load_der_x509_certificate(issued.certificate_der)


def encrypted(key_name: str) -> str:
    encryption = BestAvailableEncryption(PASSPHRASE.encode())
    pem = pki.key(key_name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return str(pem, "ascii")


def server_certificate(ca: LocalCA) -> Issued:
    return ca.issue_server_certificate(
        spki_der=pki.spki("ec-p256-other"),
        sans=((SanKind.DNS, "portal.example.com"), (SanKind.IP, "127.0.0.1")),
        serial_number=99,
        not_before=NOW,
        not_after=NOW + 90 * DAY,
    )


# --- Files -----------------------------------------------------------------------------------


def test_keys_are_encrypted_and_readable_by_their_owner_only(make: Maker) -> None:
    folder = make().folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "issuing.key.pem",
        "issuing.pem",
        "root.key.pem",
        "root.pem",
    ]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for role in ("root", "issuing"):
        path = folder / f"{role}.key.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        with pytest.raises(TypeError):
            load_pem_private_key(path.read_bytes(), None)


def test_a_ca_is_not_made_over_another(make: Maker) -> None:
    made = make()
    before = {path: path.read_bytes() for path in made.folder.iterdir()}
    with pytest.raises(CAMisconfigured, match="cannot be made"):
        make()
    assert {path: path.read_bytes() for path in made.folder.iterdir()} == before
    assert list(made.folder.parent.iterdir()) == [made.folder], "nothing is left beside it"


def test_a_name_that_fits_no_cn_makes_no_ca(tmp_path: Path) -> None:
    with pytest.raises(CAMisconfigured, match="name"):
        LocalCA.create(tmp_path / "ca", name="x" * 64, passphrase=PASSPHRASE, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_key_type_that_nobody_knows_is_named(make: Maker) -> None:
    with pytest.raises(CAMisconfigured, match="RSA-1024"):
        make("RSA-1024")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        pytest.param(lambda f: (f / "issuing.key.pem").unlink(), "issuing.key.pem", id="no key"),
        pytest.param(lambda f: (f / "issuing.pem").unlink(), "issuing.pem", id="no certificate"),
        pytest.param(
            lambda f: (f / "issuing.key.pem").write_text("x"), "issuing.key.pem", id="no PEM"
        ),
        pytest.param(lambda f: (f / "issuing.pem").write_text("x"), "issuing.pem", id="garbage"),
        pytest.param(
            lambda f: os.replace(f / "root.key.pem", f / "issuing.key.pem"),
            "not the key of issuing.pem",
            id="another key",
        ),
        pytest.param(
            lambda f: (f / "issuing.key.pem").write_text(encrypted("dsa-2048")),
            "a type that is not used",
            id="a DSA key",
        ),
    ],
)
def test_a_spoiled_file_is_named_and_health_says_so(
    make: Maker, spoil: Callable[[Path], object], named: str
) -> None:
    made = make()
    spoil(made.folder)
    with pytest.raises(CAMisconfigured, match=named):
        made.ca.issue(issue_request())
    assert named in made.ca.health(NOW).message


def test_a_wrong_passphrase_opens_nothing_even_after_the_right_one(make: Maker) -> None:
    made = make()
    made.ca.issue(issue_request())
    wrong = made.opened("wrong")
    with pytest.raises(CAMisconfigured, match="passphrase"):
        wrong.issue(issue_request())
    assert not wrong.health(NOW).is_ok
    assert PASSPHRASE not in repr(made.ca)


def test_the_key_is_opened_once_for_many_signatures(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make()
    opened = []
    authority = LocalCA._authority

    def counted(self: LocalCA, role: str) -> object:
        opened.append(role)
        return authority(self, role)

    monkeypatch.setattr(LocalCA, "_authority", counted)
    threads = [
        threading.Thread(target=lambda: made.opened().issue(issue_request())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == ["issuing"]


# --- Certificates ----------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", ["EC-P256", "EC-P384", "EC-P521", "RSA-2048", "Ed25519"])
def test_a_request_signed_twice_is_one_certificate(make: Maker, key_type: str) -> None:
    made = make(key_type)
    local._signers.clear()
    first = made.ca.issue(issue_request())
    local._signers.clear()
    assert made.opened().issue(issue_request()) == first
    anchors = made.ca.trust_anchors()
    assert check_answer(issue_request(), first, anchors=anchors, now=NOW)


@pytest.mark.parametrize(
    "key_name",
    ["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256-leaf", "ec-p384", "ec-p521", "ed25519"],
)
def test_an_orchestrators_key_of_each_type_is_certified(make: Maker, key_name: str) -> None:
    made = make()
    request = issue_request(key_name=key_name)
    anchors = made.ca.trust_anchors()
    assert check_answer(request, made.ca.issue(request), anchors=anchors, now=NOW)


def test_serial_number_and_dates_are_those_of_the_request(make: Maker) -> None:
    request = issue_request()
    certificate = certificate_of(make().ca.issue(request))
    assert certificate.serial_number == request.serial_number
    assert certificate.not_valid_before_utc == request.not_before
    assert certificate.not_valid_after_utc == request.not_after


def test_no_certificate_outlives_its_issuer(make: Maker) -> None:
    made = make(issuing_days=100)
    certificate = certificate_of(made.ca.issue(issue_request()))
    assert certificate.not_valid_after_utc == made.ca.issuing_certificate().not_after
    assert made.ca.issuing_certificate().not_after == NOW + 100 * DAY


def test_an_issuing_ca_does_not_outlive_its_root(make: Maker) -> None:
    made = make(root_days=10, issuing_days=100)
    assert made.ca.issuing_certificate().not_after == NOW + 10 * DAY


def test_a_backdated_certificate_is_issued_as_asked(make: Maker) -> None:
    made = make()
    request = issue_request(not_before=NOW - 366 * DAY, not_after=NOW - DAY)
    issued = made.ca.issue(request)
    facts = check_answer(request, issued, anchors=made.ca.trust_anchors(), now=NOW)
    assert facts.not_after == NOW - DAY


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"not_after": NOW - DAY}, id="ends before it begins"),
        pytest.param({"spki_der": b"junk"}, id="no key"),
        pytest.param({"spki_der": pki.spki("dsa-2048")}, id="a DSA key"),
        pytest.param({"subject_der": b"junk"}, id="no subject"),
        pytest.param({"serial_number": 0}, id="serial number 0"),
        pytest.param({"serial_number": 1 << 160}, id="a serial number of 21 octets"),
        pytest.param({"sans": ((SanKind.DNS, "agent_01"),)}, id="a SAN that is no DNS name"),
        pytest.param({"sans": ((SanKind.DIRECTORY, "CN=a"),)}, id="a directory name"),
    ],
)
def test_a_request_that_cannot_be_signed_is_rejected(
    make: Maker, changes: dict[str, object]
) -> None:
    with pytest.raises(CARejected):
        make().ca.issue(issue_request(**changes))


def test_crl_and_issuer_are_pointed_at(make: Maker) -> None:
    made = make()
    for issued in (made.ca.issue(issue_request()), server_certificate(made.ca)):
        extensions = certificate_of(issued).extensions
        points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        access = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert points[0].full_name[0].value == URLS["crl_url"]
        assert access[0].access_location.value == URLS["issuer_url"]


def test_the_portals_own_server_certificate_is_for_servers_only(make: Maker) -> None:
    made = make()
    issued = server_certificate(made.ca)
    facts = read_certificate(issued.certificate_der)
    assert facts.eku == (SERVER_AUTH.dotted_string,)
    assert facts.common_name == "portal.example.com"
    verifier = PathVerifier(made.ca.trust_anchors(), issued.chain_der)
    assert verifier.verify(issued.certificate_der, NOW) is Verdict.NOT_CLIENT_AUTH


def test_a_server_certificate_for_no_dns_name_is_rejected(make: Maker) -> None:
    with pytest.raises(CARejected, match="RFC 1034"):
        make().ca.issue_server_certificate(
            spki_der=pki.spki("ec-p256-other"),
            sans=((SanKind.DNS, "portal_1"),),
            serial_number=1,
            not_before=NOW,
            not_after=NOW + DAY,
        )


# --- Renewal of the issuing CA ---------------------------------------------------------------


def test_what_the_issuing_ca_signed_before_its_renewal_goes_on(make: Maker) -> None:
    made = make(issuing_days=100)
    issued = made.ca.issue(issue_request(not_after=NOW + 90 * DAY))
    later = NOW + 80 * DAY
    renewed = made.ca.renew_issuing(later)
    assert renewed.not_after == later + 1825 * DAY
    assert renewed.subject_key_id == read_certificate(issued.certificate_der).authority_key_id
    verifier = PathVerifier(made.ca.trust_anchors(), [renewed.der])
    assert verifier.verify(issued.certificate_der, later) is Verdict.CHAINS
    crl = x509.load_der_x509_crl(
        made.ca.publish_crl([], number=2, this_update=later, next_update=later + DAY)
    )
    assert crl.is_signature_valid(renewed.certificate.public_key())


def test_a_renewed_issuing_ca_signs_at_once_in_every_process(make: Maker) -> None:
    made = make(issuing_days=100)
    other = made.opened()
    assert certificate_of(other.issue(issue_request())).not_valid_after_utc == NOW + 100 * DAY
    made.ca.renew_issuing(NOW + DAY)
    issued = other.issue(issue_request())
    assert certificate_of(issued).not_valid_after_utc == NOW + 365 * DAY
    assert issued.chain_der == (made.ca.issuing_certificate().der,)


def test_signing_needs_no_root_key_and_renewal_names_it(make: Maker) -> None:
    made = make(issuing_days=100)
    (made.folder / "root.key.pem").unlink()
    local._signers.clear()
    assert made.ca.issue(issue_request())
    with pytest.raises(CAMisconfigured, match=r"root\.key\.pem"):
        made.ca.renew_issuing(NOW + DAY)


def test_an_issuing_ca_is_not_renewed_to_the_same_end(make: Maker) -> None:
    made = make(root_days=100, issuing_days=100)
    with pytest.raises(CAMisconfigured, match="new CA"):
        made.ca.renew_issuing(NOW + DAY)


@pytest.mark.parametrize(
    ("now", "is_ok"),
    [(NOW - DAY, False), (NOW, True), (NOW + 100 * DAY, True), (NOW + 101 * DAY, False)],
)
def test_health_knows_the_dates(make: Maker, now: datetime, is_ok: bool) -> None:
    health = make(issuing_days=100).ca.health(now)
    assert health.is_ok is is_ok
    assert health.valid_until == NOW + 100 * DAY


def test_a_certificate_that_only_names_this_ca_is_not_revoked_here(make: Maker) -> None:
    made = make()
    forged = pki.certificate(issuer="CN=Example Issuing CA", issuer_key="ec-p256-foreign")
    with pytest.raises(CARejected):
        made.ca.revoke(revoke_request(forged))


# --- CRL -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", ["EC-P256", "RSA-2048", "Ed25519"])
def test_a_crl_says_number_reasons_and_times(make: Maker, key_type: str) -> None:
    made = make(key_type)
    entries = [RevokedEntry(n + 1, NOW - DAY, r) for n, r in enumerate(RevocationReason)]
    times = {"this_update": NOW, "next_update": NOW + DAY}
    der = made.ca.publish_crl(entries, number=7, **times)
    crl = x509.load_der_x509_crl(der)
    assert crl.is_signature_valid(made.ca.issuing_certificate().certificate.public_key())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert (crl.last_update_utc, crl.next_update_utc) == (NOW, NOW + DAY)
    for entry in entries:
        revoked = crl.get_revoked_certificate_by_serial_number(entry.serial_number)
        assert revoked is not None
        assert revoked.revocation_date_utc == entry.revoked_at
        if entry.reason is RevocationReason.UNSPECIFIED:
            assert len(revoked.extensions) == 0
        else:
            reason = revoked.extensions.get_extension_for_class(x509.CRLReason).value.reason
            assert reason.value == entry.reason.value
    assert made.ca.publish_crl(entries, number=7, **times) == der


def test_reasons_have_the_numbers_of_rfc_5280() -> None:
    assert {reason.value: reason.number for reason in RevocationReason} == {
        "unspecified": 0,
        "keyCompromise": 1,
        "cACompromise": 2,
        "affiliationChanged": 3,
        "superseded": 4,
        "cessationOfOperation": 5,
        "certificateHold": 6,
        "removeFromCRL": 8,
        "privilegeWithdrawn": 9,
        "aACompromise": 10,
    }


# --- pkilint ---------------------------------------------------------------------------------


def lint(main: Callable[[list[str]], int], der: bytes, folder: Path, *options: str) -> list[str]:
    """Return pkilint's findings of severity ERROR and above."""
    path = folder / "linted.der"
    path.write_bytes(der)
    severity = ["-s", "ERROR", "-f", "JSON", "--document-format", "DER"]
    with redirect_stdout(StringIO()) as printed:
        main(["lint", *severity, *options, str(path)])
    return [
        f"{finding['code']}: {finding['message']}"
        for result in json.loads(printed.getvalue())["results"]
        for finding in result["finding_descriptions"]
    ]


ALL_KINDS = (
    (SanKind.DNS, "agent01.example.com"),
    (SanKind.IP, "2001:db8::1"),
    (SanKind.URI, "https://agent01.example.com/agent"),
    (SanKind.EMAIL, "ops@example.com"),
)


@pytest.mark.parametrize("key_type", ["EC-P256", "EC-P384", "RSA-2048", "Ed25519"])
def test_pkilint_finds_no_error(make: Maker, tmp_path: Path, key_type: str) -> None:
    made = make(key_type)

    def client(**changes: object) -> bytes:
        return made.ca.issue(issue_request(**{"sans": ALL_KINDS, **changes})).certificate_der

    certificates = {
        "root": made.ca.trust_anchors()[0],
        "issuing": made.ca.issuing_certificate().der,
        "renewed issuing": made.ca.renew_issuing(NOW + DAY).der,
        "client": client(),
        "client without SAN": client(sans=()),
        "client without subject": client(subject_der=x509.Name([]).public_bytes()),
        "RSA client": client(key_name="rsa-2048"),
        "Ed25519 client": client(key_name="ed25519"),
        "server": server_certificate(made.ca).certificate_der,
    }
    for role, der in certificates.items():
        assert lint(lint_pkix_cert.main, der, tmp_path) == [], role
    entries = [RevokedEntry(1, NOW - timedelta(hours=1), RevocationReason.SUPERSEDED)]
    for title, revoked in (("empty CRL", []), ("CRL", entries)):
        der = made.ca.publish_crl(revoked, number=1, this_update=NOW, next_update=NOW + DAY)
        assert lint(lint_crl.main, der, tmp_path, "-t", "CRL", "-p", "PKIX") == [], title


def test_pkilint_objects_to_a_urn_and_to_nothing_else(make: Maker, tmp_path: Path) -> None:
    """pkilint knows a handful of URI schemes; a URN is one all the same (RFC 8141 §2)."""
    urn = "urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    issued = make().ca.issue(issue_request(sans=(*ALL_KINDS, (SanKind.URI, urn))))
    assert lint(lint_pkix_cert.main, issued.certificate_der, tmp_path) == [
        f'pkix.invalid_uri_syntax: Invalid URI syntax: "{urn}"'
    ]
