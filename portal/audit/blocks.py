"""Signed blocks: which of them count, and up to which row the log is sealed.

Owns the trust in a stored block. A block that is not signed as it stands says nothing, neither to
the sealer nor to a verification, so that nobody stops either by writing into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from portal.audit import chain, signing
from portal.audit.columns import UNREADABLE_MOMENT, UNREADABLE_NUMBER, numbered
from portal.audit.models import AuditBlock

LEAP = 10_000_000
"""So many numbers are not lost in transactions that were rolled back between two blocks."""
LATE = timedelta(minutes=10)
"""No transaction that writes rows lasts longer."""
_MOST = 100

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
    return UNREADABLE_NUMBER not in numbers and block.sealed_at != UNREADABLE_MOMENT


def newest(keys: Keys) -> AuditBlock | None:
    """Return the newest block that is signed; without any, as after the loss of all keys, the
    newest one.
    """
    found = list(numbered(AuditBlock.objects.all(), "number").order_by("-number")[:_MOST])
    return next((block for block in found if is_genuine(block, keys)), found[0] if found else None)


def sealed_up_to(moment: datetime, keys: Keys) -> int:
    """Return the highest row number that was sealed before a moment; 0 for none."""
    older = numbered(AuditBlock.objects.filter(sealed_at__lt=moment), "number")
    for block in older.order_by("-number")[:_MOST]:
        if is_genuine(block, keys):
            highest: int = block.highest_entry_id
            return max(0, highest)
    return 0
