"""What a run over the audit log tells: kinds of tampering, their places, the report. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_FINDINGS = 100
BROKEN_OFF = "broken_off"

SENTENCES = {
    "edited": "What is stored here is not what was sealed.",
    "deleted": "The sealed row is gone.",
    "reordered": "The seal does not follow from the one before it.",
    "seal_missing": "A seal of the chain is gone.",
    "inserted": "The row was put in where all rows had long been sealed.",
    "forged": "The portal did not write this row: it was put in, copied or changed by hand.",
    "doubled": "More than one row has this number: what is too much was put in by hand.",
    "backdated": "The row claims to be older than what was sealed before it came.",
    "postdated": "The row claims to be younger than its seal.",
    "number_jumped": "The row's number was never given out: it was put in by hand.",
    "signature_wrong": "The block is not signed by a known key of this portal.",
    "block_missing": "A signed block is gone, or seals stand outside of every block.",
    "truncated": "A checkpoint tells of more than the log has.",
    "checkpoint_differs": "The block is not the one that the checkpoint told of.",
    "checkpoint_foreign": "A checkpoint in the file was not signed for this log.",
    "checkpoint_missing": "The file lacks the checkpoint of a block that was told to it.",
    BROKEN_OFF: "The run broke off: the worker's log says why. It proves nothing.",
}
"""Kinds of tampering, and a run without an end."""


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


def broke_off(told: Iterable[Any]) -> bool:
    """Say whether these findings are of a run that never came to its end."""
    return any(found.get("kind") == BROKEN_OFF for found in told)
