"""Application settings: each with its type, default, effect and last change.

Owns the pages and widgets; what a value may be is judged by `portal/preferences`. One setting is
changed at a time, so that each change has its own row in the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import Group
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from portal.access.catalogue import Permission, entry_for, for_a_setting
from portal.access.permissions import holds
from portal.access.reach import Reach, reach
from portal.audit.models import AuditEntry
from portal.audit.wording import LONGEST_REASON, one_line
from portal.pages import api_calls
from portal.pages.fields import fields
from portal.pages.gate import BOTH, actor_of, demand, next_of, page
from portal.preferences import store
from portal.preferences.definitions import BY_NAME, EDITABLE
from portal.preferences.models import Setting
from portal.preferences.typed import Definition, Kind, SettingChangedSince, SettingInvalid
from renewal.configuration import CA_SETTING, TEMPLATE_SETTING, periods
from renewal.identity.policies import ROLE_SETTINGS
from renewal.models import CertificateAuthority, Template
from renewal.selectors import affected
from renewal.selectors.affected import Whom
from renewal.selectors.counting import Count

_WHERE_ADDED = {
    CA_SETTING: ("authority_add", "No certificate authority can be used yet.", "Add one"),
    TEMPLATE_SETTING: ("template_add", "There is no template yet.", "Add one"),
}
"""Where what is chosen is added, and what is said while there is none."""

_LISTS = {Whom.WAITING: "state=waiting&fleet=real", Whom.UNUSED: "mark=unused&fleet=real"}


@dataclass(frozen=True)
class Line:
    """One setting as the list shows it."""

    definition: Definition
    value: str
    stored: Setting | None
    may_change: bool
    whom: Whom | None = None
    number: Count | None = None
    """How many orchestrators it counts for, of those whom it concerns."""
    counts_some: bool = False
    """Only those that the visitor may see are counted."""
    stops: bool = False
    """It chooses a CA or a template, and none that can be used."""

    @property
    def list_of_them(self) -> str:
        """Return the query of the list of those that it concerns; empty if no list is just them."""
        return _LISTS.get(self.whom, "") if self.whom else ""

    @property
    def is_default(self) -> bool:
        return self.value == self.definition.default

    @property
    def value_text(self) -> str:
        return shown(self.definition, self.value)

    @property
    def default_text(self) -> str:
        return shown(self.definition, self.definition.default)


def shown(definition: Definition, value: str) -> str:
    """Return a value in words."""
    if definition.kind is Kind.FLAG:
        return "On" if value.strip().lower() == "true" else "Off"
    if definition.kind is Kind.NUMBER:
        return definition.amount(int(value))
    return value or "not set"


def needed_for(definition: Definition) -> Permission:
    """Return the permission that changing a setting needs."""
    return for_a_setting(periods=definition.periods)


@page(Permission.SETTINGS_READ, query=fields("q"))
def index(request: HttpRequest) -> HttpResponseBase:
    """The list, in groups, narrowed to words that are looked for."""
    stored = {row.name: row for row in Setting.objects.all()}
    query = request.GET.get("q", "").strip()[:100]
    numbers = affected.numbers(reach(request.user, Permission.AGENTS_READ), now=timezone.now())
    lines = [
        _line(request, definition, stored.get(definition.name), numbers)
        for definition in EDITABLE
        if _has(definition, query)
    ]
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.definition.group, []).append(line)
    return render(request, "settings/list.html", {"groups": groups.items(), "query": query})


@page(
    Permission.SETTINGS_READ,
    methods=BOTH,
    query=fields("value"),
    # Roles are ticked, several of them under one name.
    form=fields("was", "default", "preview", "next", "message", many=("value",)),
)
def edit(request: HttpRequest, name: str) -> HttpResponseBase:
    """One setting: its widget and its history. The forecast leads here with a period to try."""
    definition = BY_NAME.get(name)
    if definition is None or definition.internal:
        raise Http404("There is no such setting.")
    stored = Setting.objects.filter(name=name).first()
    far = reach(request.user, Permission.AGENTS_READ)
    numbers = affected.numbers(far, now=timezone.now())
    line = _line(request, definition, stored, numbers)
    preview = None
    form = SettingForm(definition, line.value)
    if request.method != "POST" and definition.periods and "value" in request.GET:
        form = SettingForm(definition, line.value, request.GET)
        preview = _preview(definition, form, far) if form.is_valid() else None
    if request.method == "POST":
        demand(request, needed_for(definition))
        if definition.name not in ROLE_SETTINGS and len(request.POST.getlist("value")) > 1:
            raise BadRequest("'value' was sent more than once.")
        given: Mapping[str, Any] = request.POST
        if "default" in request.POST:
            given = {
                "value": _initial(definition, definition.default),
                "message": request.POST.get("message", ""),
            }
        form = SettingForm(definition, line.value, given)
        if "preview" in request.POST:
            if not definition.periods:
                raise BadRequest("Only what a period would change can be shown beforehand.")
            preview = _preview(definition, form, far) if form.is_valid() else None
        elif form.is_valid() and _save(request, definition, form):
            return redirect(next_of(request) or "settings")
        # Somebody may have changed it meanwhile: the page shows what it is now.
        stored = Setting.objects.filter(name=name).first()
        line = _line(request, definition, stored, numbers)
    history = AuditEntry.objects.filter(object_type="setting", object_id=name).order_by("-id")
    return render(
        request,
        "settings/edit.html",
        {
            "line": line,
            "form": form,
            "preview": preview,
            "tried": form.text() if preview else "",
            "api_calls": api_calls.of_setting(definition.id, line.value),
            "needed": entry_for(needed_for(definition)),
            "nothing_to_choose": None
            if line.value or _names(definition)
            else _WHERE_ADDED.get(name),
            "history": [
                (entry, _told(definition, entry.before), _told(definition, entry.after))
                for entry in history[:20]
            ],
        },
        status=400 if form.errors else 200,
    )


class SettingForm(forms.Form):
    """One typed widget; ``now`` is the value that the setting has."""

    def __init__(
        self, definition: Definition, now: str, given: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(given, initial={"value": _initial(definition, now)})
        self.fields["value"] = _field(definition, now)
        self.fields["message"] = forms.CharField(
            label="Reason (optional)",
            required=False,
            max_length=LONGEST_REASON,
            help_text="Kept in the audit log, with your name.",
        )

    def text(self) -> str:
        """Return the value as the store keeps it."""
        value = self.cleaned_data["value"]
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            return ", ".join(value)
        return "" if value is None else str(value)


def _save(request: HttpRequest, definition: Definition, form: SettingForm) -> bool:
    try:
        changed = store.change(
            definition.name,
            form.text(),
            actor=actor_of(request),
            now=timezone.now(),
            expected=request.POST.get("was"),
            message=one_line(form.cleaned_data["message"]),
        )
    except SettingChangedSince as problem:
        form.add_error(None, str(problem))
        return False
    except SettingInvalid as problem:
        form.add_error("value", str(problem))
        return False
    value = shown(definition, definition.canonical(form.text()))
    said = f"is {value} now." if changed else f"is {value}, as it was."
    messages.success(request, f"{definition.label} {said}")
    return True


def _told(definition: Definition, told: Mapping[str, Any]) -> str:
    """Return the value that an audit row tells, in words."""
    value = str(told.get("value", ""))
    try:
        return shown(definition, value)
    except ValueError:
        # Written under another definition.
        return value


def _has(definition: Definition, query: str) -> bool:
    text = f"{definition.label} {definition.name} {definition.group} {definition.effect}".casefold()
    return all(word in text for word in query.casefold().split())


def _preview(definition: Definition, form: SettingForm, far: Reach) -> affected.Preview | None:
    """Say what a period would change at once; a value that cannot be is the form's error."""
    try:
        store.check(definition, form.text())
    except SettingInvalid as problem:
        form.add_error("value", str(problem))
        return None
    return affected.preview(
        definition.name,
        int(form.text()),
        periods(store.load()),
        reach=far,
        now=timezone.now(),
    )


