"""Which audit rows the portal did not write, however right their columns are.

Owns the rule: a row without a right MAC, and a copy of a row with its MAC, are forged. The sealer
judges each row once and the verdict is part of the signed chain, so that a sealed row depends on
the portal's secret no longer. What was sealed as forged is judged again by whoever tells of it: the
worker may have had another secret.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q

from portal.audit import blocks, chain, mac, signing
from portal.audit.models import AuditEntry, AuditSeal

_MOST_JUDGED_AGAIN = 100


def forged(rows: Collection[Mapping[str, Any]]) -> set[int]:
    """Return the numbers of the rows (the columns of ``chain.SEALED``) that are forged."""
    if not rows:
        return set()
    wrong = {row["id"] for row in rows if not mac.is_right(row)} | _doubled(rows)
    right = [row["id"] for row in rows if row["id"] not in wrong]
    is_sealed = Exists(AuditSeal.objects.filter(entry_id=OuterRef("pk")))
    # Whichever was there first is the row itself. Of equal ones that wait it does not matter.
    first = AuditEntry.objects.filter(
        ~Q(mac="") & ~Q(pk=OuterRef("pk")) & (Q(pk__lt=OuterRef("pk")) | is_sealed),
        mac=OuterRef("mac"),
    )
    copies = AuditEntry.objects.filter(Exists(first), pk__in=right)
    return wrong | set(copies.values_list("pk", flat=True))


def _doubled(rows: Collection[Mapping[str, Any]]) -> set[int]:
    """Return the numbers that more than one row has: whoever owns the table can drop its key."""
    same = AuditEntry.objects.filter(pk__in={row["id"] for row in rows})
    several = same.values("pk").annotate(rows=Count("mac")).filter(rows__gt=1)
    return set(several.values_list("pk", flat=True))


def cleared(noted: Collection[int]) -> set[int]:
    """Return the numbers of rows, sealed as forged, that the portal wrote after all."""
    # Without any Django asks nothing.
    rows = list(AuditEntry.objects.filter(pk__in=noted).values(*chain.SEALED))
    return {row["id"] for row in rows} - forged(rows)


def last_forged() -> tuple[int, datetime | None] | None:
    """Return the number of the row that was sealed as forged last, and when that was; None without
    any. The moment is None where no block tells of it.
    """
    noted = AuditSeal.objects.filter(verdict=chain.FORGED).order_by("-sequence")
    seals = list(noted[:_MOST_JUDGED_AGAIN])
    own = cleared([seal.entry_id for seal in seals])
    seal = next((seal for seal in seals if seal.entry_id not in own), None)
    if seal is None:
        return None
    try:
        keys = signing.public_keys(settings.CONFIG.audit_folder)
    except signing.SigningKeyUnusable:
        keys = {}
    # Where no key is known, any block that has the seal.
    found = (
        block.sealed_at
        for block in blocks.of_seal(seal)
        if not keys or blocks.is_genuine(block, keys)
    )
    return seal.entry_id, next(found, None)
