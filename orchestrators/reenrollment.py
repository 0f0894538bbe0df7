"""The words for AuthCertificateReenrollment that clients and lists use. PURE.

Owns the vocabulary; what the flag does is `renewal`'s, its column `statuses.Reenrollment`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

_WORDS: Mapping[str, int] = {
    "0": 0,
    "none": 0,
    "1": 1,
    "request": 1,
    "requested": 1,
    "2": 2,
    "require": 2,
    "required": 2,
}


def flag_of(value: object) -> int | None:
    """Return 0 to 2 for a number, its text or a name in any case; None for anything else."""
    # True is an int, and str(True) is no name of the flag.
    return _WORDS.get(str(value).lower()) if isinstance(value, int | str) else None
