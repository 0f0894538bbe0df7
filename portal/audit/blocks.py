"""Signed blocks: which of them count, and up to which row the log is sealed.

Owns the trust in a stored block. A block that is not signed as it stands says nothing, neither to
the sealer nor to a verification, so that nobody stops either by writing into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db.models import QuerySet

from portal.audit import chain, signing
from portal.audit.columns import UNREADABLE_MOMENT, UNREADABLE_NUMBER, numbered
from portal.audit.models import AuditBlock, AuditSeal

LEAP = 10_000_000
"""So many numbers are not lost in transactions that were rolled back between two blocks."""
LATE = timedelta(minutes=10)
"""No transaction that writes rows lasts longer."""
AHEAD = timedelta(minutes=2)
"""The clocks of two hosts of one portal differ by less."""
FULL = 2000
"""Rows of one block at most. Never less than it was: a full one says that more may have waited."""
_FAR = 2**62
"""No number of the sealer's comes near it."""
_AT_ONCE = 100

Keys = Mapping[str, Ed25519PublicKey]


def signed_bytes(block: AuditBlock) -> bytes:
    """Return what the signature of a block is over."""
    return chain.block_bytes(
        number=block.number,
        first=block.first_sequence,
        last=block.last_sequence,
        highest=block.highest_entry_id,
        link=block.link,
        sealed_at=block.sealed_at,
    )


def is_genuine(block: AuditBlock, keys: Keys) -> bool:
    """Say whether a block is signed by one of these keys as it stands."""
    return signing.is_signed(keys.get(block.key_id), block.signature, signed_bytes(block))


def is_readable(block: AuditBlock) -> bool:
    """Say whether every number and moment of a block is one."""
    numbers = (block.first_sequence, block.last_sequence, block.highest_entry_id)
    told = (*numbers, block.sealed_at, block.signature)
    return None not in told and not {UNREADABLE_NUMBER, UNREADABLE_MOMENT}.intersection(told)


def newest(keys: Keys) -> AuditBlock | None:
    """Return the newest block that is signed. Without any, as after the loss of all keys, or where
    none is known, the newest one that something can follow.
    """
    rows = numbered(AuditBlock.objects.all(), "number").order_by("-number")
    if keys and (found := _first_signed(rows, keys)) is not None:
        return found
    return rows.filter(number__lt=_FAR, last_sequence__lt=_FAR).first()


def sealed_up_to(moment: datetime, keys: Keys) -> int:
    """Return the highest row number that was sealed before a moment; 0 for none."""
    older = numbered(AuditBlock.objects.filter(sealed_at__lt=moment), "number")
    block = _first_signed(older.order_by("-number"), keys)
    return max(0, block.highest_entry_id) if block is not None else 0


def of_seal(seal: AuditSeal) -> Iterator[AuditBlock]:
    """Yield the blocks that claim to have a seal, genuine or not."""
    rows = AuditBlock.objects.filter(
        first_sequence__lte=seal.sequence, last_sequence__gte=seal.sequence
    )
    yield from rows.order_by("number")[:FULL]


def _first_signed(rows: QuerySet[AuditBlock], keys: Keys) -> AuditBlock | None:
    # Unbounded: however many somebody put in by hand, the sealer's are behind them.
    signed = (block for block in rows.iterator(chunk_size=_AT_ONCE) if is_genuine(block, keys))
    return next(signed, None)
