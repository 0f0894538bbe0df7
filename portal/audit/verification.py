"""Whether the audit log is what was sealed: every row, every link, every signature, every end.

Owns the questions (I15 in docs/promises.md); the way along the chain is `walk.py`'s, the words are
`findings.py`'s. Reads a log of any size in runs, takes no lock and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from portal.audit import authorship, blocks, chain, checkpoints, signing
from portal.audit.blocks import LATE, Keys
from portal.audit.columns import numbered
from portal.audit.findings import MOST_FINDINGS, Report
from portal.audit.models import AuditBlock, AuditEntry, AuditSeal
from portal.audit.walk import RUN, Walk, each_block


def verify(
    *, keys_in: Path, checkpoints_file: Path, now: datetime, is_copy: bool = False
) -> Report:
    """Return what a run over the whole log found. Raises SigningKeyUnusable.

    ``is_copy``: of the checkpoints' file, which may lack what the portal's own may not.
    """
    report = Report()
    walk = Walk(report, signing.public_keys(keys_in))
    # What comes while the run lasts is the next run's.
    newest = numbered(AuditBlock.objects.all(), "number").order_by("-number").first()
    last = newest.number if newest else 0
    for block in each_block(last):
        walk.block(block)
    _check_end(report, walk, last)
    _check_checkpoints(report, checkpoints_file, last, walk.keys, None if is_copy else now)
    _check_strays(report, walk)
    report.unsealed = _unsealed().count()
    return report


def _unsealed() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.exclude(Exists(AuditSeal.objects.filter(entry_id=OuterRef("pk"))))


def _check_end(report: Report, walk: Walk, last: int) -> None:
    """Seals that no block signs: put in by hand, or their block was taken away."""
    rows = numbered(AuditSeal.objects.filter(sequence__gt=walk.sequence), "sequence")
    after = rows.order_by("sequence").first()
    if after is None:
        return
    rows = numbered(AuditBlock.objects.filter(last_sequence__gte=after.sequence), "last_sequence")
    block = numbered(rows, "number").order_by("-number").first()
    if block is None or block.number <= last:
        report.add("block_missing", block=walk.number + 1, sequence=after.sequence)


def _check_strays(report: Report, walk: Walk) -> None:
    """Rows without a seal: whose numbers were given out long before what was sealed last (no
    transaction is open that long), and what the portal did not write.
    """
    waiting = _unsealed().order_by("id")
    if walk.genuine is not None:
        old = blocks.sealed_up_to(walk.genuine.sealed_at - LATE, walk.keys)
        strays = waiting.filter(id__lte=old)
        for pk in strays.values_list("pk", flat=True)[:MOST_FINDINGS]:
            report.add("inserted", entry=pk)
        waiting = waiting.filter(id__gt=old)
    for pk in _forged(waiting):
        report.add("forged", entry=pk)
    # Whoever owns the table can drop its key. Such a row has no place to tell.
    if AuditEntry.objects.filter(pk__isnull=True).exists():
        report.add("number_jumped")


def _forged(waiting: QuerySet[AuditEntry]) -> Iterator[int]:
    run = waiting
    while True:
        rows = list(run.values(*chain.SEALED)[:RUN])
        yield from sorted(authorship.forged(rows))
        if len(rows) < RUN:
            return
        run = waiting.filter(id__gt=rows[-1]["id"])


def _check_checkpoints(
    report: Report, file: Path, last: int, keys: Keys, now: datetime | None
) -> None:
    """Compare each signed checkpoint with its block; the first one beyond the end is enough.

    With ``now`` also say which are missing.
    """
    pending: dict[int, dict[str, Any]] = {}
    told_of = checkpoints.Numbers()
    strangers: set[str] = set()

    def compare() -> None:
        held = AuditBlock.objects.in_bulk(list(pending))
        for number, told in pending.items():
            block = held.get(number)
            # A missing one in the middle is told by the walk.
            if block is not None and told.get("link") != block.link:
                report.add("checkpoint_differs", block=number, sequence=block.last_sequence)
        pending.clear()

    for told in checkpoints.read(file):
        if not checkpoints.is_genuine(told, keys):
            _check_stranger(report, told, keys, strangers)
            continue
        number = told["number"]
        if number > last and not AuditBlock.objects.filter(number=number).exists():
            compare()
            report.add("truncated", block=number, sequence=told["last"])
            return
        told_of.add(number)
        pending[number] = told
        if len(pending) >= RUN:
            compare()
    compare()
    if now is not None:
        _check_missing(report, told_of, keys, now)


def _check_stranger(report: Report, told: Mapping[str, Any], keys: Keys, known: set[str]) -> None:
    """Tell of a checkpoint that is none of this log's: each line, but one for each foreign key."""
    if not checkpoints.is_complete(told):
        return
    key = told["key"]
    if key not in keys and key in known:
        return
    known.add(key)
    report.add("checkpoint_foreign", block=told["number"], sequence=told["last"])


def _check_missing(report: Report, told_of: checkpoints.Numbers, keys: Keys, now: datetime) -> None:
    """A run of missing checkpoints is one finding, at its first block. The end of the file may be
    a moment behind.
    """
    old = numbered(
        AuditBlock.objects.filter(sealed_at__lt=now - checkpoints.AT_LATEST), "number"
    ).order_by("-number")
    last = next((block.number for block in old[:RUN] if blocks.is_genuine(block, keys)), 0)
    for number in told_of.gaps(up_to=last):
        block = AuditBlock.objects.filter(number__gte=number).order_by("number").first()
        # One that is gone from the log, or was forged, is told by the walk.
        if block is not None and block.number == number and blocks.is_genuine(block, keys):
            report.add("checkpoint_missing", block=number, sequence=block.last_sequence)


def entry_holds(entry_id: int, *, keys_in: Path) -> bool | None:
    """Say whether one row is what the portal wrote and sealed, in its place, under a signed block;
    None if it is not sealed yet. What stands before and after it is `verify`'s.
    """
    seal = AuditSeal.objects.filter(entry_id=entry_id).first()
    if seal is None:
        return None
    keys = signing.public_keys(keys_in)
    block = next((found for found in blocks.of_seal(seal) if blocks.is_genuine(found, keys)), None)
    rows = list(AuditEntry.objects.filter(pk=entry_id).values(*chain.SEALED)[:2])
    before = AuditSeal.objects.filter(sequence=seal.sequence - 1).first()
    if block is None or len(rows) != 1 or (before is None and seal.sequence > 1):
        return False
    if chain.digest(rows[0], seal.verdict) != seal.digest:
        return False
    if seal.verdict == chain.FORGED and authorship.forged(rows):
        return False
    # Each link up to the one that is signed: a row that was sealed anew would break the next.
    link = chain.START if before is None else before.link
    expected = seal.sequence
    onward = AuditSeal.objects.filter(sequence__range=(seal.sequence, block.last_sequence))
    for sealed in onward.order_by("sequence"):
        link = chain.link(link, expected, sealed.digest, sealed.verdict)
        if (sealed.sequence, sealed.link) != (expected, link):
            return False
        expected += 1
    return bool(expected == block.last_sequence + 1 and link == block.link)
