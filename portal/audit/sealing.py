"""The sealer: puts committed rows into the chain, in blocks that are signed.

Owns the order of the chain: that of the seals, not of the rows' numbers, for a transaction that
began earlier may commit later. Inserts only; safe to run twice and in two processes at once: a
sequence number exists once, so the slower one writes nothing.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, Max, OuterRef

from portal.audit import chain, checkpoints, signing
from portal.audit.models import AuditBlock, AuditEntry, AuditSeal

log = logging.getLogger(__name__)

BLOCK_ROWS = 2000
_LATE = timedelta(minutes=10)
"""Longer than any transaction that writes rows; a full look finds what is later still."""


def seal(*, now: datetime, everything: bool = False) -> int:
    """Seal the committed rows that have no seal; return how many were sealed.

    Looks behind the newest row as far as transactions last; ``everything`` looks at the whole log.
    """
    config = settings.CONFIG
    sealed = 0
    while True:
        try:
            count = _seal_block(now=now, everything=everything)
        except IntegrityError:
            log.info("another process seals the audit log at this moment")
            break
        sealed += count
        if count < BLOCK_ROWS:
            break
    keys = signing.public_keys(config.audit_folder)
    checkpoints.tell(config.audit_checkpoints, config.audit_syslog, keys=keys)
    return sealed


def _seal_block(*, now: datetime, everything: bool) -> int:
    floor = 0 if everything else _floor(now)
    signer = signing.signer(settings.CONFIG.audit_folder)
    with transaction.atomic():
        rows = list(
            AuditEntry.objects.filter(id__gt=floor)
            .exclude(Exists(AuditSeal.objects.filter(entry_id=OuterRef("pk"))))
            .order_by("id")
            .values(*chain.FIELDS)[:BLOCK_ROWS]
        )
        if not rows:
            return 0
        last_seal = AuditSeal.objects.order_by("-sequence").first()
        last_block = AuditBlock.objects.order_by("-number").first()
        sequence, link = (last_seal.sequence, last_seal.link) if last_seal else (0, chain.START)
        first, seals = sequence + 1, []
        for row in rows:
            sequence += 1
            digest = chain.digest(row)
            link = chain.link(link, sequence, digest)
            seals.append(AuditSeal(sequence=sequence, entry_id=row["id"], digest=digest, link=link))
        highest = max(rows[-1]["id"], last_block.highest_entry_id if last_block else 0)
        number = last_block.number + 1 if last_block else 1
        message = chain.block_bytes(
            number=number, first=first, last=sequence, highest=highest, link=link, sealed_at=now
        )
        AuditSeal.objects.bulk_create(seals, batch_size=500)
        AuditBlock.objects.create(
            number=number,
            first_sequence=first,
            last_sequence=sequence,
            highest_entry_id=highest,
            link=link,
            sealed_at=now,
            key_id=signer.key_id,
            signature=signer.sign(message),
        )
    return len(rows)


def _floor(now: datetime) -> int:
    """Return a row number up to which no transaction can still be open."""
    old = AuditBlock.objects.filter(sealed_at__lt=now - _LATE)
    return old.aggregate(highest=Max("highest_entry_id"))["highest"] or 0
