"""What happened to one orchestrator of a synthetic fleet, drawn by chance.

PURE. Owns the spread: which fates there are and how often, names, lifetimes, seasons, ages. That
fates become rows is `lives.py`'s. Everything comes from the `Random` that is given, so that a seed
gives the same fleet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import TypeVar

Choice = TypeVar("Choice")

DOMAIN = ".synthetic.invalid"
"""RFC 2606 §2: a name below `invalid` is nobody's. All names have one length."""
_ROLES = ("webs", "edge", "load", "mail", "iams", "file", "mqtt", "plcs")
SITES = (
    *("ber", "lyo", "osl", "mad", "rom", "lis", "vie", "prg", "waw", "cph", "hel", "dub"),
    *("nyc", "chi", "dfw", "sfo", "yyz", "gru", "hnd", "sin", "syd", "jnb"),
)
PILOT = "pilot"
"""A group of a few, beside one for each site."""
_TIERS = (("production", 70), ("staging", 20), ("laboratory", 10))
DAY = timedelta(days=1)


class Fate(StrEnum):
    """What an orchestrator's record looks like today."""

    PROVEN = "proven"
    """Works with a certificate that this portal issued."""
    BOUND = "bound"
    """Works with the certificate that its approval named; never renewed."""
    NAMED = "named"
    """Approved with a certificate, not yet come back."""
    UNUSED = "unused"
    """A new certificate was delivered; the old one is the legacy one."""
    OVERTAKEN = "overtaken"
    """As unused, after a lost reply: two unproven ones."""
    ENROLLING = "enrolling"
    """Approved with a bootstrap credential; its first certificate is to come."""
    STRANGER = "stranger"
    """New, came with a certificate."""
    BOOTSTRAPPING = "bootstrapping"
    """New, came with a bootstrap credential."""
    RESET = "reset"
    """New again; its certificates are history."""
    DISAPPROVED = "disapproved"


@dataclass(frozen=True)
class Spread:
    """How often what happens; shares of one."""

    fates: Mapping[Fate, float]
    """Weights; they need no sum."""
    expired: float
    """Of those with a certificate in use."""
    required: float
    """Of those that have worked: must renew, because an operator said so."""
    requested: float
    """As ``required``: were asked to renew."""
    failing: float
    """Of those that need nothing: their last answer was an error."""
    open_request: float
    """Of those that work: an enrollment that has not ended."""
    failed_request: float
    """As ``open_request``: one that ended without a certificate."""
    failed_within_days: int
    """So long ago at most."""
    never_seen: float
    """Of those that hold no certificate."""
    late_revocation: float
    """Of the replaced certificates that could still be used."""


ORDINARY = Spread(
    fates={
        Fate.PROVEN: 74,
        Fate.BOUND: 8,
        Fate.NAMED: 1,
        Fate.UNUSED: 4,
        Fate.OVERTAKEN: 0.5,
        Fate.ENROLLING: 1,
        Fate.STRANGER: 4,
        Fate.BOOTSTRAPPING: 2,
        Fate.RESET: 2,
        Fate.DISAPPROVED: 3.5,
    },
    expired=0.02,
    required=0.01,
    requested=0.04,
    failing=0.01,
    open_request=0.003,
    failed_request=0.022,
    failed_within_days=6,
    never_seen=0.1,
    late_revocation=0.004,
)
TROUBLED = Spread(
    fates={
        Fate.PROVEN: 59,
        Fate.BOUND: 5,
        Fate.NAMED: 1,
        Fate.UNUSED: 10,
        Fate.OVERTAKEN: 1,
        Fate.ENROLLING: 7,
        Fate.STRANGER: 5,
        Fate.BOOTSTRAPPING: 3,
        Fate.RESET: 7,
        Fate.DISAPPROVED: 6,
    },
    expired=0.1,
    required=0.1,
    requested=0.1,
    failing=0.7,
    open_request=0.5,
    failed_request=0.5,
    failed_within_days=1,
    never_seen=0.9,
    late_revocation=0.9,
)
"""Nothing that goes wrong is rare: among 1,000 a list of it fills a page already."""
LEAST_CERTIFICATES: dict[Fate, int] = {
    Fate.PROVEN: 1,
    Fate.BOUND: 1,
    Fate.NAMED: 1,
    Fate.UNUSED: 2,
    Fate.OVERTAKEN: 3,
    Fate.ENROLLING: 0,
    Fate.STRANGER: 1,
    Fate.BOOTSTRAPPING: 0,
    Fate.RESET: 1,
    Fate.DISAPPROVED: 1,
}
WITH_PAST = (Fate.PROVEN, Fate.UNUSED, Fate.OVERTAKEN, Fate.RESET, Fate.DISAPPROVED)
"""Those that may have replaced certificates."""

