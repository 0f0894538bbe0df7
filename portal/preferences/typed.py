"""What an application setting is: its kind, its bounds, and the values that it takes. PURE.

Which settings there are is `definitions.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

SINGULAR: Mapping[str, str] = {
    "characters": "character",
    "days": "day",
    "hours": "hour",
    "minutes": "minute",
    "people": "person",
    "records": "record",
    "seconds": "second",
}
"""Each unit, and what one of it is called."""


class Kind(StrEnum):
    """Type of a setting's value."""

    TEXT = "string"
    FLAG = "boolean"
    NUMBER = "integer"
    NAMES = "list"
    """Names separated by commas."""


class SettingInvalid(ValueError):
    """A value that a setting does not take; the message says what it takes."""


class SettingChangedSince(SettingInvalid):
    """Somebody else has set it since it was read."""


@dataclass(frozen=True)
class Definition:
    """One setting. ``id`` is the REST API's and never changes."""

    id: int
    name: str
    label: str
    group: str
    kind: Kind
    default: str
    effect: str
    least: int = 0
    most: int = 0
    unit: str = ""
    periods: bool = False
    """Needs the permission of the renewal periods."""
    internal: bool = False
    """Written by the portal itself; never shown or changed by hand."""

    def parse(self, text: str) -> str | bool | int | tuple[str, ...]:
        """Return the typed value. Raises SettingInvalid."""
        if self.kind is Kind.FLAG:
            lowered = text.strip().lower()
            if lowered not in ("true", "false"):
                raise SettingInvalid(f"{self.label} is true or false.")
            return lowered == "true"
        if self.kind is Kind.NUMBER:
            try:
                number = int(text.strip())
            except ValueError:
                raise SettingInvalid(f"{self.label} is a whole number.") from None
            if not self.least <= number <= self.most:
                raise SettingInvalid(
                    f"{self.label} is between {self.least} and {self.most} {self.unit}".rstrip()
                    + "."
                )
            return number
        if any(ord(ch) < 0x20 for ch in text) or len(text) > 2000:
            raise SettingInvalid(f"{self.label} is one line of at most 2,000 characters.")
        if self.kind is Kind.NAMES:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return text.strip()

    def amount(self, number: int) -> str:
        """Return a number of this setting's unit in words: ``1 person``, ``1,380 minutes``."""
        unit = SINGULAR[self.unit] if self.unit and number == 1 else self.unit
        return f"{number:,} {unit}".strip()

    @property
    def bounds(self) -> str:
        """What a number may be, in words; empty for everything else."""
        return f"{self.least:,} to {self.amount(self.most)}" if self.kind is Kind.NUMBER else ""

    def canonical(self, text: str) -> str:
        """Return the one spelling in which a value that `parse` takes is stored."""
        value = self.parse(text)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return ", ".join(value)
        return str(value)
