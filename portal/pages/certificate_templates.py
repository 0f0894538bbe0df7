"""Certificate templates: one with what is issued under it, and how one is added and changed.

Owns these pages; the list stands below the authorities'. What a template may be is
`renewal/templates.py`'s, the form is in `template_form.py`.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.pages import api_calls
from portal.pages.fields import fields
from portal.pages.first_steps import first_steps
from portal.pages.gate import BOTH, actor_of, page
from portal.pages.template_form import TemplateForm, initial
from portal.pages.timeline import changes_of
from portal.preferences import store
from renewal import templates
from renewal.configuration import TEMPLATE_SETTING
from renewal.models import Template
from renewal.selectors.usage import usage
from renewal.templates import EKU_NAMES, Contents, TemplateRefused

_READ = Permission.AUTHORITIES_READ
_MODIFY = Permission.AUTHORITIES_MODIFY


@page(_READ)
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One template: what it says, what is issued under it, and its changes."""
    row = get_object_or_404(Template, pk=pk)
    preferences = store.load()
    far = reach(request.user, Permission.AGENTS_READ)
    names = {oid: name for name, oid in EKU_NAMES.items()}
    chosen = preferences.text(TEMPLATE_SETTING)
    return render(
        request,
        "issuers/template.html",
        {
            "template": row,
            "usages": [names.get(oid, oid) for oid in row.extended_key_usages],
            "requesters": row.allowed_requesters.order_by("username"),
            "usage": usage(row, preferences, reach=far, now=timezone.now()),
            "is_chosen": chosen == row.name,
            "chosen_instead": chosen,
            "setting": TEMPLATE_SETTING,
            "history": changes_of("template", row.pk),
            "steps": first_steps(request, preferences),
            "api_calls": api_calls.of_template(row) if holds(request.user, _MODIFY) else [],
        },
    )


@page(_READ, _MODIFY, methods=BOTH, form=fields(form=TemplateForm))
def add(request: HttpRequest) -> HttpResponseBase:
    """A new template; its form begins with what the shipped one says."""
    form = TemplateForm(
        request.POST if request.method == "POST" else None, initial=initial(Contents())
    )
    if request.method == "POST" and form.is_valid() and (row := _saved(request, form)) is not None:
        return redirect("template", pk=row.pk)
    return _form_page(request, form, api_calls.of_new_template(Contents()))


@page(_READ, _MODIFY, methods=BOTH, form=fields(form=TemplateForm))
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One template to be changed."""
    row = get_object_or_404(Template, pk=pk)
    form = TemplateForm(
        request.POST if request.method == "POST" else None,
        row=row,
        initial=initial(templates.contents_of(row), row),
    )
    if request.method == "POST" and form.is_valid() and _saved(request, form) is not None:
        return redirect("template", pk=pk)
    return _form_page(request, form, api_calls.of_template(row))


@page(_READ, _MODIFY, methods=BOTH, form=fields("revision"))
def remove(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask, then remove a template that nothing uses."""
    row = get_object_or_404(Template, pk=pk)
    if request.method != "POST":
        context = {
            "template": row,
            "needed_by": templates.needed_by(row),
            "revision": templates.revision(row),
        }
        return render(request, "issuers/remove_template.html", context)
    try:
        templates.remove(row, actor=actor_of(request), expected=request.POST.get("revision", ""))
    except TemplateRefused as refused:
        messages.error(request, f"{row.name} was not removed. {refused}")
        return redirect("template", pk=pk)
    messages.success(request, f"The template {row.name} was removed.")
    return redirect("authorities")


def _form_page(
    request: HttpRequest, form: TemplateForm, calls: list[api_calls.ApiCall]
) -> HttpResponseBase:
    return render(
        request,
        "issuers/edit_template.html",
        {"form": form, "row": form.row, "api_calls": calls},
        status=400 if form.errors else 200,
    )


def _saved(request: HttpRequest, form: TemplateForm) -> Template | None:
    known = form.row
    try:
        row, changed = templates.save_template(
            known.name if known else form.cleaned_data["name"],
            form.contents(),
            actor=actor_of(request),
            now=timezone.now(),
            allowed_requesters=form.cleaned_data["requesters"],
            is_new=known is None,
            expected=form.cleaned_data["revision"] if known else None,
        )
    except TemplateRefused as refused:
        form.refuse(refused)
        return None
    said = ("was changed." if known else "was added.") if changed else "is what it was."
    messages.success(request, f"The template {row.name} {said}")
    return row
