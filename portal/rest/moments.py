"""How replies write a moment: ISO 8601 in UTC with Z, to the second (RFC 3339). PURE."""

from __future__ import annotations

from datetime import UTC, datetime


def zulu(moment: datetime) -> str:
    """Return a moment as all existing clients parse it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def zulu_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else zulu(moment)
