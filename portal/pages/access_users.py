"""Users and service accounts: the list, one account with what it holds and why.

Owns these pages. What a valid account is belongs to `portal/access/accounts.py`, what nobody may
give to `portal/access/guard.py`.
"""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render

from portal.access import accounts, effective
from portal.access.catalogue import Permission
from portal.access.guard import AccountRefused
from portal.access.models import User
from portal.access.permissions import holds
from portal.pages import api_calls
from portal.pages.access_roles import reach_words
from portal.pages.fields import NOTHING, fields, one_of
from portal.pages.gate import ACT, BOTH, actor_of, demand, note_beyond, page
from portal.pages.tokens import TOKEN_FIELDS, TokenForm, newest_of
from portal.preferences import store
from renewal import readiness
from renewal.selectors.keyset import Segment, cut

PAGE_SIZE = 50


class UserForm(forms.Form):
    """Who somebody is, and their roles."""

    revision = forms.CharField(required=False, widget=forms.HiddenInput)
    email = forms.EmailField(label="Mail address", required=False)
    is_active = forms.BooleanField(
        label="Active", required=False, help_text="An inactive account can do nothing."
    )
    roles = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        to_field_name="name",
        widget=forms.CheckboxSelectMultiple,
    )


class NewUserForm(forms.Form):
    """A new user."""

    username = forms.CharField(label="User name", max_length=150)
    email = forms.EmailField(label="Mail address", required=False)
    is_service_account = forms.BooleanField(
        label="Service account",
        required=False,
        help_text="Orchestrators run under it; nobody signs in with it.",
    )
    role = forms.ModelChoiceField(
        Group.objects.order_by("name"), required=False, to_field_name="name", empty_label="none yet"
    )


@page(Permission.SECURITY_READ, query=fields("kind", "q", "cursor"))
def index(request: HttpRequest) -> HttpResponseBase:
    """The list: people, or service accounts."""
    is_service = one_of(request.GET, "kind", ("service",)) == "service"
    query = request.GET.get("q", "").replace("\x00", "").strip()[:150]
    rows = User.objects.filter(is_service_account=is_service).prefetch_related("groups")
    if query:
        rows = rows.filter(username__istartswith=query)
    return render(
        request,
        "access/users.html",
        {
            "page": cut(
                [Segment(rows, ("username", "id"))],
                cursor=request.GET.get("cursor", ""),
                size=PAGE_SIZE,
            ),
            "is_service": is_service,
            "query": query,
        },
    )


@page(
    Permission.SECURITY_READ,
    Permission.SECURITY_MODIFY,
    methods=BOTH,
    form=fields(form=NewUserForm),
    query=fields("kind"),
)
def add(request: HttpRequest) -> HttpResponseBase:
    """A new user or service account."""
    form = NewUserForm(
        request.POST if request.method == "POST" else None,
        initial={"is_service_account": one_of(request.GET, "kind", ("service",)) == "service"},
    )
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            if User.objects.filter(username=given["username"]).exists():
                raise AccountRefused("username_taken", "There is a user of this name already.")
            made, _ = accounts.save_user(
                given["username"],
                is_service_account=given["is_service_account"],
                email=given["email"],
                roles=[given["role"].name] if given["role"] else [],
                giver=_person(request),
                actor=actor_of(request),
            )
        except AccountRefused as refused:
            note_beyond(request, refused)
            form.add_error("username", str(refused))
        else:
            messages.success(request, f"{made.username} was added.")
            return redirect("user", pk=made.pk)
    return render(
        request,
        "access/add_user.html",
        {
            "form": form,
            # The API makes no service account.
            "api_calls": [] if form["is_service_account"].value() else api_calls.of_new_user(),
        },
        status=400 if form.errors else 200,
    )


@page(Permission.SECURITY_READ, methods=BOTH, form=fields(form=UserForm))
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One account: its roles, and what it may do because of which of them."""
    account = _found(pk)
    form = UserForm(
        request.POST if request.method == "POST" else None,
        initial=_initial(account),
    )
    if request.method == "POST":
        demand(request, Permission.SECURITY_MODIFY)
        if form.is_valid() and _save(request, account, form):
            return redirect("user", pk=pk)
    return _shown(request, account, form=form, status=400 if form.errors else 200)


@page(Permission.SECURITY_READ, Permission.SECURITY_MODIFY, methods=ACT, form=NOTHING)
def set_password(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Give somebody a new random password, shown this once."""
    account = _found(pk)
    password = secrets.token_urlsafe(15)
    try:
        accounts.save_user(
            account.username, password=password, giver=_person(request), actor=actor_of(request)
        )
    except AccountRefused as refused:
        note_beyond(request, refused)
        messages.error(request, str(refused))
        return redirect("user", pk=pk)
    return _shown(request, account, secret=("Password", password))


@page(
    Permission.SECURITY_READ,
    Permission.SECURITY_MODIFY,
    methods=ACT,
    form=TOKEN_FIELDS,
)
def add_token(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Issue an API token, shown this once."""
    account = _found(pk)
    form = TokenForm(request.POST, owner=account)
    text = form.issued(account, request) if form.is_valid() else ""
    if not text:
        return _shown(request, account, token_form=form, status=400)
    return _shown(request, account, secret=("Token", text))


def _initial(account: User) -> dict[str, Any]:
    return {
        "email": account.email,
        "is_active": account.is_active,
        "roles": list(account.groups.values_list("name", flat=True)),
        "revision": accounts.revision(account),
    }


def _save(request: HttpRequest, account: User, form: UserForm) -> bool:
    given: dict[str, Any] = form.cleaned_data
    try:
        _, changed = accounts.save_user(
            account.username,
            email=given["email"],
            is_active=given["is_active"],
            roles=[role.name for role in given["roles"]],
            expected=given["revision"] or None,
            giver=_person(request),
            actor=actor_of(request),
        )
    except AccountRefused as refused:
        note_beyond(request, refused)
        form.add_error(None, str(refused))
        return False
    messages.success(request, f"{account.username} was saved." if changed else "Nothing changed.")
    return True


def _shown(
    request: HttpRequest,
    account: User,
    *,
    form: UserForm | None = None,
    token_form: TokenForm | None = None,
    secret: tuple[str, str] | None = None,
    status: int = 200,
) -> HttpResponseBase:
    account = _found(account.pk)
    lines = effective.explained(account)
    words = reach_words(
        [line.reach for line in lines] + [s.reach for line in lines for s in line.sources]
    )
    response = render(
        request,
        "access/user.html",
        {
            "account": account,
            "form": form or UserForm(initial=_initial(account)),
            "token_form": token_form or TokenForm(owner=account),
            "secret": secret,
            "lines": [
                (line, words[line.reach], [(s, words[s.reach]) for s in line.sources])
                for line in lines
            ],
            "tokens": newest_of(account),
            "api_calls": api_calls.of_user(account.pk)
            if account.is_active and holds(request.user, Permission.SECURITY_MODIFY)
            else [],
            "checks": readiness.everywhere(account, store.load())
            if account.is_service_account
            else [],
        },
        status=status,
    )
    if secret:
        # The secret is in this answer and nowhere else.
        response["Cache-Control"] = "no-store"
    return response


def _found(pk: int) -> User:
    account = User.objects.filter(pk=pk).first() if pk < 2**63 else None
    if account is None:
        raise Http404("There is no such user.")
    return account


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
