"""The day on which an orchestrator was heard of: of UTC, whoever asks. PURE.

Owns that one rule, for what writes the day and for what compares with it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime


def day_of(moment: datetime) -> date:
    """Return the day (UTC) that a moment falls on."""
    return moment.astimezone(UTC).date()
