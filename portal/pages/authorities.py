"""Certificate authorities: the list with the templates, one CA with its health and what uses it,
and how one is added and changed.

Owns these pages. What a CA may be is judged by `renewal/authorities.py` and its type; what is
asked of one is in `authority_acts.py`, the form in `authority_form.py`. No secret is read here.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.pages import api_calls
from portal.pages.authority_acts import test_and_tell, trusted
from portal.pages.authority_form import AuthorityForm, initial, label_of
from portal.pages.fields import fields, one_of
from portal.pages.first_steps import first_steps
from portal.pages.gate import BOTH, actor_of, demand, page
from portal.pages.timeline import changes_of
from portal.preferences import store
from renewal import authorities, authority_trust, crl, issuers, readiness
from renewal.authorities import LOCAL, AuthorityRefused
from renewal.ca.base import CAError, CAMisconfigured
from renewal.configuration import CA_SETTING, TEMPLATE_SETTING
from renewal.issuers import ChangedSince, NameTaken
from renewal.models import CertificateAuthority, Template
from renewal.selectors.authority_states import state_of
from renewal.selectors.usage import usage

_READ = Permission.AUTHORITIES_READ
_MODIFY = Permission.AUTHORITIES_MODIFY
_FIELDS = fields(
    "type",
    "trial",
    "trust",
    "name",
    "key_type",
    "hold_seconds",
    "requesters",
    "revision",
    many=("options",),
    each={"option": "options"},
)


@dataclass(frozen=True)
class Kind:
    """A type of CA, as somebody chooses among them."""

    alias: str
    about: str
    problem: str = ""


@page(_READ)
def index(request: HttpRequest) -> HttpResponseBase:
    """The certificate authorities with their health, and the templates."""
    preferences = store.load()
    rows = (
        CertificateAuthority.objects.select_related("revocation_list")
        .prefetch_related("allowed_requesters")
        .order_by("name")
    )
    return render(
        request,
        "issuers/authorities.html",
        {
            "authorities": [(row, state_of(row)) for row in rows],
            "templates": Template.objects.prefetch_related("allowed_requesters").order_by("name"),
            "chosen_authority": preferences.text(CA_SETTING),
            "chosen_template": preferences.text(TEMPLATE_SETTING),
        },
    )


@page(_READ)
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One CA: its state, what it answered, what uses it, and its changes."""
    row = get_object_or_404(CertificateAuthority.objects.select_related("revocation_list"), pk=pk)
    preferences, now = store.load(), timezone.now()
    chosen = preferences.text(CA_SETTING)
    return render(
        request,
        "issuers/authority.html",
        {
            "authority": row,
            "state": state_of(row),
            "test": readiness.test_result(row),
            "is_unfinished": authorities.is_unfinished(row),
            "is_slow": (row.last_answer_seconds or 0) > row.hold_seconds,
            "options": _shown(row),
            "publishes": crl.publishes(row),
            "revocation_list": getattr(row, "revocation_list", None),
            "is_trusted": authority_trust.is_trusted(row),
            "usage": usage(
                row, preferences, reach=reach(request.user, Permission.AGENTS_READ), now=now
            ),
            "is_chosen": chosen == row.name,
            "chosen_instead": chosen,
            "setting": CA_SETTING,
            "requesters": row.allowed_requesters.order_by("username"),
            "revision": issuers.revision(row),
            "history": changes_of("authority", row.pk),
            "steps": first_steps(request, preferences),
            "api_calls": api_calls.of_authority(row) if holds(request.user, _MODIFY) else [],
        },
    )


@page(_READ, _MODIFY, methods=BOTH, form=_FIELDS, query=fields("type"))
def add(request: HttpRequest) -> HttpResponseBase:
    """A new CA: first its type, then only what that type asks for."""
    given = request.POST if request.method == "POST" else request.GET
    alias = one_of(given, "type", issuers.types())
    if not alias:
        if request.method == "POST":
            raise BadRequest("Say of which type the certificate authority is.")
        kinds = [_kind(each) for each in issuers.types()]
        return render(request, "issuers/add_authority.html", {"kinds": kinds})
    may_trust = holds(request.user, Permission.TRUST_ANCHORS_MODIFY)
    try:
        form = AuthorityForm(
            request.POST if request.method == "POST" else None, alias=alias, may_trust=may_trust
        )
    except CAMisconfigured as problem:
        raise BadRequest(str(problem)) from None
    trial = None
    if request.method == "POST":
        form.check_names(request.POST)
        if "trial" in request.POST:
            trial = _tried(request, form)
        elif form.is_valid() and (row := _made(request, form)) is not None:
            return redirect("authority", pk=row.pk)
    return _form_page(
        request, form, trial, api_calls.of_new_authority(alias, form.options.values())
    )


