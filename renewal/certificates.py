"""Rows of certificates: found by the whole certificate, created from what was parsed.

Owns the mapping of parsed facts to columns. The standing that a row is created with is the
caller's; later changes are `identity/standings.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    made = build(
        facts,
        standing=standing,
        now=now,
        orchestrator=orchestrator,
        authority=authority,
        counted_from=counted_from,
        intent_flag_counter=intent_flag_counter,
    )
    create_all([made])
    return made


def create_all(rows: Sequence[Certificate]) -> None:
    """Store rows that were built, with the names by which they are found."""
    if len(rows) == 1:
        rows[0].save(force_insert=True)
    else:
        Certificate.objects.bulk_create(rows)
    names = [
        CertificateName(certificate=row, name_key=key)
        for row in rows
        for key in other_names([value for _, value in row.sans], row.name_key)
    ]
    if names:
        CertificateName.objects.bulk_create(names)


def build(
    facts: CertificateFacts,
    *,
    standing: Standing,
    now: datetime,
    orchestrator: Orchestrator | None = None,
    authority: CertificateAuthority | None = None,
    counted_from: datetime | None = None,
    intent_flag_counter: int | None = None,
) -> Certificate:
    """Return the row, not stored yet."""
    return Certificate(
        fingerprint_sha256=facts.fingerprint_sha256,
        thumbprint=facts.thumbprint_sha1,
        der=facts.der,
        serial_number=facts.serial_number,
        issuer_name=facts.issuer[:1000],
        subject_name=facts.subject[:1000],
        common_name=facts.common_name[:255],
        name_key=canonical(facts.common_name),
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


def other_names(sans: Iterable[str], name_key: str) -> list[str]:
    """Return the canonical alternative names that are not the common name."""
    return sorted({key for each in sans if (key := canonical(each))} - {name_key})


def issuers_here() -> list[tuple[CertificateAuthority, CertificateFacts]]:
    """Return the CAs of this portal that have an issuing certificate, with it."""
    from renewal import issuers

    found = []
    for authority in CertificateAuthority.objects.all():
        try:
            issuer_of = getattr(issuers.backend(authority), "issuing_certificate", None)
            if issuer_of is not None:
                found.append((authority, issuer_of()))
        except Exception:  # noqa: S112 - a CA that cannot be asked has issued nothing here
            continue
    return found


def issuing_authority(
    facts: CertificateFacts,
    known: Iterable[tuple[CertificateAuthority, CertificateFacts]] | None = None,
) -> CertificateAuthority | None:
    """Return the CA of this portal that issued a certificate, told by its signature; else None.

    Only then can the portal revoke it. ``known``: what `issuers_here` told.
    """
    for authority, issuer in issuers_here() if known is None else known:
        if issuer.subject_der != facts.issuer_der:
            continue
        try:
            facts.certificate.verify_directly_issued_by(issuer.certificate)
        except Exception:  # noqa: S112 - of that name, and signed by another key
            continue
        return authority
    return None
