"""What somebody has to look after at the portal itself, read from the rows.

Owns the reading; when it is an alarm, and what it says, is `rules/alarms.py`'s. What the rows hold
is written by the worker (`own_certificates.py`, `crl.py`), so every process tells the same,
whether or not it can read the files of a CA.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q

from orchestrators.registration.health import handlers_without_place
from portal.audit.authorship import last_forged
from portal.audit.sealing import unsealed_since
from renewal.census import Begun
from renewal.configuration import Chosen, NotConfigured
from renewal.models import Certificate, CertificateAuthority, RevocationList
from renewal.rules import alarms as rules
from renewal.rules.alarms import Alarm, Signer
from renewal.rules.standing import Standing
from renewal.selectors.unserved import concerns_anybody, is_chosen_by_a_group

_MOST = 100


def alarms(begun: Begun | None, standard: Chosen | NotConfigured, *, now: datetime) -> list[Alarm]:
    """Return what is wrong, the critical first, in seven queries; one more while the settings
    choose no CA or template that can be used, and four while a row of the audit log is forged.

    ``begun`` is `census.last_begun`, ``standard`` `configuration.by_settings`.
    """
    due = _work_due(begun)
    found: list[Alarm | None] = [rules.of_workers(due, now=now) if due else None]
    found += _of_authorities(standard, now=now)
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


def _of_authorities(standard: Chosen | NotConfigured, *, now: datetime) -> Iterator[Alarm]:
    """Judge the keys of the CAs on this portal's host, and whether a CA is disabled or missing that
    an approved orchestrator needs.
    """
    of_settings: CertificateAuthority | None = None
    if isinstance(standard, NotConfigured) and concerns_anybody(standard):
        of_settings = standard.disabled
        if standard.settings:
            yield rules.of_settings(str(standard), min(standard.settings))
    of_groups: list[CertificateAuthority] = []
    known = CertificateAuthority.objects.alias(is_chosen=is_chosen_by_a_group())
    seen = known.filter(Q(type="local", enabled=True) | Q(is_chosen=True, enabled=False))
    for authority in seen[:_MOST]:
        if authority.enabled:
            yield from rules.of_signer(_signer(authority), now=now)
        else:
            of_groups.append(authority)
    for row in dict.fromkeys([*([of_settings] if of_settings else []), *of_groups]):
        yield rules.of_disabled(
            row.name, row.pk, by_settings=row == of_settings, by_groups=row in of_groups
        )


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
