"""What people and programs write, as every place that keeps or shows it takes it. PURE.

Owns the one rule: control, format and direction characters, surrogates and unassigned ones are left
out, so that no text looks like another or breaks the line that it stands in. Markup and formulas
are for the places that show it.
"""

from __future__ import annotations

import unicodedata

LONGEST_REASON = 500
"""Characters of a reason, wherever one is given."""
_NO_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BREAKS = "\n\r\t\v\f\x85\u2028\u2029"
_TO_SPACES = str.maketrans(dict.fromkeys(_BREAKS, " "))


def one_line(text: str) -> str:
    """Return a reason or a name as plain text in one line; breaks become spaces."""
    return text.strip() if text.isprintable() else _plain(text.translate(_TO_SPACES))


def lines(text: str) -> str:
    """Return a comment as plain text; its lines stay."""
    broken = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(_plain(line) for line in broken).strip()


def _plain(text: str) -> str:
    kept = (ch for ch in text if unicodedata.category(ch) not in _NO_TEXT)
    return "".join(kept).strip()
