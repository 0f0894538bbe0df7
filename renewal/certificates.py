"""Rows of certificates: found by the whole certificate, created from what was parsed.

Owns the mapping of parsed facts to columns. The standing that a row is created with is the
caller's; later changes are `identity/standings.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from orchestrators.models import Orchestrator
from orchestrators.names import canonical
from renewal.models import Certificate, CertificateAuthority, CertificateName
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts


def create(
    facts: CertificateFacts,
    *,
    standing: Standing,
    now: datetime,
    orchestrator: Orchestrator | None = None,
    authority: CertificateAuthority | None = None,
    counted_from: datetime | None = None,
    intent_flag_counter: int | None = None,
) -> Certificate:
    """Create the row. ``counted_from`` defaults to notBefore."""
    name_key = canonical(facts.common_name)
    made = Certificate.objects.create(
        fingerprint_sha256=facts.fingerprint_sha256,
        thumbprint=facts.thumbprint_sha1,
        der=facts.der,
        serial_number=facts.serial_number,
        issuer_name=facts.issuer[:1000],
        subject_name=facts.subject[:1000],
        common_name=facts.common_name[:255],
        name_key=name_key,
        sans=[[str(kind), value] for kind, value in facts.sans],
        not_before=facts.not_before,
        not_after=facts.not_after,
        counted_from=counted_from or facts.not_before,
        spki_sha256=facts.spki_sha256,
        key_algorithm=facts.key_algorithm,
        key_size=facts.key_size,
        signature_hash=facts.signature_hash,
        authority=authority,
        orchestrator=orchestrator,
        generation=orchestrator.generation if orchestrator else 0,
        standing=standing,
        standing_since=now,
        intent_flag_counter=intent_flag_counter,
        created_at=now,
    )
    if others := other_names([value for _, value in facts.sans], name_key):
        CertificateName.objects.bulk_create(
            CertificateName(certificate=made, name_key=key) for key in others
        )
    return made


def other_names(sans: Iterable[str], name_key: str) -> list[str]:
    """Return the canonical alternative names that are not the common name."""
    return sorted({key for each in sans if (key := canonical(each))} - {name_key})


def issuing_authority(facts: CertificateFacts) -> CertificateAuthority | None:
    """Return the CA of this portal that issued a certificate, told by its signature; else None.

    Only then can the portal revoke it.
    """
    from renewal import issuers

    for authority in CertificateAuthority.objects.all():
        try:
            backend = issuers.backend(authority)
            issuer_of = getattr(backend, "issuing_certificate", None)
            if issuer_of is None:
                continue
            issuer = issuer_of()
            if issuer.subject_der != facts.issuer_der:
                continue
            facts.certificate.verify_directly_issued_by(issuer.certificate)
        except Exception:  # noqa: S112 - a CA that cannot be asked has issued nothing here
            continue
        return authority
    return None
