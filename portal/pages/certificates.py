"""Certificates: found, looked at, downloaded, requested with a CSR.

Owns these pages; which certificates a search finds is `renewal/selectors/certificates.py`'s.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import Reach, reach
from portal.pages.gate import BOTH, actor_of, demand_everywhere, page
from renewal import operator_requests
from renewal.models import Certificate, CertificateAuthority, Enrollment, Template
from renewal.rules.periods import days_left
from renewal.rules.standing import Standing
from renewal.selectors import certificates
from renewal.selectors.certificates import Search, Shown
from renewal.x509.certificates import CertificateUnreadable, read_certificate


@page(Permission.CERTIFICATES_READ)
def index(request: HttpRequest) -> HttpResponseBase:
    """The list."""
    now = timezone.now()
    try:
        shown = Shown(request.GET.get("shown", Shown.VALID))
    except ValueError:
        shown = Shown.VALID
    query = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    search = Search(query=query, shown=shown)
    found = certificates.page(
        search, reach=_reach(request), now=now, cursor=request.GET.get("cursor", "")
    )
    return render(
        request,
        "certificates/list.html",
        {
            "search": search,
            "page": found,
            "rows": [(row, days_left(row.not_after, now)) for row in found.rows],
            "kinds": Shown,
        },
    )


@page(Permission.CERTIFICATES_READ)
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One certificate, decoded."""
    certificate = _found(request, pk)
    try:
        facts = read_certificate(bytes(certificate.der))
    except CertificateUnreadable:
        facts = None
    return render(
        request,
        "certificates/detail.html",
        {
            "certificate": certificate,
            "facts": facts,
            "standing": Standing(certificate.standing),
            "days_left": days_left(certificate.not_after, timezone.now()),
            "successors": certificates.successors(certificate, reach=_reach(request)),
            "enrollment": getattr(certificate, "enrollment", None),
            "revocation": getattr(certificate, "revocation", None),
        },
    )


@page(Permission.CERTIFICATES_READ)
def download(request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
    """The certificate's file, PEM or DER."""
    certificate = _found(request, pk)
    der = bytes(certificate.der)
    if form == "der":
        response = HttpResponse(der, content_type="application/pkix-cert")
        name = f"{certificate.serial_number}.cer"
    else:
        response = HttpResponse(
            read_certificate(der).pem, content_type="application/x-pem-file; charset=us-ascii"
        )
        name = f"{certificate.serial_number}.pem"
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


@page(Permission.CERTIFICATES_READ, Permission.ENROLL_CSR, methods=BOTH)
def from_csr(request: HttpRequest) -> HttpResponseBase:
    """Ask a CA for a certificate with a CSR, for no orchestrator."""
    demand_everywhere(request, Permission.CERTIFICATES_READ, Permission.ENROLL_CSR)
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
    return render(
        request, "certificates/from_csr.html", {"form": form}, status=400 if form.errors else 200
    )


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


def _found(request: HttpRequest, pk: int) -> Certificate:
    certificate = certificates.detail(pk, reach=_reach(request)) if pk < 2**63 else None
    if certificate is None:
        raise Http404("There is no such certificate.")
    return certificate
