"""The form of a rule of auto-registration.

Owns how a rule is typed in and shown to be changed. What a rule may be is
`orchestrators/registration/contents.py`'s.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import Group

from orchestrators.models import (
    AutoRegistrationRule,
    BootstrapCredential,
    OrchestratorGroup,
)
from orchestrators.registration import editing
from orchestrators.registration.contents import Contents
from orchestrators.registration.rules import Outcome
from portal.access.models import User
from portal.pages.form_fields import LinesField, PairsField

_MOST_CHOICES = 500


OUTCOMES = (
    (Outcome.ALLOW.value, "Allow: approve at once"),
    (Outcome.DENY.value, "Deny: disapprove at once"),
    (Outcome.DEFER.value, "Defer: an operator decides"),
)


class RuleForm(forms.Form):
    """One rule."""

    name = forms.CharField(label="Name", max_length=100)
    description = forms.CharField(label="Description", max_length=500, required=False)
    outcome = forms.ChoiceField(label="Outcome", choices=OUTCOMES, initial=Outcome.DEFER.value)
    enabled = forms.BooleanField(label="Switched on", required=False, initial=True)
    name_patterns = LinesField(
        label="Name patterns",
        help_text="One per line; * is any run of characters, ? is one. Any of them will do. A name "
        "is what the caller says of itself: it proves nothing.",
    )
    networks = LinesField(
        label="Networks", help_text="One per line, such as 10.0.0.0/8. Any of them will do."
    )
    credential = forms.ChoiceField(
        label="Bootstrap credential",
        required=False,
        help_text="A caller with a client certificate never matches.",
    )
    service_account = forms.ChoiceField(
        label="Service account",
        required=False,
        help_text="The credential's, or else “orchestrators”.",
    )
    role = forms.ChoiceField(label="Role of the service account", required=False)
    parameters = PairsField(
        label="Client parameters", help_text="key=pattern, one per line. All of them must match."
    )
    assign_group = forms.ChoiceField(label="Group", required=False)
    assign_labels = PairsField(label="Labels", help_text="key=value, one per line.")
    assign_service_account = forms.ChoiceField(label="Service account", required=False)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = User.objects.filter(is_service_account=True).order_by("username")
        names = list(accounts.values_list("username", flat=True)[:_MOST_CHOICES])
        self._choose("service_account", "any", names)
        self._choose("assign_service_account", "the credential's", names)
        roles = Group.objects.order_by("name").values_list("name", flat=True)
        self._choose("role", "any", list(roles[:_MOST_CHOICES]))
        usable = BootstrapCredential.objects.filter(revoked_at=None, spent_at=None).order_by("name")
        self._choose(
            "credential", "any", list(usable.values_list("name", flat=True)[:_MOST_CHOICES])
        )
        groups = OrchestratorGroup.objects.order_by("name").values_list("pk", "name")
        self._choices("assign_group", [("", "none"), *((str(pk), name) for pk, name in groups)])

    @property
    def conditions(self) -> list[forms.BoundField]:
        names = ("name_patterns", "networks", "credential", "service_account", "role", "parameters")
        return [self[name] for name in names]

    @property
    def gifts(self) -> list[forms.BoundField]:
        return [self[n] for n in ("assign_group", "assign_labels", "assign_service_account")]

    def contents(self) -> Contents:
        """Return the rule that was typed in."""
        said = self.cleaned_data
        return Contents(
            outcome=said["outcome"],
            description=said["description"],
            enabled=said["enabled"],
            name_patterns=tuple(said["name_patterns"]),
            networks=tuple(said["networks"]),
            service_account=said["service_account"],
            role=said["role"],
            credential=said["credential"],
            parameters=tuple(said["parameters"]),
            assign_service_account=said["assign_service_account"],
            assign_group=int(said["assign_group"]) if said["assign_group"] else None,
            assign_labels=tuple(said["assign_labels"]),
        )

    def _choose(self, field: str, empty: str, names: list[str]) -> None:
        # What a rule names and is not there any more stays visible until it is changed.
        kept = self.initial.get(field)
        more = [kept] if kept and kept not in names else []
        self._choices(field, [("", empty), *((name, name) for name in [*names, *more])])

    def _choices(self, field: str, choices: list[tuple[str, str]]) -> None:
        chosen = self.fields[field]
        if isinstance(chosen, forms.ChoiceField):
            chosen.choices = choices


def initial(row: AutoRegistrationRule) -> dict[str, Any]:
    """Return a rule as its form shows it first."""
    said = {**editing.shown(row), "version": row.version}
    said["name_patterns"] = "\n".join(row.name_patterns)
    said["networks"] = "\n".join(row.networks)
    said["parameters"] = "\n".join(f"{key}={pattern}" for key, pattern in row.parameters)
    said["assign_labels"] = "\n".join(f"{k}={v}" for k, v in sorted(row.assign_labels.items()))
    said["assign_group"] = str(row.assign_group) if row.assign_group is not None else ""
    return said
