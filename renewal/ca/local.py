"""The local CA: a root and an issuing CA whose keys lie in files of this host.

PLAIN. Owns the two keys, the certificates and CRLs that they sign, and the extensions in them. It
keeps no list of what it issued or revoked: the portal's rows are its database, so that revoking
here always succeeds and a CRL is signed over the entries that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from renewal.ca.base import (
    Health,
    Issued,
    IssueRequest,
    Option,
    RevokedEntry,
    RevokeRequest,
    RevokeResult,
    secret_names,
)
from renewal.x509.certificates import CertificateFacts
from renewal.x509.keys import DEFAULT_KEY_TYPE
from renewal.x509.names import San


class LocalCA:
    """``CABackend``, ``ReportsHealth``, ``PublishesCRL`` and ``FindsIssued``."""

    answers_at_once: ClassVar[bool] = True
    options_schema: ClassVar[tuple[Option, ...]] = (
        Option("directory", "folder with the CA's keys and certificates", is_required=True),
        Option("passphrase", "opens the CA's keys", is_required=True, is_secret=True),
        Option("crl_url", "where the CRL is published; put into certificates"),
        Option("issuer_url", "where the issuing certificate is published; put into certificates"),
    )
    secret_options: ClassVar[frozenset[str]] = secret_names(options_schema)

    def __init__(self, options: Mapping[str, object]) -> None:
        raise NotImplementedError

    @classmethod
    def validate_options(cls, options: Mapping[str, object]) -> None:
        raise NotImplementedError

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        name: str,
        passphrase: str,
        now: datetime,
        key_type: str = DEFAULT_KEY_TYPE,
        root_days: int = 7300,
        issuing_days: int = 1825,
        crl_url: str = "",
        issuer_url: str = "",
    ) -> LocalCA:
        """Make both keys and certificates in a new folder, all of it or nothing."""
        raise NotImplementedError

    def issue(self, request: IssueRequest) -> Issued:
        raise NotImplementedError

    def find(self, request: IssueRequest) -> Issued | None:
        raise NotImplementedError

    def revoke(self, request: RevokeRequest) -> RevokeResult:
        raise NotImplementedError

    def trust_anchors(self) -> tuple[bytes, ...]:
        raise NotImplementedError

    def issuing_certificate(self) -> CertificateFacts:
        raise NotImplementedError

    def issue_server_certificate(
        self,
        *,
        spki_der: bytes,
        sans: tuple[San, ...],
        serial_number: int,
        not_before: datetime,
        not_after: datetime,
    ) -> Issued:
        raise NotImplementedError

    def publish_crl(
        self,
        entries: Iterable[RevokedEntry],
        *,
        number: int,
        this_update: datetime,
        next_update: datetime,
    ) -> bytes:
        raise NotImplementedError

    def renew_issuing(self, now: datetime, *, issuing_days: int = 1825) -> CertificateFacts:
        raise NotImplementedError

    def health(self, now: datetime) -> Health:
        raise NotImplementedError