def _line(
    request: HttpRequest,
    definition: Definition,
    stored: Setting | None,
    numbers: Mapping[Whom, Count],
) -> Line:
    whom = affected.whom(definition.name)
    value = stored.value if stored else definition.default
    return Line(
        definition=definition,
        value=value,
        stored=stored,
        may_change=holds(request.user, needed_for(definition)),
        whom=whom,
        number=None if whom is None else numbers[whom],
        counts_some=not reach(request.user, Permission.AGENTS_READ).everything,
        stops=definition.name in _WHERE_ADDED and value not in _names(definition),
    )


def _initial(definition: Definition, value: str) -> Any:
    if definition.kind is Kind.FLAG:
        return value.strip().lower() == "true"
    return definition.parse(value) if definition.name in ROLE_SETTINGS else value


def _field(definition: Definition, now: str) -> forms.Field:
    label = definition.label + (f" ({definition.unit})" if definition.unit else "")
    if definition.kind is Kind.FLAG:
        return forms.BooleanField(label=label, required=False)
    if definition.kind is Kind.NUMBER:
        return forms.IntegerField(
            label=label,
            min_value=definition.least,
            max_value=definition.most,
            help_text=f"{definition.bounds}.",
        )
    if definition.name in _WHERE_ADDED:
        return _choice(label, _names(definition), now)
    if definition.name in ROLE_SETTINGS:
        return _roles(label, now)
    return forms.CharField(
        label=label,
        required=False,
        max_length=2000,
        help_text="Several are separated by commas." if definition.kind is Kind.NAMES else "",
    )


def _names(definition: Definition) -> list[str]:
    """Return what can be chosen for a setting that names a CA or a template; else nothing."""
    if definition.name == CA_SETTING:
        rows = CertificateAuthority.objects.filter(enabled=True).order_by("name")
        return list(rows.values_list("name", flat=True))
    if definition.name == TEMPLATE_SETTING:
        return list(Template.objects.order_by("name").values_list("name", flat=True))
    return []


def _choice(label: str, names: Iterable[str], now: str) -> forms.ChoiceField:
    choices = [("", "not set"), *((name, name) for name in names)]
    if now not in dict(choices):
        # Left out, it would read as "not set", and be unset by whoever saves.
        choices.append((now, f"{now} (cannot be used now)"))
    return forms.ChoiceField(label=label, required=False, choices=choices)


def _roles(label: str, now: str) -> forms.MultipleChoiceField:
    """Ticks for roles; a role that was removed since stays until somebody unticks it."""
    names = list(Group.objects.order_by("name").values_list("name", flat=True))
    chosen = [name.strip() for name in now.split(",") if name.strip()]
    gone = [(name, f"{name} (removed)") for name in chosen if name not in names]
    return forms.MultipleChoiceField(
        label=label,
        required=False,
        choices=[*((name, name) for name in names), *gone],
        widget=forms.CheckboxSelectMultiple,
    )
