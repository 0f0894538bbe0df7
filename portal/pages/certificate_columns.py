"""The columns of the list of certificates: what each is called, means and exports.

Owns the table of columns. How a cell looks is `certificate_cells.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.pages import certificate_cells as cells
from portal.pages.certificate_row import CertificateRow
from portal.pages.list_columns import Column, Columns


def _of(name: str) -> Callable[[CertificateRow], Any]:
    return lambda row: getattr(row.certificate, name)


def _orchestrator(row: CertificateRow) -> str:
    known = row.certificate.orchestrator
    return known.client_machine if known is not None else ""


def _orchestrator_id(row: CertificateRow) -> str:
    known = row.certificate.orchestrator
    return str(known.pk) if known is not None else ""


COLUMNS: tuple[Column[CertificateRow], ...] = (
    Column(
        "name",
        "Name",
        "Its common name, else its subject",
        (("id", _of("pk")), ("common_name", _of("common_name")), ("subject", _of("subject_name"))),
        by_default=True,
        is_fixed=True,
        cell=cells.name,
        names_row=True,
    ),
    Column(
        "ends",
        "Ends",
        "The end of its validity, or that it was revoked",
        (
            ("state", lambda row: row.state),
            ("not_after", _of("not_after")),
            ("days_left", lambda row: row.days_left),
            ("revoked_at", _of("revoked_at")),
        ),
        by_default=True,
        is_fixed=True,
        cell=cells.ends,
    ),
    Column(
        "of",
        "Orchestrator",
        "Whose it is, and what it is to it",
        (
            ("orchestrator_id", _orchestrator_id),
            ("orchestrator", _orchestrator),
            ("standing", _of("standing")),
        ),
        by_default=True,
        cell=cells.orchestrator,
    ),
    Column(
        "key",
        "Key",
        "Algorithm and size of its key",
        (("key_algorithm", _of("key_algorithm")), ("key_size", _of("key_size"))),
        by_default=True,
        cell=cells.key,
        css="nowrap",
    ),
    Column(
        "thumbprint",
        "Thumbprint",
        "SHA-1 of the whole certificate",
        (("thumbprint", _of("thumbprint")),),
        by_default=True,
        cell=cells.thumbprint,
    ),
    Column(
        "serial",
        "Serial number",
        "As its issuer counts, hexadecimal",
        (("serial_number", _of("serial_number")),),
        by_default=True,
        cell=cells.serial_number,
    ),
    Column(
        "issuer",
        "Issuer",
        "The name of whoever signed it",
        (("issuer", _of("issuer_name")),),
        by_default=True,
        cell=cells.issuer,
        css="clip",
    ),
    Column(
        "authority",
        "CA here",
        "The certificate authority of this portal that issued it",
        (
            (
                "authority",
                lambda row: row.certificate.authority.name if row.certificate.authority else "",
            ),
        ),
        cell=cells.authority,
    ),
    Column(
        "names",
        "Other names",
        "Its subject alternative names",
        (("alternative_names", lambda row: row.names),),
        cell=cells.names,
    ),
    Column(
        "begins",
        "Begins",
        "The begin of its validity",
        (("not_before", _of("not_before")),),
        cell=cells.begins,
    ),
    Column(
        "used",
        "First used",
        "When a session used it for the first time",
        (("first_used_at", _of("proven_at")),),
        cell=cells.first_used,
    ),
    Column(
        "hash",
        "Signed with",
        "Hash of its issuer's signature",
        (("signature_hash", _of("signature_hash")),),
        cell=cells.signature_hash,
    ),
    Column(
        "fingerprint",
        "Fingerprint",
        "SHA-256 of the whole certificate: what the portal tells it apart by",
        (("fingerprint_sha256", _of("fingerprint_sha256")),),
        cell=cells.fingerprint,
    ),
    Column(
        "added",
        "Added",
        "When the portal saw or issued it",
        (("added", _of("created_at")),),
        cell=cells.added,
    ),
)
CERTIFICATES = Columns("certificates", COLUMNS)
