"""The query language of list endpoints: text to a tree. PURE.

``Field -op value`` joined by AND and OR (AND binds closer), with parentheses; values bare or in
double quotes, straight or curly; ``NULL`` unquoted. Owns syntax and size; which fields exist and
what a comparison means is `query_fields.py`'s. Never raises anything but QueryInvalid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from portal.rest.codes import ErrorCode

LONGEST = 2000
MOST_COMPARISONS = 50
DEEPEST = 10

_QUOTES = '"“”„'
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# Word processors turn the hyphen of a copied example into a dash.
_OPERATOR = re.compile(r"[-–—]([A-Za-z]+)")
_STRAIGHT = re.compile(r'"((?:[^"]|"")*)"')
_CURLY = re.compile(f"[“”„]([^{_QUOTES}]*)[{_QUOTES}]")
_BARE = re.compile(f"[^\\s(){_QUOTES}]+")
_JOINT = re.compile(r"(AND|OR)(?![A-Za-z0-9_])", re.IGNORECASE)
_SPACE = re.compile(r"\s*")


class Operator(StrEnum):
    """A comparison, as it is written after the hyphen."""

    EQ = "eq"
    NE = "ne"
    CONTAINS = "contains"
    NOT_CONTAINS = "notcontains"
    STARTS_WITH = "startswith"
    ENDS_WITH = "endswith"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"


class QueryInvalid(ValueError):
    """The query cannot be understood; ``code`` is stable, the message names the place."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Comparison:
    """``field -operator value``; the value None is NULL."""

    field: str
    operator: Operator
    value: str | None


@dataclass(frozen=True)
class Every:
    """All parts hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    """At least one part holds."""

    parts: tuple[Node, ...]


Node = Comparison | Every | Either


def parse(text: str) -> Node | None:
    """Return the tree of a query, None for an empty one. Raises QueryInvalid."""
    if len(text) > LONGEST:
        raise QueryInvalid(ErrorCode.QUERY_TOO_LARGE, f"A query has at most {LONGEST} characters.")
    if any(ord(ch) < 0x20 and ch not in "\t\r\n" for ch in text):
        raise QueryInvalid(ErrorCode.QUERY_INVALID, "A query has no control characters.")
    if not text.strip():
        return None
    parser = _Parser(text)
    node = parser.either(0)
    if parser.position < len(text):
        raise parser.wrong("AND, OR or the end")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.comparisons = 0
        self.skip_space()

    def either(self, depth: int) -> Node:
        parts = [self.every(depth)]
        while self.joint("OR"):
            parts.append(self.every(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def every(self, depth: int) -> Node:
        parts = [self.part(depth)]
        while self.joint("AND"):
            parts.append(self.part(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def part(self, depth: int) -> Node:
        if not self.symbol("("):
            return self.comparison()
        if depth >= DEEPEST:
            raise QueryInvalid(
                ErrorCode.QUERY_TOO_LARGE, f"Parentheses are nested at most {DEEPEST} deep."
            )
        node = self.either(depth + 1)
        if not self.symbol(")"):
            raise self.wrong("a closing parenthesis")
        return node

    def comparison(self) -> Comparison:
        self.comparisons += 1
        if self.comparisons > MOST_COMPARISONS:
            raise QueryInvalid(
                ErrorCode.QUERY_TOO_LARGE, f"A query has at most {MOST_COMPARISONS} comparisons."
            )
        field = self.take(_FIELD)
        if field is None:
            raise self.wrong("a field")
        operator = self.take(_OPERATOR)
        if operator is None:
            raise self.wrong("an operator such as -eq")
        try:
            known = Operator(operator[1].lower())
        except ValueError:
            raise QueryInvalid(
                ErrorCode.QUERY_OPERATOR_UNKNOWN,
                f"There is no operator -{operator[1][:20]}; there are "
                f"{', '.join(f'-{o}' for o in Operator)}.",
            ) from None
        return Comparison(field[0], known, self.value())

    def value(self) -> str | None:
        if quoted := self.take(_STRAIGHT):
            return quoted[1].replace('""', '"')
        if quoted := self.take(_CURLY):
            return quoted[1]
        bare = self.take(_BARE)
        if bare is None:
            raise self.wrong("a value, in double quotes if it has spaces")
        return None if bare[0].upper() == "NULL" else bare[0]

    def joint(self, word: str) -> bool:
        found = _JOINT.match(self.text, self.position)
        if found is None or found[1].upper() != word:
            return False
        self.position = found.end()
        self.skip_space()
        return True

    def symbol(self, symbol: str) -> bool:
        if not self.text.startswith(symbol, self.position):
            return False
        self.position += 1
        self.skip_space()
        return True

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.position)
        if found:
            self.position = found.end()
            self.skip_space()
        return found

    def skip_space(self) -> None:
        space = _SPACE.match(self.text, self.position)
        if space:
            self.position = space.end()

    def wrong(self, expected: str) -> QueryInvalid:
        return QueryInvalid(
            ErrorCode.QUERY_INVALID,
            f"The query is wrong at character {self.position + 1}: {expected} is expected there.",
        )
