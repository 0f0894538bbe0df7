"""What a dry run of an import remembers of the rows that it has judged and rolled back. PURE.

Owns which earlier rows of the list a later one may meet. Those are taken in again before it, so
that it is told what the import itself would tell. Nothing here knows the database.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestrators.fleet_file import Listed
from renewal.identity.newcomers import Coming, keys_of

_NEWEST = 3
"""Rows kept of a key: one name has a New record, an Approved one and its last change at most."""


class EarlierRows:
    """The rows that made or changed a record, found by what a later one shares with them."""

    def __init__(self) -> None:
        self._rows: list[Listed] = []
        # Digests for keys: a list has up to half a million rows. Two keys of one digest take a row
        # in for nothing, which changes no answer.
        self._places: dict[int, tuple[int, ...]] = {}

    def keep(self, each: Coming) -> None:
        """Remember a row that made or changed a record."""
        for key in keys_of(each):
            if key[0] == "claim" and each.facts is not None:
                # Approved: no later row meets it by its name without a start stamp.
                continue
            digest = hash(key)
            self._places[digest] = (*self._places.get(digest, ()), len(self._rows))[-_NEWEST:]
        self._rows.append(each.row)

    def met_by(self, rows: Iterable[Coming]) -> list[Listed]:
        """Return the rows that any of these may meet, in the order of the list."""
        found = {
            place
            for each in rows
            for key in keys_of(each)
            for place in self._places.get(hash(key), ())
        }
        return [self._rows[place] for place in sorted(found)]
