"""Auto-registration: the rules in their order, and the handlers with their health.

Owns these pages and their form. What a rule may be and how it changes is
`orchestrators/registration/editing.py`'s. "Try" is in `auto_registration_try.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import Group
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.models import (
    AutoRegistrationRule,
    BootstrapCredential,
    HandlerHealth,
    OrchestratorGroup,
)
from orchestrators.registration import chain, editing
from orchestrators.registration.editing import Contents, RuleRefused
from orchestrators.registration.rules import Outcome
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.pages.fields import fields, one_of
from portal.pages.gate import ACT, BOTH, actor_of, demand, page

_MOST_CHOICES = 500
_READ = Permission.AUTO_REGISTRATION_READ
_MODIFY = Permission.AUTO_REGISTRATION_MODIFY
OUTCOMES = (
    (Outcome.ALLOW.value, "Allow: approve at once"),
    (Outcome.DENY.value, "Deny: disapprove at once"),
    (Outcome.DEFER.value, "Defer: an operator decides"),
)


@dataclass(frozen=True)
class OutcomeLabel:
    """An outcome as a chip shows it."""

    word: str
    tone: str
    icon: str
    meaning: str


OUTCOME_LABELS = {
    Outcome.ALLOW: OutcomeLabel("Allow", "healthy", "circle-check", "Approved at once."),
    Outcome.DENY: OutcomeLabel("Deny", "failed", "ban", "Disapproved at once."),
    Outcome.DEFER: OutcomeLabel("Defer", "waiting", "hourglass", "An operator decides."),
}


@dataclass(frozen=True)
class Line:
    """One rule as the list shows it."""

    row: AutoRegistrationRule
    position: int
    group: str

    @property
    def label(self) -> OutcomeLabel:
        return OUTCOME_LABELS[Outcome(self.row.outcome)]

    @property
    def conditions(self) -> list[tuple[str, list[str]]]:
        """What has to hold, in words; empty: it applies to everybody."""
        row = self.row
        said = [
            ("name", row.name_patterns),
            ("address", row.networks),
            ("service account", [row.service_account] if row.service_account else []),
            ("role", [row.role] if row.role else []),
            ("credential", [row.credential] if row.credential else []),
            *((f"parameter {key} =", [pattern]) for key, pattern in row.parameters),
        ]
        return [(what, values) for what, values in said if values]

    @property
    def gifts(self) -> list[tuple[str, str]]:
        """What an approved orchestrator gets besides, in words."""
        row = self.row
        said = [
            ("group", self.group),
            *(("label", f"{key}={value}") for key, value in sorted(row.assign_labels.items())),
            ("service account", row.assign_service_account),
        ]
        return [(what, value) for what, value in said if value]


class LinesField(forms.CharField):
    """Several values, one per line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            required=False,
            max_length=20_000,
            widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
            **options,
        )

    def clean(self, value: Any) -> list[str]:
        text: str = super().clean(value)
        return [line.strip() for line in text.splitlines() if line.strip()]


class PairsField(LinesField):
    """Several ``key=value``, one per line."""

    def clean(self, value: Any) -> list[tuple[str, str]]:  # type: ignore[override]
        pairs = []
        for line in super().clean(value):
            key, equals, rest = line.partition("=")
            if not equals or not key.strip():
                raise forms.ValidationError(f"“{line[:60]}” is not key=value.")
            pairs.append((key.strip(), rest.strip()))
        return pairs


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


@page(_READ)
def index(request: HttpRequest) -> HttpResponseBase:
    """The rules in order, and the handlers with their health."""
    rows = editing.ordered()
    groups = dict(OrchestratorGroup.objects.values_list("pk", "name"))
    health = {row.path: row for row in HandlerHealth.objects.all()}
    return render(
        request,
        "auto_registration/list.html",
        {
            "lines": [
                Line(row, number, _group_name(row, groups))
                for number, row in enumerate(rows, start=1)
            ],
            "revision": editing.revision(rows),
            "handlers": [(loaded, health.get(loaded.path)) for loaded in chain.handlers()],
        },
    )


@page(_READ, _MODIFY, methods=BOTH, form=fields(form=RuleForm))
def add(request: HttpRequest) -> HttpResponseBase:
    """A new rule, at the end of the list."""
    form = RuleForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _save(request, form, pk=None):
        return redirect("auto_registration")
    return _form_page(request, form, row=None)


