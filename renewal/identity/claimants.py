"""Who came forward for a New record, and what an approval would name.

Owns `Claimant` rows and the conflict between two strangers. Bounded: a record keeps the first and
the newest few, whatever is thrown at it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Q

from orchestrators.models import BootstrapCredential, Orchestrator, Status
from orchestrators.names import claim_key
from portal.audit.trail import Actor
from portal.statements import Parameter
from renewal import certificates
from renewal.identity import approval_requests
from renewal.models import Certificate, Claimant
from renewal.rules.periods import is_valid
from renewal.rules.risks import placed
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts

MOST_PER_RECORD = 5


class NobodyCameForward(Exception):
    """No usable certificate or credential has been seen: there is nothing to approve."""


class ClaimantConflict(Exception):
    """Several strangers came forward; the approver has to choose."""


class ClaimantChanged(Exception):
    """Another one came forward since the page was shown."""


@dataclass(frozen=True)
class Seen:
    """What a caller proved: a certificate (its facts and its row, if any) or a credential."""

    facts: CertificateFacts | None = None
    certificate: Certificate | None = None
    credential: BootstrapCredential | None = None


def newcomers_of(credential: BootstrapCredential | None, address: str, *, now: datetime) -> int:
    """Count the New records of the last hour that this credential made, or, without one, that
    certificates from this address made.
    """
    recent = Claimant.objects.filter(
        orchestrator__status__in=[Status.NEW, Status.DISAPPROVED],
        orchestrator__created_at__gt=now - timedelta(hours=1),
        credential=credential,
    )
    if credential is None:
        recent = recent.filter(address=address[:64])
    return recent.values("orchestrator").distinct().count()


def note(
    orchestrator: Orchestrator, seen: Seen, *, client_machine: str, address: str, now: datetime
) -> None:
    """Note who came forward for a New record, and see that its request for approval is open.

    Somebody new, or another name, voids what was voted: it was about something else.
    """
    certificate = seen.certificate
    if seen.facts is not None and certificate is None:
        certificate = certificates.create(
            seen.facts, standing=Standing.SEEN, now=now, orchestrator=orchestrator
        )
    elif certificate is not None and certificate.orchestrator_id is None:
        # Of a deleted orchestrator, unrevoked: counts as unknown.
        Certificate.objects.filter(pk=certificate.pk, orchestrator=None).update(
            orchestrator=orchestrator, standing=Standing.SEEN, standing_since=now
        )
    elif (
        certificate is not None
        and certificate.orchestrator_id != orchestrator.pk
        and certificate.standing == Standing.SEEN
    ):
        # Seen with another New record only, which never held it.
        Certificate.objects.filter(pk=certificate.pk).update(orchestrator=orchestrator)
    claimants = Claimant.objects.filter(
        orchestrator=orchestrator, generation=orchestrator.generation
    )
    caller = approval_requests.Cause(f"orchestrator {client_machine}".strip(), address=address)
    approval_requests.ensure_open(orchestrator, caller, now=now)
    key, at = claim_key(client_machine), now.isoformat()
    mine = claimants.filter(certificate=certificate, credential=seen.credential).first()
    if mine is not None:
        is_renamed = claim_key(mine.client_machine) != key
        mine.last_seen, mine.client_machine, mine.address = now, client_machine, address[:64]
        mine.places = placed(mine.places, name=key, address=address[:64], at=at)
        mine.save(update_fields=["last_seen", "client_machine", "address", "places"])
        if is_renamed:
            approval_requests.void_votes(orchestrator, Actor(caller.name), now=now)
        return
    count = claimants.count()
    if count:
        approval_requests.void_votes(orchestrator, Actor(caller.name), now=now)
    if count >= MOST_PER_RECORD:
        # The newest stranger replaces the newest but one: a flood moves one row, not the first.
        newest = claimants.order_by("-first_seen", "-pk").first()
        if newest is not None:
            newest.delete()
    Claimant.objects.create(
        orchestrator=orchestrator,
        generation=orchestrator.generation,
        certificate=certificate,
        credential=seen.credential,
        client_machine=client_machine,
        address=address[:64],
        held_before=certificate is not None and certificate.standing == Standing.ARCHIVED,
        places=placed([], name=key, address=address[:64], at=at),
        first_seen=now,
        last_seen=now,
    )


def usable(orchestrator: Orchestrator, *, now: datetime) -> list[Claimant]:
    """Return who may be approved now: valid, unrevoked certificates and live credentials."""
    return usable_of([orchestrator.pk], now=now)[orchestrator.pk]


def usable_of(keys: Iterable[UUID], *, now: datetime) -> Mapping[UUID, list[Claimant]]:
    """Return who may be approved now, by record (one query for all of them)."""
    rows = (
        Claimant.objects.filter(
            orchestrator__in=list(keys), generation=F("orchestrator__generation")
        )
        .select_related("certificate", "credential")
        .defer("certificate__der")
        .order_by("first_seen", "pk")
    )
    found: dict[UUID, list[Claimant]] = defaultdict(list)
    for row in rows:
        if is_usable(row, now):
            found[row.orchestrator_id].append(row)
    return found


def follow(orchestrator: Orchestrator, *, generation: int) -> None:
    """Keep who came forward when a Disapprove raised the generation from ``generation``."""
    Claimant.objects.filter(orchestrator=orchestrator, generation=generation).update(
        generation=orchestrator.generation
    )


def mark_of(claimant: Claimant) -> str:
    """Return what an approval of this one names, comparable: certificate or credential, and name.

    A start stamp does not count: an existing agent's option makes a new one at every start.
    """
    proof = (
        f"certificate {claimant.certificate.fingerprint_sha256}"
        if claimant.certificate is not None
        else f"credential {claimant.credential_id}"
    )
    return hashlib.sha256(f"{proof} {claim_key(claimant.client_machine)}".encode()).hexdigest()


def words_of(claimant: Claimant) -> str:
    """Return what an approval of this one names, for a person."""
    proof = (
        f"certificate {claimant.certificate.thumbprint}"
        if claimant.certificate is not None
        else f"bootstrap credential {claimant.credential.name if claimant.credential else ''}"
    )
    return f"{proof} as {claimant.client_machine or 'without a name'}"


def is_of(claimant: Claimant, seen: Seen) -> bool:
    """Say whether the claimant is who was seen."""
    if seen.credential is not None:
        return claimant.credential_id == seen.credential.pk
    fingerprint = (
        seen.facts.fingerprint_sha256
        if seen.facts is not None
        else seen.certificate.fingerprint_sha256
        if seen.certificate is not None
        else ""
    )
    return (
        claimant.certificate is not None and claimant.certificate.fingerprint_sha256 == fingerprint
    )


def choose(
    candidates: Sequence[Claimant],
    *,
    expected: int | None,
    fingerprint: str | None,
    mark: str | None = None,
) -> Claimant:
    """Return whom an approval names.

    ``expected``: the claimant's row that a page showed and the approver chose; ``fingerprint``:
    the certificate, and ``mark`` the whole of what it showed. REST gives none of them and approves
    the only stranger; a certificate that the record held before its Reset gives way to any later
    one. Raises NobodyCameForward, ClaimantConflict, ClaimantChanged.
    """
    if not candidates:
        raise NobodyCameForward
    if expected is not None:
        chosen = next((c for c in candidates if c.pk == expected), None)
        if chosen is None or (mark and mark_of(chosen) != mark):
            raise ClaimantChanged
        if fingerprint and (
            chosen.certificate is None or chosen.certificate.fingerprint_sha256 != fingerprint
        ):
            raise ClaimantChanged
        return chosen
    strangers = [c for c in candidates if not c.held_before]
    if len(strangers) > 1:
        raise ClaimantConflict
    if strangers:
        return strangers[0]
    return max(candidates, key=lambda c: (c.last_seen, c.pk))


def is_usable(row: Claimant, now: datetime) -> bool:
    """Say whether an approval may name this one: valid now, and no other record's meanwhile."""
    if row.certificate is not None:
        certificate = row.certificate
        is_free = (
            certificate.orchestrator_id == row.orchestrator_id
            or certificate.orchestrator_id is None
            or certificate.standing == Standing.SEEN
        )
        return (
            is_free
            and certificate.revoked_at is None
            and is_valid(
                not_before=certificate.not_before, not_after=certificate.not_after, now=now
            )
        )
    credential = row.credential
    return (
        credential is not None
        and credential.revoked_at is None
        and credential.spent_at is None
        and credential.bound_to_id in (None, row.orchestrator_id)
        and (credential.expires_at is None or credential.expires_at > now)
    )


def usable_now(now: datetime | Parameter, moment: datetime | Parameter) -> Q:
    """Return the filter that `is_usable` is for one row; ``moment``: the whole second of ``now``,
    as certificates count.
    """
    is_free = (
        Q(certificate__orchestrator=F("orchestrator"))
        | Q(certificate__orchestrator=None)
        | Q(certificate__standing=Standing.SEEN)
    )
    certificate = is_free & Q(
        certificate__isnull=False,
        certificate__revoked_at=None,
        certificate__not_before__lte=moment,
        certificate__not_after__gte=moment,
    )
    is_unbound = Q(credential__bound_to=None) | Q(credential__bound_to=F("orchestrator"))
    credential = (
        is_unbound
        & Q(
            certificate=None,
            credential__isnull=False,
            credential__revoked_at=None,
            credential__spent_at=None,
        )
        & (Q(credential__expires_at=None) | Q(credential__expires_at__gt=now))
    )
    return certificate | credential
