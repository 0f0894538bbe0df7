"""API tokens: one's own, and everybody's for administrators.

Owns these pages. What a valid token is belongs to `portal/access/tokens.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.forms.boundfield import BoundWidget
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from portal.access import tokens
from portal.access.catalogue import CATALOGUE, CatalogueEntry, Permission
from portal.access.guard import AccountRefused
from portal.access.models import ApiToken, User
from portal.access.reach import grants_of
from portal.pages import api_calls
from portal.pages.fields import NOTHING, fields, one_of
from portal.pages.gate import ACT, BOTH, actor_of, note_beyond, page
from renewal.selectors.keyset import Segment, cut

PAGE_SIZE = 50
MOST_SHOWN = 50


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(label="What it is for", max_length=100)
    days = forms.IntegerField(
        label="Valid for (days)", min_value=1, max_value=tokens.LONGEST_TOKEN_DAYS, initial=90
    )
    networks = forms.CharField(
        label="Only from these networks",
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono", "placeholder": "192.0.2.0/24"}),
        help_text="Addresses or networks in CIDR notation, one a line. Empty: from anywhere.",
    )
    scopes = forms.MultipleChoiceField(
        required=False,
        label="Only these permissions",
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: all that its user holds, now and later. A scope never adds any.",
    )

    def __init__(self, data: Any = None, *, owner: User) -> None:
        super().__init__(data)
        held = grants_of(owner)
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (str(e.permission), e.access_string) for e in CATALOGUE if e.permission in held
        ]

    def scope_lines(self) -> list[tuple[BoundWidget, CatalogueEntry]]:
        """Return each permission that can be ticked, with what it allows."""
        entries = {str(entry.permission): entry for entry in CATALOGUE}
        return [(each, entries[each.data["value"]]) for each in self["scopes"]]

    def issued(self, owner: User, request: HttpRequest) -> str:
        """Issue the token; return its text, or nothing with an error in the form."""
        assert isinstance(request.user, User)
        given = self.cleaned_data
        try:
            _, text = tokens.issue_token(
                owner,
                given["name"],
                lasts=timedelta(days=given["days"]),
                limits=tokens.narrowing(given["scopes"] or None, given["networks"].split()),
                giver=request.user,
                actor=actor_of(request),
                now=timezone.now(),
            )
        except AccountRefused as refused:
            note_beyond(request, refused)
            is_network = refused.reason == "token_network_invalid"
            self.add_error("networks" if is_network else "name", str(refused))
            return ""
        if not text:
            self.add_error("name", "There is a live token of this name already: revoke it first.")
        return text


TOKEN_FIELDS = fields(form=TokenForm)


@page(methods=BOTH, form=TOKEN_FIELDS)
def own(request: HttpRequest) -> HttpResponseBase:
    """One's own tokens; a new one is shown in the answer to its form and never again."""
    person = getattr(request, "viewer", request.user)
    assert isinstance(person, User)
    form = TokenForm(request.POST if request.method == "POST" else None, owner=person)
    secret = ""
    if request.method == "POST":
        secret = form.issued(person, request) if form.is_valid() else ""
    own_tokens, now = newest_of(person), timezone.now()
    usable = (token for token in own_tokens if not token.revoked_at and token.expires_at > now)
    response = render(
        request,
        "account/tokens.html",
        {
            "form": TokenForm(owner=person) if secret else form,
            "secret": secret,
            "tokens": own_tokens,
            "is_own": True,
            "api_calls": api_calls.of_own_tokens(next(usable, None)),
        },
        status=400 if form.is_bound and not secret else 200,
    )
    if secret:
        response["Cache-Control"] = "no-store"
    return response


@page(methods=ACT, form=NOTHING)
def revoke_own(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Revoke one of one's own tokens."""
    _revoke(request, _found(pk, user=request.user.pk))
    return redirect("own_tokens")


@page(Permission.SECURITY_READ, query=fields("state", "q", "cursor"))
def index(request: HttpRequest) -> HttpResponseBase:
    """Everybody's tokens, the newest first: those that can be used, or all."""
    is_all = one_of(request.GET, "state", ("all",)) == "all"
    query = request.GET.get("q", "").replace("\x00", "").strip()[:150]
    rows = ApiToken.objects.select_related("user")
    if not is_all:
        rows = rows.usable(timezone.now())
    if query:
        rows = rows.filter(user__username__istartswith=query)
    return render(
        request,
        "access/tokens.html",
        {
            "page": cut(
                [Segment(rows, ("-id",))],
                cursor=request.GET.get("cursor", ""),
                size=PAGE_SIZE,
            ),
            "is_all": is_all,
            "query": query,
        },
    )


@page(Permission.SECURITY_READ, Permission.SECURITY_MODIFY, methods=ACT, form=NOTHING)
def revoke(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Revoke anybody's token."""
    _revoke(request, _found(pk))
    return redirect("tokens")


def newest_of(user: User) -> list[ApiToken]:
    """Return a user's tokens, the newest first."""
    return list(ApiToken.objects.filter(user=user).order_by("-pk")[:MOST_SHOWN])


def _revoke(request: HttpRequest, token: ApiToken) -> None:
    person = request.user
    assert isinstance(person, User)
    try:
        changed = tokens.revoke_token(
            token, giver=person, actor=actor_of(request), now=timezone.now()
        )
    except AccountRefused as refused:
        note_beyond(request, refused)
        messages.error(request, str(refused))
        return
    messages.success(
        request, f"The token {token.name} was revoked" + ("." if changed else " already.")
    )


def _found(pk: int, **where: Any) -> ApiToken:
    token = ApiToken.objects.filter(pk=pk, **where).first() if pk < 2**63 else None
    if token is None:
        raise Http404("There is no such token.")
    return token
