"""Whether a client certificate chains to a trust anchor.

PLAIN: OpenSSL builds and verifies the path. Owns signatures, the CA bit, the extended key usage
and the dates of *issuers*. The dates of the certificate itself and its revocation are judged by
the rules of renewal, which must be able to tell an expired certificate from a foreign one.

**Dates of issuers.** OpenSSL never looks at a clock here. For a certificate that is valid now,
the path may use only issuers and anchors that are valid now: an authority that has expired
vouches for nobody who could still be let in. A certificate that is *not* valid now lets nobody
in whatever the verdict; there the dates of issuers are left alone, so that its owner reads
"expired" instead of "unknown" even when the issuer ended first or was made later than a
backdated certificate. Where an issuer was certified anew with the same name and key, either of
its certificates makes the path.

**Signatures** are verified up to an anchor; key identifiers and issuer names only help to find
the way, for whoever writes a certificate chooses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from OpenSSL import crypto

from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which pyOpenSSL does not name."""

_ANY_EKU = "2.5.29.37.0"
_SOUND_HASHES = frozenset({"sha224", "sha256", "sha384", "sha512", ""})
"""Ed25519 names no hash. Collisions in SHA-1 and MD5 let a stranger's certificate be signed."""


class Verdict(Enum):
    CHAINS = "chains"
    NOT_TRUSTED = "not trusted"
    NOT_CLIENT_AUTH = "not for client authentication"
    IS_CA = "is a CA"
    UNREADABLE = "unreadable"


class PathVerifier:
    """Made once for a set of anchors, then asked often and from any thread.

    An anchor may be any CA certificate, root or issuing: trust ends there (RFC 5280 §6.1.1 d).
    """

    def __init__(self, anchors: Sequence[bytes], intermediates: Sequence[bytes] = ()) -> None:
        """Raise ``CertificateUnreadable`` for an anchor or intermediate that is no CA's."""
        self._anchors = [_authority(der) for der in anchors]
        # What signs an anchor is no matter: it is trusted for its own sake.
        self._intermediates = [
            facts
            for facts in map(_authority, intermediates)
            if facts.signature_hash in _SOUND_HASHES
        ]
        self._undated = _Authorities(self._anchors, self._intermediates)
        self._dated: tuple[list[bool], _Authorities] = ([], self._undated)

    def verify(self, leaf_der: bytes, now: datetime) -> Verdict:
        """Judge a certificate given as DER."""
        try:
            return self.verify_facts(read_certificate(leaf_der), now)
        except CertificateUnreadable:
            return Verdict.UNREADABLE

    def verify_facts(self, leaf: CertificateFacts, now: datetime) -> Verdict:
        """Judge a certificate that was read already."""
        authorities = self._valid_at(now) if _is_valid(leaf, now) else self._undated
        if leaf.signature_hash not in _SOUND_HASHES or not authorities.vouch_for(leaf):
            return Verdict.NOT_TRUSTED
        if leaf.is_ca:
            return Verdict.IS_CA
        # anyExtendedKeyUsage alone is not enough: it is what enrollment agents and CAs hold.
        if not leaf.has_client_auth:
            return Verdict.NOT_CLIENT_AUTH
        return Verdict.CHAINS

    def _valid_at(self, now: datetime) -> _Authorities:
        valid = [_is_valid(facts, now) for facts in (*self._anchors, *self._intermediates)]
        key, authorities = self._dated
        # Rebuilt only when an authority begins or ends; threads that race build the same.
        if key != valid:
            authorities = _Authorities(
                [facts for facts in self._anchors if _is_valid(facts, now)],
                [facts for facts in self._intermediates if _is_valid(facts, now)],
            )
            self._dated = (valid, authorities)
        return authorities


class _Authorities:
    """An OpenSSL store of anchors, and the intermediates that may lead to them."""

    def __init__(
        self, anchors: Sequence[CertificateFacts], intermediates: Sequence[CertificateFacts]
    ) -> None:
        self._store = crypto.X509Store()
        self._store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | _NO_CHECK_TIME)
        for facts in filter(_may_issue_for_clients, anchors):
            self._store.add_cert(crypto.X509.from_cryptography(facts.certificate))
        self._chain = [
            crypto.X509.from_cryptography(facts.certificate)
            for facts in filter(_may_issue_for_clients, intermediates)
        ]

    def vouch_for(self, leaf: CertificateFacts) -> bool:
        try:
            certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, leaf.der)
            context = crypto.X509StoreContext(self._store, certificate, self._chain)
            context.verify_certificate()
        except (crypto.X509StoreContextError, crypto.Error):
            return False
        return True


def _authority(der: bytes) -> CertificateFacts:
    facts = read_certificate(der)
    if not facts.is_ca:
        raise CertificateUnreadable(f"{facts.subject} is not a CA (RFC 5280 §4.2.1.9)")
    return facts


def _is_valid(facts: CertificateFacts, now: datetime) -> bool:
    return facts.not_before <= now <= facts.not_after


def _may_issue_for_clients(facts: CertificateFacts) -> bool:
    """Return whether a CA's own EKU, if it has one, lets it issue client certificates.

    OpenSSL applies this only under a purpose, which pyOpenSSL cannot set.
    """
    return not facts.eku or facts.has_client_auth or _ANY_EKU in facts.eku
