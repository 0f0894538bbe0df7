"""What a seal is computed from: the canonical bytes of a row, its digest, the links, a block.

PURE. Changing any of it breaks every log that exists: a new form needs a new version beside this
one, never instead of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

FORM = "ocp-audit-1"
"""Version of the form, part of everything that is digested."""

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
"""The columns of a row that its digest covers: all of them."""

START = sha256(f"{FORM}:start".encode()).hexdigest()
"""The link before the first seal."""


def digest(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a row, in hex. ``row`` has the columns of ``FIELDS``."""
    return _hash(["entry", *(_plain(row[name]) for name in FIELDS)])


def link(before: str, sequence: int, row_digest: str) -> str:
    """Return the link of a seal: over the link before it, its place and its row."""
    return _hash(["seal", before, sequence, row_digest])


def block_bytes(
    *, number: int, first: int, last: int, highest: int, link: str, sealed_at: datetime
) -> bytes:
    """Return what a block's signature is over."""
    return _canonical(["block", number, first, last, highest, link, _plain(sealed_at)])


def _hash(value: list[Any]) -> str:
    return sha256(_canonical(value)).hexdigest()


def _canonical(value: list[Any]) -> bytes:
    return json.dumps(
        [FORM, *value], ensure_ascii=False, sort_keys=True, separators=(",", ":")
    ).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if value is None or isinstance(value, bool | int | str | dict | list):
        return value
    return str(value)
