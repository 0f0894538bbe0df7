"""The list of certificates: searched by name, alternative name, serial number, thumbprint.

Owns which certificates a search finds. Paging is by expiry, soonest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.models import Certificate
from renewal.selectors.filters import hex_of
from renewal.selectors.keyset import Segment, Slice, cut

PAGE_SIZE = 50
_LEAST_HEX = 6


class Shown(StrEnum):
    """Which certificates a list shows."""

    VALID = "valid"
    ENDED = "ended"
    ALL = "all"


@dataclass(frozen=True)
class Search:
    """What is looked for; every member comes from the URL."""

    query: str = ""
    shown: Shown = Shown.VALID


def page(search: Search, *, reach: Reach, now: datetime, cursor: str = "") -> Slice[Certificate]:
    """Return one page of the certificates within the reach that a search finds."""
    rows = within(
        Certificate.objects.select_related("orchestrator", "authority").defer("der"),
        reach,
        by="orchestrator_id",
    )
    ended = Q(not_after__lt=now) | Q(revoked_at__isnull=False)
    if search.shown is Shown.VALID:
        rows = rows.filter(~ended)
    elif search.shown is Shown.ENDED:
        rows = rows.filter(ended)
    if search.query:
        rows = rows.annotate(sans_text=Cast("sans", TextField())).filter(_found_by(search.query))
    newest_first = search.shown is not Shown.VALID
    order = ("-not_after", "-id") if newest_first else ("not_after", "id")
    return cut([Segment(rows, order)], cursor=cursor, size=PAGE_SIZE)


def detail(pk: int, *, reach: Reach) -> Certificate | None:
    """Return a certificate within the reach, with everything around it."""
    rows = Certificate.objects.select_related(
        "orchestrator", "authority", "predecessor", "enrollment__template", "revocation"
    ).filter(pk=pk)
    return within(rows, reach, by="orchestrator_id").first()


def successors(certificate: Certificate, *, reach: Reach) -> list[Certificate]:
    """Return the certificates within the reach that followed this one."""
    rows = certificate.successors.defer("der").order_by("id")
    return list(within(rows, reach, by="orchestrator_id")[:10])


def _found_by(query: str) -> Q:
    text = query.strip()
    condition = Q(common_name__icontains=text) | Q(sans_text__icontains=text)
    if len(digits := hex_of(text)) >= _LEAST_HEX:
        condition |= (
            Q(thumbprint__startswith=digits.upper())
            | Q(serial_number__startswith=digits)
            | Q(serial_number__startswith=f"0{digits}" if len(digits) % 2 else digits)
            | Q(fingerprint_sha256__startswith=digits)
        )
    return condition
