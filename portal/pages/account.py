"""Signing in and out, one's own password, the theme.

Owns these pages; who somebody is and what they may do is `portal/access`'s.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from portal.access import effective
from portal.access.models import User
from portal.pages.access_roles import reach_words
from portal.pages.context import THEME_COOKIE, THEMES
from portal.pages.fields import NOTHING, fields, one_of
from portal.pages.gate import ACT, BOTH, open_page, page

_YEAR_SECONDS = 365 * 86400


class SignInForm(AuthenticationForm):
    """Sign-in of a person; a service account is told what it is."""

    def confirm_login_allowed(self, user: Any) -> None:
        super().confirm_login_allowed(user)
        if user.is_service_account:
            raise forms.ValidationError(
                "This is a service account: orchestrators run under it, nobody signs in with it.",
                code="service_account",
            )


class SignIn(auth.LoginView):
    """The sign-in page."""

    authentication_form = SignInForm
    redirect_authenticated_user = True


sign_in = open_page(methods=BOTH, form=fields("next", form=SignInForm), query=fields("next"))(
    SignIn.as_view()
)
sign_out = open_page(methods=ACT, form=NOTHING)(auth.LogoutView.as_view())


class ChangePassword(auth.PasswordChangeView):
    """One's own password."""

    template_name = "account/password.html"
    success_url = reverse_lazy("account")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password was changed.")
        return super().form_valid(form)


change_password = page(methods=BOTH, form=fields(form=PasswordChangeForm))(ChangePassword.as_view())


@page()
def account(request: HttpRequest) -> HttpResponseBase:
    """One's own account: roles, and what each allows."""
    person = getattr(request, "viewer", request.user)
    assert isinstance(person, User)
    lines = effective.explained(person)
    words = reach_words(line.reach for line in lines)
    return render(
        request,
        "account/account.html",
        {
            "person": person,
            "roles": person.groups.order_by("name").values_list("name", flat=True),
            "lines": [(line, words[line.reach]) for line in lines],
            "zone": timezone.get_current_timezone_name(),
        },
    )


@open_page(methods=ACT, form=fields("theme", "next"))
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the chosen theme in a cookie, so that the server writes it into each page."""
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = "/"
    response = redirect(back)
    chosen = one_of(request.POST, "theme", THEMES)
    if chosen:
        response.set_cookie(
            THEME_COOKIE,
            chosen,
            max_age=_YEAR_SECONDS,
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
    return response