@page(_READ, methods=BOTH, form=fields(form=RuleForm))
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One rule and its history."""
    row = AutoRegistrationRule.objects.filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such rule.")
    form = RuleForm(initial=_initial(row))
    if request.method == "POST":
        demand(request, _MODIFY)
        form = RuleForm(request.POST, initial=_initial(row))
        if form.is_valid() and _save(request, form, pk=pk):
            return redirect("auto_registration")
    return _form_page(request, form, row=row)


@page(_READ, _MODIFY, methods=ACT, form=fields("position", "revision"))
def move(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Move a rule to another place in the order that the page showed."""
    try:
        position = int(request.POST.get("position", ""))
    except ValueError:
        position = 0
    if not 1 <= position <= editing.MOST_RULES:
        messages.error(request, "The rule was not moved: there is no such place.")
        return redirect("auto_registration")
    try:
        editing.move(
            pk,
            position,
            expected=request.POST.get("revision", ""),
            actor=actor_of(request),
            now=timezone.now(),
        )
    except RuleRefused as refused:
        messages.error(request, f"The rule was not moved. {refused}")
    return redirect("auto_registration")


@page(_READ, _MODIFY, methods=ACT, form=fields("enabled"))
def switch(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Switch a rule on or off."""
    enabled = one_of(request.POST, "enabled", ("true", "false"))
    if not enabled:
        raise BadRequest("Say whether the rule is to be on or off.")
    try:
        editing.switch(
            pk,
            enabled=enabled == "true",
            actor=actor_of(request),
            author=_person(request),
            now=timezone.now(),
        )
    except RuleRefused as refused:
        messages.error(request, str(refused))
    return redirect("auto_registration")


@page(_READ, _MODIFY, methods=BOTH, form=fields("revision"))
def delete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask, then delete a rule."""
    row = AutoRegistrationRule.objects.filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such rule.")
    if request.method != "POST":
        rows = editing.ordered()
        context = {"line": Line(row, 0, ""), "revision": editing.revision(rows)}
        return render(request, "auto_registration/delete.html", context)
    try:
        editing.delete(pk, expected=request.POST.get("revision", ""), actor=actor_of(request))
    except RuleRefused as refused:
        messages.error(request, f"The rule was not deleted. {refused}")
    else:
        messages.success(request, f"The rule {row.name} was deleted.")
    return redirect("auto_registration")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _save(request: HttpRequest, form: RuleForm, *, pk: int | None) -> bool:
    try:
        row, changed = editing.save(
            form.cleaned_data["name"],
            form.contents(),
            actor=actor_of(request),
            author=_person(request),
            now=timezone.now(),
            pk=pk,
            version=form.cleaned_data["version"],
        )
    except RuleRefused as refused:
        form.add_error(refused.field or None, str(refused))
        return False
    said = ("was changed." if pk else "was added.") if changed else "is what it was."
    messages.success(request, f"The rule {row.name} {said}")
    return True


def _form_page(
    request: HttpRequest, form: RuleForm, *, row: AutoRegistrationRule | None
) -> HttpResponseBase:
    history = (
        AuditEntry.objects.filter(
            object_type="auto_registration_rule", object_id=str(row.pk)
        ).order_by("-id")[:20]
        if row is not None
        else []
    )
    return render(
        request,
        "auto_registration/edit.html",
        {"form": form, "row": row, "history": history},
        status=400 if form.errors else 200,
    )


def _initial(row: AutoRegistrationRule) -> dict[str, Any]:
    said = {**editing.shown(row), "version": row.version}
    said["name_patterns"] = "\n".join(row.name_patterns)
    said["networks"] = "\n".join(row.networks)
    said["parameters"] = "\n".join(f"{key}={pattern}" for key, pattern in row.parameters)
    said["assign_labels"] = "\n".join(f"{k}={v}" for k, v in sorted(row.assign_labels.items()))
    said["assign_group"] = str(row.assign_group) if row.assign_group is not None else ""
    return said


def _group_name(row: AutoRegistrationRule, groups: dict[int, str]) -> str:
    if row.assign_group is None:
        return ""
    return groups.get(row.assign_group, "one that is gone: registrations wait for an operator")
