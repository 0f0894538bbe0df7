"""How many renewals the CAs that enrol submitted CSRs can take on a day. PURE.

Owns the arithmetic over what is known of a CA: how many calls it gets at once and how long its last
answer took. It is an estimate for people; nothing is held back by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_DAY_SECONDS = 86_400
_LEAST_SECONDS = 0.01
"""Of a CA that answers sooner the portal's own work is what takes time: checking and storing."""


@dataclass(frozen=True)
class Enroller:
    """A CA that enrols submitted CSRs."""

    name: str
    is_enabled: bool
    is_failing: bool
    """Its last call failed."""
    calls_at_once: int
    answer_seconds: float | None
    """How long its last answer took; None before the first."""

    @property
    def per_day(self) -> int | None:
        """Certificates a day, by its last answer; None if it has not answered yet."""
        if not self.is_enabled:
            return 0
        if self.answer_seconds is None:
            return None
        return int(self.calls_at_once * _DAY_SECONDS / max(self.answer_seconds, _LEAST_SECONDS))


def capacity(enrollers: Iterable[Enroller]) -> int | None:
    """Return what all of them take on a day; None as long as that of one is not known."""
    each = [enroller.per_day for enroller in enrollers]
    known = [number for number in each if number is not None]
    return sum(known) if len(known) == len(each) else None
