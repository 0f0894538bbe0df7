"""The columns of a list: what each is called, means and exports, and which of them a person sees.

Owns what all lists have in common of it, the frame of a cell included. Which columns a list has is
its own (`fleet_columns.py`, `certificate_columns.py`), and so is what stands in a cell
(`fleet_cells.py`, `certificate_cells.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.http import QueryDict
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

from portal.preferences.models import Layout

R = TypeVar("R")


@dataclass(frozen=True)
class Here:
    """The page that a row stands on."""

    now: datetime
    asked: QueryDict
    """The page's own query."""
    _known: dict[tuple[str, str], str] = field(default_factory=dict)

    def filtered(self, name: str, value: str) -> str:
        """Return the address of the list with one more filter, from its first page on."""
        if (name, value) not in self._known:
            changed = self.asked.copy()
            changed.pop("cursor", None)
            changed[name] = value
            self._known[name, value] = f"?{changed.urlencode()}"
        return self._known[name, value]


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column; ``cell`` is what stands in it, ``fields`` are its names and values in an export.

    A text is escaped, HTML that is marked safe is not.
    """

    key: str
    title: str
    meaning: str
    fields: tuple[tuple[str, Callable[[R], Any]], ...]
    cell: Callable[[R, Here], str]
    css: str = ""
    """The cell's classes."""
    by_default: bool = False
    is_fixed: bool = False
    names_row: bool = False

    @cached_property
    def frame(self) -> tuple[str, str]:
        """What stands before and after a cell. On a narrow page a cell tells its title itself."""
        if self.names_row:
            return '<th scope="row">', "</th>"
        classes = format_html(' class="{}"', self.css) if self.css else ""
        return format_html('<td data-head="{}"{}>', self.title, classes), "</td>"


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

    def cells(self, row: R, here: Here) -> SafeString:
        """Return a row's cells.

        Not a template's work: fifty rows of a dozen columns would take half of the time of a page.
        """
        return SafeString(
            "".join(
                f"{before}{conditional_escape(column.cell(row, here))}{after}"
                for column in self.columns
                for before, after in (column.frame,)
            )
        )

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
