"""One chunk of a synthetic fleet, drawn in whichever process; chunk follows chunk in order.

Owns what a chunk needs to be drawn apart from all others: its own chance and its own numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from renewal.synthetic import draw
from renewal.synthetic.documents import Printer
from renewal.synthetic.ledger import Ledger, World
from renewal.synthetic.lives import MODELS, Lives
from renewal.synthetic.sheets import Sheet

_ROWS_FOR_EACH = 12
"""No table gets more rows than that for each orchestrator and certificate of a chunk."""


@dataclass(frozen=True)
class Chunk:
    """Orchestrators ``first`` to ``first + count - 1`` of a fleet, with their certificates."""

    seed: int
    first: int
    count: int
    certificates: int
    numbers: Mapping[str, int]
    """The first number of a row, by label of the model."""
    world: World


def chunks(
    orchestrators: int,
    certificates: int,
    *,
    size: int,
    seed: int,
    numbers: Mapping[str, int],
    world: World,
) -> Iterator[Chunk]:
    """Yield a fleet's chunks.

    Each has room for its rows' numbers before it is known how many there are: numbers have gaps,
    as after any transaction that was rolled back.
    """
    numbers = dict(numbers)
    for first in range(0, orchestrators, size):
        count = min(size, orchestrators - first)
        before, after = (certificates * n // orchestrators for n in (first, first + count))
        yield Chunk(seed, first, count, after - before, dict(numbers), world)
        room = _ROWS_FOR_EACH * (count + after - before)
        numbers = {label: number + room for label, number in numbers.items()}


def drawn(chunk: Chunk) -> list[Sheet]:
    """Return a chunk's rows, in the order in which they are written."""
    # Nothing secret is drawn: the same seed must give the same fleet.
    random = Random(f"{chunk.seed}/{chunk.first}")  # noqa: S311
    sheets = {model: Sheet(model, chunk.numbers[model._meta.label]) for model in MODELS}
    lives = Lives(Ledger(sheets, random, chunk.world), Printer(random))
    planned = draw.plans(random, chunk.count, chunk.certificates, chunk.world.spread)
    for place, plan in enumerate(planned):
        lives.live(chunk.first + place, plan)
    return list(sheets.values())


def texts(chunk: Chunk) -> list[bytes]:
    """Return a chunk's rows as COPY reads them, a text for each of MODELS."""
    return [sheet.text() for sheet in drawn(chunk)]
