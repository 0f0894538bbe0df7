"""Certificates that an operator revokes, chosen by number: all of them or none.

Owns what an operator may ask for. What a revocation is, and how its CA is told, is
`revocations.py`'s; who may ask is checked by the faces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction

from orchestrators.reach import within
from portal.access.reach import Reach
from portal.audit.trail import Actor
from portal.audit.wording import one_line
from renewal import revocations
from renewal.ca.base import RevocationReason
from renewal.models import Certificate

REASONS: Mapping[int, RevocationReason] = {
    reason.number: reason
    for reason in RevocationReason
    # Lifting a hold is another act, and no CA of this portal does it.
    if reason is not RevocationReason.REMOVE_FROM_CRL
}
"""The reasons that an operator can give, by their number in RFC 5280 §5.3.1."""


class CertificatesUnknown(LookupError):
    """Some of the certificates do not exist (within reach); nothing was revoked."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = ids
        super().__init__("There is no such certificate.")


class CertificatesChanged(ValueError):
    """A certificate is no longer what it was when the operator looked; nothing was revoked."""


@transaction.atomic
def revoke(
    ids: Iterable[int],
    reason: RevocationReason,
    *,
    comment: str,
    reaches: Iterable[Reach],
    actor: Actor,
    now: datetime,
    looked_at: Mapping[int, str] | None = None,
) -> list[int]:
    """Revoke certificates, at this portal at once and at their CAs as soon as they answer.

    One that is revoked already stays as it is. ``looked_at``: the standing of certificates when
    somebody decided. Return the numbers in order. Raises CertificatesUnknown, CertificatesChanged
    with nothing changed.
    """
    wanted = sorted(set(ids))
    rows = Certificate.objects.select_for_update(of=("self",)).filter(pk__in=wanted)
    found = {row.pk: row for row in within(rows, *reaches, by="orchestrator_id").order_by("pk")}
    if missing := [pk for pk in wanted if pk not in found]:
        raise CertificatesUnknown(missing)
    for pk, standing in (looked_at or {}).items():
        if found[pk].standing != standing:
            raise CertificatesChanged("Its use has changed meanwhile: look at it again.")
    for pk in wanted:
        revocations.request(
            found[pk],
            reason=reason.value,
            cause=one_line(comment)[:200],
            by_service_account=False,
            actor=actor,
            now=now,
        )
    return wanted
