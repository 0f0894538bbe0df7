"""The sealer: puts committed rows into the chain, in blocks that are signed.

Owns the order of the chain: that of the seals, not of the rows' numbers, for a transaction that
began earlier may commit later. Inserts only; safe to run twice and in two processes at once: a
sequence number exists once, so the slower one writes nothing. A row that the portal did not write
is sealed too, as forged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, Model, OuterRef, QuerySet

from portal.audit import authorship, blocks, chain, checkpoints, signing
from portal.audit.columns import numbered
from portal.audit.models import AuditBlock, AuditEntry, AuditSeal

log = logging.getLogger(__name__)

_MOST_TOLD = 20


def seal(*, now: Callable[[], datetime], everything: bool = False) -> int:
    """Seal the committed rows that have no seal; return how many were sealed.

    Looks behind the newest row as far as transactions last; ``everything`` looks at the whole log.
    ``now`` is asked for each block: a backlog takes its time, and rows come meanwhile.
    """
    config = settings.CONFIG
    signer = signing.signer(config.audit_folder)
    keys = signing.public_keys(config.audit_folder)
    sealed = 0
    while True:
        try:
            count = _seal_block(signer, keys, now=now(), everything=everything)
        except IntegrityError:
            log.info("another process seals the audit log at this moment")
            break
        sealed += count
        if count < blocks.FULL:
            break
    checkpoints.tell(config.audit_checkpoints, config.audit_syslog, keys=keys)
    return sealed


def unsealed_since(*, now: datetime) -> datetime | None:
    """Return since when rows have waited for their seal; None if none waits.

    A row that waits behind a run of the sealer waits since that run; so does one whose own moment
    is missing or yet to come, which only somebody else can have written.
    """
    try:
        keys = signing.public_keys(settings.CONFIG.audit_folder)
    except signing.SigningKeyUnusable:
        # The sealer says so itself; whether rows wait is told in any case.
        keys = {}
    newest = blocks.newest(keys)
    highest = newest.highest_entry_id if newest else 0
    row = _unsealed(above=highest).order_by("id").first()
    if row is None:
        return None
    waiting: datetime | None = row.at
    behind = newest.sealed_at if newest else None
    if waiting is None or waiting > now + blocks.AHEAD:
        return behind or now
    return max(waiting, behind) if behind else waiting


def _unsealed(*, above: int) -> QuerySet[AuditEntry]:
    seals = AuditSeal.objects.filter(entry_id=OuterRef("pk"))
    return AuditEntry.objects.filter(id__gt=above).exclude(Exists(seals))


def _seal_block(
    signer: signing.Signer, keys: blocks.Keys, *, now: datetime, everything: bool
) -> int:
    # Up to there no transaction can still be open.
    floor = 0 if everything else blocks.sealed_up_to(now - blocks.LATE, keys)
    with transaction.atomic():
        found = list(_unsealed(above=floor).order_by("id").values(*chain.SEALED)[: blocks.FULL])
        if not found:
            return 0
        forged = authorship.forged(found)
        # A number is sealed once, however many rows somebody gave it.
        rows = list({row["id"]: row for row in found}.values())
        head = blocks.newest(keys)
        sequence, link = _end_of_chain(head)
        first, seals = sequence + 1, []
        for row in rows:
            sequence += 1
            verdict = chain.FORGED if row["id"] in forged else chain.GENUINE
            digest = chain.digest(row, verdict)
            link = chain.link(link, sequence, digest, verdict)
            seals.append(
                AuditSeal(
                    sequence=sequence,
                    entry_id=row["id"],
                    digest=digest,
                    verdict=verdict,
                    link=link,
                )
            )
        block = AuditBlock(
            number=_highest(AuditBlock, "number", head.number if head else 0) + 1,
            first_sequence=first,
            last_sequence=sequence,
            highest_entry_id=_highest_given(row["id"] for row in rows),
            link=link,
            sealed_at=now,
            key_id=signer.key_id,
        )
        if head is not None and blocks.is_genuine(head, keys):
            block.highest_entry_id = max(block.highest_entry_id, head.highest_entry_id)
        block.signature = signer.sign(blocks.signed_bytes(block))
        AuditSeal.objects.bulk_create(seals, batch_size=500)
        block.save()
    if forged:
        log.error("the portal did not write these rows of the audit log: %s", _told(forged))
    return len(found)


def _told(numbers: Collection[int]) -> str:
    text = ", ".join(map(str, sorted(numbers)[:_MOST_TOLD]))
    return text if len(numbers) <= _MOST_TOLD else f"{text} and {len(numbers) - _MOST_TOLD} more"


def _end_of_chain(head: AuditBlock | None) -> tuple[int, str]:
    """Return the last sequence number and its link. Seals that no block signs were put in by hand:
    the chain goes on behind them, where they are found.
    """
    sequence, link = (max(0, head.last_sequence), head.link) if head else (0, chain.START)
    last = _highest(AuditSeal, "sequence", sequence)
    if last == sequence:
        return sequence, link
    return last, AuditSeal.objects.get(sequence=last).link


def _highest(model: type[Model], column: str, known: int) -> int:
    """Return the highest number above a known one, else that; a number far off is not of the
    sealer's, and nothing could follow the highest of all.
    """
    near = {f"{column}__gt": known, f"{column}__lte": known + blocks.LEAP}
    rows = numbered(model._default_manager.filter(**near), column)
    found: int | None = rows.order_by(f"-{column}").values_list(column, flat=True).first()
    return known if found is None else found


def _highest_given(numbers: Iterable[int]) -> int:
    """Return the highest row number that the database gave out itself; 0 for none."""
    if connection.vendor != "postgresql":
        return max(numbers)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [AuditEntry._meta.db_table, "id"])
        # The database's own name for it.
        cursor.execute(f"SELECT last_value FROM {cursor.fetchone()[0]}")  # noqa: S608
        given: int = cursor.fetchone()[0]
    return max((number for number in numbers if number <= given), default=0)
