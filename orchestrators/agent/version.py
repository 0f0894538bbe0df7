"""The version of the reference orchestrator, as text and as it is sent."""

from __future__ import annotations

VERSION = "1.0.0.0"


def packed_version() -> int:
    """Return the version as ``AgentVersion``: 16 bits for each of the four numbers."""
    packed = 0
    for number in VERSION.split("."):
        packed = packed << 16 | int(number)
    return packed
