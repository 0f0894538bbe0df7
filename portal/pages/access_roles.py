"""Roles: the matrix of roles and permissions, one role, its limits.

Owns these pages and the words for a reach. What a valid role is belongs to
`portal/access/role_changes.py`, what nobody may give to `portal/access/guard.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render

from orchestrators.labels import GroupingRefused, parse
from orchestrators.models import OrchestratorGroup
from portal.access import effective, role_changes
from portal.access.catalogue import CATALOGUE, ROLES, WHOLE_PORTAL, Permission
from portal.access.guard import AccountRefused
from portal.access.models import User
from portal.access.permissions import holds
from portal.access.reach import EVERYTHING, Reach
from portal.access.role_changes import RoleContent
from portal.pages import api_calls
from portal.pages.fields import NOTHING, fields
from portal.pages.gate import ACT, BOTH, actor_of, demand, note_beyond, page


def reach_words(reaches: Iterable[Reach]) -> dict[Reach, str]:
    """Return each reach in words; one query for the names of all groups."""
    asked = set(reaches)
    wanted = {pk for each in asked for pk in each.groups}
    known = dict(OrchestratorGroup.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return {each: _words(each, known) for each in asked}


def _words(each: Reach, known: dict[int, str]) -> str:
    if each.everything:
        return "all orchestrators"
    parts = sorted(f"group {known.get(pk, f'{pk} (removed)')}" for pk in each.groups)
    parts += [f"label {key}={value}" for key, value in sorted(each.labels)]
    return ", ".join(parts) or "nothing"


@page(Permission.SECURITY_READ)
def index(request: HttpRequest) -> HttpResponseBase:
    """The matrix."""
    found = effective.roles()
    words = reach_words(content.limit for _, content in found)
    return render(
        request,
        "access/roles.html",
        {
            "roles": [
                {
                    "role": role,
                    "limit": "" if content.limit.everything else words[content.limit],
                    "is_shipped": role.name in ROLES,
                    "is_edited": role.name in ROLES and _is_edited(role, content),
                }
                for role, content in found
            ],
            "lines": [
                (
                    entry,
                    [
                        (role, effective.granted_by(content, entry.permission), content)
                        for role, content in found
                    ],
                )
                for entry in CATALOGUE
            ],
        },
    )


class RoleForm(forms.Form):
    """A role's name, permissions and limits."""

    revision = forms.CharField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(max_length=role_changes.MOST_CHARACTERS)
    description = forms.CharField(
        required=False, max_length=role_changes.MOST_IN_DESCRIPTION, help_text="What it is for."
    )
    permissions = forms.MultipleChoiceField(
        required=False, choices=[(str(e.permission), e.access_string) for e in CATALOGUE]
    )
    groups = forms.ModelMultipleChoiceField(
        OrchestratorGroup.objects.order_by("name_key"),
        required=False,
        label="Groups",
        help_text="Several with Ctrl or Cmd. No group and no label: the role reaches everything.",
    )
    labels = forms.CharField(
        required=False,
        max_length=8000,
        label="Labels",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "placeholder": "site=berlin"}),
        help_text="key=value, one a line.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["groups"].label_from_instance = lambda group: group.name  # type: ignore[attr-defined]

    def clean_labels(self) -> list[tuple[str, str]]:
        try:
            return [
                parse(line) for line in self.cleaned_data["labels"].splitlines() if line.strip()
            ]
        except GroupingRefused as refused:
            raise forms.ValidationError(str(refused)) from None

    def limit(self) -> Reach:
        """Return the reach that groups and labels make."""
        found = Reach(
            groups=frozenset(group.pk for group in self.cleaned_data["groups"]),
            labels=frozenset(self.cleaned_data["labels"]),
        )
        return EVERYTHING if found.is_nothing else found


@page(Permission.SECURITY_READ, methods=BOTH, form=fields(form=RoleForm))
def add(request: HttpRequest) -> HttpResponseBase:
    """A new role."""
    demand(request, Permission.SECURITY_MODIFY)
    return _edit(request, None)


