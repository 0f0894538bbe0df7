"""The form of a certificate template.

Owns how a template is typed in and shown to be changed. What one may be is judged by
`renewal/templates.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django import forms

from portal.pages.form_fields import LinesField, RequestersField
from renewal import templates
from renewal.ca.base import CLIENT_AUTH
from renewal.models import Template
from renewal.models.authorities import NamesPolicy
from renewal.templates import EKU_NAMES, Contents, TemplateRefused
from renewal.x509.keys import KEY_TYPES

_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
_USAGES = {
    EKU_NAMES["serverAuth"]: "serverAuth: the orchestrator also serves TLS with it",
    EKU_NAMES["emailProtection"]: "emailProtection: it also signs mail",
}
_POLICIES = (
    (
        NamesPolicy.MATCH.value,
        "Match: the CSR's names must be the orchestrator's own, or match a pattern below",
    ),
    (
        NamesPolicy.PORTAL.value,
        "Portal: names come from the orchestrator's record, the CSR gives only its key",
    ),
    (NamesPolicy.OPEN.value, "Open: any name that a CSR asks for, for closed test CAs only"),
)
_FIELDS = {
    "name_invalid": "name",
    templates.NAME_TAKEN: "name",
    "key_type_invalid": "key_types",
    "validity_invalid": "validity",
    "backdate_invalid": "backdate_seconds",
    "eku_invalid": "other_usages",
    "names_policy_invalid": "names_policy",
    "name_pattern_invalid": "name_patterns",
}


class TemplateForm(forms.Form):
    """A new template, or one that is there."""

    name = forms.CharField(
        label="Name", max_length=100, help_text="It stays. Up to 100 characters."
    )
    key_types = forms.MultipleChoiceField(
        label="Keys",
        widget=forms.CheckboxSelectMultiple,
        help_text="Which keys a CSR may have. Its key is made by the orchestrator.",
    )
    validity = forms.IntegerField(label="Valid for", min_value=1, max_value=10**9)
    validity_unit = forms.ChoiceField(
        label="Unit", choices=[(str(size), word) for size, word in _UNITS]
    )
    names_policy = forms.ChoiceField(
        label="Where names come from", widget=forms.RadioSelect, choices=_POLICIES
    )
    name_patterns = LinesField(
        label="Name patterns",
        help_text="One per line, such as dns:*.agents.example.com or subject:CN=web-*. Names that "
        "match one are allowed besides the orchestrator's own.",
    )
    usages = forms.MultipleChoiceField(
        label="Extended key usages besides clientAuth",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=list(_USAGES.items()),
        help_text="Every certificate has clientAuth: orchestrators present it.",
    )
    other_usages = LinesField(
        label="Other extended key usages", help_text="Dotted OIDs, one per line."
    )
    backdate_seconds = forms.IntegerField(
        label="Begins earlier by (seconds)",
        min_value=0,
        max_value=templates.MOST_BACKDATE_SECONDS,
        help_text="So that a host whose clock is behind accepts a new certificate at once.",
    )
    requesters = RequestersField(
        label="Who may use it",
        help_text="Usernames of service accounts or people, one per line. Empty: everybody who "
        "may enrol.",
    )
    confirmed = forms.BooleanField(
        label="Let a certificate bear any name that its CSR asks for", required=False
    )
    revision = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Template | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row = row
        # RSA sizes between the usual ones stay to be seen.
        others = [each for each in (row.key_types if row else ()) if each not in KEY_TYPES]
        self.fields["key_types"].choices = [  # type: ignore[attr-defined]
            (each, each) for each in (*KEY_TYPES, *others)
        ]
        if row is not None:
            del self.fields["name"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        was_open = self.row is not None and self.row.names_policy == NamesPolicy.OPEN
        if (
            cleaned.get("names_policy") == NamesPolicy.OPEN
            and not was_open
            and not cleaned.get("confirmed")
        ):
            self.add_error(
                "confirmed",
                "Whoever may enrol could get a certificate in anybody's name. Confirm it, or "
                "choose another policy.",
            )
        return cleaned

    @property
    def asks(self) -> bool:
        """Say whether the dangerous policy has to be confirmed."""
        return bool(self.errors.get("confirmed")) if self.is_bound else False

    @property
    def has_more_errors(self) -> bool:
        return any(self[name].errors for name in ("other_usages", "backdate_seconds", "requesters"))

    def contents(self) -> Contents:
        """Return the template that was typed in."""
        said = self.cleaned_data
        return Contents(
            key_types=tuple(said["key_types"]),
            validity_seconds=said["validity"] * int(said["validity_unit"]),
            backdate_seconds=said["backdate_seconds"],
            extended_key_usages=(CLIENT_AUTH, *said["usages"], *said["other_usages"]),
            names_policy=said["names_policy"],
            name_patterns=tuple(said["name_patterns"]),
        )

    def refuse(self, refused: TemplateRefused) -> None:
        """Show what was refused beside its field."""
        field = _FIELDS.get(refused.reason, "")
        self.add_error(field if field in self.fields else None, str(refused))


def initial(contents: Contents, row: Template | None = None) -> dict[str, Any]:
    """Return a template as its form shows it first."""
    seconds = contents.validity_seconds
    unit = next(size for size, _ in _UNITS if seconds % size == 0)
    usages = contents.extended_key_usages
    requesters = (
        row.allowed_requesters.order_by("username").values_list("username", flat=True)
        if row
        else ()
    )
    return {
        **asdict(contents),
        "validity": seconds // unit,
        "validity_unit": str(unit),
        "usages": [each for each in usages if each in _USAGES],
        "other_usages": "\n".join(
            each for each in usages if each not in _USAGES and each != CLIENT_AUTH
        ),
        "name_patterns": "\n".join(contents.name_patterns),
        "requesters": "\n".join(requesters),
        "revision": templates.revision(row) if row else "",
    }
