"""Auto-registration: the rules in their order, and the handlers with their health.

Owns these pages. What a rule may be and how it changes is `orchestrators/registration/`'s; the form
is in `auto_registration_form.py`, "Try" in `auto_registration_try.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.models import (
    AutoRegistrationRule,
    HandlerHealth,
    OrchestratorGroup,
)
from orchestrators.registration import chain, editing
from orchestrators.registration.contents import RuleRefused
from orchestrators.registration.rules import Outcome
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.permissions import holds
from portal.audit.models import AuditEntry
from portal.pages import api_calls
from portal.pages.auto_registration_form import RuleForm, initial
from portal.pages.fields import fields, one_of
from portal.pages.gate import ACT, BOTH, actor_of, demand, page

_READ = Permission.AUTO_REGISTRATION_READ
_MODIFY = Permission.AUTO_REGISTRATION_MODIFY


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
    form = RuleForm(initial=initial(row))
    if request.method == "POST":
        demand(request, _MODIFY)
        form = RuleForm(request.POST, initial=initial(row))
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
        moved = editing.move(
            pk,
            position,
            expected=request.POST.get("revision", ""),
            actor=actor_of(request),
            now=timezone.now(),
        )
    except RuleRefused as refused:
        messages.error(request, f"The rule was not moved. {refused}")
    else:
        if moved:
            messages.success(request, f"{_name_of(pk)} is number {position} now.")
    return redirect("auto_registration")


@page(_READ, _MODIFY, methods=ACT, form=fields("enabled"))
def switch(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Switch a rule on or off."""
    enabled = one_of(request.POST, "enabled", ("true", "false"))
    if not enabled:
        raise BadRequest("Say whether the rule is to be on or off.")
    try:
        changed = editing.switch(
            pk,
            enabled=enabled == "true",
            actor=actor_of(request),
            author=_person(request),
            now=timezone.now(),
        )
    except RuleRefused as refused:
        messages.error(request, str(refused))
    else:
        said = "on" if enabled == "true" else "off"
        messages.success(request, f"{_name_of(pk)} {'is' if changed else 'was'} switched {said}.")
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


def _name_of(pk: int) -> str:
    names = AutoRegistrationRule.objects.filter(pk=pk).values_list("name", flat=True)
    return f"The rule {names.first() or 'that is gone'}"


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
        {
            "form": form,
            "row": row,
            "history": history,
            "api_calls": _calls(row) if holds(request.user, _MODIFY) else [],
        },
        status=400 if form.errors else 200,
    )


def _calls(row: AutoRegistrationRule | None) -> list[api_calls.ApiCall]:
    if row is None:
        return api_calls.of_new_rule()
    before = AutoRegistrationRule.objects.filter(position__lt=row.position).count()
    return api_calls.of_rule(row, before + 1)


def _group_name(row: AutoRegistrationRule, groups: dict[int, str]) -> str:
    if row.assign_group is None:
        return ""
    return groups.get(row.assign_group, "one that is gone: registrations wait for an operator")
