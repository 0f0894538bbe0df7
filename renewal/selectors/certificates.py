"""The list of certificates: searched by any name, serial number or thumbprint, and narrowed.

Owns which certificates a search finds; how many is `certificate_counts.py`'s. Paging is by expiry,
soonest first (last for what has ended), for each standing by itself where a use is asked for. What
is typed is looked up first and names at most so many rows: an ``OR`` over several tables would read
all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

from django.db.models import Q, QuerySet

from orchestrators.models import Orchestrator
from orchestrators.names import canonical
from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.models import Certificate, CertificateAuthority, CertificateName
from renewal.rules.standing import IN_USE, UNPROVEN, Standing
from renewal.selectors.filters import (
    FilterInvalid,
    ends_in,
    hex_of,
    member_of,
    text_of,
    without_label,
)
from renewal.selectors.keyset import Segment, Slice, cut
from renewal.selectors.related import all_but
from renewal.selectors.spans import Ends
from renewal.x509.certificates import serial_text
from renewal.x509.names import address_of

NAMES = ("q", "shown", "use", "issuer", "key", "hash", "fleet", "ends")
"""The parameters that say what is looked for."""
PAGE_SIZE = 50
MOST_FOUND = 1_000
"""What a search by name or number finds at most; more is told, and narrowed by typing on."""
NO_HASH = "none"
"""Of signatures that hash within themselves (Ed25519)."""
_LEAST_HEX = 6
_DECIMAL = re.compile(r"(\d{12,49})|(\d{1,49})\s*\(0x[0-9a-f]+\)", re.ASCII | re.IGNORECASE)
"""A serial number in decimal: so long that it is no name, or with its hex as openssl prints it.

Of at most 20 octets (RFC 5280, 4.1.2.2), which are 49 digits.
"""


class Shown(StrEnum):
    """Which certificates a list shows."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ENDED = "ended"
    ALL = "all"


class Use(StrEnum):
    """What certificates are to their orchestrators."""

    IN_USE = "in-use"
    UNUSED = "unused"
    FORMER = "former"
    OWN = "own"


STANDINGS: Mapping[Use, frozenset[Standing]] = {
    Use.IN_USE: IN_USE,
    Use.UNUSED: UNPROVEN,
    Use.FORMER: frozenset({Standing.SUPERSEDED, Standing.DISCARDED, Standing.ARCHIVED}),
    Use.OWN: frozenset({Standing.OWN}),
}


@dataclass(frozen=True)
class Search:
    """What is looked for; every member comes from the URL."""

    query: str = ""
    shown: Shown = Shown.VALID
    use: Use | None = None
    issuer: str = ""
    """Number of a CA of this portal, or ``other``."""
    key: str = ""
    """``EC-256``, ``Ed25519``: algorithm, and size if it has sizes."""
    hash: str = ""
    """Hash of the signature: ``sha256``, `NO_HASH`."""
    ends: Ends | None = None
    is_real: bool = False
    """Without the demonstration fleet, and without what is no orchestrator's."""

    @property
    def is_narrowed(self) -> bool:
        return self != Search()


def search_from(given: Mapping[str, str]) -> Search:
    """Return the search of a query's parameters. Raises FilterInvalid for a value of no meaning."""
    issuer, key = text_of(given, "issuer", 20), text_of(given, "key", 30)
    if issuer not in ("", "other") and not (issuer.isascii() and issuer.isdigit()):
        raise FilterInvalid("An issuer is the number of a CA, or other.")
    if key and not re.fullmatch(r"[A-Za-z0-9]+(-\d+)?", key, re.ASCII):
        raise FilterInvalid("A key is written as RSA-2048, EC-256 or Ed25519.")
    fleet = text_of(given, "fleet", 20)
    if fleet not in ("", "real"):
        raise FilterInvalid("A fleet of certificates is real, or all of them.")
    return Search(
        query=text_of(given, "q", 300),
        shown=member_of(given, "shown", Shown) or Shown.VALID,
        use=member_of(given, "use", Use),
        issuer=issuer,
        key=key,
        hash=text_of(given, "hash", 20).lower(),
        ends=ends_in(given, "ends"),
        is_real=fleet == "real",
    )


