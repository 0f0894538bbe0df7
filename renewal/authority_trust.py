"""Trusting a CA of this portal: its certificates prove who an orchestrator is, or the portal.

Owns which of a CA's certificates become trusted issuers, and the file with which orchestrators
verify the portal's TLS server. Trusted issuers themselves are `identity/trust.py`'s.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from django.conf import settings

from portal.audit.trail import Actor
from renewal import issuers
from renewal.ca.base import CABackend, CAError
from renewal.ca.local import LocalCA
from renewal.identity import trust
from renewal.models import CertificateAuthority, TrustAnchor
from renewal.x509.certificates import read_certificate


def trust_authority(
    row: CertificateAuthority,
    *,
    roots: Sequence[bytes] | None = None,
    actor: Actor,
    now: datetime,
) -> bool:
    """Let certificates of a CA prove who an orchestrator is: its roots become trusted issuers,
    its issuing certificate helps to build the path. Say whether that changed anything.

    ``roots``: what it answered already, else it is asked. Raises AnchorRefused, CAError.
    """
    backend = issuers.backend(row)
    changed = False
    for der in backend.trust_anchors() if roots is None else roots:
        _, added = trust.add_anchor(der, name=f"{row.name} root", actor=actor, now=now)
        changed |= added
    if isinstance(backend, LocalCA):
        _, added = trust.add_anchor(
            backend.issuing_certificate().der,
            name=f"{row.name} issuing",
            is_intermediate=True,
            actor=actor,
            now=now,
        )
        changed |= added
    return changed


def is_trusted(row: CertificateAuthority) -> bool | None:
    """Say whether the roots of a CA are trusted issuers; None if only a call would tell."""
    try:
        backend = issuers.backend(row)
        if not isinstance(backend, LocalCA):
            return None
        roots = {read_certificate(der).fingerprint_sha256 for der in backend.trust_anchors()}
    except CAError:
        return None
    trusted = TrustAnchor.objects.filter(
        fingerprint_sha256__in=roots, enabled=True, is_intermediate=False
    )
    return trusted.count() == len(roots)


def write_ca_file(row: CertificateAuthority, *, replaces: bool) -> bool:
    """Write the roots with which orchestrators verify the portal's TLS server, atomically.

    ``replaces``: also if there is such a file for another CA. Say whether it was written.
    """
    backend: CABackend = issuers.backend(row)
    content = "".join(read_certificate(der).pem for der in backend.trust_anchors())
    path: Path = settings.CONFIG.ca_file
    if path.exists() and (not replaces or path.read_text() == content):
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    aside.write_text(content)
    aside.replace(path)
    return True
