"""What a certificate is to its orchestrator. PURE.

Owns the vocabulary (current, legacy, issued …) and which of them authenticate. Dates, trust and
revocation are judged elsewhere and in addition.
"""

from __future__ import annotations

from enum import StrEnum


class Standing(StrEnum):
    """The place of one certificate in its orchestrator's history."""

    SEEN = "seen"
    """Shown by somebody who is not approved with it."""
    NAMED = "named"
    """Named by the approval, not yet used."""
    CURRENT = "current"
    """Bound by an approval or proven by a session, and not overtaken."""
    LEGACY = "legacy"
    """The one in LegacyThumbprint: proven, and a newer one has been issued."""
    ISSUED = "issued"
    """The newest one delivered by this portal, not yet proven by a session."""
    OVERTAKEN = "overtaken"
    """Delivered and unproven, and a newer one has been issued."""
    SUPERSEDED = "superseded"
    """Replaced: a newer one was proven by a session."""
    DISCARDED = "discarded"
    """Delivered or made, never used, given up."""
    ARCHIVED = "archived"
    """From before a Reset."""
    REJECTED = "rejected"
    """A CA's answer that did not match the request; never delivered."""
    OWN = "own"
    """A certificate of the portal itself or of an operator; no orchestrator's."""


ACCEPTED = frozenset(
    {Standing.NAMED, Standing.CURRENT, Standing.LEGACY, Standing.ISSUED, Standing.OVERTAKEN}
)
"""The accept set: only these authenticate an approved orchestrator."""

UNPROVEN = frozenset({Standing.ISSUED, Standing.OVERTAKEN})
"""Delivered, and not yet presented at a granted session."""

IN_USE = ACCEPTED - UNPROVEN
"""The one that a record works with, or may; at most one at a time (I2 in docs/promises.md)."""

DROPPED = frozenset({Standing.SUPERSEDED, Standing.DISCARDED, Standing.REJECTED})
"""Once this orchestrator's, no longer accepted."""