def search_of_query(query: str) -> Search:
    """Return the search of a query string. Raises FilterInvalid for a member that is not known."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := set(given) - set(NAMES):
        raise FilterInvalid(f"There is no filter {min(unknown)[:60]!r}.")
    return search_from(given)


def query_of(search: Search) -> str:
    """Return the canonical query of a search."""
    parts = (
        ("q", search.query),
        ("shown", search.shown if search.shown is not Shown.VALID else ""),
        ("use", search.use or ""),
        ("issuer", search.issuer),
        ("key", search.key),
        ("hash", search.hash),
        ("ends", search.ends or ""),
        ("fleet", "real" if search.is_real else ""),
    )
    return urlencode([(name, str(value)) for name, value in parts if value])


@dataclass(frozen=True)
class Matching:
    """What a search finds, whichever of `Shown` is looked at."""

    rows: QuerySet[Certificate]
    search: Search
    now: datetime
    is_cut: bool
    """More than `MOST_FOUND` certificates have such a name or number; the rest is not looked at."""

    @property
    def segments(self) -> list[Segment[Certificate]]:
        """The rows that are shown, in their order."""
        is_valid = self.search.shown is Shown.VALID
        order = ("not_after", "id") if is_valid else ("-not_after", "-id")
        rows = self.rows.filter(condition_of(self.search.shown, self.now))
        return [Segment(part, order) for part in _parts(rows, self.search, self.now)]


_UNREAD = (
    "der",
    *all_but("orchestrator", Orchestrator, "client_machine"),
    *all_but("authority", CertificateAuthority, "name"),
)


def matching(search: Search, *, reach: Reach, now: datetime) -> Matching:
    """Look a search up among the certificates within the reach."""
    rows = within(
        Certificate.objects.select_related("orchestrator", "authority").defer(*_UNREAD),
        reach,
        by="orchestrator_id",
    )
    rows = _narrowed(rows, search, now)
    if not search.query:
        return Matching(rows, search, now, is_cut=False)
    ids, is_cut = _found_by(search.query, reach)
    return Matching(rows.filter(pk__in=ids), search, now, is_cut)


def page(found: Matching, *, cursor: str = "", size: int = PAGE_SIZE) -> Slice[Certificate]:
    """Return one page of the rows that are shown."""
    return cut(found.segments, cursor=cursor, size=size)


def every(found: Matching, *, run: int = 1000) -> Iterator[list[Certificate]]:
    """Yield all rows that are shown in their order, in runs: any number can be exported."""
    cursor = ""
    while True:
        part = page(found, cursor=cursor, size=run)
        yield part.rows
        cursor = part.following
        if not cursor:
            return


def _parts(
    rows: QuerySet[Certificate], search: Search, now: datetime
) -> list[QuerySet[Certificate]]:
    """Cut rows so that an index bounds each part, also where nothing matches.

    By standing where one is asked for, and what has ended at now, which keeps its order.
    """
    found = [rows]
    if search.use is not None:
        found = [rows.filter(standing=each) for each in sorted(STANDINGS[search.use])]
    if search.shown is Shown.ENDED:
        halves = (Q(revoked_at__isnull=False, not_after__gte=now), Q(not_after__lt=now))
        found = [part.filter(half) for part in found for half in halves]
    return found


def condition_of(shown: Shown, now: datetime) -> Q:
    """Return what holds for the certificates that are shown."""
    has_ended, is_revoked = Q(not_after__lt=now), Q(revoked_at__isnull=False)
    return {
        Shown.VALID: Q(not_after__gte=now, revoked_at=None),
        Shown.EXPIRED: has_ended,
        Shown.REVOKED: is_revoked,
        Shown.ENDED: has_ended | is_revoked,
        Shown.ALL: Q(),
    }[shown]


def _narrowed(rows: QuerySet[Certificate], search: Search, now: datetime) -> QuerySet[Certificate]:
    """Return what all but the search's text and what is shown leave."""
    if search.issuer == "other":
        rows = rows.filter(authority=None)
    elif search.issuer:
        rows = rows.filter(authority=min(int(search.issuer), 2**63 - 1))
    if search.key:
        algorithm, _, size = search.key.partition("-")
        rows = rows.filter(key_algorithm=algorithm)
        if size:
            rows = rows.filter(key_size=min(int(size), 2**31 - 1))
    if search.hash:
        rows = rows.filter(signature_hash="" if search.hash == NO_HASH else search.hash)
    if search.is_real:
        rows = rows.filter(orchestrator__demonstration=False)
    if search.ends is not None:
        rows = rows.filter(search.ends.of("not_after", now))
    return rows


