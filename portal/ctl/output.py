"""How answers are printed: as a table for people, as JSON for programs. PURE."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Column = tuple[str, Callable[[Mapping[str, Any]], object]]


def as_json(value: Any) -> str:
    """Return JSON, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """Return a table with a head, its columns as wide as they need to be."""
    lines = [[name for name, _ in columns]]
    lines += [[plain(value(row)) for _, value in columns] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def plain(value: object) -> str:
    """Return a cell: no control character of a foreign name reaches the terminal."""
    if value is None or value == "":
        return "-"
    return "".join(ch if unicodedata.category(ch)[0] != "C" else "?" for ch in str(value))
