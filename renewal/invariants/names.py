"""The names of records among the invariants: T8 (a twin is found by what its name looks like).

Owns this predicate. What a name's forms are is `orchestrators/records.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from orchestrators.models import Orchestrator
from orchestrators.records import NAME_FIELDS, rename
from renewal.invariants.report import Violation, told

_CHUNK = 2000


def recognizable(now: datetime) -> Iterator[Violation]:
    """T8: the forms by which a record's twin is found are those of its name."""
    yield from told(
        "T8",
        "orchestrator",
        _of_another_name(),
        "The forms of the record's name are those of another name: a twin of it is not recognized.",
    )


def _of_another_name() -> Iterator[UUID]:
    rows = Orchestrator.objects.only(*NAME_FIELDS).order_by("pk")
    for row in rows.iterator(chunk_size=_CHUNK):
        stored = [getattr(row, name) for name in NAME_FIELDS]
        rename(row, row.client_machine)
        if stored != [getattr(row, name) for name in NAME_FIELDS]:
            yield row.pk
