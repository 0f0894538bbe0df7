"""Numbers that stop at a cap, so that none costs more than its cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

CAP = 1_000


@dataclass(frozen=True)
class Count:
    """A number, or the least that it is; then perhaps also what the last census counted."""

    value: int
    is_capped: bool = False
    """There are at least so many: not all were counted."""
    census: int | None = None

    @property
    def is_zero(self) -> bool:
        """There is none for certain."""
        return not self.value and not self.is_capped

    @property
    def bound(self) -> str:
        """Say how near the number comes to the truth, in a sentence; empty if nothing is known."""
        if self.is_by_census:
            return f"about {self.census:,}"
        least = f"at least {self.value:,}" if self.value else ""
        return least if self.is_capped else f"{self.value:,}"

    @property
    def is_by_census(self) -> bool:
        return self.is_capped and self.census is not None and self.census >= self.value

    def with_census(self, number: int | None) -> Count:
        """Return the same count, with what the last census counted."""
        return Count(self.value, self.is_capped, number)

    def __str__(self) -> str:
        if self.is_by_census:
            return f"≈{self.census:,}"
        if self.is_capped:
            # A count that was cut before it met one knows nothing.
            return f"{self.value:,}+" if self.value else "…"
        return f"{self.value:,}"


def counted(*sets: QuerySet[Any]) -> Count:
    """Count the rows of sets that exclude one another, up to the cap: at most one query each."""
    found = 0
    for rows in sets:
        if found <= CAP:
            found += rows.order_by()[: CAP + 1 - found].count()
    return Count(min(found, CAP), is_capped=found > CAP)
