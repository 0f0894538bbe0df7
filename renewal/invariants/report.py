"""A violation, and how many of them are told.

Owns the bound: a portal with a million broken rows gets an answer that a person can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import QuerySet

MOST_PER_QUESTION = 100
"""A question that finds more says so with its first hundred."""


@dataclass(frozen=True)
class Violation:
    """One place where an invariant does not hold."""

    invariant: str
    object_type: str
    ids: tuple[str, ...]
    sentence: str


def told(
    invariant: str, object_type: str, found: QuerySet[Any, Any] | Iterable[Any], sentence: str
) -> Iterator[Violation]:
    """Yield a violation for each key that a question found (a row's, or the rows' of a group)."""
    for keys in islice(found, MOST_PER_QUESTION):
        ids = keys if isinstance(keys, tuple) else (keys,)
        yield Violation(invariant, object_type, tuple(map(str, ids)), sentence)
