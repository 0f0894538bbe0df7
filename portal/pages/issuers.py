"""Trusted issuers: the list, and how one is added and removed.

Owns these pages. What may be trusted is judged by `renewal/identity/trust.py`.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.pages import api_calls
from portal.pages.fields import NOTHING, fields
from portal.pages.gate import BOTH, actor_of, demand, page
from renewal.identity import trust
from renewal.models import TrustAnchor

_MOST_BYTES = 64 * 1024
_MODIFY = Permission.TRUST_ANCHORS_MODIFY


class AnchorForm(forms.Form):
    """A CA certificate, pasted or as a file."""

    name = forms.CharField(
        label="Name", max_length=200, required=False, help_text="Empty: its common name."
    )
    pem = forms.CharField(
        label="Certificate (PEM)",
        required=False,
        max_length=_MOST_BYTES,
        widget=forms.Textarea(
            attrs={"rows": 8, "class": "mono", "placeholder": "-----BEGIN CERTIFICATE-----"}
        ),
    )
    file = forms.FileField(label="or a file (PEM or DER)", required=False)
    is_intermediate = forms.BooleanField(
        label="Intermediate",
        required=False,
        help_text="Helps to build a path to a trusted issuer; trusts nothing by itself.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        upload, text = cleaned.get("file"), cleaned.get("pem", "")
        if bool(upload) == bool(text.strip()):
            raise forms.ValidationError("Give a certificate: pasted, or as a file.")
        if upload and upload.size > _MOST_BYTES:
            raise forms.ValidationError("The file is larger than a certificate can be.")
        cleaned["data"] = upload.read() if upload else text
        return cleaned


@page(Permission.AUTHORITIES_READ, methods=BOTH, form=fields(form=AnchorForm))
def trusted_issuers(request: HttpRequest) -> HttpResponseBase:
    """The list, and the form that adds one."""
    form = AnchorForm()
    if request.method == "POST":
        demand(request, _MODIFY)
        form = AnchorForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                anchor, changed = trust.add_anchor(
                    form.cleaned_data["data"],
                    name=form.cleaned_data["name"].strip(),
                    actor=actor_of(request),
                    now=timezone.now(),
                    is_intermediate=form.cleaned_data["is_intermediate"],
                )
            except trust.AnchorRefused as refused:
                form.add_error(None, str(refused))
            else:
                said = "is trusted from now on." if changed else "was trusted already."
                messages.success(request, f"{anchor.name} {said}")
                return redirect("trusted_issuers")
    return render(
        request,
        "issuers/trusted.html",
        {
            "anchors": TrustAnchor.objects.defer("der").order_by("-enabled", "name", "id")[:500],
            "form": form,
            "api_calls": api_calls.of_new_issuer() if holds(request.user, _MODIFY) else [],
        },
        status=400 if form.errors else 200,
    )


@page(Permission.AUTHORITIES_READ, _MODIFY, methods=BOTH, form=NOTHING)
def remove_issuer(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask, then trust an issuer no longer."""
    anchor = get_object_or_404(TrustAnchor, pk=pk)
    if request.method != "POST":
        return render(
            request,
            "issuers/remove.html",
            {"anchor": anchor, "api_calls": api_calls.of_issuer(anchor.pk)},
        )
    changed = trust.remove_anchor(anchor, actor=actor_of(request), now=timezone.now())
    said = "is trusted no longer." if changed else "was not trusted."
    messages.success(request, f"{anchor.name} {said}")
    return redirect("trusted_issuers")
