"""Whether a client certificate chains to a trust anchor.

PLAIN: OpenSSL builds and verifies the path. Owns signatures, the CA bit, the extended key usage
and the dates of *issuers*. The dates of the certificate itself and its revocation are judged by
the rules of renewal, which must be able to tell an expired certificate from a foreign one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from renewal.x509.certificates import CertificateFacts


class Verdict(Enum):
    CHAINS = "chains"
    NOT_TRUSTED = "not trusted"
    NOT_CLIENT_AUTH = "not for client authentication"
    IS_CA = "is a CA"
    UNREADABLE = "unreadable"


class PathVerifier:
    """Made once for a set of anchors, then asked often and from any thread."""

    def __init__(self, anchors: Sequence[bytes], intermediates: Sequence[bytes] = ()) -> None:
        raise NotImplementedError

    def verify(self, leaf_der: bytes, now: datetime) -> Verdict:
        """Judge a certificate given as DER."""
        raise NotImplementedError

    def verify_facts(self, leaf: CertificateFacts, now: datetime) -> Verdict:
        """Judge a certificate that was read already."""
        raise NotImplementedError
