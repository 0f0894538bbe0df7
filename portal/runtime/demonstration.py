"""Homes of reference orchestrators with certificates of a chosen age.

Owns how a demonstration orchestrator comes to be: a key and a CSR made here, a backdated
certificate by the `certificate` command, a record by the `orchestrator` command, a home by the
reference orchestrator's own `init`. Used by `manage.py demonstration_fleet` and by `make demo`;
what either shows is theirs.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from orchestrators.agent.home import Home
from orchestrators.agent.setup import NewHome, Pkcs12File, initialize
from renewal.x509.certificates import serial_text

LIFETIME = timedelta(days=365)

Manage = Callable[..., dict[str, Any]]
"""Runs a management command with flags and returns its JSON."""


@dataclass(frozen=True)
class Place:
    """Where a demonstration orchestrator reports to, and who certifies it."""

    agent_url: str
    ca_file: Path
    authority: str
    template: str


@dataclass(frozen=True)
class Given:
    """A certificate with its key, as a PKCS#12 file, and its PEM."""

    pkcs12_file: Path
    password: str
    certificate_file: Path
    serial_number: str


def certify(
    manage: Manage, place: Place, folder: Path, *, name: str, days_left: int, now: datetime
) -> Given:
    """Make a one-year certificate of the portal's CA that has ``days_left`` (negative: expired)."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    csr_file, certificate_file = folder / "request.csr", folder / "given.pem"
    csr_file.write_bytes(csr.public_bytes(Encoding.PEM))
    # An hour more, away from the present, so that the day does not change while one looks.
    hour = timedelta(hours=1 if days_left >= 0 else -1)
    not_after = now.replace(microsecond=0) + timedelta(days=days_left) + hour
    manage(
        "certificate",
        *("--authority", place.authority, "--template", place.template, "--csr", str(csr_file)),
        *("--not-before", (not_after - LIFETIME).isoformat()),
        *("--not-after", not_after.isoformat(), "--out", str(certificate_file)),
    )
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    password = secrets.token_urlsafe(24)
    pkcs12_file = folder / "given.p12"
    _write_private(
        pkcs12_file,
        pkcs12.serialize_key_and_certificates(
            name.encode(), key, certificate, None, BestAvailableEncryption(password.encode())
        ),
    )
    return Given(pkcs12_file, password, certificate_file, serial_text(certificate.serial_number))


def make_home(
    manage: Manage,
    place: Place,
    home: Path,
    *,
    name: str,
    days_left: int,
    demonstration: bool,
    now: datetime,
) -> tuple[str, Given]:
    """Make an approved record with such a certificate and the home of its orchestrator.

    Return the record's id and the certificate.
    """
    with tempfile.TemporaryDirectory(prefix="portal-demonstration-") as scratch:
        given = certify(manage, place, Path(scratch), name=name, days_left=days_left, now=now)
        made = manage(
            "orchestrator",
            *("--name", name, "--certificate", str(given.certificate_file)),
            *(("--demonstration",) if demonstration else ()),
        )
        orchestrator_id = str(made["id"])
        configure(home, place, given, name=name, orchestrator_id=orchestrator_id)
    return orchestrator_id, given


def configure(home: Path, place: Place, given: Given, *, name: str, orchestrator_id: str) -> None:
    """Write (or write anew) an orchestrator's configuration with a certificate."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    initialize(
        Home(home),
        NewHome(
            url=place.agent_url,
            name=name,
            start=Pkcs12File(given.pkcs12_file, given.password),
            ca_file=place.ca_file,
            orchestrator_id=orchestrator_id,
            client_parameters={"DataCenter": "Demonstration"},
        ),
        force=True,
    )


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
