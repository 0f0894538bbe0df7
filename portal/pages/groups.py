"""Groups and labels of orchestrators: managed, and set for one or many.

Owns these pages. What a valid group or label is belongs to `orchestrators/groups.py` and
`labels.py`; the CA and template of a group to `renewal/group_issuance.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators import groups, labels
from orchestrators.labels import GroupingRefused
from orchestrators.models import Orchestrator, OrchestratorGroup
from orchestrators.reach import act_reaches, within
from orchestrators.records import parse_agent_id
from portal.access.catalogue import Permission
from portal.access.models import RoleReach, User
from portal.access.permissions import holds
from portal.access.reach import Reach, reach
from portal.pages import api_calls
from portal.pages.fields import NOTHING, fields, one_of
from portal.pages.gate import ACT, BOTH, actor_of, demand, demand_everywhere, page
from renewal.group_issuance import issuance_of, set_issuance
from renewal.models import CertificateAuthority, Template
from renewal.selectors.counting import Count, counted

MOST_AT_ONCE = 200
_P = Permission


class GroupForm(forms.Form):
    """A group, and what enrols its orchestrators."""

    name = forms.CharField(max_length=groups.MOST_CHARACTERS)
    description = forms.CharField(max_length=groups.MOST_DESCRIPTION, required=False)
    authority = forms.ModelChoiceField(
        CertificateAuthority.objects.filter(enabled=True).order_by("name"),
        label="Certificate authority",
        to_field_name="name",
        required=False,
        empty_label="as in the settings",
    )
    template = forms.ModelChoiceField(
        Template.objects.order_by("name"),
        to_field_name="name",
        required=False,
        empty_label="as in the settings",
    )

    def __init__(
        self,
        *args: Any,
        may_choose: bool,
        now: CertificateAuthority | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if now is not None:
            # Left out while it is disabled, it would read as "as in the settings", and be unset by
            # whoever saves.
            usable = CertificateAuthority.objects.filter(Q(enabled=True) | Q(pk=now.pk))
            self.fields["authority"].queryset = usable.order_by("name")  # type: ignore[attr-defined]
        for name in ("authority", "template"):
            self.fields[name].label_from_instance = _label  # type: ignore[attr-defined]
            if not may_choose:
                del self.fields[name]


def _label(row: CertificateAuthority | Template) -> str:
    is_disabled = isinstance(row, CertificateAuthority) and not row.enabled
    return f"{row.name} (disabled)" if is_disabled else row.name


@page(_P.AGENTS_READ, methods=BOTH, form=fields("name", "description"))
def index(request: HttpRequest) -> HttpResponseBase:
    """The groups, and a form for a new one."""
    mine = reach(request.user, _P.AGENTS_READ)
    form = GroupForm(request.POST if request.method == "POST" else None, may_choose=False)
    if request.method == "POST":
        demand_everywhere(request, _P.AGENTS_READ, _P.AGENTS_MODIFY)
        if form.is_valid() and (made := _made(request, form)) is not None:
            return redirect("group", pk=made.pk)
    shown = list(groups.visible(mine))
    return render(
        request,
        "groups/list.html",
        {
            "groups": shown,
            "form": form,
            "may_add": _may_manage(request),
            "api_calls": api_calls.of_new_group() if _may_manage(request) else [],
        },
        status=400 if form.errors else 200,
    )


@page(_P.AGENTS_READ, methods=BOTH, form=fields(form=GroupForm))
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One group."""
    group = _found(request, pk)
    issuance = issuance_of(group)
    form = GroupForm(
        request.POST if request.method == "POST" else None,
        initial={
            "name": group.name,
            "description": group.description,
            "authority": issuance.authority.name if issuance and issuance.authority else "",
            "template": issuance.template.name if issuance and issuance.template else "",
        },
        may_choose=holds(request.user, _P.AUTHORITIES_MODIFY),
        now=issuance.authority if issuance else None,
    )
    if request.method == "POST":
        demand_everywhere(request, _P.AGENTS_READ, _P.AGENTS_MODIFY)
        if {"authority", "template"} & set(request.POST):
            demand(request, _P.AUTHORITIES_MODIFY)
        if form.is_valid() and _saved(request, group, form):
            return redirect("group", pk=pk)
    return render(
        request,
        "groups/detail.html",
        {
            "group": group,
            "issuance": issuance,
            "form": form,
            "may_manage": _may_manage(request),
            "api_calls": api_calls.of_group(group) if _may_manage(request) else [],
            "members": _members(group),
            "roles": RoleReach.objects.filter(orchestrator_group=pk)
            .order_by("role__name")
            .values_list("role__name", flat=True),
        },
        status=400 if form.errors else 200,
    )


