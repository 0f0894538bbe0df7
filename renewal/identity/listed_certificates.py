"""The certificates that a row of an import has: the newest one, and those beside it.

Owns what of them can be read. Whether an orchestrator may have them is `entry.py`'s.
"""

from __future__ import annotations

from orchestrators.fleet_file import Listed
from renewal.identity.acting import ActRefused
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate


def certificate_of(row: Listed) -> CertificateFacts | None:
    """Return the newest certificate; None if a thumbprint announces it. Raises ActRefused."""
    if not row.certificate:
        if not row.thumbprint:
            raise ActRefused(
                "nothing_to_know_it_by", "The row has neither a Thumbprint nor a Certificate."
            )
        return None
    try:
        facts = read_certificate(row.certificate)
    except CertificateUnreadable as error:
        raise ActRefused("certificate_unreadable", f"Its certificate: {error}.") from None
    if row.thumbprint and row.thumbprint != facts.thumbprint_sha1:
        raise ActRefused(
            "thumbprint_differs", "The row's Thumbprint is not that of its Certificate."
        )
    return facts


def others_of(row: Listed, newest: CertificateFacts | None) -> dict[Standing, CertificateFacts]:
    """Return the certificates beside the newest one, by standing. Raises ActRefused."""
    given = {
        Standing.LEGACY: row.legacy_certificate,
        Standing.OVERTAKEN: row.overtaken_certificate,
    }
    try:
        others = {standing: read_certificate(data) for standing, data in given.items() if data}
    except CertificateUnreadable as error:
        raise ActRefused("certificate_unreadable", f"An older certificate: {error}.") from None
    if others and newest is None:
        raise ActRefused(
            "nothing_to_know_it_by", "The row has an older certificate and no Certificate."
        )
    # Two of them may have one key: there is a setting that allows it.
    given_ones = {each.fingerprint_sha256 for each in (newest, *others.values()) if each}
    if others and len(given_ones) <= len(others):
        raise ActRefused("certificate_used", "The row has one certificate twice.")
    return others
