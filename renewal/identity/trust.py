"""The trusted issuers: rows, the verifier made of them, and the file for the TLS edge.

Owns who may vouch for an orchestrator. The chain is verified here whatever the TLS edge said; the
dates of the leaf and its revocation are the decision's.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction

from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences.store import raise_revision
from renewal.models import TrustAnchor
from renewal.x509.certificates import CertificateUnreadable, read_certificate
from renewal.x509.paths import PathVerifier, Verdict

_CACHE_SIZE = 50_000
_CACHE_FOR = timedelta(minutes=5)


class AnchorRefused(ValueError):
    """The certificate cannot be a trusted issuer; the message says why."""


class _Judge:
    """A verifier for one revision of the anchors, with the verdicts that it gave.

    A verdict is kept for five minutes: only the dates of issuers can change it meanwhile.
    """

    def __init__(self, revision: int) -> None:
        self.revision = revision
        rows = list(TrustAnchor.objects.filter(enabled=True).values_list("der", "is_intermediate"))
        self.verifier = PathVerifier(
            [bytes(der) for der, intermediate in rows if not intermediate],
            [bytes(der) for der, intermediate in rows if intermediate],
        )
        self.verdicts: OrderedDict[str, tuple[datetime, Verdict]] = OrderedDict()


_lock = threading.Lock()
_judge: _Judge | None = None


def forget() -> None:
    """Drop the verifier, so that the next question reads the rows again."""
    global _judge
    with _lock:
        _judge = None


def verdict(der: bytes, fingerprint: str, *, revision: int, now: datetime) -> Verdict:
    """Say whether a certificate chains to a trusted issuer of this ``revision``.

    Costs no query unless the revision changed (I3, T10, T17 in docs/promises.md).
    """
    global _judge
    with _lock:
        judge = _judge
    if judge is None or judge.revision != revision:
        judge = _Judge(revision)
        with _lock:
            _judge = judge
    with _lock:
        known = judge.verdicts.get(fingerprint)
    if known is not None and known[0] > now - _CACHE_FOR and known[0] <= now:
        return known[1]
    found = judge.verifier.verify(der, now)
    with _lock:
        judge.verdicts[fingerprint] = (now, found)
        while len(judge.verdicts) > _CACHE_SIZE:
            judge.verdicts.popitem(last=False)
    return found


def add_anchor(
    data: bytes | str, *, name: str, actor: Actor, now: datetime, is_intermediate: bool = False
) -> tuple[TrustAnchor, bool]:
    """Trust an issuer; return its row and whether anything changed. Raises AnchorRefused."""
    try:
        facts = read_certificate(data)
    except CertificateUnreadable as error:
        raise AnchorRefused(f"This is not a certificate: {error}.") from error
    if not name.isprintable():
        raise AnchorRefused("A name has printable characters alone.")
    if not facts.is_ca:
        raise AnchorRefused("This certificate is not a CA's (basicConstraints CA:TRUE).")
    if now > facts.not_after:
        raise AnchorRefused(f"This certificate expired at {facts.not_after:%Y-%m-%d %H:%M} UTC.")
    with transaction.atomic():
        row, created = TrustAnchor.objects.get_or_create(
            fingerprint_sha256=facts.fingerprint_sha256,
            defaults={
                "name": name or facts.common_name or facts.subject[:200],
                "subject_name": facts.subject[:1000],
                "der": facts.der,
                "not_before": facts.not_before,
                "not_after": facts.not_after,
                "is_intermediate": is_intermediate,
                "created_at": now,
            },
        )
        if not created and row.enabled:
            if row.is_intermediate != is_intermediate:
                known_as = "an intermediate" if row.is_intermediate else "a root"
                raise AnchorRefused(f"It is trusted as {known_as} already: remove it first.")
            return row, False
        if not created:
            TrustAnchor.objects.filter(pk=row.pk).update(
                enabled=True, is_intermediate=is_intermediate
            )
            row.refresh_from_db()
        _changed(row, "trust_anchor_added", actor=actor, now=now)
    return row, True


def remove_anchor(row: TrustAnchor, *, actor: Actor, now: datetime) -> bool:
    """Trust an issuer no longer; takes effect with the next request. Return whether it changed."""
    with transaction.atomic():
        if not TrustAnchor.objects.filter(pk=row.pk, enabled=True).update(enabled=False):
            return False
        _changed(row, "trust_anchor_removed", actor=actor, now=now)
    return True


def _changed(row: TrustAnchor, action: str, *, actor: Actor, now: datetime) -> None:
    raise_revision("TrustAnchorsRevision", now=now)
    record(
        actor,
        Category.AUTHORITY,
        action,
        object_type="trust_anchor",
        object_id=row.pk,
        object_name=row.name,
        after={
            "subject": row.subject_name,
            "fingerprint_sha256": row.fingerprint_sha256,
            "intermediate": row.is_intermediate,
        },
    )
    transaction.on_commit(export_anchors)


def export_anchors() -> Path:
    """Write the enabled anchors to the file that the TLS edge offers to clients, atomically.

    The edge compares nothing but signatures with it; what is trusted is decided by `verdict`.
    """
    from renewal.x509.certificates import CertificateFacts

    rows: list[CertificateFacts] = [
        read_certificate(bytes(der))
        for der in TrustAnchor.objects.filter(enabled=True)
        .order_by("pk")
        .values_list("der", flat=True)
    ]
    path: Path = settings.CONFIG.anchors_file
    content = "".join(facts.pem for facts in rows)
    if path.exists() and path.read_text() == content:
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    aside.write_text(content)
    aside.replace(path)
    return path
