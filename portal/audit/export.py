"""The audit log as JSON lines of one array, or as CSV that no spreadsheet takes for formulas.

Owns both forms, and the line of CSV that every export is made of. Rows are read in runs, so that a
log of any size can be exported.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import QuerySet

from portal.audit.chain import FIELDS
from portal.audit.models import AuditEntry

RUN = 2000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula; some spreadsheets take the full-width signs for the same."""
_NEW_CELL = re.compile(r'([;\t\r\n][\s"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])')
"""Where another cell begins to a spreadsheet that splits lines at semicolons, as many do by the
language of their host, whatever is quoted; or at tabs.
"""


def as_json(parts: Iterable[QuerySet[AuditEntry]]) -> Iterator[str]:
    """Yield a JSON array, newest row first; ``parts`` follow one another in that order."""
    yield "["
    separator = "\n"
    for row in _rows(parts):
        yield separator + json.dumps(row, default=_plain, ensure_ascii=False)
        separator = ",\n"
    yield "\n]\n"


def as_csv(parts: Iterable[QuerySet[AuditEntry]]) -> Iterator[str]:
    """Yield CSV (RFC 4180), newest row first, with a line of names."""
    yield csv_line(FIELDS)
    for row in _rows(parts):
        yield csv_line(row[name] for name in FIELDS)


def csv_line(values: Iterable[object]) -> str:
    """Return one line of CSV (RFC 4180): nothing for None, JSON for lists and objects."""
    stream = io.StringIO()
    csv.writer(stream).writerow([_cell(value) for value in values])
    return stream.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = (
        json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else _plain(value)
    )
    # A spreadsheet shows it and never computes it (CWE-1236).
    text = _NEW_CELL.sub(r"\1'", text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _rows(parts: Iterable[QuerySet[AuditEntry]]) -> Iterator[dict[str, Any]]:
    for rows in parts:
        yield from _newest_first(rows)


def _newest_first(rows: QuerySet[AuditEntry]) -> Iterator[dict[str, Any]]:
    below: int | None = None
    while True:
        run = rows if below is None else rows.filter(id__lt=below)
        found = list(run.order_by("-id").values(*FIELDS)[:RUN])
        yield from found
        if len(found) < RUN:
            return
        below = found[-1]["id"]


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