@page(_P.AGENTS_READ, _P.AGENTS_MODIFY, methods=ACT, form=NOTHING)
def delete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Remove an empty group."""
    demand_everywhere(request, _P.AGENTS_READ, _P.AGENTS_MODIFY)
    group = _found(request, pk)
    try:
        groups.delete_group(pk, actor=actor_of(request))
    except GroupingRefused as refused:
        messages.error(request, str(refused))
        return redirect("group", pk=pk)
    messages.success(request, f"The group {group.name} was removed.")
    return redirect("groups")


class AssignForm(forms.Form):
    """A group and labels for the orchestrators that were chosen."""

    group = forms.ChoiceField(required=False)
    put = forms.CharField(
        label="Labels to set",
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "placeholder": "site=berlin"}),
        help_text="key=value, one a line. Labels with other keys stay.",
    )
    remove = forms.CharField(
        label="Labels to remove",
        required=False,
        max_length=2000,
        help_text="Keys, with commas between them.",
    )

    def __init__(self, *args: Any, names: Sequence[str], may_leave: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "leave as it is"), *((f"={name}", name) for name in names)]
        if may_leave:
            choices.append(("none", "no group"))
        self.fields["group"].choices = choices  # type: ignore[attr-defined]

    def clean_put(self) -> dict[str, str]:
        try:
            lines = self.cleaned_data["put"].splitlines()
            return dict(labels.parse(line) for line in lines if line.strip())
        except GroupingRefused as refused:
            raise forms.ValidationError(str(refused)) from None

    def clean_remove(self) -> list[str]:
        given = self.cleaned_data["remove"].replace(",", "\n").split("\n")
        return [key.strip().lower() for key in given if key.strip()]


@page(
    _P.AGENTS_READ,
    _P.AGENTS_MODIFY,
    methods=BOTH,
    form=fields("confirmed", "query", "scope", many=("ids",), form=AssignForm),
    query=fields(many=("ids",)),
)
def assign(request: HttpRequest) -> HttpResponseBase:
    """Set group and labels of one or many orchestrators."""
    given = request.POST if request.method == "POST" else request.GET
    is_confirmed = bool(one_of(request.POST, "confirmed", ("1",)))
    if not is_confirmed and set(AssignForm.base_fields) & set(request.POST):
        raise BadRequest("Group and labels are set when they are confirmed.")
    if one_of(request.POST, "scope", ("all",)):
        messages.warning(request, "Group and labels are set for ticked ones, not for all.")
        return redirect("orchestrators")
    ids = _ids(given.getlist("ids"))
    reaches = act_reaches(request.user, _P.AGENTS_MODIFY)
    chosen = within(Orchestrator.objects.filter(pk__in=ids), *reaches)
    records = list(chosen.select_related("group").prefetch_related("labels").order_by("name_key"))
    if not records:
        if not ids:
            messages.warning(request, "No orchestrator was selected.")
            return redirect("orchestrators")
        raise Http404("There is no such orchestrator.")
    form = AssignForm(
        request.POST if is_confirmed else None,
        names=groups.visible_names(*reaches),
        may_leave=all(each.everything for each in reaches),
    )
    if form.is_bound and form.is_valid() and _assigned(request, ids, form, reaches):
        if len(records) == 1:
            return redirect("orchestrator", pk=records[0].pk)
        return redirect("orchestrators")
    return render(
        request,
        "groups/assign.html",
        {
            "records": records,
            "form": form,
            "api_calls": api_calls.of_grouping(
                [record.pk for record in records],
                records[0].group.name if records[0].group else None,
            ),
        },
        status=400 if form.errors else 200,
    )


def _assigned(
    request: HttpRequest, ids: Sequence[UUID], form: AssignForm, reaches: Sequence[Reach]
) -> bool:
    given, actor = form.cleaned_data, actor_of(request)
    person = request.user
    assert isinstance(person, User)
    changed: set[UUID] = set()
    try:
        with transaction.atomic():
            if given["group"]:
                name = given["group"].removeprefix("=")
                group = groups.named(name, reaches[1]) if given["group"] != "none" else None
                changed |= groups.assign(ids, group, author=person, actor=actor)[1]
            if given["put"] or given["remove"]:
                changed |= labels.set_labels(
                    ids, put=given["put"], remove=given["remove"], author=person, actor=actor
                )[1]
    except GroupingRefused as refused:
        form.add_error(None, str(refused))
        return False
    count = len(changed)
    messages.success(
        request,
        f"{count} orchestrator{'' if count == 1 else 's'} changed."
        if count
        else "Nothing changed.",
    )
    return True


def _made(request: HttpRequest, form: GroupForm) -> OrchestratorGroup | None:
    try:
        made, _ = groups.save_group(
            form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            is_new=True,
            actor=actor_of(request),
            now=timezone.now(),
        )
    except GroupingRefused as refused:
        form.add_error("name", str(refused))
        return None
    messages.success(request, f"The group {made.name} was added.")
    return made


def _saved(request: HttpRequest, group: OrchestratorGroup, form: GroupForm) -> bool:
    given = form.cleaned_data
    try:
        with transaction.atomic():
            _, changed = groups.save_group(
                given["name"],
                description=given["description"],
                pk=group.pk,
                actor=actor_of(request),
                now=timezone.now(),
            )
            if "authority" in form.fields:
                demand(request, _P.AUTHORITIES_MODIFY)
                changed |= set_issuance(
                    group, given["authority"], given["template"], actor=actor_of(request)
                )
    except GroupingRefused as refused:
        form.add_error("name", str(refused))
        return False
    messages.success(request, "The group was saved." if changed else "Nothing changed.")
    return True


def _found(request: HttpRequest, pk: int) -> OrchestratorGroup:
    mine = reach(request.user, _P.AGENTS_READ)
    group = groups.visible(mine).filter(pk=pk).first() if pk < 2**63 else None
    if group is None:
        raise Http404("There is no such group.")
    return group


def _may_manage(request: HttpRequest) -> bool:
    needed = (_P.AGENTS_READ, _P.AGENTS_MODIFY)
    return all(reach(request.user, each).everything for each in needed)


def _members(group: OrchestratorGroup) -> Count:
    return counted(Orchestrator.objects.filter(group=group))


def _ids(values: Sequence[str]) -> list[UUID]:
    if len(values) > MOST_AT_ONCE:
        raise BadRequest(f"At most {MOST_AT_ONCE} orchestrators at once.")
    ids = [parse_agent_id(value) for value in values]
    if None in ids:
        raise BadRequest("An orchestrator's id is not a GUID.")
    return list(dict.fromkeys(pk for pk in ids if pk is not None))
