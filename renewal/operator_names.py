"""Which names a person is granted for a CSR of no orchestrator.

Owns how a template's names policy counts for people. ``open``: any. ``match``: each name is covered
by a pattern of the template, or all that are left are own names of one approved orchestrator that
the person may change. ``portal``: none, for its names are those of a record. Which names a policy
grants is `renewal/x509/names_policy.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from django.db.models import Q

from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical, claim_key
from orchestrators.reach import act_reaches, within
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.preferences.store import Preferences
from renewal.configuration import Chosen
from renewal.enrollment.door import names_policy
from renewal.models import Template
from renewal.x509.csr_door import CSRRefused, ParsedCSR
from renewal.x509.names_policy import (
    GrantedNames,
    NameBeyond,
    NamesMode,
    NamesPolicy,
    check_names,
    names_beyond,
)

_MOST_HOLDERS = 20
_AGENT_URN = "urn:uuid:"


class NamesNotGranted(ValueError):
    """A name of the CSR is not granted; ``reason`` is stable, the message says the remedy."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def granted(
    csr: ParsedCSR, chosen: Chosen, requester: User, *, preferences: Preferences
) -> GrantedNames:
    """Return the names that a person gets. Raises NamesNotGranted, CSRRefused."""
    template = chosen.template
    mode = NamesMode(template.names_policy)
    if mode is NamesMode.PORTAL:
        raise NamesNotGranted(
            "names_of_record",
            f"The template {template.name!r} takes all names from the record of an orchestrator "
            "(names policy portal): choose another template.",
        )
    as_they_are = replace(_patterns_of(template), mode=NamesMode.OPEN)
    if mode is NamesMode.OPEN:
        return check_names(csr, as_they_are)
    beyond = names_beyond(csr, _patterns_of(template))
    if not beyond:
        return check_names(csr, as_they_are)
    for holder in _holders(csr, beyond, requester, preferences.names("OrchestratorDomainSuffixes")):
        policy = names_policy(holder, chosen, presented=None, preferences=preferences)
        try:
            return check_names(csr, policy)
        except CSRRefused:
            continue
    raise NamesNotGranted(
        "name_not_covered",
        f"The {beyond[0]} is covered by no pattern of the template {template.name!r}, and the "
        "names that are covered by none are not those of one orchestrator that you may change: "
        f"have a pattern ({beyond[0].kind}:...) added to the template.",
    )


def _patterns_of(template: Template) -> NamesPolicy:
    return NamesPolicy(patterns=tuple(template.name_patterns))


def _holders(
    csr: ParsedCSR, beyond: Iterable[NameBeyond], requester: User, suffixes: Sequence[str]
) -> list[Orchestrator]:
    """Return the approved orchestrators of these names (ClientMachine, AgentId) that a person may
    change: one that they may not is as one that is not there.
    """
    texts = {name.value for name in beyond if name.kind != "subject"}
    if any(name.kind == "subject" for name in beyond):
        texts |= set(csr.common_names)
    keys = {canonical(text) for text in texts}
    for suffix in suffixes:
        end = f".{canonical(suffix).lstrip('.')}"
        keys |= {key.removesuffix(end) for key in set(keys)}
    wanted = (
        Q(name_key__in=keys)
        | Q(claim_key__in={claim_key(key) for key in keys})
        | Q(pk__in=_agent_ids(texts))
    )
    rows = Orchestrator.objects.filter(wanted, status=Status.APPROVED)
    reached = within(rows, *act_reaches(requester, Permission.AGENTS_MODIFY))
    return list(reached.order_by("pk")[:_MOST_HOLDERS])


def _agent_ids(texts: Iterable[str]) -> set[UUID]:
    found = set()
    for text in texts:
        try:
            found.add(UUID(text.casefold().removeprefix(_AGENT_URN)))
        except ValueError:
            continue
    return found
