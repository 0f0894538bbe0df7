"""What every CA type must do, whatever it is made of (S54 in docs/promises.md).

A CA type's test file subclasses ``CABackendContract`` with ``make_ca`` and nothing else; every
secret option is ``SECRET``. The tests of an optional capability ask only types that have it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from renewal.ca.base import (
    CABackend,
    CAMisconfigured,
    CARejected,
    FindsIssued,
    Health,
    Issued,
    IssueRequest,
    Option,
    PollsPending,
    PublishesCRL,
    ReportsHealth,
    RevocationReason,
    RevokedEntry,
    RevokeRequest,
    RevokeResult,
)
from renewal.x509.answer import check_answer
from renewal.x509.certificates import read_certificate
from renewal.x509.names import San, SanKind
from renewal.x509.paths import PathVerifier, Verdict
from tests import pki
from tests.pki import DAY, NOW

SECRET = "hunter2 hunter2"
SANS: tuple[San, ...] = (
    (SanKind.DNS, "agent01.example.com"),
    (SanKind.IP, "10.0.0.1"),
    (SanKind.URI, "urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
    (SanKind.EMAIL, "ops@example.com"),
)


def issue_request(**changes: Any) -> IssueRequest:
    key_name = changes.pop("key_name", "ec-p256-leaf")
    request = IssueRequest(
        request_id="intent-1",
        csr_der=pki.csr(key_name=key_name),
        spki_der=pki.spki(key_name),
        subject_der=pki.name("CN=agent01,O=Example").public_bytes(),
        sans=SANS,
        serial_number=0x4D0123456789ABCDEF0123456789ABCDEF012345,
        not_before=NOW,
        not_after=NOW + 365 * DAY,
    )
    return replace(request, **changes)


def revoke_request(certificate_der: bytes) -> RevokeRequest:
    return RevokeRequest(
        certificate_der=certificate_der,
        serial_number=int(read_certificate(certificate_der).serial_number, 16),
        reason=RevocationReason.SUPERSEDED,
        revoked_at=NOW,
    )


class CABackendContract:
    """Subclass with a factory; ``ca`` is a new one for each test, valid at ``NOW``."""

    def make_ca(self, folder: Path) -> CABackend:
        raise NotImplementedError

    @pytest.fixture
    def ca(self, tmp_path: Path) -> CABackend:
        return self.make_ca(tmp_path)

    def issued(self, ca: CABackend, request: IssueRequest) -> Issued:
        """Issue, and wait where the CA answers later."""
        answer = ca.issue(request)
        for _ in range(20):
            if isinstance(answer, Issued):
                return answer
            assert isinstance(ca, PollsPending), "a CA that postpones can be polled"
            answer = ca.poll(answer.reference)
        raise AssertionError("still pending after 20 polls")

    def test_it_is_a_ca_backend(self, ca: CABackend) -> None:
        assert isinstance(ca, CABackend)
        assert isinstance(ca.answers_at_once, bool)
        assert all(isinstance(option, Option) for option in ca.options_schema)

    def test_secret_options_are_options(self, ca: CABackend) -> None:
        assert ca.secret_options <= {option.name for option in ca.options_schema}

    def test_an_unknown_option_is_named(self, ca: CABackend) -> None:
        with pytest.raises(CAMisconfigured, match="no_such_option"):
            ca.validate_options({"no_such_option": "x"})

    def test_a_missing_option_is_named(self, ca: CABackend) -> None:
        for option in ca.options_schema:
            if option.is_required:
                with pytest.raises(CAMisconfigured, match=option.name):
                    ca.validate_options(
                        {o.name: "x" for o in ca.options_schema if o.is_required and o != option}
                    )

    def test_a_certificate_answers_its_request(self, ca: CABackend) -> None:
        request = issue_request()
        issued = self.issued(ca, request)
        facts = check_answer(request, issued, anchors=ca.trust_anchors(), now=NOW)
        assert facts.subject == "CN=agent01,O=Example"
        assert set(facts.sans) == set(SANS)

    @pytest.mark.parametrize("key_name", ["ec-p384", "rsa-2048"])
    def test_other_key_types_are_certified(self, ca: CABackend, key_name: str) -> None:
        request = issue_request(key_name=key_name)
        issued = self.issued(ca, request)
        assert check_answer(request, issued, anchors=ca.trust_anchors(), now=NOW)

    def test_a_certificate_without_san_is_issued(self, ca: CABackend) -> None:
        """Existing agents ask for a subject and nothing else."""
        request = issue_request(sans=())
        issued = self.issued(ca, request)
        assert check_answer(request, issued, anchors=ca.trust_anchors(), now=NOW).sans == ()

    def test_a_short_life_is_kept(self, ca: CABackend) -> None:
        request = issue_request(not_after=NOW + timedelta(hours=1))
        issued = self.issued(ca, request)
        assert read_certificate(issued.certificate_der).not_after <= NOW + DAY

    def test_the_same_request_twice_is_not_an_error(self, ca: CABackend) -> None:
        request = issue_request()
        first, second = self.issued(ca, request), self.issued(ca, request)
        for issued in (first, second):
            assert check_answer(request, issued, anchors=ca.trust_anchors(), now=NOW)

    def test_two_requests_get_two_serial_numbers(self, ca: CABackend) -> None:
        one = self.issued(ca, issue_request())
        other = self.issued(
            ca, issue_request(request_id="intent-2", serial_number=2, key_name="ec-p256-other")
        )
        serials = {read_certificate(i.certificate_der).serial_number for i in (one, other)}
        assert len(serials) == 2

    def test_trust_anchors_are_authorities_and_stay_the_same(self, ca: CABackend) -> None:
        anchors = ca.trust_anchors()
        assert anchors
        assert anchors == ca.trust_anchors()
        assert all(read_certificate(der).is_ca for der in anchors)

    def test_the_chain_leads_to_the_anchors_without_them(self, ca: CABackend) -> None:
        issued = self.issued(ca, issue_request())
        verifier = PathVerifier(ca.trust_anchors(), issued.chain_der)
        assert verifier.verify(issued.certificate_der, NOW) is Verdict.CHAINS
        assert not set(issued.chain_der) & set(ca.trust_anchors())

    def test_a_revocation_repeated_after_a_crash_is_a_success(self, ca: CABackend) -> None:
        request = revoke_request(self.issued(ca, issue_request()).certificate_der)
        assert ca.revoke(request) is RevokeResult.DONE
        assert ca.revoke(request) in RevokeResult

    def test_another_cas_certificate_is_not_revoked(self, ca: CABackend) -> None:
        with pytest.raises(CARejected):
            ca.revoke(revoke_request(pki.certificate()))

    def test_its_repr_shows_no_secret(self, ca: CABackend) -> None:
        assert SECRET not in repr(ca)

    def test_health_says_until_when(self, ca: CABackend) -> None:
        if isinstance(ca, ReportsHealth):
            health = ca.health(NOW)
            assert isinstance(health, Health)
            assert health.is_ok, health.message

    def test_an_unknown_request_is_not_found(self, ca: CABackend) -> None:
        if isinstance(ca, FindsIssued):
            assert ca.find(issue_request(request_id="never sent")) is None
            request = issue_request()
            issued = self.issued(ca, request)
            assert ca.find(request) == issued

    def test_a_crl_holds_what_it_was_given(self, ca: CABackend) -> None:
        if isinstance(ca, PublishesCRL):
            entry = RevokedEntry(0x77, NOW - DAY, RevocationReason.SUPERSEDED)
            der = ca.publish_crl([entry], number=5, this_update=NOW, next_update=NOW + DAY)
            crl = x509.load_der_x509_crl(der)
            assert crl.get_revoked_certificate_by_serial_number(0x77) is not None
            assert crl.get_revoked_certificate_by_serial_number(0x78) is None
