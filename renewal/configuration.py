"""Which CA and template enrol the CSRs of orchestrators, and what those settings may be.

Owns the choice (S33, S34 in docs/promises.md): a registration handler's, else the orchestrator's
group's, else the two application settings'. The choice is kept on the request with its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from orchestrators.registration.chain import HandlerChoice
from portal.preferences.store import Preferences, register_validator
from portal.preferences.typed import SettingInvalid
from renewal.models import CertificateAuthority, GroupIssuance, Template
from renewal.rules.contact import offline_after
from renewal.rules.periods import Periods

CA_SETTING = "CertificateAuthorityForSubmittedCSRs"
TEMPLATE_SETTING = "TemplateForSubmittedCSRs"
_MOST_CHARACTERS = 120
"""Of the source that a request keeps."""


@dataclass(frozen=True)
class Chosen:
    """The CA and template of a request, and what decided them."""

    authority: CertificateAuthority
    template: Template
    chosen_by: str


class NotConfigured(Exception):
    """No CA or template could be chosen; the message is for the operator."""


class HandlerChoiceInvalid(NotConfigured):
    """A registration handler named a CA or template that cannot be used."""


def choose(
    preferences: Preferences,
    *,
    group_id: int | None = None,
    named: HandlerChoice | None = None,
) -> Chosen:
    """Return CA and template for an orchestrator's CSR. Raises NotConfigured.

    What a registration handler named comes before what the orchestrator's group names, and that
    before the settings, CA and template each by itself. What a handler named has to be there:
    HandlerChoiceInvalid.
    """
    sources: list[str] = []
    authority = template = None
    if named is not None:
        authority, template = _by_handler(named)
        sources.append(f"handler {named.handler}")
    if group_id is not None and not (authority and template):
        issuance = (
            GroupIssuance.objects.select_related("authority", "template", "group")
            .filter(group=group_id)
            .first()
        )
        if issuance is not None:
            by_group = (
                None if authority else issuance.authority,
                None if template else issuance.template,
            )
            authority, template = authority or by_group[0], template or by_group[1]
            if any(by_group):
                sources.append(f"group {issuance.group.name}")
    if authority is None or template is None:
        authority, template = _by_settings(preferences, authority, template)
        if not sources or named is not None:
            sources.append("settings")
    if not authority.enabled:
        raise NotConfigured(f"The CA {authority.name!r} does not exist or is disabled.")
    return Chosen(authority, template, ", ".join(sources)[:_MOST_CHARACTERS])


def _by_handler(
    named: HandlerChoice,
) -> tuple[CertificateAuthority | None, Template | None]:
    """Return what a handler named; nothing else is taken in the place of what is not there."""
    authority = template = None
    if named.authority:
        authority = CertificateAuthority.objects.filter(name=named.authority, enabled=True).first()
        if authority is None:
            raise HandlerChoiceInvalid(
                f"The handler {named.handler} named the CA {named.authority[:100]!r}, which does "
                "not exist or is disabled."
            )
    if named.template:
        template = Template.objects.filter(name=named.template).first()
        if template is None:
            raise HandlerChoiceInvalid(
                f"The handler {named.handler} named the template {named.template[:100]!r}, which "
                "does not exist."
            )
    return authority, template


def _by_settings(
    preferences: Preferences, authority: CertificateAuthority | None, template: Template | None
) -> tuple[CertificateAuthority, Template]:
    """Return both, what is None from the settings."""
    missing = []
    if authority is None:
        name = preferences.text(CA_SETTING)
        authority = CertificateAuthority.objects.filter(name=name).first()
        if not name:
            missing.append("Certificate Authority For Submitted CSRs")
        elif authority is None:
            raise NotConfigured(f"The CA {name!r} does not exist or is disabled.")
    if template is None:
        name = preferences.text(TEMPLATE_SETTING)
        template = Template.objects.filter(name=name).first()
        if not name:
            missing.append("Template For Submitted CSRs")
        elif template is None:
            raise NotConfigured(f"The template {name!r} does not exist.")
    if authority is None or template is None:
        raise NotConfigured(f"Not set: {' and '.join(missing)}.")
    return authority, template


def periods(preferences: Preferences) -> Periods:
    """Return the renewal periods as the settings have them."""
    return Periods(
        warning=timedelta(days=preferences.number("ClientCertificateWarningDays")),
        expiry=timedelta(days=preferences.number("ClientCertificateExpiryDays")),
        warning_divisor=preferences.number("ClientCertificateWarningLifetimeDivisor"),
        expiry_divisor=preferences.number("ClientCertificateExpiryLifetimeDivisor"),
        offline_after=offline_after(preferences.session_length),
    )


def register_validators() -> None:
    """Let the settings store refuse the name of a CA or template that does not exist (C9)."""
    register_validator(CA_SETTING, _known_authority)
    register_validator(TEMPLATE_SETTING, _known_template)


def _known_authority(name: str) -> None:
    if name and not CertificateAuthority.objects.filter(name=name, enabled=True).exists():
        raise SettingInvalid(f"There is no enabled certificate authority {name!r}.")


def _known_template(name: str) -> None:
    if name and not Template.objects.filter(name=name).exists():
        raise SettingInvalid(f"There is no template {name!r}.")
