"""What an approver should look at before letting somebody in. PURE.

Owns the hints: which facts are a risk, in a sentence, and what to check. A hint never bars a
person; those that say who the orchestrator may be taken for bar an approval by a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MOST_PLACES = 6
BEYOND = ""
"""In the place of a name: an orchestrator that the reader does not reach."""
_MOST_NAMED = 3

Place = tuple[str, str, str, str]
"""Name, address, first and last seen (ISO 8601)."""


class Risk(StrEnum):
    """What kind of thing is odd."""

    SAME_NAME = "same_name"
    LOOKALIKE = "lookalike"
    SUCCESSOR = "successor"
    CONFLICT = "conflict"
    TWO_HOSTS = "two_hosts"
    SEVERAL_RECORDS = "several_records"
    OTHER_NAME = "other_name"
    UNKNOWN_ADDRESS = "unknown_address"


BARS_RULES = frozenset(
    {
        Risk.SAME_NAME,
        Risk.LOOKALIKE,
        Risk.SUCCESSOR,
        Risk.CONFLICT,
        Risk.TWO_HOSTS,
        Risk.SEVERAL_RECORDS,
    }
)


@dataclass(frozen=True)
class Hint:
    """One risk: what was found, and what to check."""

    risk: Risk
    sentence: str
    check: str


@dataclass(frozen=True)
class Predecessor:
    """An approved record whose name, without a start stamp, is that of the new one."""

    name: str
    expired_at: datetime | None


@dataclass(frozen=True)
class RiskFacts:
    """What is known about one request."""

    name: str
    """The name that an approval would give the record."""
    same_name: Sequence[str] = ()
    lookalikes: Sequence[str] = ()
    predecessors: Sequence[Predecessor] = ()
    is_stamped: bool = False
    """The name ends in a start stamp (``_`` and 14 digits)."""
    strangers: int = 0
    places: Sequence[Place] = ()
    """Where the certificate of the one who came forward was seen."""
    other_records: Sequence[str] = ()
    """Other records that the same certificate came forward for."""
    other_name: str = ""
    """The name under which a Reset record came back, if it is another one."""
    address: str = ""
    old_address: str = ""
    is_known_network: bool = True


def hints(facts: RiskFacts) -> tuple[Hint, ...]:
    """Return the hints, the gravest first."""
    found: list[Hint] = []
    if facts.strangers > 1:
        found.append(
            Hint(
                Risk.CONFLICT,
                f"{facts.strangers} strangers came forward for this record.",
                "Find out which certificate the host really has, and choose that one.",
            )
        )
    if facts.same_name:
        found.append(
            Hint(
                Risk.SAME_NAME,
                f"The approved orchestrator {_listed(facts.same_name)} has this name.",
                "Is it the same host? Then Reset that record; else have the new one renamed.",
            )
        )
    if facts.lookalikes:
        found.append(
            Hint(
                Risk.LOOKALIKE,
                f"“{facts.name}” can be taken for the approved orchestrator "
                f"{_listed(facts.lookalikes)}.",
                "Compare the names letter by letter, and ask who installed it.",
            )
        )
    if facts.is_stamped and facts.predecessors:
        found.append(_successor(facts))
    if is_two_hosts(facts.places):
        seen = ", ".join(f"{name or 'without a name'} at {address}" for name, address, *_ in
                         facts.places[-_MOST_NAMED:])  # fmt: skip
        found.append(
            Hint(
                Risk.TWO_HOSTS,
                f"One certificate is used from two hosts: {seen}.",
                "A cloned machine or a copied key: only one of them may keep it.",
            )
        )
    if facts.other_records:
        found.append(
            Hint(
                Risk.SEVERAL_RECORDS,
                f"The same certificate came forward for {_listed(facts.other_records)} too.",
                "One host has one record: approve the right one and disapprove the others.",
            )
        )
    if facts.other_name:
        found.append(
            Hint(
                Risk.OTHER_NAME,
                f"It came back as “{facts.other_name}”, and was “{facts.name}”.",
                "Was the host renamed or exchanged? The record keeps its name.",
            )
        )
    if facts.address and not facts.is_known_network:
        was = f"; it was at {facts.old_address} before" if facts.old_address else ""
        found.append(
            Hint(
                Risk.UNKNOWN_ADDRESS,
                f"Nothing from the network of {facts.address} was approved before{was}.",
                "Does this network belong to you, and is the host there?",
            )
        )
    return tuple(found)


def _successor(facts: RiskFacts) -> Hint:
    expired = [p for p in facts.predecessors if p.expired_at is not None]
    predecessor = (expired or list(facts.predecessors))[0]
    ended = (
        f", whose certificate expired on {predecessor.expired_at:%Y-%m-%d}"
        if predecessor.expired_at
        else ""
    )
    return Hint(
        Risk.SUCCESSOR,
        f"Probably the successor of {predecessor.name or _quoted(BEYOND)}{ended}: existing agents "
        "rename themselves so when they enrol again.",
        "Is it that host? Nothing of the old record is inherited: Disapprove the old one after.",
    )


def is_two_hosts(places: Sequence[Place]) -> bool:
    """Say whether one certificate is used from two places at once.

    Two names are two hosts. A host that moved has two addresses, one after the other; two hosts
    come in turn.
    """
    if len({name for name, *_ in places}) > 1:
        return True
    return any(
        first_a < first_b < last_a
        for _, _, first_a, last_a in places
        for _, _, first_b, _ in places
    )


def placed(places: Sequence[Sequence[str]], *, name: str, address: str, at: str) -> list[Place]:
    """Return the places after one more contact, the latest last; bounded."""
    first = next((p[2] for p in places if (p[0], p[1]) == (name, address)), at)
    kept: list[Place] = [
        (p[0], p[1], p[2], p[3]) for p in places if (p[0], p[1]) != (name, address)
    ]
    return [*kept, (name, address, first, at)][-MOST_PLACES:]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(_quoted(name) for name in names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _quoted(name: str) -> str:
    return f"“{name}”" if name != BEYOND else "one beyond your reach"
