"""Canonical forms of orchestrator names. PURE.

Owns when two names are the same. A name never authenticates anybody; it only finds a New record,
a claim or a conflict.
"""

from __future__ import annotations

import re
import unicodedata

MOST_CHARACTERS = 255
"""Longer canonical forms are cut (one character may fold into eighteen), wherever they are made."""

_END = re.compile(r"[\s.]+\Z")
# An option of existing agents appends this stamp to the name at every start.
_START_STAMP = re.compile(r"_[0-9]{14}$")


def canonical(name: str) -> str:
    """Return the form in which names are compared: NFKC, case-folded, no trailing dot."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # A dot at the end may stand before or after a space: both go, whichever comes last.
    return _END.sub("", folded.lstrip()[:MOST_CHARACTERS])


def without_start_stamp(name: str) -> str:
    """Return ``name`` without a final ``_`` and 14 digits."""
    return _START_STAMP.sub("", name.strip())


def claim_key(name: str) -> str:
    """Return the form in which a New record or a claim is found; empty for an empty name."""
    return canonical(without_start_stamp(name))
