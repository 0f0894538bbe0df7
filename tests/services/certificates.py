"""Certificates for tests of the edge: a CA in memory, leaves with any dates.

Owns only what a TLS handshake needs. Certificates that the portal issues come from its own CA.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

UNSUITABLE: dict[str, tuple[list[x509.ObjectIdentifier], bool]] = {
    "for servers": ([ExtendedKeyUsageOID.SERVER_AUTH], False),
    "for anything": ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], False),
    "a CA's": ([], True),
}
"""Certificates that are not for client authentication: extended key usages, whether a CA's."""


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, in memory and, once written, as PEM files."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write ``name.pem`` and ``name.key``; return both paths."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_text(self.pem)
        key.write_text(self.key_pem)
        key.chmod(0o600)
        return certificate, key


class Authority:
    """A CA whose leaves may have any dates: a root, unless ``issuer`` says otherwise."""

    def __init__(self, name: str = "Test CA", issuer: Authority | None = None) -> None:
        self.at = datetime.now(UTC).replace(microsecond=0)
        key = ec.generate_private_key(ec.SECP256R1())
        lasts = timedelta(days=3650)
        signer = issuer.pair.key if issuer else key
        subject = _name(name)
        issued_by = issuer.pair.certificate.subject if issuer else subject
        certificate = (
            _builder(subject, issued_by, key, self.at - lasts, self.at + lasts)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(signer, hashes.SHA256())
        )
        self.pair = Pair(certificate, key)

    def issuing(self, name: str) -> Authority:
        """Return a CA below this one."""
        return Authority(name, self)

    @property
    def pem(self) -> str:
        return self.pair.pem

    def client(self, name: str, *, from_days: float = -1, to_days: float = 364) -> Pair:
        """Return a client certificate whose validity is given in days from now."""
        return self._leaf(name, [ExtendedKeyUsageOID.CLIENT_AUTH], [], from_days, to_days)

    def unsuitable(self, name: str, kind: str) -> Pair:
        """Return a certificate of a kind of UNSUITABLE."""
        usages, is_ca = UNSUITABLE[kind]
        return self._leaf(name, usages, [], -1, 364, is_ca=is_ca)

    def unspecific(self, name: str) -> Pair:
        """Return a certificate without the extension that says what it is for."""
        return self._leaf(name, [], [], -1, 364)

    def server(self, *hosts: str) -> Pair:
        """Return a server certificate for host names and addresses."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        return self._leaf(hosts[0], [ExtendedKeyUsageOID.SERVER_AUTH], names, -1, 364)

    def _leaf(
        self,
        name: str,
        usages: list[x509.ObjectIdentifier],
        names: list[x509.GeneralName],
        from_days: float,
        to_days: float,
        *,
        is_ca: bool = False,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(
                _name(name),
                self.pair.certificate.subject,
                key,
                self.at + timedelta(days=from_days),
                self.at + timedelta(days=to_days),
            )
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=is_ca), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.pair.key.public_key()),
                critical=False,
            )
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Pair(builder.sign(self.pair.key, hashes.SHA256()), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
