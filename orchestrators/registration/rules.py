"""Auto-registration: which rule decides a first registration, and why no earlier one. PURE.

Owns the conditions and their order. The agent endpoint and the page's "Try" call the same function;
nothing is written here. What an outcome leads to is decided in `renewal/rules/decision.py`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrators.names import without_start_stamp
from orchestrators.registration.glob import matches

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Outcome(StrEnum):
    """What becomes of a first registration."""

    ALLOW = "allow"
    """Approved at once."""
    DENY = "deny"
    """Disapproved at once."""
    DEFER = "defer"
    """Nothing is decided: an operator approves."""


@dataclass(frozen=True)
class Applicant:
    """What is known of a first registration. ``credential`` is empty for a certificate."""

    client_machine: str
    source_address: str
    service_account: str
    roles: frozenset[str] = frozenset()
    """Roles of the service account."""
    credential: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """What an approved orchestrator gets besides; empty leaves what there is."""

    service_account: str = ""
    group: str = ""
    """A group by name, as handlers say it."""
    group_id: int | None = None
    """A group by number, as rules keep it."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """One row. Every condition that is given must hold; within one, any of its values will do."""

    name: str
    outcome: Outcome
    id: int = 0
    is_enabled: bool = True
    name_patterns: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    service_account: str = ""
    role: str = ""
    credential: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    """Key and pattern of client parameters; each of them must be there and match."""
    assignment: Assignment = field(default_factory=Assignment)

    @property
    def matches_everybody(self) -> bool:
        return not (
            self.name_patterns
            or self.networks
            or self.service_account
            or self.role
            or self.credential
            or self.parameters
        )


@dataclass(frozen=True)
class Step:
    """One rule that was looked at; ``mismatches`` says in sentences why it does not apply."""

    rule: Rule
    mismatches: tuple[str, ...] = ()

    @property
    def applies(self) -> bool:
        return not self.mismatches


@dataclass(frozen=True)
class Ruling:
    """The outcome, the rule it comes from (None: no rule applied), and the steps up to it."""

    outcome: Outcome
    rule: Rule | None
    steps: tuple[Step, ...]


def evaluate(rules: Iterable[Rule], applicant: Applicant) -> Ruling:
    """Return the ruling of the first enabled rule that applies; without one, DEFER."""
    steps: list[Step] = []
    for rule in rules:
        step = Step(rule, tuple(_mismatches(rule, applicant)))
        steps.append(step)
        if step.applies:
            return Ruling(rule.outcome, rule, tuple(steps))
    return Ruling(Outcome.DEFER, None, tuple(steps))


def parse_network(text: str) -> Network:
    """Read an address or a network in CIDR notation. Raises ValueError."""
    network = ipaddress.ip_network(text.strip(), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.scope_id:
        raise ValueError("a network has no scope")
    return network


def _mismatches(rule: Rule, applicant: Applicant) -> Iterable[str]:
    if not rule.is_enabled:
        yield "It is switched off."
        return
    name = applicant.client_machine
    if rule.name_patterns and not any(
        matches(pattern, without_start_stamp(name)) for pattern in rule.name_patterns
    ):
        yield f"The name “{name}” does not match {_any(rule.name_patterns)}."
    if rule.networks and not _is_within(applicant.source_address, rule.networks):
        address = applicant.source_address or "unknown"
        yield f"The address {address} is not in {_any(map(str, rule.networks))}."
    if rule.service_account and rule.service_account != applicant.service_account:
        yield (
            f"The service account is “{applicant.service_account}”, not “{rule.service_account}”."
        )
    if rule.role and rule.role not in applicant.roles:
        yield f"The service account “{applicant.service_account}” has no role “{rule.role}”."
    if rule.credential and rule.credential != applicant.credential:
        yield (
            f"The bootstrap credential is “{applicant.credential}”, not “{rule.credential}”."
            if applicant.credential
            else f"It came with a certificate, not with the credential “{rule.credential}”."
        )
    for key, pattern in rule.parameters:
        value = applicant.parameters.get(key)
        if value is None:
            yield f"There is no client parameter “{key}”."
        elif not matches(pattern, value):
            yield f"The client parameter “{key}” is “{value}” and does not match “{pattern}”."


def _is_within(address: str, networks: Iterable[Network]) -> bool:
    """Say whether an address is in any of the networks; what is no address is in none."""
    try:
        found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found.version == network.version and found in network for network in networks)


def _any(values: Iterable[str]) -> str:
    return " or ".join(f"“{value}”" for value in values)
