"""Certificates: found, looked at, downloaded.

Owns these pages; which certificates a search finds is `renewal/selectors/certificates.py`'s.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.pages.gate import page
from renewal.models import Certificate
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
    found = certificates.page(search, now=now, cursor=request.GET.get("cursor", ""))
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
    certificate = _found(pk)
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
            "successors": certificates.successors(certificate),
            "enrollment": getattr(certificate, "enrollment", None),
            "revocation": getattr(certificate, "revocation", None),
        },
    )


@page(Permission.CERTIFICATES_READ)
def download(request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
    """The certificate's file, PEM or DER."""
    certificate = _found(pk)
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


def _found(pk: int) -> Certificate:
    certificate = certificates.detail(pk) if pk < 2**63 else None
    if certificate is None:
        raise Http404("There is no such certificate.")
    return certificate
