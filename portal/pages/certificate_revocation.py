"""Revoking one certificate: what it means, why, and a second look at one that is in use.

Owns the page. What a revocation is, is `renewal/operator_revocations.py`'s.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.models import Status
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages import api_calls
from portal.pages.certificates import found_within
from portal.pages.fields import fields
from portal.pages.gate import BOTH, actor_of, page
from renewal import operator_revocations
from renewal.ca.base import RevocationReason
from renewal.models import Certificate
from renewal.operator_revocations import REASONS, CertificatesChanged, CertificatesUnknown
from renewal.rules.standing import IN_USE, UNPROVEN, Standing
from renewal.selectors.beyond import hide_name_beyond

_WORDS = {
    RevocationReason.UNSPECIFIED: "No reason given",
    RevocationReason.KEY_COMPROMISE: "Its key is known to others",
    RevocationReason.CA_COMPROMISE: "Its CA's key is known to others",
    RevocationReason.AFFILIATION_CHANGED: "Its names are no longer right",
    RevocationReason.SUPERSEDED: "Replaced by another one",
    RevocationReason.CESSATION_OF_OPERATION: "No longer needed",
    RevocationReason.CERTIFICATE_HOLD: "On hold",
    RevocationReason.PRIVILEGE_WITHDRAWN: "What it allowed was withdrawn",
    RevocationReason.AA_COMPROMISE: "The key of its attribute authority is known to others",
}


class RevokeForm(forms.Form):
    """Why; and the name of who loses the certificate, where somebody uses it."""

    reason = forms.TypedChoiceField(
        coerce=int,
        choices=[(number, f"{_WORDS[each]} ({each.value})") for number, each in REASONS.items()],
    )
    comment = forms.CharField(
        label="Why",
        max_length=200,
        help_text="For the audit log.",
    )
    standing = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, certificate: Certificate, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._name = guarded_name(certificate)
        if self._name:
            self.fields["confirm"] = forms.CharField(
                label=f"Type {self._name} to confirm",
                max_length=300,
                required=True,
                widget=forms.TextInput(attrs={"autocomplete": "off"}),
            )

    def clean_confirm(self) -> str:
        """Let only the very name through."""
        text = str(self.cleaned_data["confirm"]).strip()
        if text != self._name:
            raise forms.ValidationError("This is not the name.")
        return text


def guarded_name(certificate: Certificate) -> str:
    """Return what has to be typed before a certificate in use is revoked; empty: nothing."""
    standing = Standing(certificate.standing)
    if certificate.orchestrator is not None and standing in IN_USE | UNPROVEN:
        return certificate.orchestrator.client_machine or certificate.serial_number
    if _may_come_back(certificate):
        return certificate.common_name or certificate.serial_number
    if standing is Standing.OWN:
        return certificate.common_name or certificate.serial_number
    return ""


def _may_come_back(certificate: Certificate) -> bool:
    """Say whether an orchestrator that waits for approval may come with this one after a Reset."""
    holder = certificate.orchestrator
    waits = holder is not None and holder.status == Status.NEW
    return waits and Standing(certificate.standing) in (Standing.ARCHIVED, Standing.SEEN)


def consequence(certificate: Certificate) -> str:
    """Return what revoking does to who uses the certificate."""
    standing = Standing(certificate.standing)
    holder = certificate.orchestrator
    if standing is Standing.OWN:
        return "It is the portal's own, or was issued to an operator: whoever uses it must stop."
    if holder is None:
        return "No orchestrator uses it."
    name = holder.client_machine or "The orchestrator"
    if standing in UNPROVEN:
        return (
            f"{name} has received it and not used it yet. If it has put it in the place of the "
            "old one already, it is locked out until it is Reset and approved again."
        )
    if standing in IN_USE and holder.status == Status.APPROVED:
        if holder.awaiting_first_use_since is not None:
            return (
                f"{name} is refused with it from the next request on. If the newer one that was "
                "delivered never arrived, it is locked out until it is Reset and approved again."
            )
        return (
            f"{name} works with it: it is refused from the next request on, and locked out until "
            "it is Reset and approved again. To replace a certificate, require a renewal instead."
        )
    if standing in IN_USE:
        return f"{name} would work with it if it were approved again."
    if _may_come_back(certificate):
        return f"{name} waits for approval and cannot come back with it any more."
    return f"{name} does not work with it any more."


@page(
    Permission.CERTIFICATES_READ,
    Permission.CERTIFICATES_REVOKE,
    methods=BOTH,
    form=fields("confirm", form=RevokeForm),
)
def revoke(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask, then revoke: at this portal at once, at its CA as soon as it answers."""
    reaches = (
        reach(request.user, Permission.CERTIFICATES_READ),
        reach(request.user, Permission.CERTIFICATES_REVOKE),
    )
    certificate = found_within(request, pk, *reaches)
    hide_name_beyond(certificate, reach(request.user, Permission.AGENTS_READ), given=reaches[0])
    if certificate.revoked_at is not None:
        messages.info(request, "It is revoked already.")
        return redirect("certificate", pk=pk)
    form = RevokeForm(certificate, initial={"standing": certificate.standing})
    status = 200
    if request.method == "POST":
        form = RevokeForm(certificate, request.POST)
        if form.is_valid() and _revoked(request, certificate, form, reaches):
            return redirect("certificate", pk=pk)
        status = 400
    return render(
        request,
        "certificates/revoke.html",
        {
            "certificate": certificate,
            "form": form,
            "api_calls": api_calls.of_revocation(certificate.pk, int(min(REASONS))),
            "consequence": consequence(certificate),
            "is_guarded": bool(guarded_name(certificate)),
        },
        status=status,
    )


def _revoked(
    request: HttpRequest, certificate: Certificate, form: RevokeForm, reaches: Any
) -> bool:
    try:
        operator_revocations.revoke(
            [certificate.pk],
            REASONS[form.cleaned_data["reason"]],
            comment=form.cleaned_data["comment"],
            reaches=reaches,
            actor=actor_of(request),
            now=timezone.now(),
            looked_at={certificate.pk: form.cleaned_data["standing"]},
        )
    except (CertificatesChanged, CertificatesUnknown) as refused:
        form.add_error(None, str(refused))
        return False
    at_its_ca = (
        "its CA is told as soon as it answers."
        if certificate.authority_id
        else "its CA is not this portal's: revoke it there too."
    )
    messages.success(request, f"The certificate is refused from now on; {at_its_ca}")
    return True
