"""What a seal is computed from: the canonical bytes of a row, its digest, the links, a block; and
what a row's MAC is over.

PURE. Changing any of it breaks every log that exists: a new form needs a new version beside these,
never instead of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

FORM = "ocp-audit-1"
"""Version of the form, part of everything that is digested: blocks, and what was sealed before rows
had a MAC.
"""
JUDGED_FORM = "ocp-audit-2"
"""Form of the seals that say whether the row's MAC was right."""
MAC_FORM = "ocp-audit-mac-1"

UNJUDGED, GENUINE, FORGED = "", "genuine", "forged"
"""What a seal says of its row's MAC: sealed before rows had one, right, or wrong."""

FIELDS = (
    "id",
    "at",
    "actor_id",
    "actor_name",
    "source_address",
    "request_id",
    "category",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "orchestrator_id",
    "before",
    "after",
    "message",
)
"""The columns that say what happened."""
SEALED = (*FIELDS, "mac")
"""All columns of a row: its digest covers them."""
_SAME = (str, int, bool, type(None))
"""What JSON gives back as it was."""
_WRITTEN = tuple(name for name in FIELDS if name != "id")
"""What a MAC is over: the database gives the number when the row has been written."""

START = sha256(f"{FORM}:start".encode()).hexdigest()
"""The link before the first seal."""


def digest(row: Mapping[str, Any], verdict: str) -> str:
    """Return the SHA-256 of a row, in hex, for a seal of this verdict. ``row`` has the columns of
    ``SEALED``.
    """
    told = [_plain(row[name]) for name in FIELDS]
    if verdict == UNJUDGED:
        # Such a row has no MAC: with one it is another.
        return _hash(FORM, ["entry", *told, *([row["mac"]] if row["mac"] else [])])
    return _hash(JUDGED_FORM, ["entry", *told, row["mac"]])


def link(before: str, sequence: int, row_digest: str, verdict: str) -> str:
    """Return the link of a seal: over the link before it, its place, its row and its verdict."""
    if verdict == UNJUDGED:
        return _hash(FORM, ["seal", before, sequence, row_digest])
    return _hash(JUDGED_FORM, ["seal", before, sequence, row_digest, verdict])


def mac_bytes(mark: str, row: Mapping[str, Any]) -> bytes:
    """Return what the MAC of a row with this mark is over: the same before the row is written and
    as the database gives it back.
    """
    return _canonical(MAC_FORM, [mark, *(_as_given_back(row[name]) for name in _WRITTEN)])


def block_bytes(
    *, number: int, first: int, last: int, highest: int, link: str, sealed_at: datetime
) -> bytes:
    """Return what a block's signature is over."""
    return _canonical(FORM, ["block", number, first, last, highest, link, _plain(sealed_at)])


def _hash(form: str, value: list[Any]) -> str:
    return sha256(_canonical(form, value)).hexdigest()


def _canonical(form: str, value: list[Any]) -> bytes:
    return json.dumps(
        [form, *value], ensure_ascii=False, sort_keys=True, separators=(",", ":")
    ).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if value is None or isinstance(value, bool | int | str | dict | list):
        return value
    return str(value)


def _as_given_back(value: Any) -> Any:
    if not isinstance(value, dict):
        return _plain(value)
    if all(type(name) is str and type(inner) in _SAME for name, inner in value.items()):
        return value
    # As JSON has it: tuples are lists, keys are texts.
    return json.loads(json.dumps(value), parse_float=_number)


def _number(text: str) -> int | float:
    """Return a number with a point or an exponent: PostgreSQL tells 1e22 as an integer."""
    exact = Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else float(text)
