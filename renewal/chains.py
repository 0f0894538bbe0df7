"""The certificates that lead from one to a root, as far as the portal knows them.

Owns the search for issuers among the CAs of this portal and the trusted issuers. It judges
nothing: whether a certificate is trusted is `renewal/identity/trust.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature

from renewal import issuers
from renewal.ca.base import CAError
from renewal.models import Certificate, TrustAnchor
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate

_LONGEST = 8


def chain_of(certificate: Certificate) -> list[CertificateFacts]:
    """Return a certificate and its issuers, the root last. Raises CertificateUnreadable."""
    leaf = read_certificate(bytes(certificate.der))
    return linked(leaf, [*_of_own_authority(certificate), *_trusted()])


def linked(
    leaf: CertificateFacts, candidates: Iterable[CertificateFacts]
) -> list[CertificateFacts]:
    """Return the path from ``leaf`` on, each signed by the one after it."""
    known = list(candidates)
    path = [leaf]
    while not path[-1].is_self_issued and len(path) < _LONGEST:
        issuer = next((each for each in known if _issued(each, path[-1])), None)
        if issuer is None or issuer in path:
            break
        path.append(issuer)
    return path


def _issued(issuer: CertificateFacts, child: CertificateFacts) -> bool:
    if issuer.subject_der != child.issuer_der:
        return False
    try:
        child.certificate.verify_directly_issued_by(issuer.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _of_own_authority(certificate: Certificate) -> list[CertificateFacts]:
    if certificate.authority is None:
        return []
    try:
        backend = issuers.backend(certificate.authority)
        found = [read_certificate(der) for der in backend.trust_anchors()]
        issuer_of = getattr(backend, "issuing_certificate", None)
        return [issuer_of(), *found] if issuer_of is not None else found
    except (CAError, OSError, CertificateUnreadable):
        return []


def _trusted() -> list[CertificateFacts]:
    rows = TrustAnchor.objects.filter(enabled=True).order_by("pk").values_list("der", flat=True)
    return [read_certificate(bytes(der)) for der in rows]
