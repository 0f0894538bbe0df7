"""What somebody has to look after at the portal itself, read from the rows.

Owns the reading; when it is an alarm, and what it says, is `rules/alarms.py`'s. What the rows hold
is written by the worker (`own_certificates.py`, `crl.py`), so every process tells the same,
whether or not it can read the files of a CA.
"""

from __future__ import annotations

from datetime import datetime

from orchestrators.registration.health import handlers_without_place
from portal.audit.authorship import last_forged
from portal.audit.sealing import unsealed_since
from renewal.census import Begun
from renewal.models import Certificate, CertificateAuthority, RevocationList
from renewal.rules import alarms as rules
from renewal.rules.alarms import Alarm, Signer
from renewal.rules.standing import Standing

_MOST = 100


def alarms(begun: Begun | None, *, now: datetime) -> list[Alarm]:
    """Return what is wrong, the critical first, in seven queries, and four more while a row of the
    audit log is forged.

    ``begun`` is `census.last_begun`.
    """
    due = _work_due(begun)
    found: list[Alarm | None] = [rules.of_workers(due, now=now) if due else None]
    for authority in CertificateAuthority.objects.filter(type="local", enabled=True)[:_MOST]:
        found += rules.of_signer(_signer(authority), now=now)
    server = Certificate.objects.filter(standing=Standing.OWN).order_by("-not_after").first()
    if server is not None and server.revoked_at is None:
        found.append(rules.of_server(server.not_before, server.not_after, now=now))
    lists = RevocationList.objects.select_related("authority")
    for made in lists.defer("der").order_by("next_update")[:_MOST]:
        found.append(
            rules.of_revocation_list(
                made.authority.name, made.this_update, made.next_update, now=now
            )
        )
    found.append(rules.of_sealer(unsealed_since(now=now), now=now))
    if (forged := last_forged()) is not None:
        row, sealed_at = forged
        found.append(rules.of_forged(row, sealed_at, now=now))
    for handler in handlers_without_place(since=now - rules.TOLD_OF_A_HANDLER_FOR):
        if handler.without_place_at is not None:
            found.append(rules.of_handler(handler.path, handler.without_place_at, now=now))
    return sorted((alarm for alarm in found if alarm), key=lambda alarm: not alarm.is_critical)


def _work_due(begun: Begun | None) -> datetime | None:
    """Return when a worker should have begun to count the fleet, which it does all its life; None
    before there is anything to do.
    """
    if begun is not None:
        return begun.at + begun.again_after
    oldest = CertificateAuthority.objects.order_by("created_at").first()
    return oldest.created_at if oldest else None


def _signer(authority: CertificateAuthority) -> Signer:
    return Signer(
        name=authority.name,
        looked_at=authority.signer_checked_at,
        works=authority.signer_works is not False,
        problem=authority.signer_problem,
        not_before=authority.issuing_not_before,
        not_after=authority.issuing_not_after,
    )
