"""Patterns with ``*`` and ``?``: what an operator writes where a name or a value is compared. PURE.

Owns the comparison. No regular expression is made of what somebody typed: the time is at most the
product of both lengths, whatever they are.
"""

from __future__ import annotations

from orchestrators.names import canonical


def matches(pattern: str, text: str) -> bool:
    """Say whether the whole of ``text`` matches: ``*`` is any run of characters, ``?`` is one.

    Case, width and a dot at the end do not count, as for orchestrators' names.
    """
    wanted, found = canonical(pattern), canonical(text)
    at, here = 0, 0
    star, resume = -1, 0
    while here < len(found):
        if at < len(wanted) and wanted[at] == "*":
            star, resume = at, here
            at += 1
        elif at < len(wanted) and wanted[at] in ("?", found[here]):
            at += 1
            here += 1
        elif star >= 0:
            # The last star takes one character more.
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(character == "*" for character in wanted[at:])
