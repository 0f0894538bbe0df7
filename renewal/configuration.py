"""Which CA and template enrol the CSRs of orchestrators, and what those settings may be.

Owns the choice (S33, S34 in docs/promises.md): the orchestrator's group, else the two application
settings. The choice is kept on the request with its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from portal.preferences.definitions import SettingInvalid
from portal.preferences.store import Preferences, register_validator
from renewal.models import CertificateAuthority, GroupIssuance, Template
from renewal.rules.periods import Periods

CA_SETTING = "CertificateAuthorityForSubmittedCSRs"
TEMPLATE_SETTING = "TemplateForSubmittedCSRs"


@dataclass(frozen=True)
class Chosen:
    """The CA and template of a request, and what decided them."""

    authority: CertificateAuthority
    template: Template
    chosen_by: str


class NotConfigured(Exception):
    """No CA or template could be chosen; the message is for the operator."""


def choose(preferences: Preferences, *, group_id: int | None = None) -> Chosen:
    """Return CA and template for an orchestrator's CSR. Raises NotConfigured.

    What the orchestrator's group names comes before the settings, CA and template each by itself.
    """
    issuance = (
        GroupIssuance.objects.select_related("authority", "template", "group")
        .filter(group=group_id)
        .first()
        if group_id is not None
        else None
    )
    authority = issuance.authority if issuance else None
    template = issuance.template if issuance else None
    by_group = authority or template
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
    if not authority.enabled:
        raise NotConfigured(f"The CA {authority.name!r} does not exist or is disabled.")
    chosen_by = f"group {issuance.group.name}" if issuance and by_group else "settings"
    return Chosen(authority, template, chosen_by[:40])


def periods(preferences: Preferences) -> Periods:
    """Return the renewal periods as the settings have them."""
    return Periods(
        warning=timedelta(days=preferences.number("ClientCertificateWarningDays")),
        expiry=timedelta(days=preferences.number("ClientCertificateExpiryDays")),
        warning_divisor=preferences.number("ClientCertificateWarningLifetimeDivisor"),
        expiry_divisor=preferences.number("ClientCertificateExpiryLifetimeDivisor"),
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
