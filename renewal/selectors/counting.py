"""Numbers that stop at a cap, so that none costs more than its cap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

CAP = 10_000


@dataclass(frozen=True)
class Count:
    """A number that stops at the cap."""

    value: int

    @property
    def is_capped(self) -> bool:
        return self.value > CAP

    def __str__(self) -> str:
        return f"{CAP:,}+" if self.is_capped else f"{self.value:,}"


def counted(*sets: QuerySet[Any]) -> Count:
    """Count the rows of sets that exclude one another, up to the cap: one query each."""
    found = 0
    for rows in sets:
        # Every set is asked, so that a page costs as many statements whatever it counts.
        found += rows.order_by()[: max(CAP + 1 - found, 1)].count()
    return Count(min(found, CAP + 1))


def summed(counts: Iterable[Count]) -> Count:
    """Return the sum; capped if one of them is."""
    found = list(counts)
    if any(count.is_capped for count in found):
        return Count(CAP + 1)
    return Count(min(sum(count.value for count in found), CAP + 1))
