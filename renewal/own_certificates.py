"""The portal's own certificates: the TLS server's and the issuing CA's, renewed in time.

Owns the files of the embedded TLS server and the moment of their renewal. Behind a proxy that ends
TLS the server certificate is the proxy's, and there is nothing to do here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings

from portal.audit.models import Category
from portal.audit.trail import PORTAL, record
from renewal import certificates, issuers
from renewal.ca.base import CAError
from renewal.ca.local import LocalCA
from renewal.enrollment.intents import new_serial
from renewal.identity import trust
from renewal.models import Certificate, CertificateAuthority, TrustAnchor
from renewal.rules.alarms import renewed_from
from renewal.rules.periods import whole_second
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate
from renewal.x509.names import San, SanKind

log = logging.getLogger(__name__)

SERVER_LASTS = timedelta(days=90)
_BACKDATE = timedelta(minutes=1)
_END = "-----END CERTIFICATE-----\n"


def server_files() -> tuple[Path, Path]:
    """Return the paths of the TLS server's certificate (with chain) and key."""
    folder: Path = settings.CONFIG.data_dir / "tls"
    return folder / "server.pem", folder / "server.key"


def ensure_server_certificate(
    authority: CertificateAuthority, names: Iterable[str], *, now: datetime
) -> bool:
    """Make the TLS server's certificate if there is none, it is due, or names are missing.

    Return whether a new one was made.
    """
    backend = issuers.backend(authority)
    if not isinstance(backend, LocalCA):
        return False
    wanted = tuple(_san(name) for name in dict.fromkeys(names))
    certificate_file, key_file = server_files()
    current = read_server_certificate()
    if current is not None and not _is_due(current, now) and set(wanted) <= set(current.sans):
        return False
    if current is not None:
        wanted = tuple(dict.fromkeys((*wanted, *current.sans)))
    key = ec.generate_private_key(ec.SECP256R1())
    issued = backend.issue_server_certificate(
        spki_der=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        sans=wanted,
        serial_number=int(new_serial(), 16),
        not_before=whole_second(now) - _BACKDATE,
        not_after=whole_second(now) + SERVER_LASTS,
    )
    chain = [read_certificate(der) for der in (issued.certificate_der, *issued.chain_der)]
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_pair(key_file, private, certificate_file, "".join(facts.pem for facts in chain).encode())
    row = certificates.create(chain[0], standing=Standing.OWN, now=now, authority=authority)
    record(
        PORTAL,
        Category.CERTIFICATE,
        "server_certificate_renewed",
        object_type="certificate",
        object_id=row.pk,
        object_name=row.common_name,
        after={"thumbprint": row.thumbprint, "not_after": row.not_after.isoformat()},
    )
    return True


def read_server_certificate() -> CertificateFacts | None:
    """Return the TLS server's certificate, or None if there is none that can be read."""
    certificate_file, key_file = server_files()
    try:
        leaf, end, _ = certificate_file.read_text().partition(_END)
        facts = read_certificate(leaf + end)
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, CertificateUnreadable):
        return None
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # A crash between the two files leaves a pair that serves nobody.
    return facts if spki == facts.spki_der else None


def renew_due(*, now: datetime) -> list[str]:
    """Renew what is due; return what was renewed. Called every ten minutes.

    A CA that is broken keeps no other one, and not the server, from renewing.
    """
    renewed: list[str] = []
    for authority in CertificateAuthority.objects.filter(type="local", enabled=True):
        if _looked_after(authority, now=now):
            renewed.append(authority.name)
    row = _server_row()
    try:
        if (
            row is not None
            and row.authority is not None
            and ensure_server_certificate(row.authority, (), now=now)
        ):
            renewed.append("server")
    except (CAError, OSError):
        log.exception("the server's certificate could not be renewed")
    return renewed


def _looked_after(authority: CertificateAuthority, *, now: datetime) -> bool:
    """Renew a CA's issuing certificate if it is due, and note what was seen of its keys.

    Return whether it was renewed.
    """
    seen: dict[str, Any] = {"signer_checked_at": now, "signer_works": False, "signer_problem": ""}
    renewed = False
    try:
        backend = issuers.backend(authority)
        if not isinstance(backend, LocalCA):
            return False
        issuing = backend.issuing_certificate()
        seen |= {"issuing_not_before": issuing.not_before, "issuing_not_after": issuing.not_after}
        health = backend.health(now)
        seen["signer_works"] = health.is_ok
        if renewed := _renew_issuing(authority, now=now):
            issuing, health = backend.issuing_certificate(), backend.health(now)
            seen |= {
                "signer_works": health.is_ok,
                "issuing_not_before": issuing.not_before,
                "issuing_not_after": issuing.not_after,
            }
        if not health.is_ok:
            seen["signer_problem"] = health.message
    except Exception as error:
        # Whatever is wrong with one CA, the others have their turn.
        log.exception("the CA %s could not be looked after", authority.name)
        seen["signer_problem"] = (str(error) or type(error).__name__)[:500]
    CertificateAuthority.objects.filter(pk=authority.pk).update(**seen)
    return renewed


def _renew_issuing(authority: CertificateAuthority, *, now: datetime) -> bool:
    backend = issuers.backend(authority)
    if not isinstance(backend, LocalCA):
        return False
    before = backend.issuing_certificate()
    if not _is_due(before, now):
        return False
    after = backend.renew_issuing(now)
    CertificateAuthority.objects.filter(pk=authority.pk).update(version=authority.version + 1)
    record(
        PORTAL,
        Category.AUTHORITY,
        "issuing_certificate_renewed",
        object_type="authority",
        object_id=authority.pk,
        object_name=authority.name,
        before={"not_after": before.not_after.isoformat()},
        after={"not_after": after.not_after.isoformat()},
    )
    _vouch_for(after, authority, now=now)
    return True


def _vouch_for(
    issuing: CertificateFacts, authority: CertificateAuthority, *, now: datetime
) -> None:
    """Let the renewed issuing certificate build paths where the old one did: agents send their
    leaf alone.
    """
    known = TrustAnchor.objects.filter(
        enabled=True, is_intermediate=True, subject_name=issuing.subject[:1000]
    )
    if known.exists():
        trust.add_anchor(
            issuing.der,
            name=f"{authority.name} issuing CA",
            actor=PORTAL,
            now=now,
            is_intermediate=True,
        )


def _server_row() -> Certificate | None:
    current = read_server_certificate()
    if current is None:
        return None
    return (
        Certificate.objects.select_related("authority")
        .filter(fingerprint_sha256=current.fingerprint_sha256)
        .first()
    )


def _is_due(facts: CertificateFacts, now: datetime) -> bool:
    return now >= renewed_from(facts.not_before, facts.not_after)


def _san(name: str) -> San:
    with contextlib.suppress(ValueError):
        return SanKind.IP, str(ipaddress.ip_address(name))
    return SanKind.DNS, name.lower()


def _write_pair(key_file: Path, key: bytes, certificate_file: Path, certificate: bytes) -> None:
    key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, content in ((key_file, key), (certificate_file, certificate)):
        aside = path.with_name(f"{path.name}.new")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for path in (key_file, certificate_file):
        path.with_name(f"{path.name}.new").replace(path)
