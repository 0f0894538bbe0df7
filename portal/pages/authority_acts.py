"""What is asked of a certificate authority that is there, and whether it works: tested, trusted,
switched, removed, its revocation list published.

Owns these acts of the pages. What each of them means is `renewal`'s.
"""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages.fields import NOTHING, fields, one_of
from portal.pages.gate import ACT, BOTH, actor_of, next_of, page
from portal.preferences import store
from renewal import authorities, authority_trust, crl, issuers, readiness
from renewal.authorities import LOCAL, AuthorityRefused, Wanted
from renewal.ca.base import CAError, Health
from renewal.identity.trust import AnchorRefused
from renewal.issuers import ChangedSince
from renewal.models import CertificateAuthority
from renewal.selectors.usage import usage

_READ = Permission.AUTHORITIES_READ
_MODIFY = Permission.AUTHORITIES_MODIFY


def test_and_tell(request: HttpRequest, row: CertificateAuthority) -> None:
    """Ask a CA whether it would answer, and say what it said."""
    health = readiness.test_call(row, actor=actor_of(request), now=timezone.now())
    said = health.message.rstrip(".")
    if health.is_ok:
        messages.success(request, f"{row.name} passed its test: {said}.")
    else:
        messages.error(request, f"{row.name} did not pass its test: {said}.")


def trusted(request: HttpRequest, row: CertificateAuthority) -> bool:
    """Let a CA's certificates prove who an orchestrator is; say if they cannot, and return whether
    they do.
    """
    roots = readiness.anchors(row)
    problem: object = roots.message if isinstance(roots, Health) else None
    if not isinstance(roots, Health):
        try:
            authority_trust.trust_authority(
                row, roots=roots, actor=actor_of(request), now=timezone.now()
            )
        except (AnchorRefused, CAError) as refused:
            problem = refused
    if problem is not None:
        messages.error(request, f"Certificates of {row.name} are not trusted yet: {problem}")
    return problem is None


@page(_READ, _MODIFY, methods=ACT, form=fields("next"))
def test(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask a CA with the portal's own credential whether it would answer."""
    row = get_object_or_404(CertificateAuthority, pk=pk)
    test_and_tell(request, row)
    return redirect(next_of(request) or reverse("authority", args=[pk]))


@page(_READ, Permission.TRUST_ANCHORS_MODIFY, methods=ACT, form=NOTHING)
def trust(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Make the roots of a CA trusted issuers."""
    row = get_object_or_404(CertificateAuthority, pk=pk)
    if trusted(request, row):
        messages.success(request, f"Certificates of {row.name} are trusted.")
    return redirect("authority", pk=pk)


@page(_READ, _MODIFY, methods=ACT, form=NOTHING)
def publish(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Have a new revocation list signed and served."""
    row = get_object_or_404(CertificateAuthority, pk=pk)
    try:
        made = crl.publish(row.pk, actor=actor_of(request), now=timezone.now())
    except (CAError, OSError) as problem:
        messages.error(request, f"{row.name} did not sign: {problem}")
    else:
        if made is None:
            messages.error(request, f"{row.name} publishes its list itself.")
        else:
            messages.success(request, f"Revocation list {made.number} of {row.name} is served.")
    return redirect("authority", pk=pk)


@page(_READ, _MODIFY, methods=BOTH, form=fields("enabled", "revision"))
def switch(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask before a CA is disabled; disable or enable it."""
    row = get_object_or_404(CertificateAuthority, pk=pk)
    if request.method != "POST":
        return _asked(request, row, "issuers/disable_authority.html")
    enabled = one_of(request.POST, "enabled", ("true", "false"))
    if not enabled:
        raise BadRequest("Say whether the certificate authority is to be enabled or disabled.")
    # Enabling a local CA whose making broke off finishes it.
    change = authorities.create_local if row.type == LOCAL else authorities.save
    wanted = Wanted(
        row.name,
        row.type,
        {},
        is_enabled=enabled == "true",
        expected=request.POST.get("revision", ""),
    )
    try:
        changed, _ = change(wanted, actor=actor_of(request), now=timezone.now())
    except (AuthorityRefused, ChangedSince, CAError, OSError) as problem:
        messages.error(request, f"{row.name} is as it was. {problem}")
    else:
        said = "enabled" if changed.enabled else "disabled"
        messages.success(request, f"{row.name} is {said}.")
        if changed.enabled:
            test_and_tell(request, changed)
    return redirect("authority", pk=pk)


@page(_READ, _MODIFY, methods=BOTH, form=fields("revision"))
def remove(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask, then remove a CA that nothing needs."""
    row = get_object_or_404(CertificateAuthority, pk=pk)
    if request.method != "POST":
        return _asked(request, row, "issuers/remove_authority.html")
    expected = request.POST.get("revision", "")
    try:
        authorities.remove(row, actor=actor_of(request), expected=expected)
    except (AuthorityRefused, ChangedSince) as refused:
        messages.error(request, f"{row.name} was not removed. {refused}")
        return redirect("authority", pk=pk)
    messages.success(request, f"{row.name} was removed.")
    return redirect("authorities")


def _asked(request: HttpRequest, row: CertificateAuthority, template: str) -> HttpResponseBase:
    far = reach(request.user, Permission.AGENTS_READ)
    return render(
        request,
        template,
        {
            "authority": row,
            "is_local": row.type == LOCAL,
            "usage": usage(row, store.load(), reach=far, now=timezone.now()),
            "needed_by": authorities.needed_by(row),
            "revision": issuers.revision(row),
        },
    )