_LIFETIMES = ((365, 80), (90, 12), (730, 5), (7, 3))
_SEASON = (0.6, 0.7, 1.0, 0.9, 0.7, 0.8, 0.5, 0.4, 1.0, 0.9, 0.8, 0.3)
"""How many certificates end in each month, against the fullest: nobody rolls out in August."""


@dataclass(frozen=True)
class Plan:
    """One orchestrator: its fate and how many certificates it has ever had."""

    fate: Fate
    certificates: int


def plans(random: Random, count: int, certificates: int, spread: Spread = ORDINARY) -> list[Plan]:
    """Return ``count`` plans with exactly ``certificates`` certificates (at least ``count``)."""
    fates = random.choices(list(spread.fates), list(spread.fates.values()), k=count)
    numbers = [LEAST_CERTIFICATES[fate] for fate in fates]
    left = certificates - sum(numbers)
    while left < 0:
        # A small fleet may draw more than it was given: some become plain.
        costly = max(range(count), key=lambda i: numbers[i])
        left += numbers[costly] - 1
        fates[costly], numbers[costly] = Fate.PROVEN, 1
    able = [i for i in range(count) if fates[i] in WITH_PAST]
    if not able:
        fates[0] = Fate.PROVEN
        left -= 1 - numbers[0]
        numbers[0], able = 1, [0]
    for index in random.choices(able, k=left):
        numbers[index] += 1
    return [Plan(fate, number) for fate, number in zip(fates, numbers, strict=True)]


def name_of(random: Random, number: int) -> str:
    """Return the name of the orchestrator with this number; no two numbers share one."""
    return f"{random.choice(_ROLES)}-{random.choice(SITES)}-{number:06x}{DOMAIN}"


def site_of(name: str) -> str:
    """Return the site that stands in a name."""
    return name[5:8]


def group_of(random: Random, name: str) -> str | None:
    """Return the group that an orchestrator is in: mostly that of its site."""
    drawn = random.random()
    if drawn < 0.001:
        return PILOT
    return site_of(name) if drawn < 0.85 else None


def labels_of(random: Random, name: str) -> dict[str, str]:
    """Return the labels that operators put on an orchestrator."""
    labels = {"site": site_of(name)}
    if random.random() < 0.9:
        labels["tier"] = _pick(random, _TIERS)
    if random.random() < 0.02:
        labels["critical"] = "yes"
    return labels


def lifetime(random: Random) -> timedelta:
    """Return how long a certificate is valid."""
    return _pick(random, _LIFETIMES) * DAY


def end_of_current(random: Random, lasts: timedelta, now: datetime, spread: Spread) -> datetime:
    """Return when the certificate in use ends: mostly renewed in time, by season."""
    for _ in range(4):
        drawn = random.random()
        if drawn < spread.expired:
            # Expired and nobody came: an orchestrator that was switched off.
            share = -random.random() * 0.3
        elif drawn < spread.expired + 0.04:
            share = random.random() / 12
        elif drawn < spread.expired + 0.18:
            share = 1 / 12 + random.random() * 5 / 12
        else:
            share = 0.5 + random.random() * 0.49
        end = now + timedelta(seconds=int(lasts.total_seconds() * share))
        if random.random() < _SEASON[end.month - 1]:
            break
    return end


def last_contact(random: Random, now: datetime, *, is_live: bool) -> datetime:
    """Return when an orchestrator was last heard of."""
    most = 300 if is_live else int(86400 * random.choice((1, 3, 14, 90)))
    return now - timedelta(seconds=random.randrange(1, most))


def address_of(random: Random) -> str:
    """Return an address of the block for benchmarks (RFC 2544 appendix C.2.2)."""
    return f"198.{random.choice((18, 19))}.{random.randrange(256)}.{random.randrange(1, 255)}"


def _pick(random: Random, weighted: Sequence[tuple[Choice, int]]) -> Choice:
    return random.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]
