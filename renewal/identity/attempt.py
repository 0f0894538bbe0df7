"""Trying auto-registration: which rule would decide a Register, and what would stand against it.

Owns the rehearsal that pages and API show. The rules are asked with the function that answers the
orchestrator; nothing is written, and handlers, which are code of the deployment, are not called.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrators.models import BootstrapCredential, Orchestrator
from orchestrators.protocol.requests import RegisterRequest
from orchestrators.registration.rules import Outcome, Ruling, evaluate
from renewal.identity import first_registration
from renewal.identity.claimants import Seen
from renewal.identity.first_registration import Caller


@dataclass(frozen=True)
class Attempt:
    """What would become of a first registration."""

    ruling: Ruling
    obstacle: str = ""
    """Why one that a rule allows is left to an operator all the same."""
    rules_not_asked: int = 0

    @property
    def outcome(self) -> Outcome:
        return Outcome.DEFER if self.obstacle else self.ruling.outcome


def caller_of(
    client_machine: str,
    *,
    address: str = "",
    credential: BootstrapCredential | None = None,
    parameters: dict[str, str] | None = None,
) -> Caller:
    """Return a Register as somebody describes it. Raises MessageError as one that is sent."""
    body = RegisterRequest.parse(
        {"ClientMachine": client_machine, "ClientParameters": parameters or {}}
    )
    return Caller(body, Seen(credential=credential), address.strip())


def usable_credentials() -> list[str]:
    """Return the names of the credentials that a Register could come with."""
    usable = BootstrapCredential.objects.filter(revoked_at=None, spent_at=None)
    return list(usable.order_by("name").values_list("name", flat=True)[:500])


def credential_named(name: str) -> BootstrapCredential | None:
    """Return a credential that a Register could come with, by name."""
    usable = BootstrapCredential.objects.filter(revoked_at=None, spent_at=None)
    return usable.select_related("service_account").filter(name=name).first()


def attempt(caller: Caller, *, besides: Orchestrator | None = None, sees_all: bool) -> Attempt:
    """Return what would become of a Register.

    ``besides``: the New record that it is. ``sees_all``: an obstacle may name any orchestrator.
    """
    rows = first_registration.rules()
    ruling = evaluate((row.rule for row in rows), first_registration.applicant_of(caller))
    obstacle = ""
    if ruling.outcome is Outcome.ALLOW and ruling.rule is not None:
        obstacle = first_registration.obstacle(caller, besides, ruling.rule.assignment)
    if obstacle and not sees_all:
        # It may name an orchestrator that does not exist for this visitor.
        obstacle = "It is not clear without knowing all orchestrators."
    return Attempt(ruling, obstacle, len(rows) - len(ruling.steps))
