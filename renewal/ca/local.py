"""The local CA: a root and an issuing CA whose keys lie in files of this host.

PLAIN. Owns the two keys and what they sign; which extensions stand in it is said in ``profiles``.
It keeps no list of what it issued or revoked: the portal's rows are its database, so that
revoking here always succeeds and a CRL is signed over the entries that it is given.

The folder holds ``root.key.pem`` and ``issuing.key.pem`` (PKCS#8, each encrypted with the CA's
passphrase, mode 0600) beside ``root.pem`` and ``issuing.pem``. Only ``renew_issuing`` opens the
root's key: on a careful host it lies elsewhere between renewals.

**Signatures are deterministic** (RFC 6979 for ECDSA; PKCS#1 v1.5 and Ed25519 are by nature), and
serial number and dates come from the request. A request that is signed twice after a crash
therefore gives one certificate, byte for byte.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding

from renewal.ca import profiles
from renewal.ca.base import (
    CAMisconfigured,
    CARejected,
    Health,
    Issued,
    IssueRequest,
    Option,
    RevokedEntry,
    RevokeRequest,
    RevokeResult,
    check_options,
    secret_names,
)
from renewal.ca.keyfiles import (
    FileIdentity,
    file_identity,
    new_key,
    replace_file,
    why,
    write_folder,
)
from renewal.ca.profiles import Authority, SigningKey
from renewal.x509.certificates import CertificateFacts, read_certificate
from renewal.x509.keys import DEFAULT_KEY_TYPE
from renewal.x509.names import San

ROOT_DAYS = 7300
ISSUING_DAYS = 1825

_URL = re.compile(r"https?://\S+")
_BACKDATE = timedelta(minutes=10)
"""A host whose clock is a little behind must accept a new CA at once."""


class LocalCA:
    """``CABackend``, ``RepeatsIdentically``, ``ReportsHealth`` and ``PublishesCRL``."""

    answers_at_once: ClassVar[bool] = True
    repeats_identically: ClassVar[bool] = True
    options_schema: ClassVar[tuple[Option, ...]] = (
        Option("directory", "folder with the CA's keys and certificates", is_required=True),
        Option("passphrase", "opens the CA's keys", is_required=True, is_secret=True),
        Option("crl_url", "where the CRL is published; put into certificates"),
        Option("issuer_url", "where the issuing certificate is published; put into certificates"),
    )
    secret_options: ClassVar[frozenset[str]] = secret_names(options_schema)

    def __init__(self, options: Mapping[str, object]) -> None:
        self.validate_options(options)
        self._directory = Path(str(options["directory"]))
        self._passphrase = str(options["passphrase"]).encode()
        self._crl_url = str(options.get("crl_url") or "")
        self._issuer_url = str(options.get("issuer_url") or "")

    def __repr__(self) -> str:
        return f"LocalCA({str(self._directory)!r})"

    @classmethod
    def validate_options(cls, options: Mapping[str, object]) -> None:
        check_options(cls.options_schema, options)
        for name in ("crl_url", "issuer_url"):
            if (url := str(options.get(name) or "")) and not _URL.fullmatch(url):
                raise CAMisconfigured(f"option {name!r} must begin with http:// or https://")

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        name: str,
        passphrase: str,
        now: datetime,
        key_type: str = DEFAULT_KEY_TYPE,
        root_days: int = ROOT_DAYS,
        issuing_days: int = ISSUING_DAYS,
        crl_url: str = "",
        issuer_url: str = "",
    ) -> LocalCA:
        """Make both keys and certificates in a new folder, all of it or nothing."""
        ca = cls(
            {
                "directory": str(directory),
                "passphrase": passphrase,
                "crl_url": crl_url,
                "issuer_url": issuer_url,
            }
        )
        root_key, issuing_key = new_key(key_type), new_key(key_type)
        try:
            root = profiles.root_certificate(
                root_key, f"{name} Root CA", now - _BACKDATE, now + timedelta(days=root_days)
            )
            issuing = profiles.issuing_certificate(
                Authority(root_key, root),
                profiles.common_name(f"{name} Issuing CA"),
                issuing_key.public_key(),
                now - _BACKDATE,
                now + timedelta(days=issuing_days),
            )
        except ValueError as error:
            raise CAMisconfigured(f"the CA's name does not fit: {error}") from error
        write_folder(
            directory,
            {
                "root.key.pem": ca._encrypted(root_key),
                "issuing.key.pem": ca._encrypted(issuing_key),
                "root.pem": root.public_bytes(Encoding.PEM),
                "issuing.pem": issuing.public_bytes(Encoding.PEM),
            },
        )
        return ca

    def issue(self, request: IssueRequest) -> Issued:
        """Sign a client certificate that ends with the issuing CA's own at the latest."""
        authority = self._issuing()
        try:
            certificate = profiles.client_certificate(
                authority, request, crl_url=self._crl_url, issuer_url=self._issuer_url
            )
        except (ValueError, TypeError) as error:
            raise CARejected(f"the request cannot be signed: {error}") from error
        return _issued(certificate, authority)

    def issue_server_certificate(
        self,
        *,
        spki_der: bytes,
        sans: tuple[San, ...],
        serial_number: int,
        not_before: datetime,
        not_after: datetime,
    ) -> Issued:
        """Sign the portal's own TLS server certificate; its key stays with the caller."""
        authority = self._issuing()
        try:
            certificate = profiles.server_certificate(
                authority,
                spki_der=spki_der,
                sans=sans,
                serial_number=serial_number,
                not_before=not_before,
                not_after=not_after,
                crl_url=self._crl_url,
                issuer_url=self._issuer_url,
            )
        except (ValueError, TypeError) as error:
            raise CARejected(f"the request cannot be signed: {error}") from error
        return _issued(certificate, authority)

    def revoke(self, request: RevokeRequest) -> RevokeResult:
        """Refuse a certificate of another CA; else nothing is to be done before the next CRL."""
        try:
            certificate = read_certificate(request.certificate_der).certificate
            certificate.verify_directly_issued_by(self._issuing().certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise CARejected("the certificate was not issued by this CA") from error
        return RevokeResult.DONE

    def trust_anchors(self) -> tuple[bytes, ...]:
        return (self._certificate("root").public_bytes(Encoding.DER),)

    def issuing_certificate(self) -> CertificateFacts:
        """Return the certificate that signs now: what AIA points at."""
        return read_certificate(self._certificate("issuing").public_bytes(Encoding.DER))

    def publish_crl(
        self,
        entries: Iterable[RevokedEntry],
        *,
        number: int,
        this_update: datetime,
        next_update: datetime,
    ) -> bytes:
        """Sign a CRL over all the entries given; return its DER."""
        crl = profiles.revocation_list(
            self._issuing(),
            entries,
            number=number,
            this_update=this_update,
            next_update=next_update,
        )
        return crl.public_bytes(Encoding.DER)

    def renew_issuing(self, now: datetime, *, issuing_days: int = ISSUING_DAYS) -> CertificateFacts:
        """Certify the issuing CA anew, with the same key and name, for which the root signs.

        Certificates issued before chain through the new certificate as they did through the old
        one, and the CRL goes on with its number. Other processes see the new file at their next
        signature. It never outlives the root: when the root itself nears its end, a new CA is due.
        """
        issuing = self._certificate("issuing")
        renewed = profiles.issuing_certificate(
            self._authority("root"),
            issuing.subject,
            self._issuing().key.public_key(),
            now - _BACKDATE,
            now + timedelta(days=issuing_days),
        )
        if renewed.not_valid_after_utc <= issuing.not_valid_after_utc:
            raise CAMisconfigured("the root ends too soon to renew the issuing CA: make a new CA")
        replace_file(self._path("issuing.pem"), renewed.public_bytes(Encoding.PEM))
        return self.issuing_certificate()

    def health(self, now: datetime) -> Health:
        """Say whether a signature could be made now, and until when."""
        try:
            authority = self._issuing()
        except CAMisconfigured as error:
            return Health(False, error.reason)
        begins = authority.certificate.not_valid_before_utc
        if not begins <= now <= authority.not_after:
            return Health(False, "the issuing certificate is not valid now", authority.not_after)
        return Health(True, "the issuing key is ready", authority.not_after)

    def _path(self, name: str) -> Path:
        return self._directory / name

    def _certificate(self, role: str) -> x509.Certificate:
        path = self._path(f"{role}.pem")
        try:
            return x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise CAMisconfigured(f"{path} cannot be read: {why(error)}") from error

    def _issuing(self) -> Authority:
        """Return the issuing authority, from memory unless its files have changed."""
        key = (
            file_identity(self._path("issuing.key.pem")),
            file_identity(self._path("issuing.pem")),
            self._passphrase,
        )
        authority = _signers.get(key)
        if authority is None:
            with _signers_lock:
                authority = _signers.get(key) or self._authority("issuing")
                # One file belongs to one CA: what it held before is not needed again.
                for old in [old for old in _signers if old[0].path == key[0].path]:
                    del _signers[old]
                _signers[key] = authority
        return authority

    def _authority(self, role: str) -> Authority:
        path = self._path(f"{role}.key.pem")
        certificate = self._certificate(role)
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), self._passphrase)
        except (OSError, ValueError, TypeError) as error:
            raise CAMisconfigured(
                f"{path} cannot be opened with option 'passphrase': {why(error)}"
            ) from error
        if not isinstance(key, SigningKey):
            raise CAMisconfigured(f"{path} holds a key of a type that is not used here")
        if key.public_key() != certificate.public_key():
            raise CAMisconfigured(f"{path} is not the key of {role}.pem")
        return Authority(key, certificate)

    def _encrypted(self, key: SigningKey) -> bytes:
        return key.private_bytes(
            Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(self._passphrase),
        )


_Signers: TypeAlias = dict[tuple[FileIdentity, FileIdentity, bytes], Authority]

# Opening an encrypted key takes tens of milliseconds, on purpose; a worker does it once.
_signers: _Signers = {}
_signers_lock = threading.Lock()


def _issued(certificate: x509.Certificate, authority: Authority) -> Issued:
    return Issued(
        certificate.public_bytes(Encoding.DER),
        (authority.certificate.public_bytes(Encoding.DER),),
    )
