"""Keys and certification requests.

Owns which key types there are and how a CSR is made from a subject and DNS names. Does not store
keys and does not decide when one is needed. Keys never leave this host: only CSRs are sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

DEFAULT_KEY_TYPE = "P-256"
MOST_CN_CHARACTERS = 64

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)


class KeyMaterialError(ValueError):
    """A key type, subject or name from the configuration cannot be used."""


def _rsa(bits: int) -> Callable[[], PrivateKey]:
    return lambda: rsa.generate_private_key(public_exponent=65537, key_size=bits)


KEY_TYPES: dict[str, Callable[[], PrivateKey]] = {
    "RSA2048": _rsa(2048),
    "RSA3072": _rsa(3072),
    "RSA4096": _rsa(4096),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def generate_key(key_type: str = DEFAULT_KEY_TYPE) -> PrivateKey:
    """Return a new key. Raises KeyMaterialError for an unknown type."""
    return key_maker(key_type)()


def key_maker(key_type: str) -> Callable[[], PrivateKey]:
    """Return what makes a key of this type. Raises KeyMaterialError for an unknown type."""
    wanted = key_type.strip().upper()
    for name, make in KEY_TYPES.items():
        if name.upper() == wanted:
            return make
    raise KeyMaterialError(f"KeyType '{key_type}' is none of {', '.join(KEY_TYPES)}")


def parse_subject(text: str) -> x509.Name:
    """Return an RFC 4514 subject such as ``CN=orchestrator, O=Example``."""
    try:
        return x509.Name.from_rfc4514_string(re.sub(r"(?<!\\),\s+", ",", text.strip()))
    except ValueError as error:
        raise KeyMaterialError(
            f"Subject '{text}' is not a subject such as CN=name: {error}"
        ) from error


def common_name(name: str) -> x509.Name:
    """Return a subject of this CN alone, whatever characters it has."""
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise KeyMaterialError(f"'{name}' cannot be a common name: {error}") from error


def names_of(orchestrator: str) -> tuple[x509.Name, tuple[str, ...]]:
    """Return the subject and the DNS names that stand for an orchestrator's name.

    A CN has at most 64 characters (RFC 5280 appendix A, ub-common-name) and part of a name proves
    nothing. A longer name stands in the SAN if it is a DNS name; the CSR has no subject then, and
    the portal certifies the record's own.
    """
    if len(orchestrator) <= MOST_CN_CHARACTERS:
        return common_name(orchestrator), ()
    return x509.Name([]), (orchestrator,) if _is_dns_name(orchestrator) else ()


def alternative_names(dns_names: Sequence[str]) -> x509.SubjectAlternativeName | None:
    """Return the extension for DNS names, None without any. Raises KeyMaterialError."""
    if not dns_names:
        return None
    try:
        return x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
    except ValueError as error:
        raise KeyMaterialError(f"DnsSan '{', '.join(dns_names)}' is not ASCII") from error


def build_csr(
    key: PrivateKey, subject: x509.Name, dns_names: Sequence[str] = ()
) -> x509.CertificateSigningRequest:
    """Return a CSR signed by ``key``. Raises KeyMaterialError."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names := alternative_names(dns_names):
        # RFC 5280 §4.2.1.6: critical if there is no other name.
        builder = builder.add_extension(names, critical=not subject.rdns)
    return builder.sign(key, _signature_hash(key))


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of a DnsSan value; several are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def same_key(key: PrivateKey, holder: x509.Certificate | x509.CertificateSigningRequest) -> bool:
    """Return whether ``holder`` carries the public half of ``key``."""
    return public_der(key) == holder.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def public_der(key: PrivateKey) -> bytes:
    """Return the public half as DER."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_pem(key: PrivateKey, password: bytes | None = None) -> bytes:
    """Return the key as PKCS#8 PEM, encrypted if there is a password."""
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def load_key(pem: bytes) -> PrivateKey:
    """Return the key of an unencrypted PEM. Raises KeyMaterialError without quoting it."""
    try:
        return supported(serialization.load_pem_private_key(pem, password=None))
    except (ValueError, TypeError) as error:
        raise KeyMaterialError("the private key cannot be read") from error


def supported(key: object) -> PrivateKey:
    """Return ``key`` if it is of a type that this orchestrator works with."""
    if isinstance(key, PrivateKey):
        return key
    raise KeyMaterialError(f"keys of the type {type(key).__name__} are not supported")


def _is_dns_name(name: str) -> bool:
    """Say whether a name may stand in a dNSName (RFC 1123 §2.1; at most 253 characters)."""
    return len(name) <= 253 and all(_DNS_LABEL.fullmatch(label) for label in name.split("."))


def _signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384() if key.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()