@page(Permission.SECURITY_READ, methods=BOTH, form=fields(form=RoleForm))
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One role."""
    return _edit(request, _found(pk))


@page(Permission.SECURITY_READ, Permission.SECURITY_MODIFY, methods=ACT, form=NOTHING)
def delete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Remove a role."""
    role = _found(pk)
    try:
        role_changes.delete_role(pk, giver=_person(request), actor=actor_of(request))
    except AccountRefused as refused:
        note_beyond(request, refused)
        messages.error(request, str(refused))
        return redirect("role", pk=pk)
    messages.success(request, f"The role {role.name} was removed.")
    return redirect("roles")


@page(Permission.SECURITY_READ, Permission.SECURITY_MODIFY, methods=ACT, form=NOTHING)
def restore(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Give a shipped role back what it was shipped with."""
    role = _found(pk)
    try:
        changed = role_changes.restore_role(pk, giver=_person(request), actor=actor_of(request))
    except AccountRefused as refused:
        note_beyond(request, refused)
        messages.error(request, str(refused))
    else:
        said = "is as it was shipped again" if changed else "was as it was shipped already"
        messages.success(request, f"The role {role.name} {said}.")
    return redirect("role", pk=pk)


def _edit(request: HttpRequest, role: Group | None) -> HttpResponseBase:
    content = role_changes.content_of(role) if role else RoleContent(frozenset(), EVERYTHING)
    form = RoleForm(
        request.POST if request.method == "POST" else None,
        initial={
            "name": role.name if role else "",
            "description": role_changes.description_of(role) if role else "",
            "permissions": [str(p) for p in content.permissions],
            "groups": sorted(content.limit.groups),
            "labels": "\n".join(f"{k}={v}" for k, v in sorted(content.limit.labels)),
            "revision": role_changes.revision(role) if role else "",
        },
    )
    if request.method == "POST":
        demand(request, Permission.SECURITY_MODIFY)
        if form.is_valid() and (saved := _save(request, role, form)) is not None:
            return redirect("role", pk=saved.pk)
    chosen = set(form["permissions"].value() or [])
    return render(
        request,
        "access/role.html",
        {
            "role": role,
            "form": form,
            "lines": [
                (entry, str(entry.permission) in chosen, entry.permission in WHOLE_PORTAL)
                for entry in CATALOGUE
            ],
            "api_calls": api_calls.of_role(role, content.permissions)
            if holds(request.user, Permission.SECURITY_MODIFY)
            else [],
            "is_shipped": role is not None and role.name in ROLES,
            "is_edited": role is not None and _is_edited(role, content),
            "limit": reach_words([content.limit])[content.limit],
            "holders": role.user_set.order_by("username")[:50] if role else [],
        },
        status=400 if form.errors else 200,
    )


def _save(request: HttpRequest, role: Group | None, form: RoleForm) -> Group | None:
    name = form.cleaned_data["name"]
    if role is None and Group.objects.filter(name=name).exists():
        form.add_error("name", f"There is a role {name!r} already.")
        return None
    try:
        saved, changed = role_changes.save_role(
            name,
            permissions=[Permission(p) for p in form.cleaned_data["permissions"]],
            limit=form.limit(),
            description=form.cleaned_data["description"],
            pk=role.pk if role else None,
            expected=form.cleaned_data["revision"] or None,
            giver=_person(request),
            actor=actor_of(request),
        )
    except AccountRefused as refused:
        note_beyond(request, refused)
        form.add_error(None, str(refused))
        return None
    messages.success(
        request, f"The role {saved.name} was saved." if changed else "Nothing changed."
    )
    return saved


def _found(pk: int) -> Group:
    role = Group.objects.filter(pk=pk).first() if pk < 2**31 else None
    if role is None:
        raise Http404("There is no such role.")
    return role


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _is_edited(role: Group, content: RoleContent) -> bool:
    return content != RoleContent(ROLES.get(role.name, frozenset()), EVERYTHING)