@page(_READ, _MODIFY, methods=BOTH, form=_FIELDS)
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One CA to be changed; secrets that are not typed in stay."""
    row = get_object_or_404(CertificateAuthority, pk=pk)
    try:
        form = AuthorityForm(
            request.POST if request.method == "POST" else None,
            alias=row.type,
            row=row,
            initial=initial(row),
        )
    except CAMisconfigured as problem:
        messages.error(request, f"{row.name} cannot be changed here: {problem}.")
        return redirect("authority", pk=pk)
    trial = None
    if request.method == "POST":
        form.check_names(request.POST)
        if "trial" in request.POST:
            trial = _tried(request, form)
        elif form.is_valid() and _changed(request, form):
            return redirect("authority", pk=pk)
    return _form_page(request, form, trial, api_calls.of_authority(row)[:1])


def _form_page(
    request: HttpRequest, form: AuthorityForm, trial: Any, calls: list[api_calls.ApiCall]
) -> HttpResponseBase:
    return render(
        request,
        "issuers/edit_authority.html",
        {
            "form": form,
            "row": form.row,
            "alias": form.alias,
            "is_local": form.alias == LOCAL,
            # Before a local CA is made there is nothing that could answer.
            "may_try": form.row is not None or form.alias != LOCAL,
            "trial": trial,
            "api_calls": calls,
        },
        status=400 if form.errors else 200,
    )


def _made(request: HttpRequest, form: AuthorityForm) -> CertificateAuthority | None:
    trusts = form.cleaned_data.get("trust", False)
    if trusts:
        demand(request, Permission.TRUST_ANCHORS_MODIFY)
    wanted, actor, now = form.wanted(), actor_of(request), timezone.now()
    try:
        if form.alias == LOCAL:
            key_type = form.cleaned_data["key_type"]
            row, _ = authorities.create_local(wanted, key_type=key_type, actor=actor, now=now)
        else:
            row, _ = authorities.save(wanted, actor=actor, now=now)
    except NameTaken as taken:
        form.add_error("name", str(taken))
        return None
    except AuthorityRefused as refused:
        form.add_error("name", str(refused))
        return None
    except CAError as problem:
        unfinished = CertificateAuthority.objects.filter(name=wanted.name, enabled=False).first()
        if form.alias == LOCAL and unfinished is not None:
            messages.error(request, f"The keys of {unfinished.name} could not be made: {problem}.")
            return unfinished
        form.refuse(problem)
        return None
    is_trusted = trusts and trusted(request, row)
    said = "was added, and its certificates are trusted" if is_trusted else "was added"
    messages.success(request, f"{row.name} {said}.")
    test_and_tell(request, row)
    return row


def _changed(request: HttpRequest, form: AuthorityForm) -> bool:
    # A local CA whose making broke off is made; any other one is changed.
    change = authorities.create_local if form.alias == LOCAL else authorities.save
    try:
        row, changed = change(form.wanted(), actor=actor_of(request), now=timezone.now())
    except (AuthorityRefused, ChangedSince, CAError) as problem:
        form.refuse(problem)
        return False
    if not changed:
        messages.success(request, f"{row.name} is what it was.")
        return True
    messages.success(request, f"{row.name} was changed.")
    if row.enabled and row.tested_at is None:
        test_and_tell(request, row)
    return True


def _tried(request: HttpRequest, form: AuthorityForm) -> Any:
    if not form.is_valid():
        return None
    wanted = form.wanted()
    return readiness.trial(
        wanted.name,
        wanted.type,
        wanted.options,
        known=form.row,
        actor=actor_of(request),
        now=timezone.now(),
    )


def _kind(alias: str) -> Kind:
    try:
        cls = issuers.type_class(alias)
    except CAMisconfigured as problem:
        return Kind(alias, "", str(problem))
    about = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
    return Kind(alias, about)


def _shown(row: CertificateAuthority) -> list[tuple[str, Any]]:
    """Return the options of a CA by label; of a secret only that it is stored."""
    shown = [(label_of(name), value) for name, value in issuers.shown_options(row).items()]
    secrets = [(label_of(name), None) for name in sorted(issuers.stored_secrets(row))]
    return [(name, value) for name, value in shown if value != ""] + secrets
