"""The first steps of a new portal: what is still to be set up, and the page where it is done.

Owns the order, the words and the addresses. What is set up is `renewal/selectors/overview.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.pages.gate import may_open
from portal.preferences.store import Preferences
from renewal.configuration import CA_SETTING, by_settings
from renewal.selectors.overview import SetUp, set_up


@dataclass(frozen=True)
class Step:
    """One line of the first-run checklist."""

    done: bool
    name: str
    how: str
    url: str


def first_steps(request: HttpRequest, preferences: Preferences) -> list[Step]:
    """Return the steps, for whoever may set up CAs; none once all of them are done."""
    if not holds(request.user, Permission.AUTHORITIES_MODIFY):
        return []
    return steps(set_up(by_settings(preferences)), request.user)


def lacking(request: HttpRequest, preferences: Preferences) -> list[Step]:
    """Return what is to be done before an orchestrator can get a certificate."""
    known = steps(set_up(by_settings(preferences)), request.user)
    return [step for step in known[:-1] if not step.done]


def steps(state: SetUp, user: Any) -> list[Step]:
    """Return all steps, or none once all of them are done."""
    if state.is_complete:
        return []
    may_add = holds(user, Permission.AUTHORITIES_MODIFY)
    return [
        _authority(state, may_add=may_add),
        Step(
            state.has_template,
            "A template",
            "It says which keys, names and validity those certificates have.",
            reverse("template_add" if may_add else "authorities"),
        ),
        Step(
            state.has_settings,
            "CA and template chosen for submitted CSRs",
            "Without both, no renewal works.",
            reverse("setting", args=[min(state.lacking, default=CA_SETTING)]),
        ),
        Step(
            state.has_anchor,
            "A trusted issuer",
            "Only its certificates can prove who an orchestrator is.",
            reverse("trusted_issuers")
            if state.authority is None
            else reverse("authority", args=[state.authority.pk]) + "#trust",
        ),
        Step(
            state.has_orchestrator,
            "The first orchestrator",
            f"It registers at {settings.CONFIG.agent_url}.",
            reverse("add_orchestrator" if may_open(user, "add_orchestrator") else "orchestrators"),
        ),
    ]


def _authority(state: SetUp, *, may_add: bool) -> Step:
    if state.authority is None or state.authority.enabled:
        return Step(
            state.has_authority,
            "A certificate authority",
            "It issues the orchestrators' certificates.",
            reverse("authority_add" if may_add else "authorities"),
        )
    return Step(
        False,
        f"The certificate authority {state.authority.name}, enabled",
        "It is disabled: no certificate is issued.",
        reverse("authority", args=[state.authority.pk]),
    )
