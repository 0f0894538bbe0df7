"""Measures pages and REST calls in a large fleet against the same in one of 1,000.

``python -m tests.bench.pages [orchestrators]``, on a private PostgreSQL. Owns what is said of each
call in synthetic fleets: the median of the server's time, the ratio of the fastest, the number of
statements and of rows shown. Milliseconds depend on the machine and are shown only; what must hold
is the ratio, and that a large fleet costs no statement more. What is rare fills no page among 1,000
and one of a large fleet, and to write down rows takes its time in either: such a page is compared
with the same one among 1,000 of which much goes wrong. Also the 404 of what lies outside one's
reach against the 404 of what does not exist.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.calls import AGENTS, GROUP, Call, calls
from tests.bench.fleet import Answer, Fleet, running
from tests.services.portal import environment, manage
from tests.services.postgresql import private_server

ORCHESTRATORS = 100_000
FEW = 1_000
ROUNDS = 4
TIMES_404 = 500
MUST = 1.5
"""A call in the large fleet costs at most that many times what it costs among 1,000."""
_NOISE_MS = 5.0
"""Calls that differ by less are not told apart."""
_FULLER = 10
"""A page that shows so many rows more than another takes its time to write them down."""


@dataclass(frozen=True)
class Measured:
    """One call in the fleets: few, many, and few of which much goes wrong; of each, all rounds."""

    call: Call
    few: tuple[Answer, ...]
    many: tuple[Answer, ...]
    troubled: tuple[Answer, ...]

    @property
    def is_fuller(self) -> bool:
        """There is more to write down in the large fleet."""
        rows = self.many[-1].rows - _FULLER
        return self.few[-1].rows <= rows < self.troubled[-1].rows

    @property
    def baseline(self) -> float:
        """Milliseconds among 1,000, where as many rows are shown.

        Of the fastest round, as in the large fleet: what else a machine does makes none faster.
        """
        known = self.troubled if self.is_fuller else self.few
        return min(answer.ms for answer in known)

    @property
    def ratio(self) -> float:
        return min(answer.ms for answer in self.many) / self.baseline

    @property
    def is_over(self) -> bool:
        if not self.call.is_proportional:
            return False
        slower = min(answer.ms for answer in self.many) > self.baseline * MUST + _NOISE_MS
        most = max(self.few[-1].statements, self.troubled[-1].statements if self.is_fuller else 0)
        return slower or most < self.many[-1].statements or self.many[-1].is_refused

    @property
    def remark(self) -> str:
        if self.many[-1].is_refused:
            return "  refused: no index serves it"
        if self.is_over:
            return "  over"
        return "  slow" if median_ms(self.many) > self.call.most else ""


def median_ms(answers: tuple[Answer, ...]) -> float:
    return statistics.median(answer.ms for answer in answers)


def measure(*fleets: Fleet) -> Iterator[Measured]:
    """Measure each call in all fleets, in turns, after a round that warms."""
    for call in calls():
        rounds = [[fleet.get(call) for fleet in fleets] for _ in range(ROUNDS + 1)][1:]
        yield Measured(call, *zip(*rounds, strict=True))


def told_apart(fleet: Fleet) -> float:
    """Return milliseconds between the medians of the two kinds of 404."""
    outside, absent = (
        Call(f"{AGENTS}/{{{name}}}", 0, GROUP, status=404) for name in ("outside", "absent")
    )
    pairs = [(fleet.get(outside).ms, fleet.get(absent).ms) for _ in range(TIMES_404)]
    one, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return abs(one - other)


def bench(few: Fleet, many: Fleet, troubled: Fleet) -> int:
    """Measure and print; return 1 if a ratio is over what it must be."""
    status = 0
    print(f"{'1,000':>8} {'large':>8} {'ratio':>6}   {'SQL':>3}  {'rows':>6}  call (ms, medians)")
    for each in measure(few, many, troubled):
        fewer, more = each.few[-1], each.many[-1]
        print(
            f"{median_ms(each.few):8.1f} {median_ms(each.many):8.1f} {each.ratio:6.2f}"
            f"{'*' if each.is_fuller else ' '}  {more.statements:3}  {fewer.rows:2}/{more.rows:3}"
            f"  {each.call.name}{each.remark}",
            flush=True,
        )
        status |= each.is_over
    print("* against the same page among 1,000 of which much goes wrong, where it is as full")
    apart = told_apart(many)
    print(f"404 outside one's reach and 404 of nothing: medians {apart:.2f} ms apart (must: 5)")
    return int(status or apart > 5)


def load(url: str, folder: Path, orchestrators: int, *more: str) -> None:
    """Fill a database, in processes of their own: its CA has a folder of its own."""
    known = environment(folder, url)
    manage(known, "migrate", "-v0")
    began = time.perf_counter()
    numbers: Mapping[str, int] = {
        "--orchestrators": orchestrators,
        "--certificates": 3 * orchestrators,
    }
    manage(known, "load_fleet", *(str(part) for pair in numbers.items() for part in pair), *more)
    print(f"{orchestrators:,} orchestrators loaded in {time.perf_counter() - began:.0f} s")


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else ORCHESTRATORS
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as name, private_server() as server:
        folder = Path(name)
        fleets = [(FEW, ()), (count, ()), (FEW, ("--troubled",))]
        with ExitStack() as stack:
            portals = []
            for number, more in fleets:
                url, files = (
                    server.url(server.create_database()),
                    folder / f"{number}{''.join(more)}",
                )
                load(url, files, number, *more)
                portals.append(stack.enter_context(running(url, files)))
            return bench(*portals)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
