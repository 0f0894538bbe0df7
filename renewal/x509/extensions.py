"""The extensions of a certificate in words, so that nobody needs another tool to read them.

PURE. Owns the words. What is not known is shown as its octets; nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from renewal.x509.certificates import CertificateFacts
from renewal.x509.names import san_of

_USES = {
    "digital_signature": "digital signature",
    "content_commitment": "content commitment",
    "key_encipherment": "key encipherment",
    "data_encipherment": "data encipherment",
    "key_agreement": "key agreement",
    "key_cert_sign": "signs certificates",
    "crl_sign": "signs CRLs",
}
_PURPOSES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}
_NAMES = {
    "subjectAltName": "Alternative names",
    "keyUsage": "Key usage",
    "extendedKeyUsage": "Extended key usage",
    "basicConstraints": "Basic constraints",
    "subjectKeyIdentifier": "Subject key identifier",
    "authorityKeyIdentifier": "Authority key identifier",
    "cRLDistributionPoints": "CRL distribution points",
    "authorityInfoAccess": "Authority information access",
    "certificatePolicies": "Certificate policies",
    "nameConstraints": "Name constraints",
}
_MOST_OCTETS = 64


@dataclass(frozen=True)
class Extension:
    """One extension: its name or OID, whether it is critical, and a line for each value."""

    name: str
    oid: str
    is_critical: bool
    lines: tuple[str, ...]


def extensions_of(facts: CertificateFacts) -> list[Extension]:
    """Return the extensions in the certificate's order (RFC 5280 §4.2)."""
    found = []
    for extension in facts.certificate.extensions:
        # The library knows names for these alone.
        plain = getattr(extension.oid, "_name", "")
        found.append(
            Extension(
                _NAMES.get(plain, ""),
                extension.oid.dotted_string,
                extension.critical,
                tuple(_clean(line) for line in _lines(extension.value)),
            )
        )
    return found


def _lines(value: x509.ExtensionType) -> Iterable[str]:
    match value:
        case x509.SubjectAlternativeName():
            return [_name(each) for each in value]
        case x509.KeyUsage():
            return [", ".join(word for use, word in _USES.items() if getattr(value, use))]
        case x509.ExtendedKeyUsage():
            return [
                f"{_PURPOSES[oid]} ({oid.dotted_string})" if oid in _PURPOSES else oid.dotted_string
                for oid in value
            ]
        case x509.BasicConstraints(ca=True, path_length=length):
            return ["a CA" if length is None else f"a CA, with at most {length} below it"]
        case x509.BasicConstraints():
            return ["not a CA"]
        case x509.SubjectKeyIdentifier(digest=digest):
            return [digest.hex(":")]
        case x509.AuthorityKeyIdentifier(key_identifier=digest):
            return [digest.hex(":") if digest else "by issuer and serial number"]
        case x509.CRLDistributionPoints():
            return [_name(name) for point in value for name in point.full_name or ()]
        case x509.AuthorityInformationAccess():
            return [_name(each.access_location) for each in value]
        case x509.CertificatePolicies():
            return [each.policy_identifier.dotted_string for each in value]
        case _:
            octets = value.public_bytes()
            more = " …" if len(octets) > _MOST_OCTETS else ""
            return [octets[:_MOST_OCTETS].hex(":") + more]


def _name(name: x509.GeneralName) -> str:
    kind, value = san_of(name)
    return f"{kind}: {value}"


def _clean(line: str) -> str:
    return "".join(ch if ch.isprintable() else "�" for ch in line)[:2000]
