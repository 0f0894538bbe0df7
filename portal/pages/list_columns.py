"""The columns of a list: what each is called, means and exports, and which of them a person sees.

Owns what all lists have in common of it. Which columns a list has is its own (`fleet_columns.py`,
`certificate_columns.py`); how a cell looks is the template's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from portal.preferences.models import Layout

R = TypeVar("R")


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column; ``fields`` are its names and values in an export."""

    key: str
    title: str
    meaning: str
    fields: tuple[tuple[str, Callable[[R], Any]], ...]
    by_default: bool = False
    is_fixed: bool = False


@dataclass(frozen=True)
class Shown(Generic[R]):
    """What one person sees of a list."""

    columns: Sequence[Column[R]]
    every: Sequence[Column[R]]
    """All that the list has."""
    is_compact: bool = False
    is_own: bool = False
    """Chosen by the person, not the default."""

    @property
    def optional(self) -> list[tuple[Column[R], bool]]:
        """The columns that may be left out, in order: those shown first."""
        shown = [c for c in self.columns if not c.is_fixed]
        rest = [c for c in self.every if not c.is_fixed and c not in shown]
        return [(c, True) for c in shown] + [(c, False) for c in rest]

    def has(self, key: str) -> bool:
        """Say whether a column is shown."""
        return any(column.key == key for column in self.columns)

    def export_names(self) -> list[str]:
        return [name for column in self.columns for name, _ in column.fields]

    def export(self, row: R) -> dict[str, Any]:
        """Return a row as an export tells it."""
        return {
            name: value.isoformat() if isinstance(value := get(row), datetime) else value
            for column in self.columns
            for name, get in column.fields
        }


@dataclass(frozen=True)
class Columns(Generic[R]):
    """All that a list can show; ``page`` is the list's name in saved views and layouts."""

    page: str
    every: tuple[Column[R], ...]

    @property
    def by_key(self) -> Mapping[str, Column[R]]:
        return {column.key: column for column in self.every}

    def shown(self, layout: Layout | None) -> Shown[R]:
        """Return the columns of a layout; a key that is no longer known is left out."""
        if layout is None:
            return Shown([c for c in self.every if c.by_default], self.every)
        known = self.by_key
        fixed = [c for c in self.every if c.is_fixed]
        chosen = [known[key] for key in dict.fromkeys(layout.columns) if key in known]
        return Shown(
            [*fixed, *(c for c in chosen if not c.is_fixed)],
            self.every,
            layout.is_compact,
            is_own=True,
        )
