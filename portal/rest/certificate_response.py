"""How a certificate looks in replies, with the names and numbers that existing clients know.

Owns the mapping from a row to ``CertificateResponse`` and the columns that it takes.
"""

from __future__ import annotations

import base64
from typing import Any, TypedDict

from cryptography import x509
from django.db.models import QuerySet

from portal.rest.moments import zulu, zulu_or_none
from renewal.ca.base import RevocationReason
from renewal.models import Certificate
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate

ACTIVE, REVOKED = 1, 2
CERT_STATES = {"active": ACTIVE, "revoked": REVOKED}
"""Of Keyfactor's states those that a certificate can have here."""

KEY_TYPES = {"RSA": 1, "DSA": 2, "EC": 3}
"""KeyType by the algorithm's name; any other is 0."""
_KEY_TYPE_NAMES = {"EC": "ECC"}

REASON_UNKNOWN = 999
_KNOWN_REASONS = frozenset({0, 1, 2, 3, 4, 5, 6, 8})

# Bits of RFC 5280 §4.2.1.3 as .NET numbers them.
_KEY_USE_BITS = {
    "crl_sign": 2,
    "key_cert_sign": 4,
    "key_agreement": 8,
    "data_encipherment": 16,
    "key_encipherment": 32,
    "content_commitment": 64,
    "digital_signature": 128,
}
_SAN_TYPES = {"email": 1, "dns": 2, "uri": 6, "ip": 7}
"""SubjectAltNameElements[].Type: the tags of RFC 5280 §4.2.1.6; any other is 0."""
_EKU_NAMES = {
    "1.3.6.1.5.5.7.3.1": "Server Authentication",
    "1.3.6.1.5.5.7.3.2": "Client Authentication",
    "1.3.6.1.5.5.7.3.4": "Secure Email",
}


class ExtendedKeyUsage(TypedDict):
    Oid: str
    DisplayName: str


class SubjectAltName(TypedDict):
    Value: str
    Type: int


class DistributionPoint(TypedDict):
    Url: str


class DetailedKeyUsage(TypedDict):
    """The uses of a key, one by one."""

    CrlSign: bool
    DataEncipherment: bool
    DigitalSignature: bool
    KeyAgreement: bool
    KeyCertSign: bool
    KeyEncipherment: bool
    NonRepudiation: bool
    HexCode: str


class CertificateResponse(TypedDict):
    """One certificate."""

    Id: int
    Thumbprint: str
    SerialNumber: str
    IssuedDN: str
    IssuedCN: str
    ImportDate: str
    NotBefore: str
    NotAfter: str
    IssuerDN: str
    PrincipalId: int | None
    PrincipalName: str | None
    TemplateId: int | None
    TemplateName: str | None
    CertState: int
    CertStateString: str
    KeySizeInBits: int
    KeyType: int
    KeyTypeString: str
    Curve: str | None
    RequesterId: int | None
    RequesterName: str | None
    IssuedOU: str | None
    IssuedEmail: str | None
    KeyUsage: int
    SigningAlgorithm: str
    RevocationEffDate: str | None
    RevocationReason: int | None
    RevocationComment: str | None
    CertificateAuthorityId: int | None
    CertificateAuthorityName: str | None
    ArchivedKey: bool
    HasPrivateKey: bool
    KeyRecoverable: bool
    CertRequestId: int | None
    ContentBytes: str
    ExtendedKeyUsages: list[ExtendedKeyUsage]
    SubjectAltNameElements: list[SubjectAltName]
    CRLDistributionPoints: list[DistributionPoint]
    LocationsCount: list[dict[str, Any]]
    SSLLocations: list[dict[str, Any]]
    Locations: list[dict[str, Any]]
    Metadata: dict[str, str]
    DetailedKeyUsage: DetailedKeyUsage
    OrchestratorId: str | None
    Standing: str


def certificates() -> QuerySet[Certificate]:
    """Return the certificates, with what a reply takes of them."""
    return Certificate.objects.select_related(
        "authority", "enrollment__template", "revocation"
    ).defer("enrollment__csr_der", "enrollment__subject_der")


