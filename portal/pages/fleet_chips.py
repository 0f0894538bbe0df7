"""The filters that are set, each as a chip that removes it.

Owns the words of a filter that is set. The filters are `renewal/selectors/filters.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from portal.pages.pieces import platform
from renewal.selectors.filters import NO_CODE, Filters, query_of
from renewal.selectors.marks import MARKS
from renewal.selectors.states import LABELS


@dataclass(frozen=True)
class Chip:
    """One filter: its name, its value, and the list's query without it."""

    name: str
    value: str
    without: str


def chips(filters: Filters) -> list[Chip]:
    """Return the filters that are set, in one order."""
    found: list[tuple[str, str, Filters]] = []
    if filters.state is not None:
        found.append(("State", LABELS[filters.state].word, replace(filters, state=None)))
    if filters.query:
        found.append(("Search", filters.query, replace(filters, query="")))
    if filters.mark is not None:
        found.append(("With", MARKS[filters.mark].word, replace(filters, mark=None)))
    if filters.ends is not None:
        found.append(("Certificate ends", filters.ends.words, replace(filters, ends=None)))
    if filters.group:
        found.append(("Group", filters.group, replace(filters, group="")))
    if filters.label:
        found.append(("Label", filters.label, replace(filters, label="")))
    if filters.parameter:
        found.append(("Parameter", filters.parameter, replace(filters, parameter="")))
    if filters.platform is not None:
        name = platform(filters.platform)
        found.append(("Platform", name, replace(filters, platform=None)))
    if filters.version:
        found.append(("Version", filters.version, replace(filters, version="")))
    if filters.account:
        found.append(("Service account", filters.account, replace(filters, account="")))
    if filters.answer:
        words = "no warning or error" if filters.answer == NO_CODE else filters.answer
        found.append(("Last answer", words, replace(filters, answer="")))
    if filters.seen is not None:
        found.append(("Seen", filters.seen.words, replace(filters, seen=None)))
    if filters.demonstration is not None:
        name = "demonstration" if filters.demonstration else "real"
        found.append(("Fleet", name, replace(filters, demonstration=None)))
    return [Chip(name, value, query_of(rest, with_order=True)) for name, value, rest in found]
