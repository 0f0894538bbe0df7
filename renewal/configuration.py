"""Which CA and template enrol the CSRs of orchestrators, and what those settings may be.

Owns the choice (S33, S34 in docs/promises.md): a registration handler's, else the orchestrator's
group's, else the two application settings'. The choice is kept on the request with its source.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from orchestrators.registration.chain import HandlerChoice
from portal.preferences.definitions import BY_NAME
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
    """No CA or template could be chosen; the message is for the operator.

    ``settings``: those of the two that are not set, or name what is not there. ``disabled``: the
    CA that was chosen, if it is disabled.
    """

    def __init__(
        self,
        message: str,
        *,
        settings: Collection[str] = (),
        disabled: CertificateAuthority | None = None,
    ) -> None:
        super().__init__(message)
        self.settings = frozenset(settings)
        self.disabled = disabled

    @property
    def remedy(self) -> str:
        """Return what an operator has to do, in a sentence."""
        if self.settings or self.disabled is None:
            return "Set the CA and the template under Settings, or on its group."
        return f"Enable the CA {self.disabled.name}, or choose another that is enabled."


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
    lacking: dict[str, str] = {}
    if authority is None or template is None:
        authority, template, lacking = _by_settings(preferences, authority, template)
        if not sources or named is not None:
            sources.append("settings")
    disabled = None if authority is None or authority.enabled else authority
    why = [*lacking.values(), *([f"The CA {disabled.name!r} is disabled."] if disabled else [])]
    if authority is None or template is None or why:
        raise NotConfigured(" ".join(why), settings=lacking, disabled=disabled)
    return Chosen(authority, template, ", ".join(sources)[:_MOST_CHARACTERS])


def by_settings(preferences: Preferences) -> Chosen | NotConfigured:
    """Return what the settings choose for every orchestrator whose group chooses nothing else, or
    why that leads to no certificate. Two queries.
    """
    try:
        return choose(preferences)
    except NotConfigured as problem:
        return problem


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
) -> tuple[CertificateAuthority | None, Template | None, dict[str, str]]:
    """Return both, what is None from the settings; and why a setting leads to nothing, by name."""
    lacking: dict[str, str] = {}
    if authority is None:
        name = preferences.text(CA_SETTING)
        authority = CertificateAuthority.objects.filter(name=name).first()
        if authority is None:
            lacking[CA_SETTING] = _why(CA_SETTING, f"The CA {name!r}", name)
    if template is None:
        name = preferences.text(TEMPLATE_SETTING)
        template = Template.objects.filter(name=name).first()
        if template is None:
            lacking[TEMPLATE_SETTING] = _why(TEMPLATE_SETTING, f"The template {name!r}", name)
    return authority, template, lacking


def _why(setting: str, what: str, name: str) -> str:
    return f"{what} does not exist." if name else f"Not set: {BY_NAME[setting].label}."


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