def certificate_response(row: Certificate) -> CertificateResponse:
    """Return a CertificateResponse. No private key is ever here, so none is archived or held."""
    facts = _facts(row)
    enrollment = getattr(row, "enrollment", None)
    revocation = getattr(row, "revocation", None)
    is_revoked = row.revoked_at is not None
    uses = facts.key_usage if facts else frozenset()
    bits = sum(bit for use, bit in _KEY_USE_BITS.items() if use in uses)
    return {
        "Id": row.pk,
        "Thumbprint": row.thumbprint,
        "SerialNumber": row.serial_number.upper(),
        "IssuedDN": row.subject_name,
        "IssuedCN": row.common_name,
        "ImportDate": zulu(row.created_at),
        "NotBefore": zulu(row.not_before),
        "NotAfter": zulu(row.not_after),
        "IssuerDN": row.issuer_name,
        "PrincipalId": None,
        "PrincipalName": (enrollment.service_account or None) if enrollment else None,
        "TemplateId": enrollment.template_id if enrollment else None,
        "TemplateName": enrollment.template.name if enrollment else None,
        "CertState": REVOKED if is_revoked else ACTIVE,
        "CertStateString": "Revoked" if is_revoked else "Active",
        "KeySizeInBits": row.key_size,
        "KeyType": KEY_TYPES.get(row.key_algorithm, 0),
        "KeyTypeString": _KEY_TYPE_NAMES.get(row.key_algorithm, row.key_algorithm),
        "Curve": (facts.curve or None) if facts else None,
        "RequesterId": None,
        "RequesterName": enrollment.requested_by if enrollment else None,
        "IssuedOU": None,
        "IssuedEmail": next((value for kind, value in row.sans if kind == "email"), None),
        "KeyUsage": bits,
        "SigningAlgorithm": row.signature_hash,
        "RevocationEffDate": zulu_or_none(row.revoked_at),
        "RevocationReason": _reason(row),
        "RevocationComment": revocation.cause if revocation else None,
        "CertificateAuthorityId": row.authority_id,
        "CertificateAuthorityName": row.authority.name if row.authority else None,
        "ArchivedKey": False,
        "HasPrivateKey": False,
        "KeyRecoverable": False,
        "CertRequestId": enrollment.pk if enrollment else None,
        "ContentBytes": base64.b64encode(bytes(row.der)).decode("ascii"),
        "ExtendedKeyUsages": [
            {"Oid": oid, "DisplayName": _EKU_NAMES.get(oid, oid)}
            for oid in (facts.eku if facts else ())
        ],
        "SubjectAltNameElements": [
            {"Value": value, "Type": _SAN_TYPES.get(kind, 0)} for kind, value in row.sans
        ],
        "CRLDistributionPoints": [{"Url": url} for url in _crl_urls(facts)],
        "LocationsCount": [],
        "SSLLocations": [],
        "Locations": [],
        "Metadata": {},
        "DetailedKeyUsage": {
            "CrlSign": "crl_sign" in uses,
            "DataEncipherment": "data_encipherment" in uses,
            "DigitalSignature": "digital_signature" in uses,
            "KeyAgreement": "key_agreement" in uses,
            "KeyCertSign": "key_cert_sign" in uses,
            "KeyEncipherment": "key_encipherment" in uses,
            "NonRepudiation": "content_commitment" in uses,
            "HexCode": f"{bits:02X}",
        },
        "OrchestratorId": str(row.orchestrator_id) if row.orchestrator_id else None,
        "Standing": row.standing,
    }


def _reason(row: Certificate) -> int | None:
    """Return the number of the reason that existing clients know; 999 for another one."""
    if row.revoked_at is None:
        return None
    number = RevocationReason(row.revocation_reason or "unspecified").number
    return number if number in _KNOWN_REASONS else REASON_UNKNOWN


def _facts(row: Certificate) -> CertificateFacts | None:
    try:
        return read_certificate(bytes(row.der))
    except CertificateUnreadable:
        return None


def _crl_urls(facts: CertificateFacts | None) -> list[str]:
    if facts is None:
        return []
    try:
        found = facts.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        name.value
        for point in found.value
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    ]
