"""Revocation lists of the CAs of this portal: signed, stored, served at /crl/.

Owns the rows of `RevocationList` and their numbers. Entries are the portal's own rows; the CA
only signs.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q

from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal import issuers
from renewal.ca.base import CAError, PublishesCRL, RevocationReason, RevokedEntry
from renewal.models import Certificate, CertificateAuthority, Revocation, RevocationList
from renewal.rules.lifecycle import RevocationState
from renewal.rules.periods import whole_second

LASTS = timedelta(days=7)
RENEW_AFTER = timedelta(days=1)
_KEPT_AFTER_EXPIRY = timedelta(days=1)


def publish(
    authority_id: int, *, now: datetime, actor: Actor | None = None
) -> RevocationList | None:
    """Sign and store a new CRL; None for a CA that publishes its own (RFC 5280 §5).

    ``actor``: who asked for it, if a person did. The CA signs outside of any transaction; of two
    that publish at once the second signs again, with what the first may have missed.
    """
    while authority := CertificateAuthority.objects.filter(pk=authority_id).first():
        backend = issuers.backend(authority)
        if not isinstance(backend, PublishesCRL):
            return None
        known = RevocationList.objects.filter(authority=authority).first()
        # Of two that overlap, the later number is never the older list.
        this_update = max(whole_second(now), known.this_update if known else whole_second(now))
        entries = _entries(authority, now)
        made = RevocationList(
            authority=authority,
            number=known.number + 1 if known else 1,
            this_update=this_update,
            next_update=this_update + LASTS,
            entries=len(entries),
        )
        made.der = backend.publish_crl(
            entries, number=made.number, this_update=made.this_update, next_update=made.next_update
        )
        if _stored(made, known, actor):
            return made
    return None


def foreseen(authority: CertificateAuthority, *, now: datetime) -> tuple[int, int] | None:
    """Return number and entries of the next CRL, signing nothing; None as of `publish`.

    Raises CAError.
    """
    if not isinstance(issuers.backend(authority), PublishesCRL):
        return None
    known = RevocationList.objects.filter(authority=authority).first()
    return known.number + 1 if known else 1, len(_entries(authority, now))


def _stored(made: RevocationList, known: RevocationList | None, actor: Actor | None) -> bool:
    """Store a signed list if the one before it is still ``known``; say whether it was."""
    try:
        with transaction.atomic():
            if known is None:
                made.save(force_insert=True)
            else:
                made.pk = known.pk
                rows = RevocationList.objects.filter(pk=known.pk, number=known.number)
                if not rows.update(
                    number=made.number,
                    der=made.der,
                    this_update=made.this_update,
                    next_update=made.next_update,
                    entries=made.entries,
                ):
                    return False
            if actor is not None:
                record(
                    actor,
                    Category.AUTHORITY,
                    "crl_published",
                    object_type="authority",
                    object_id=made.authority.pk,
                    object_name=made.authority.name,
                    after={"number": made.number, "entries": made.entries},
                )
    except IntegrityError:
        return False
    return True


def due(*, now: datetime) -> list[int]:
    """Return the CAs whose CRL is missing, a day old, or older than a revocation.

    The last for a message that was lost between the two. `this_update` is cut to the second.
    """
    missed = Revocation.objects.filter(
        certificate__authority=OuterRef("pk"),
        state=RevocationState.DONE,
        finished_at__gte=OuterRef("revocation_list__this_update"),
    )
    return [
        authority.pk
        for authority in CertificateAuthority.objects.filter(
            Q(revocation_list=None)
            | Q(revocation_list__this_update__lt=now - RENEW_AFTER)
            | Exists(missed)
        )
        if publishes(authority)
    ]


def publishes(authority: CertificateAuthority) -> bool:
    """Say whether the portal publishes the CRL of a CA, which only signs it."""
    try:
        return isinstance(issuers.backend(authority), PublishesCRL)
    except CAError:
        return False


def _entries(authority: CertificateAuthority, now: datetime) -> list[RevokedEntry]:
    rows = (
        Certificate.objects.filter(
            authority=authority,
            revoked_at__isnull=False,
            not_after__gt=now - _KEPT_AFTER_EXPIRY,
        )
        .filter(Q(revocation__state=RevocationState.DONE))
        .order_by("pk")
        .values_list("serial_number", "revoked_at", "revocation_reason")
    )
    return [
        RevokedEntry(
            serial_number=int(serial, 16),
            revoked_at=whole_second(revoked_at),
            reason=RevocationReason(reason or "unspecified"),
        )
        for serial, revoked_at, reason in rows
        if revoked_at is not None
    ]
