"""Trusted issuers, and the certificate authorities with their templates.

Owns these pages. What may be trusted is judged by `renewal/identity/trust.py`; a CA's secrets are
never read here.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from portal.access.catalogue import Permission
from portal.pages.fields import NOTHING, fields
from portal.pages.gate import ACT, BOTH, actor_of, demand, page
from portal.preferences import store
from renewal import issuers, readiness
from renewal.configuration import CA_SETTING, TEMPLATE_SETTING
from renewal.identity import trust
from renewal.models import CertificateAuthority, Template, TrustAnchor

_MOST_BYTES = 64 * 1024


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
        demand(request, Permission.TRUST_ANCHORS_MODIFY)
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
        },
        status=400 if form.errors else 200,
    )


@page(Permission.AUTHORITIES_READ, Permission.TRUST_ANCHORS_MODIFY, methods=BOTH, form=NOTHING)
def remove_issuer(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask, then trust an issuer no longer."""
    anchor = get_object_or_404(TrustAnchor, pk=pk)
    if request.method != "POST":
        return render(request, "issuers/remove.html", {"anchor": anchor})
    changed = trust.remove_anchor(anchor, actor=actor_of(request), now=timezone.now())
    said = "is trusted no longer." if changed else "was not trusted."
    messages.success(request, f"{anchor.name} {said}")
    return redirect("trusted_issuers")


@page(Permission.AUTHORITIES_READ)
def authorities(request: HttpRequest) -> HttpResponseBase:
    """The certificate authorities with their health, and the templates."""
    preferences = store.load()
    known = issuers.types()
    rows = (
        CertificateAuthority.objects.select_related("revocation_list")
        .prefetch_related("allowed_requesters")
        .order_by("name")
    )
    return render(
        request,
        "issuers/authorities.html",
        {
            "authorities": [(row, row.type in known) for row in rows],
            "templates": Template.objects.prefetch_related("allowed_requesters").order_by("name"),
            "chosen_authority": preferences.text(CA_SETTING),
            "chosen_template": preferences.text(TEMPLATE_SETTING),
        },
    )


@page(Permission.AUTHORITIES_READ, Permission.AUTHORITIES_MODIFY, methods=ACT, form=fields("next"))
def test_authority(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask a CA with the portal's own credential whether it would answer."""
    authority = get_object_or_404(CertificateAuthority, pk=pk)
    health = readiness.test_call(authority, actor=actor_of(request), now=timezone.now())
    level = messages.success if health.is_ok else messages.error
    level(request, f"{authority.name}: {health.message}")
    back = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        return redirect(back)
    return redirect("authorities")
