"""The list of certificates: searched and narrowed in the URL, counted, columns, export.

Owns the page. Which certificates a search finds is `renewal/selectors/certificates.py`'s, how many
`certificate_counts.py`'s there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.reach import Reach, reach
from portal.pages import list_export, list_layout
from portal.pages.certificate_columns import CERTIFICATES
from portal.pages.certificate_row import CertificateRow
from portal.pages.fields import fields
from portal.pages.fleet_chips import Chip
from portal.pages.gate import ACT, page
from portal.pages.list_columns import Here
from portal.pages.list_layout import shown_to
from renewal import census
from renewal.models import Certificate, CertificateAuthority
from renewal.selectors import certificate_counts, certificates
from renewal.selectors.beyond import hide_beyond
from renewal.selectors.certificates import Matching, Search, Shown, Use
from renewal.selectors.keyset import Slice

SHOWN = {
    Shown.VALID: ("Valid", "circle-check", "healthy", "Neither expired nor revoked."),
    Shown.EXPIRED: ("Expired", "clock-x", "failed", "Whether or not it was revoked before."),
    Shown.REVOKED: ("Revoked", "lock", "neutral", "Whether or not it has expired since."),
    Shown.ENDED: ("Expired or revoked", "ban", "neutral", "No longer accepted by anybody."),
    Shown.ALL: ("All", "certificate", "neutral", "Whatever became of it."),
}
"""What can be shown: word, icon, tone and meaning."""
USES = {
    Use.IN_USE: "in use by an orchestrator",
    Use.UNUSED: "issued, not used yet",
    Use.FORMER: "no longer accepted",
    Use.OWN: "the portal's own, or an operator's",
}


@page(Permission.CERTIFICATES_READ, query=fields("cursor", *certificates.NAMES))
def index(request: HttpRequest) -> HttpResponseBase:
    """The list."""
    now = timezone.now()
    search = certificates.search_from(request.GET.dict())
    seen = _reach(request)
    found = certificates.matching(search, reach=seen, now=now)
    part = certificates.page(found, cursor=request.GET.get("cursor", ""))
    hide_beyond(part.rows, _agents(request), given=seen)
    rows = [CertificateRow.of(each, now=now) for each in part.rows]
    tally, counted_at = _tally(found, part, seen)
    issuers = _issuers()
    shown, here = shown_to(request, CERTIFICATES), Here(now, request.GET)
    return render(
        request,
        "certificates/list.html",
        {
            "search": search,
            "page": part,
            "is_cut": found.is_cut,
            "most_found": certificates.MOST_FOUND,
            "rows": rows,
            "cells": [shown.cells(row, here) for row in rows],
            "shown": shown,
            "tally": [(each, *words, tally.by_shown[each]) for each, words in SHOWN.items()],
            "matches": tally.by_shown[search.shown],
            "tally_is_cut": tally.is_cut,
            "counted_at": counted_at,
            "uses": USES,
            "issuers": issuers,
            "chips": _chips(search, issuers),
            "own": certificates.query_of(search),
        },
    )


@page(Permission.CERTIFICATES_READ, query=fields(*certificates.NAMES))
def exported(request: HttpRequest, form: str) -> HttpResponseBase:
    """Exactly the rows that the search shows, in their order, with the columns shown, as a file."""
    now = timezone.now()
    search = certificates.search_from(request.GET.dict())
    return list_export.exported(
        request,
        _every(certificates.matching(search, reach=_reach(request), now=now), request),
        shown_to(request, CERTIFICATES),
        what="certificates",
        form=form,
        query=certificates.query_of(search),
        now=now,
    )


@page(Permission.CERTIFICATES_READ, methods=ACT, form=list_layout.FORM)
def set_layout(request: HttpRequest) -> HttpResponseBase:
    """Keep which columns are shown, in which order, and how dense the rows are."""
    # Read anew: it leads back to the list and to no other address.
    search = certificates.search_of_query(request.POST.get("query", ""))
    list_layout.keep(request, CERTIFICATES)
    query = certificates.query_of(search)
    return redirect(f"{reverse('certificates')}{'?' if query else ''}{query}")


def _every(found: Matching, request: HttpRequest) -> Iterator[CertificateRow]:
    agents, seen = _agents(request), _reach(request)
    for run in certificates.every(found):
        hide_beyond(run, agents, given=seen)
        yield from (CertificateRow.of(row, now=found.now) for row in run)


def _tally(
    found: Matching, rows: Slice[Certificate], seen: Reach
) -> tuple[certificate_counts.Tally, datetime | None]:
    """Count what is found; of a list that nothing narrows, the census knows the numbers."""
    tally = certificate_counts.tally(found)
    if not found.is_cut:
        tally = tally.with_page(found.search.shown, rows)
    if certificates.query_of(replace(found.search, shown=Shown.VALID)):
        return tally, None
    picture = census.latest(seen, now=found.now)
    if picture is None:
        return tally, None
    tally = tally.with_census(picture.certificates)
    return tally, picture.counted_at if tally.is_by_census else None


def _issuers() -> dict[str, str]:
    known = CertificateAuthority.objects.order_by("name").values_list("pk", "name")
    return {str(pk): name for pk, name in known} | {"other": "a CA that is not this portal's"}


def _chips(search: Search, issuers: Mapping[str, str]) -> list[Chip]:
    found: list[tuple[str, str, Search]] = []
    if search.query:
        found.append(("Search", search.query, replace(search, query="")))
    if search.use is not None:
        found.append(("Use", USES[search.use], replace(search, use=None)))
    if search.issuer:
        name = issuers.get(search.issuer, "no CA of that number")
        found.append(("Issued by", name, replace(search, issuer="")))
    if search.key:
        found.append(("Key", search.key, replace(search, key="")))
    if search.hash:
        found.append(("Signed with", search.hash, replace(search, hash="")))
    if search.is_real:
        found.append(("Fleet", "without the demonstration", replace(search, is_real=False)))
    if search.ends is not None:
        found.append(("Ends", search.ends.words, replace(search, ends=None)))
    return [Chip(name, value, certificates.query_of(rest)) for name, value, rest in found]


def _reach(request: HttpRequest) -> Reach:
    return reach(request.user, Permission.CERTIFICATES_READ)


def _agents(request: HttpRequest) -> Reach:
    return reach(request.user, Permission.AGENTS_READ)
