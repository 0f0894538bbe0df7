"""The way along the chain: each block, each seal, each row.

Owns what is compared with what. After a break it goes on from what is stored, so that one act of
tampering is one finding; what a block says of itself counts only if it is signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from portal.audit import authorship, blocks, chain
from portal.audit.blocks import AHEAD, LATE, LEAP, Keys
from portal.audit.columns import UNREADABLE_NUMBER, numbered
from portal.audit.findings import Report
from portal.audit.models import AuditBlock, AuditEntry, AuditSeal

RUN = 2000


class Walk:
    """Where a run stands, and what it goes by."""

    def __init__(self, report: Report, keys: Keys) -> None:
        self.report = report
        self.keys = keys
        self.number = 0
        self.sequence = 0
        self.link = chain.START
        self.highest = 0
        """The highest row number that a signed block tells of so far."""
        self.genuine: AuditBlock | None = None
        """The last block that is signed."""
        self.sealed_before: datetime | None = None
        """When no row waited: a block that is not full took all that there were. A backlog becomes
        several full ones, whoever seals them.
        """
        self._following: tuple[int, int | None] = (0, None)
        """Up to which block the next signed one was looked for, and where what it seals begins."""

    def block(self, block: AuditBlock) -> None:
        report = self.report
        report.blocks += 1
        is_genuine = blocks.is_genuine(block, self.keys)
        follows = block.number == self.number + 1
        if is_genuine and not (follows and block.first_sequence == self.sequence + 1):
            report.add("block_missing", block=self.number + 1, sequence=self.sequence + 1)
            self._skip_to(block.first_sequence)
        last = block.last_sequence if is_genuine else self._end_of(block)
        found = len(report.findings)
        for seal, rows, is_forged in _sealed_rows(self.sequence, last):
            self._seal(seal, rows, block if is_genuine else None, is_forged=is_forged)
        if self.sequence < last:
            self._missing(last + 1)
        place = {"block": block.number, "sequence": last}
        if not is_genuine:
            report.add("signature_wrong" if blocks.is_readable(block) else "edited", **place)
        elif self.link != block.link and len(report.findings) == found:
            # Every link holds and yet the end is another: the seals were made again.
            report.add("signature_wrong", **place)
        if is_genuine or follows:
            self.number = block.number
        if is_genuine:
            self.link, self.genuine = block.link, block
            self.highest = max(self.highest, block.highest_entry_id)
            if block.last_sequence - block.first_sequence + 1 < blocks.FULL:
                self.sealed_before = block.sealed_at

    def _seal(
        self,
        seal: AuditSeal,
        rows: Sequence[dict[str, Any]],
        block: AuditBlock | None,
        *,
        is_forged: bool,
    ) -> None:
        report = self.report
        if seal.sequence != self.sequence + 1:
            self._missing(seal.sequence)
            is_next = False
        else:
            is_next = True
        report.rows += 1
        kind = ""
        link = chain.link(self.link, seal.sequence, seal.digest, seal.verdict)
        if is_next and link != seal.link:
            kind = "reordered"
        elif not rows:
            kind = "edited" if seal.entry_id == UNREADABLE_NUMBER else "deleted"
        elif len(rows) > 1:
            kind = "doubled"
        elif chain.digest(rows[0], seal.verdict) != seal.digest:
            kind = "edited"
        elif block is not None:
            kind = "forged" if is_forged else self._out_of_place(rows[0], block)
        if kind:
            report.add(kind, sequence=seal.sequence, entry=seal.entry_id)
        self.sequence, self.link = seal.sequence, seal.link

    def _out_of_place(self, row: dict[str, Any], block: AuditBlock) -> str:
        """Return what is wrong with a row that is what was sealed, by where it was sealed."""
        if self.sealed_before is not None and row["at"] < self.sealed_before - LATE:
            return "backdated"
        if row["at"] > block.sealed_at + AHEAD:
            return "postdated"
        if row["id"] > block.highest_entry_id or row["id"] > self.highest + LEAP:
            return "number_jumped"
        return ""

    def _missing(self, until: int) -> None:
        self.report.add("seal_missing", sequence=self.sequence + 1)
        self.sequence = until - 1

    def _skip_to(self, first: int) -> None:
        before = AuditSeal.objects.filter(sequence=first - 1).first()
        self.sequence = first - 1
        self.link = before.link if before else chain.START

    def _end_of(self, block: AuditBlock) -> int:
        """Return where the seals of a block end that does not count itself."""
        end = self._next_signed(block.number)
        if end is None:
            seals = numbered(AuditSeal.objects.filter(sequence__gt=self.sequence), "sequence")
            after = seals.order_by("-sequence").values_list("sequence", flat=True)
            end = after.filter(sequence__lte=self.sequence + LEAP).first() or self.sequence
        told = block.last_sequence
        return told if told is not None and self.sequence < told <= end else end

    def _next_signed(self, number: int) -> int | None:
        """Return where the seals before the next signed block end; None if none is near. What one
        look found serves for all blocks up to there.
        """
        looked_up_to, end = self._following
        if number < looked_up_to:
            return end
        following = numbered(AuditBlock.objects.filter(number__gt=number), "number")
        looked_up_to, end = number, None
        for found in following.order_by("number")[:RUN]:
            looked_up_to = found.number
            if blocks.is_genuine(found, self.keys):
                end = found.first_sequence - 1
                break
        self._following = (looked_up_to, end)
        return end


def each_block(last: int) -> Iterator[AuditBlock]:
    """Yield the blocks up to a number, in their order."""
    number = 0
    while True:
        rows = AuditBlock.objects.filter(number__gt=number, number__lte=last)
        found = list(numbered(rows, "number").order_by("number")[:RUN])
        yield from found
        if len(found) < RUN:
            return
        number = found[-1].number


def _sealed_rows(after: int, last: int) -> Iterator[tuple[AuditSeal, list[dict[str, Any]], bool]]:
    """Yield each seal with its row (none or several, where somebody was at it), and whether the row
    was sealed as forged and is so still.
    """
    while True:
        between = AuditSeal.objects.filter(sequence__gt=after, sequence__lte=last)
        seals = list(numbered(between, "sequence").order_by("sequence")[:RUN])
        entries = AuditEntry.objects.filter(pk__in=[seal.entry_id for seal in seals])
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in entries.values(*chain.SEALED):
            rows.setdefault(row["id"], []).append(row)
        noted = {seal.entry_id for seal in seals if seal.verdict == chain.FORGED}
        forged = authorship.forged([row for pk in noted & rows.keys() for row in rows[pk]])
        for seal in seals:
            yield seal, rows.get(seal.entry_id, []), seal.entry_id in forged
        if len(seals) < RUN:
            return
        after = seals[-1].sequence
