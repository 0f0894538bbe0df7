"""When two names look alike to a person. PURE.

Owns the skeleton of a name in the manner of UTS #39 §4: canonical form, accents dropped, each
character that looks like a Latin letter or digit replaced by one prototype. Two names with one
skeleton are no proof of anything, only a reason to let an operator look.
"""

from __future__ import annotations

import unicodedata

from orchestrators.names import MOST_CHARACTERS, canonical, without_start_stamp

# After case folding. From the confusables of UTS #39 for the scripts in which host names occur.
_LOOKS_LIKE = str.maketrans(
    {
        # Digits and Latin letters among themselves.
        "0": "o", "1": "l", "i": "l", "|": "l", "5": "s", "8": "b",
        "ı": "l", "ɩ": "l", "ɑ": "a", "ɡ": "g", "ʏ": "y", "ᴏ": "o", "ꜱ": "s", "ᴠ": "v",
        "ʋ": "u", "ɴ": "n", "ʀ": "r", "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ſ": "f",
        # Cyrillic.
        "а": "a", "в": "b", "е": "e", "ѕ": "s", "і": "l", "ї": "l", "ј": "j", "к": "k",
        "м": "m", "н": "h", "о": "o", "р": "p", "с": "c", "т": "t", "у": "y", "ү": "y",
        "х": "x", "ѵ": "v", "ԁ": "d", "ԛ": "q", "ԝ": "w", "һ": "h", "ӏ": "l", "г": "r",
        "п": "n", "з": "3", "б": "6", "ь": "b",
        # Greek.
        "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "l", "κ": "k", "ν": "v", "ο": "o",
        "ρ": "p", "σ": "o", "τ": "t", "υ": "u", "χ": "x", "ω": "w", "γ": "y", "ϲ": "c", "ϳ": "j",
        # Armenian.
        "ո": "n", "ս": "u", "օ": "o", "հ": "h", "ց": "g", "զ": "q", "ա": "w", "յ": "j",
        # Strokes and dashes.
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "⁃": "-", "_": "-",
        "․": ".", "。": ".", "∕": "/", "⁄": "/",
    }
)  # fmt: skip
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_PUNYCODE = "xn--"


def skeleton(name: str) -> str:
    """Return what a name looks like, without a start stamp; empty for an empty name."""
    labels = (_unicode(label) for label in canonical(without_start_stamp(name)).split("."))
    decomposed = unicodedata.normalize("NFKD", canonical(".".join(labels)))
    shown = "".join(
        ch for ch in decomposed if unicodedata.category(ch) not in ("Mn", "Me", "Cf", "Zs")
    )
    shown = shown.translate(_LOOKS_LIKE)
    for pair, single in _PAIRS:
        shown = shown.replace(pair, single)
    return shown[:MOST_CHARACTERS]


def _unicode(label: str) -> str:
    """Return an internationalized label (RFC 5890) as it is shown; any other one unchanged."""
    if not label.startswith(_PUNYCODE):
        return label
    try:
        return label[len(_PUNYCODE) :].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return label
