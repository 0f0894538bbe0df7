"""All invariants, one after the other.

Owns the list; each is a function of one of the modules beside this one. They are read
without a lock: a portal at work may show a violation that is gone a moment later, never hide one
that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from renewal.invariants import audit, decisions, holdings, names, order, requests
from renewal.invariants.report import Violation

Invariant = Callable[[datetime], Iterator[Violation]]

INVARIANTS: Mapping[str, Invariant] = {
    "I2": holdings.at_most_one_beyond,
    "I3": holdings.accept_set,
    "I4": holdings.one_owner,
    "I5": requests.right_certificate,
    "I6": requests.names_from_us,
    "I8": order.cleared_before_revoked,
    "I9": order.flag,
    "I12": requests.fencing,
    "I13": requests.on_its_way,
    "I15": audit.sealed,
    "I18": requests.bounded,
    "C13": decisions.decided,
    "T8": names.recognizable,
}


def verify(*, now: datetime) -> list[Violation]:
    """Return every violation, in the order of the invariants."""
    return [violation for invariant in INVARIANTS.values() for violation in invariant(now)]
