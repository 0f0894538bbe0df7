"""Certificates: looked at, downloaded, requested with a CSR.

Owns these pages; their list is `certificate_list.py`'s.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrators.reach import may_see
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import Reach, reach
from portal.pages import api_calls
from portal.pages.fields import fields
from portal.pages.gate import BOTH, EVERYWHERE, actor_of, demand_everywhere, page
from renewal import chains, operator_requests
from renewal.models import Certificate, CertificateAuthority, Enrollment, Template
from renewal.rules.periods import days_left
from renewal.rules.standing import Standing
from renewal.selectors import certificates
from renewal.selectors.beyond import hide_beyond
from renewal.x509.certificates import CertificateUnreadable, read_certificate
from renewal.x509.extensions import extensions_of


@page(Permission.CERTIFICATES_READ)
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One certificate, decoded."""
    certificate = found_within(request, pk, _reach(request))
    facts, extensions, chain = None, [], []
    try:
        facts = read_certificate(bytes(certificate.der))
        extensions = extensions_of(facts)
        chain = chains.chain_of(certificate)
    except CertificateUnreadable:
        pass
    may_revoke = certificate.revoked_at is None and _reaches(request, certificate)
    hide_beyond([certificate], _agents(request), given=_reach(request))
    return render(
        request,
        "certificates/detail.html",
        {
            "certificate": certificate,
            "facts": facts,
            "extensions": extensions,
            "issuers_of_it": chain[1:],
            "is_chain_whole": bool(chain) and chain[-1].is_self_issued,
            "standing": Standing(certificate.standing),
            "days_left": days_left(certificate.not_after, timezone.now()),
            "successors": certificates.successors(certificate, reach=_reach(request)),
            "enrollment": getattr(certificate, "enrollment", None),
            "revocation": getattr(certificate, "revocation", None),
            "may_revoke": may_revoke,
        },
    )


def _reaches(request: HttpRequest, certificate: Certificate) -> bool:
    """Say whether the visitor may revoke it."""
    far = reach(request.user, Permission.CERTIFICATES_REVOKE)
    if certificate.orchestrator is None:
        return far.everything
    return may_see(certificate.orchestrator, far)


@page(Permission.CERTIFICATES_READ)
def download(request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
    """The certificate's file: PEM, DER, or PEM with its issuers."""
    certificate = found_within(request, pk, _reach(request))
    der = bytes(certificate.der)
    number = certificate.serial_number
    if form == "der":
        response = HttpResponse(der, content_type="application/pkix-cert")
        name = f"{number}.cer"
    else:
        chain = chains.chain_of(certificate) if form == "chain" else [read_certificate(der)]
        response = HttpResponse(
            "".join(each.pem for each in chain),
            content_type="application/x-pem-file; charset=us-ascii",
        )
        name = f"{number}-chain.pem" if form == "chain" else f"{number}.pem"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class CsrForm(forms.Form):
    """A CSR, and who is to enrol it."""

    csr = forms.CharField(
        label="CSR (PEM or base64)",
        max_length=32_000,
        widget=forms.Textarea(
            attrs={
                "rows": 12,
                "class": "mono",
                "placeholder": "-----BEGIN CERTIFICATE REQUEST-----",
            }
        ),
        help_text="A certification request alone. A private key is refused and never stored.",
    )
    authority = forms.ModelChoiceField(
        CertificateAuthority.objects.filter(enabled=True).order_by("name"),
        label="Certificate authority",
        to_field_name="name",
        empty_label=None,
    )
    template = forms.ModelChoiceField(
        Template.objects.order_by("name"), to_field_name="name", empty_label=None
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("authority", "template"):
            self.fields[name].label_from_instance = attrgetter("name")  # type: ignore[attr-defined]


@page(
    Permission.CERTIFICATES_READ,
    Permission.ENROLL_CSR,
    methods=BOTH,
    form=fields(form=CsrForm),
)
def from_csr(request: HttpRequest) -> HttpResponseBase:
    """Ask a CA for a certificate with a CSR, for no orchestrator."""
    demand_everywhere(request, *EVERYWHERE["certificate_from_csr"])
    form = CsrForm(request.POST if request.method == "POST" else None)
    assert isinstance(request.user, User)
    if request.method == "POST" and form.is_valid():
        order = operator_requests.Order(
            csr=form.cleaned_data["csr"],
            authority=form.cleaned_data["authority"],
            template=form.cleaned_data["template"],
        )
        try:
            enrollment, _ = operator_requests.enroll(
                order,
                actor=actor_of(request),
                now=timezone.now(),
                requester=request.user,
            )
        except operator_requests.RequestRefused as refused:
            form.add_error("csr", str(refused))
        else:
            return _told(request, enrollment)
    names = [_first(form, name) for name in ("authority", "template")]
    return render(
        request,
        "certificates/from_csr.html",
        {"form": form, "api_calls": api_calls.of_csr(*names)},
        status=400 if form.errors else 200,
    )


def _first(form: CsrForm, name: str) -> str:
    """Return what the form proposes: the name of the first CA or template."""
    field = form.fields[name]
    assert isinstance(field, forms.ModelChoiceField)
    assert field.queryset is not None
    return field.queryset.values_list("name", flat=True).first() or ""


def _told(request: HttpRequest, enrollment: Enrollment) -> HttpResponseBase:
    if enrollment.certificate_id is None:
        messages.warning(
            request, "The CA has not answered yet; the certificate appears here when it does."
        )
        return redirect("certificates")
    messages.success(request, "The certificate was issued.")
    return redirect("certificate", pk=enrollment.certificate_id)


def _reach(request: HttpRequest) -> Reach:
    return reach(request.user, Permission.CERTIFICATES_READ)


def _agents(request: HttpRequest) -> Reach:
    return reach(request.user, Permission.AGENTS_READ)


def found_within(request: HttpRequest, pk: int, *reaches: Reach) -> Certificate:
    """Return a certificate within the reaches. Raises Http404."""
    certificate = certificates.detail(pk, *reaches) if pk < 2**63 else None
    if certificate is None:
        raise Http404("There is no such certificate.")
    return certificate
