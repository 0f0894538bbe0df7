"""A list as a file: exactly the rows that it shows, in their order, with the columns shown.

Owns both forms and the audit row. A list in a cell of CSV is for reading; JSON has it whole. Rows
come in runs, so that a list of any length can be exported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from django.http import HttpRequest, StreamingHttpResponse

from portal.audit.export import csv_line
from portal.audit.models import Category
from portal.audit.trail import record
from portal.days import zone_name
from portal.pages.gate import actor_of
from portal.pages.list_columns import Shown

R = TypeVar("R")


def exported(
    request: HttpRequest,
    rows: Iterable[R],
    shown: Shown[R],
    *,
    what: str,
    form: str,
    query: str,
    now: datetime,
) -> StreamingHttpResponse:
    """Return the file, noted in the audit log with the filters and whose days they name.

    ``what``: of which list, as the file and the audit row call it. ``form``: ``csv`` or ``json``.
    """
    record(
        actor_of(request),
        Category.ACCESS,
        f"{what}_exported",
        object_type=what,
        object_id=form,
        after={"query": query, "time_zone": zone_name()},
    )
    write, content_type = _FORMS[form]
    response = StreamingHttpResponse(write(rows, shown), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{what}-{now:%Y%m%d-%H%M}.{form}"'
    return response


def _as_csv(rows: Iterable[R], shown: Shown[R]) -> Iterator[str]:
    yield csv_line(shown.export_names())
    for row in rows:
        yield csv_line(_as_text(value) for value in shown.export(row).values())


def _as_text(value: Any) -> Any:
    """Return a list or labels as a person reads them in a cell: ``site=berlin; stage``."""
    if isinstance(value, dict):
        value = [f"{name}={each}" if each else name for name, each in value.items()]
    return "; ".join(value) if isinstance(value, list) else value


def _as_json(rows: Iterable[R], shown: Shown[R]) -> Iterator[str]:
    yield "["
    separator = "\n"
    for row in rows:
        yield separator + json.dumps(shown.export(row), ensure_ascii=False)
        separator = ",\n"
    yield "\n]\n"


_FORMS = {
    "csv": (_as_csv, "text/csv; charset=utf-8"),
    "json": (_as_json, "application/json; charset=utf-8"),
}
