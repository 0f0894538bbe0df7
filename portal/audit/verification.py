"""Whether the audit log is what was sealed: every row, every link, every signature, every end.

Owns the questions and the positions of what is found (I15 in docs/promises.md). Reads a log of any
size in runs, takes no lock and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db.models import Exists, OuterRef

from portal.audit import chain, checkpoints, signing
from portal.audit.models import AuditBlock, AuditEntry, AuditSeal

RUN = 2000
MOST_FINDINGS = 100
BACKDATED = timedelta(minutes=10)
"""No transaction lasts longer: a row that says it is older than the block before it was put in."""

SENTENCES = {
    "edited": "The row is not what was sealed.",
    "deleted": "The sealed row is gone.",
    "reordered": "The seal does not follow from the one before it.",
    "seal_missing": "A seal of the chain is gone.",
    "inserted": "The row was put in where all rows had long been sealed.",
    "backdated": "The row claims to be older than what was sealed before it came.",
    "signature_wrong": "The block is not signed by a known key of this portal.",
    "block_missing": "A signed block is gone, or seals stand outside of every block.",
    "truncated": "A checkpoint tells of more than the log has.",
    "checkpoint_differs": "The block is not the one that the checkpoint told of.",
}
"""Kinds of tampering."""


@dataclass(frozen=True)
class Finding:
    """One place where the log is not what it was. ``sequence`` and ``entry`` are None where the
    place is a block.
    """

    kind: str
    sequence: int | None = None
    entry: int | None = None
    block: int | None = None

    @property
    def sentence(self) -> str:
        return SENTENCES[self.kind]


@dataclass
class Report:
    """What a run over the log found."""

    rows: int = 0
    blocks: int = 0
    unsealed: int = 0
    findings: list[Finding] = field(default_factory=list)
    more_findings: bool = False

    @property
    def holds(self) -> bool:
        return not self.findings

    def add(self, kind: str, **place: int | None) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(kind, **place))
        else:
            self.more_findings = True

    def told(self) -> list[dict[str, Any]]:
        """Return the findings as plain values."""
        return [asdict(found) | {"sentence": found.sentence} for found in self.findings]


def verify(*, keys_in: Path, checkpoints_file: Path) -> Report:
    """Return what a run over the whole log found. Raises SigningKeyUnusable."""
    report = Report()
    walk = _Walk(report, signing.public_keys(keys_in))
    # What comes while the run lasts is the next run's.
    newest = AuditBlock.objects.order_by("-number").first()
    for block in _blocks(newest.number if newest else 0):
        walk.block(block)
    _check_end(report, walk, newest)
    _check_checkpoints(report, checkpoints_file, newest, walk.keys)
    _check_strays(report, newest)
    report.unsealed = AuditEntry.objects.exclude(
        Exists(AuditSeal.objects.filter(entry_id=OuterRef("pk")))
    ).count()
    return report


class _Walk:
    """Goes along the chain. After a break it goes on from what is stored, so that one act of
    tampering is one finding.
    """

    def __init__(self, report: Report, keys: dict[str, Ed25519PublicKey]) -> None:
        self.report = report
        self.keys = keys
        self.number = 0
        self.sequence = 0
        self.link = chain.START
        self.sealed_before: datetime | None = None
        """When the sealer ran before: a backlog becomes several blocks of one run."""
        self._run_at: datetime | None = None

    def block(self, block: AuditBlock) -> None:
        report = self.report
        report.blocks += 1
        if block.sealed_at != self._run_at:
            self.sealed_before, self._run_at = self._run_at, block.sealed_at
        if block.number != self.number + 1 or block.first_sequence != self.sequence + 1:
            report.add("block_missing", block=self.number + 1, sequence=self.sequence + 1)
            self._skip_to(block.first_sequence)
        message = chain.block_bytes(
            number=block.number,
            first=block.first_sequence,
            last=block.last_sequence,
            highest=block.highest_entry_id,
            link=block.link,
            sealed_at=block.sealed_at,
        )
        is_whole = signing.is_signed(self.keys.get(block.key_id), block.signature, message)
        found = len(report.findings)
        for seal, row in _sealed_rows(block):
            self._seal(seal, row)
        if self.sequence < block.last_sequence:
            self._missing(block.last_sequence + 1)
        if self.link != block.link and len(report.findings) == found:
            # Every link holds and yet the end is another: the seals were made again.
            report.add("signature_wrong", block=block.number, sequence=block.last_sequence)
        elif not is_whole:
            report.add("signature_wrong", block=block.number, sequence=block.last_sequence)
        self.number, self.link = block.number, block.link

    def _seal(self, seal: AuditSeal, row: dict[str, Any] | None) -> None:
        report = self.report
        if seal.sequence != self.sequence + 1:
            self._missing(seal.sequence)
            is_next = False
        else:
            is_next = True
        place = {"sequence": seal.sequence, "entry": seal.entry_id}
        report.rows += 1
        if is_next and chain.link(self.link, seal.sequence, seal.digest) != seal.link:
            report.add("reordered", **place)
        elif row is None:
            report.add("deleted", **place)
        elif chain.digest(row) != seal.digest:
            report.add("edited", **place)
        elif self.sealed_before is not None and row["at"] < self.sealed_before - BACKDATED:
            report.add("backdated", **place)
        self.sequence, self.link = seal.sequence, seal.link

    def _missing(self, until: int) -> None:
        self.report.add("seal_missing", sequence=self.sequence + 1)
        self.sequence = until - 1

    def _skip_to(self, first: int) -> None:
        before = AuditSeal.objects.filter(sequence=first - 1).first()
        self.sequence = first - 1
        self.link = before.link if before else chain.START


def _blocks(last: int) -> Iterator[AuditBlock]:
    number = 0
    while blocks := list(
        AuditBlock.objects.filter(number__gt=number, number__lte=last).order_by("number")[:RUN]
    ):
        yield from blocks
        number = blocks[-1].number


def _sealed_rows(block: AuditBlock) -> Iterator[tuple[AuditSeal, dict[str, Any] | None]]:
    after = block.first_sequence - 1
    while seals := list(
        AuditSeal.objects.filter(sequence__gt=after, sequence__lte=block.last_sequence).order_by(
            "sequence"
        )[:RUN]
    ):
        rows = {
            row["id"]: row
            for row in AuditEntry.objects.filter(pk__in=[seal.entry_id for seal in seals]).values(
                *chain.FIELDS
            )
        }
        for seal in seals:
            yield seal, rows.get(seal.entry_id)
        after = seals[-1].sequence


def _check_end(report: Report, walk: _Walk, newest: AuditBlock | None) -> None:
    """Seals that no block signs: put in by hand, or their block was taken away."""
    after = AuditSeal.objects.filter(sequence__gt=walk.sequence).order_by("sequence").first()
    if after is None:
        return
    block = AuditBlock.objects.filter(last_sequence__gte=after.sequence).order_by("number").first()
    if block is None or (newest is not None and block.number <= newest.number):
        report.add("block_missing", block=walk.number + 1, sequence=after.sequence)


def _check_strays(report: Report, newest: AuditBlock | None) -> None:
    """Rows without a seal whose numbers were given out long before what was sealed last: no
    transaction is open that long.
    """
    if newest is None:
        return
    old = (
        AuditBlock.objects.filter(sealed_at__lt=newest.sealed_at - BACKDATED)
        .order_by("-number")
        .values_list("highest_entry_id", flat=True)
        .first()
    )
    strays = AuditEntry.objects.filter(id__lte=max(0, old or 0)).exclude(
        Exists(AuditSeal.objects.filter(entry_id=OuterRef("pk")))
    )
    for pk in strays.order_by("id").values_list("pk", flat=True)[:MOST_FINDINGS]:
        report.add("inserted", entry=pk)


def _check_checkpoints(
    report: Report, file: Path, newest: AuditBlock | None, keys: dict[str, Ed25519PublicKey]
) -> None:
    """Compare each signed checkpoint with its block; the first one beyond the end is enough."""
    last = newest.number if newest else 0
    pending: dict[int, dict[str, Any]] = {}

    def compare() -> None:
        blocks = AuditBlock.objects.in_bulk(list(pending))
        for number, told in pending.items():
            block = blocks.get(number)
            # A missing one in the middle is told by the walk.
            if block is not None and told.get("link") != block.link:
                report.add("checkpoint_differs", block=number, sequence=block.last_sequence)
        pending.clear()

    for told in checkpoints.read(file):
        if not checkpoints.is_genuine(told, keys):
            continue
        if told["number"] > last and not AuditBlock.objects.filter(number=told["number"]).exists():
            compare()
            report.add("truncated", block=told["number"], sequence=told.get("last"))
            return
        pending[told["number"]] = told
        if len(pending) >= RUN:
            compare()
    compare()


def entry_holds(entry_id: int, *, keys_in: Path) -> bool | None:
    """Say whether one row is what was sealed, in its place, under a signed block; None if it is
    not sealed yet. What stands before and after it is `verify`'s.
    """
    seal = AuditSeal.objects.filter(entry_id=entry_id).first()
    if seal is None:
        return None
    block = AuditBlock.objects.filter(
        first_sequence__lte=seal.sequence, last_sequence__gte=seal.sequence
    ).first()
    row = AuditEntry.objects.filter(pk=entry_id).values(*chain.FIELDS).first()
    before = AuditSeal.objects.filter(sequence=seal.sequence - 1).first()
    if block is None or row is None or (before is None and seal.sequence > 1):
        return False
    if chain.digest(row) != seal.digest:
        return False
    # Each link up to the one that is signed: a row that was sealed anew would break the next.
    link = chain.START if before is None else before.link
    expected = seal.sequence
    onward = AuditSeal.objects.filter(sequence__range=(seal.sequence, block.last_sequence))
    for sealed in onward.order_by("sequence"):
        link = chain.link(link, expected, sealed.digest)
        if (sealed.sequence, sealed.link) != (expected, link):
            return False
        expected += 1
    message = chain.block_bytes(
        number=block.number,
        first=block.first_sequence,
        last=block.last_sequence,
        highest=block.highest_entry_id,
        link=block.link,
        sealed_at=block.sealed_at,
    )
    return (
        expected == block.last_sequence + 1
        and link == block.link
        and signing.is_signed(
            signing.public_keys(keys_in).get(block.key_id), block.signature, message
        )
    )
