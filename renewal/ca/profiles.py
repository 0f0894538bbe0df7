"""The certificates and CRLs of the local CA: which extensions stand in which.

PURE. Owns the profiles of root, issuing CA, client certificate, TLS server certificate and CRL
after RFC 5280, and the choice of signature algorithm. Keys are handed in, dates and serial
numbers of leaves too; pkilint finds no error in what is made here (a test says so).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from renewal.ca.base import IssueRequest, RevocationReason, RevokedEntry
from renewal.x509.names import San, SanKind, general_name

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
VerifyingKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True)
class Authority:
    """A CA's key and certificate, and what they put into everything they sign."""

    key: SigningKey
    certificate: x509.Certificate
    name: x509.Name = field(init=False)
    key_identifier: x509.AuthorityKeyIdentifier = field(init=False)
    not_after: datetime = field(init=False)

    def __post_init__(self) -> None:
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        # The key identifier alone, without issuer and serial number: certificates keep their
        # issuer when it is certified anew with the same key (RFC 5280 §4.2.1.1).
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)
        object.__setattr__(self, "name", self.certificate.subject)
        object.__setattr__(self, "key_identifier", authority)
        object.__setattr__(self, "not_after", self.certificate.not_valid_after_utc)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def root_certificate(
    key: SigningKey, name: str, not_before: datetime, not_after: datetime
) -> x509.Certificate:
    subject = common_name(name)
    builder = _builder(subject, subject, x509.random_serial_number(), not_before, not_after)
    return _signed(_with_ca_extensions(builder, key.public_key(), path_length=None), key)


def issuing_certificate(
    root: Authority,
    subject: x509.Name,
    public_key: VerifyingKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.Certificate:
    end = min(not_after, root.not_after)
    builder = _builder(subject, root.name, x509.random_serial_number(), not_before, end)
    builder = _with_ca_extensions(builder, public_key, path_length=0)
    return _signed(builder.add_extension(root.key_identifier, critical=False), root.key)


def client_certificate(
    issuer: Authority, request: IssueRequest, *, crl_url: str, issuer_url: str
) -> x509.Certificate:
    """Sign what the request says (S23, S55, S56 in docs/promises.md)."""
    return _leaf(
        issuer,
        spki_der=request.spki_der,
        subject=x509.Name.from_bytes(request.subject_der),
        sans=request.sans,
        eku=request.eku,
        serial_number=request.serial_number,
        not_before=request.not_before,
        not_after=request.not_after,
        crl_url=crl_url,
        issuer_url=issuer_url,
    )


def server_certificate(
    issuer: Authority,
    *,
    spki_der: bytes,
    sans: tuple[San, ...],
    serial_number: int,
    not_before: datetime,
    not_after: datetime,
    crl_url: str,
    issuer_url: str,
) -> x509.Certificate:
    """Sign a TLS server certificate; its names are the SANs, the CN repeats the first that fits."""
    first = next((value for kind, value in sans if kind is SanKind.DNS and len(value) <= 64), "")
    return _leaf(
        issuer,
        spki_der=spki_der,
        subject=common_name(first) if first else x509.Name([]),
        sans=sans,
        eku=(ExtendedKeyUsageOID.SERVER_AUTH.dotted_string,),
        serial_number=serial_number,
        not_before=not_before,
        not_after=not_after,
        crl_url=crl_url,
        issuer_url=issuer_url,
    )


def revocation_list(
    issuer: Authority,
    entries: Iterable[RevokedEntry],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
) -> x509.CertificateRevocationList:
    """Sign a CRL (RFC 5280 §5)."""
    # All at once: adding one by one copies the list each time.
    builder = x509.CertificateRevocationListBuilder(
        revoked_certificates=[_revoked(entry) for entry in entries]
    )
    builder = (
        builder.issuer_name(issuer.name)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(issuer.key_identifier, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    key = issuer.key
    return builder.sign(key, _hash_for(key), ecdsa_deterministic=_is_ecdsa(key))


def _revoked(entry: RevokedEntry) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(entry.serial_number)
        .revocation_date(entry.revoked_at)
    )
    # RFC 5280 §5.3.1: the reason unspecified is said by saying nothing.
    if entry.reason is not RevocationReason.UNSPECIFIED:
        reason = x509.CRLReason(x509.ReasonFlags(entry.reason.value))
        builder = builder.add_extension(reason, critical=False)
    return builder.build()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    serial_number: int,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(serial_number)
        .not_valid_before(not_before.replace(microsecond=0))
        .not_valid_after(not_after.replace(microsecond=0))
    )


def _with_ca_extensions(
    builder: x509.CertificateBuilder, public_key: VerifyingKey, path_length: int | None
) -> x509.CertificateBuilder:
    return (
        builder.public_key(public_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _leaf(
    issuer: Authority,
    *,
    spki_der: bytes,
    subject: x509.Name,
    sans: tuple[San, ...],
    eku: tuple[str, ...],
    serial_number: int,
    not_before: datetime,
    not_after: datetime,
    crl_url: str,
    issuer_url: str,
) -> x509.Certificate:
    public_key = serialization.load_der_public_key(spki_der)
    if not isinstance(public_key, VerifyingKey):
        raise ValueError("the key is neither RSA, EC nor Ed25519")
    end = min(not_after, issuer.not_after)
    if end <= not_before:
        raise ValueError("the certificate would end before it begins")
    purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in eku])
    builder = (
        _builder(subject, issuer.name, serial_number, not_before, end)
        .public_key(public_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(issuer.key_identifier, critical=False)
    )
    if sans:
        # RFC 5280 §4.2.1.6: critical exactly if there is no other name.
        builder = builder.add_extension(
            x509.SubjectAlternativeName([general_name(san) for san in sans]),
            critical=not subject.rdns,
        )
    if crl_url:
        builder = builder.add_extension(_distribution_points(crl_url), critical=False)
    if issuer_url:
        builder = builder.add_extension(_issuer_access(issuer_url), critical=False)
    return _signed(builder, issuer.key)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _distribution_points(url: str) -> x509.CRLDistributionPoints:
    location = [x509.UniformResourceIdentifier(url)]
    return x509.CRLDistributionPoints([x509.DistributionPoint(location, None, None, None)])


def _issuer_access(url: str) -> x509.AuthorityInformationAccess:
    return x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(url)
            )
        ]
    )


def _signed(builder: x509.CertificateBuilder, key: SigningKey) -> x509.Certificate:
    return builder.sign(key, _hash_for(key), ecdsa_deterministic=_is_ecdsa(key))


def _is_ecdsa(key: SigningKey) -> bool | None:
    """Return what ``sign`` wants to hear: RFC 6979 for ECDSA, nothing for the others."""
    return True if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _hash_for(key: SigningKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Return the hash as strong as the curve; Ed25519 has its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()
