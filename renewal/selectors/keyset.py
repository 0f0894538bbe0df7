"""Keyset paging: a page of rows after or before a cursor, at the same cost wherever it lies.

Owns the cursor and the comparison. Rows come in segments, each with an order that an index has;
the segments follow one another. Knows nothing of what the rows are.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)

LAST = "last"
"""The cursor of the last page."""


@dataclass(frozen=True)
class Segment(Generic[M]):
    """Rows with their order: names of columns or annotations, ``-`` for descending, the last one
    unique."""

    rows: QuerySet[M]
    order: tuple[str, ...]
    read_from: QuerySet[M] | None = None
    """Where no index has the order: the same rows and more, of which a page is read by its keys, so
    that what belongs to a row is not sorted with all of them."""

    @property
    def turned(self) -> Segment[M]:
        """The same rows, the other way round."""
        return replace(self, order=_turned(self.order))


@dataclass(frozen=True)
class Slice(Generic[M]):
    """One page of rows and the cursors of its neighbours (empty: there is none)."""

    rows: list[M]
    following: str = ""
    preceding: str = ""


@dataclass(frozen=True)
class _Cursor:
    backwards: bool
    segment: int
    values: tuple[Any, ...]


def cut(segments: Sequence[Segment[M]], *, cursor: str = "", size: int = 50) -> Slice[M]:
    """Return the page that the cursor names; an unreadable cursor names the first page.

    At most one query for each segment from the cursor's on, each bounded by the page's size, until
    the page is full. The last page is as full as the first.
    """
    at = _read(cursor, segments)
    backwards = cursor == LAST or (at is not None and at.backwards)
    found: list[tuple[int, M]] = []
    numbers = list(range(len(segments)))
    for number in reversed(numbers) if backwards else numbers:
        if at is not None and (number > at.segment if backwards else number < at.segment):
            continue
        segment = segments[number]
        order = _turned(segment.order) if backwards else segment.order
        rows = segment.rows.order_by(*order)
        if at is not None and number == at.segment:
            rows = rows.filter(_beyond(segment.order, at.values, backwards=backwards))
        rows = rows[: size + 1 - len(found)]
        if segment.read_from is not None:
            rows = segment.read_from.filter(pk__in=rows.values("pk")).order_by(*order)
        found += [(number, row) for row in rows]
        if len(found) > size:
            break
    more = len(found) > size
    found = found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Slice([])
    has_following = at is not None if backwards else more
    has_preceding = more if backwards else at is not None
    return Slice(
        [row for _, row in found],
        following=_write(segments, found[-1], backwards=False) if has_following else "",
        preceding=_write(segments, found[0], backwards=True) if has_preceding else "",
    )


def _turned(order: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name[1:] if name.startswith("-") else f"-{name}" for name in order)


def _beyond(order: tuple[str, ...], values: tuple[Any, ...], *, backwards: bool) -> Q:
    """Return the condition "comes after ``values``"; its first part bounds the index scan."""
    condition = Q()
    equal = Q()
    for index, (entry, value) in enumerate(zip(order, values, strict=True)):
        name = entry.lstrip("-")
        greater = entry.startswith("-") == backwards
        comparison = "gt" if greater else "lt"
        condition |= equal & Q(**{f"{name}__{comparison}": value})
        equal &= Q(**{name: value})
        if index == 0:
            bound = Q(**{f"{name}__{comparison}e": value})
    return bound & condition


def _write(segments: Sequence[Segment[M]], place: tuple[int, M], *, backwards: bool) -> str:
    number, row = place
    values = [getattr(row, name.lstrip("-")) for name in segments[number].order]
    text = json.dumps(["b" if backwards else "a", number, [_text(v) for v in values]])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _field(rows: QuerySet[Any], name: str) -> Any:
    annotation = rows.query.annotations.get(name)
    return rows.model._meta.get_field(name) if annotation is None else annotation.output_field


def _text(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _read(cursor: str, segments: Sequence[Segment[M]]) -> _Cursor | None:
    if not cursor or len(cursor) > 2000:
        return None
    try:
        decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        direction, number, raw = json.loads(decoded)
        segment = segments[number]
        if direction not in ("a", "b") or number < 0 or len(raw) != len(segment.order):
            return None
        values = tuple(
            _field(segment.rows, name.lstrip("-")).to_python(value)
            for name, value in zip(segment.order, raw, strict=True)
        )
    except (
        binascii.Error,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
        FieldDoesNotExist,
        ValidationError,
    ):
        return None
    if any(value is None for value in values):
        return None
    return _Cursor(direction == "b", number, values)