def detail(pk: int, *reaches: Reach) -> Certificate | None:
    """Return a certificate within the reaches, with everything around it."""
    rows = Certificate.objects.select_related(
        "orchestrator", "authority", "predecessor", "enrollment__template", "revocation"
    ).filter(pk=pk)
    return within(rows, *reaches, by="orchestrator_id").first()


def successors(certificate: Certificate, *, reach: Reach) -> list[Certificate]:
    """Return the certificates within the reach that followed this one."""
    rows = certificate.successors.defer("der").order_by("id")
    return list(within(rows, reach, by="orchestrator_id")[:10])


def _found_by(query: str, reach: Reach) -> tuple[set[int], bool]:
    """Return whose name begins so, or whose serial number, thumbprint or fingerprint does.

    And whether one of these had more than are looked at. Within the reach from the beginning: what
    is outside takes no place from what is inside.
    """
    query = without_label(query)
    rows = within(Certificate.objects.all(), reach, by="orchestrator_id")
    others = within(CertificateName.objects.all(), reach, by="certificate__orchestrator_id")
    begins = Q(name_key__startswith=canonical(query))
    looked_up = [
        rows.filter(begins).order_by("name_key").values_list("pk", flat=True),
        others.filter(begins).order_by("name_key").values_list("certificate_id", flat=True),
    ]
    if (address := address_of(query)) not in ("", canonical(query)):
        # Written as certificates do not write it: 2001:DB8:0::1.
        same = others.filter(name_key=address).values_list("certificate_id", flat=True)
        looked_up.append(same.order_by("certificate_id"))
    if len(digits := hex_of(query)) >= _LEAST_HEX:
        # Two digits to the octet here; others leave the first zero out, or put an octet of zeros
        # first.
        numbers = sorted({digits, f"0{digits}", digits.removeprefix("00")})
        for column, beginnings in (
            ("thumbprint", [digits.upper()]),
            ("fingerprint_sha256", [digits]),
            ("serial_number", numbers),
        ):
            condition = Q(
                *(Q(**{f"{column}__startswith": each}) for each in beginnings), _connector="OR"
            )
            looked_up.append(rows.filter(condition).order_by(column).values_list("pk", flat=True))
    if serial_number := _serial_number_in_decimal(query):
        # Only whole: the first digits of a number in decimal are not the first ones of its hex.
        same_number = rows.filter(serial_number=serial_number).order_by("pk")
        looked_up.append(same_number.values_list("pk", flat=True))
    found = [set(ids[: MOST_FOUND + 1]) for ids in looked_up]
    return set().union(*found), any(len(ids) > MOST_FOUND for ids in found)


def _serial_number_in_decimal(query: str) -> str:
    """Return a serial number written in decimal as the rows hold it; empty if it is not one."""
    written = _DECIMAL.fullmatch(query.strip())
    return serial_text(int(written[1] or written[2])) if written else ""
