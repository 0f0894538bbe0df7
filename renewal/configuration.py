"""Which CA and template enrol the CSRs of orchestrators, and what those settings may be.

Owns the choice (S33, S34 in docs/promises.md): the two application settings. The choice is kept
on the request with its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from portal.preferences.definitions import SettingInvalid
from portal.preferences.store import Preferences, register_validator
from renewal.models import CertificateAuthority, Template
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


def choose(preferences: Preferences) -> Chosen:
    """Return CA and template for an orchestrator's CSR. Raises NotConfigured."""
    ca_name, template_name = preferences.text(CA_SETTING), preferences.text(TEMPLATE_SETTING)
    if not ca_name or not template_name:
        missing = [
            label
            for label, name in (
                ("Certificate Authority For Submitted CSRs", ca_name),
                ("Template For Submitted CSRs", template_name),
            )
            if not name
        ]
        raise NotConfigured(f"Not set: {' and '.join(missing)}.")
    authority = CertificateAuthority.objects.filter(name=ca_name).first()
    template = Template.objects.filter(name=template_name).first()
    if authority is None or not authority.enabled:
        raise NotConfigured(f"The CA {ca_name!r} does not exist or is disabled.")
    if template is None:
        raise NotConfigured(f"The template {template_name!r} does not exist.")
    return Chosen(authority, template, "settings")


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
