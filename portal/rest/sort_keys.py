"""What a list can be sorted by: a value that the database computes, and its form in a cursor.

Owns the kinds of values and the reading of one that somebody may have made up. Which names a list
has is its own table's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import CharField, DateTimeField, F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ValueKind:
    """How a value stands in a cursor. ``read`` raises ValueError or TypeError for anything else."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    # Half a surrogate pair is no text to a database (UnicodeEncodeError is a ValueError).
    value.encode()
    return value


def _small(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**15:
        raise ValueError
    return value


def _large(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


TEXT = ValueKind(_text, str)
SMALL = ValueKind(_small, int)
LARGE = ValueKind(_large, int)
MOMENT = ValueKind(_moment, datetime.isoformat)
GUID = ValueKind(UUID, str)


@dataclass(frozen=True)
class SortKey:
    """An order: by a value that is never null, or in groups that follow one another.

    Without an ``expression`` by the primary key alone. With ``groups`` (conditions that each row
    meets one of) only the first group is ordered by the expression; within the others, and
    everywhere at last, the primary key decides.
    """

    expression: Combinable | None = None
    kind: ValueKind = TEXT
    groups: Callable[[], Sequence[Q]] | None = None
    is_indexed: bool = False
    """An index has the order, so that a page deep in it costs little."""
    named: Callable[[str], SortKey | None] | None = None
    """For a name that ends with a colon: the order that the rest of the name means."""


BY_IDENTITY = SortKey(is_indexed=True)


def column(name: str, kind: ValueKind, *, is_indexed: bool = False) -> SortKey:
    """Sort by a column that is never null."""
    return SortKey(F(name), kind, is_indexed=is_indexed)


def text_or_none(name: str) -> SortKey:
    """Sort by a text; rows without one come first."""
    return SortKey(Coalesce(F(name), Value(""), output_field=CharField()), TEXT)


def moment_or_never(name: str) -> SortKey:
    """Sort by a moment; rows without one come first."""
    never = Value(NEVER, output_field=DateTimeField())
    return SortKey(Coalesce(F(name), never, output_field=DateTimeField()), MOMENT)


def moment_then_none(name: str) -> SortKey:
    """Sort by a moment that an index has; rows without one come last."""
    absent = f"{name}__isnull"
    return SortKey(F(name), MOMENT, groups=lambda: [Q(**{absent: False}), Q(**{absent: True})])


def in_groups(groups: Callable[[], Sequence[Q]]) -> SortKey:
    """Sort by which of these conditions a row meets."""
    return SortKey(groups=groups)
