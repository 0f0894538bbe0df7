"""Entering an orchestrator by hand: an Approved record with its name, id and certificate.

Owns this act whole, for deployments that already know their orchestrators. The certificate may
have any age, expired ones included; it counts from its notBefore. What authenticates afterwards is
judged as for everybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q, QuerySet

from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical, claim_key
from orchestrators.protocol.requests import MessageError, checked_text
from orchestrators.records import rename
from portal.access.models import User
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal import certificates
from renewal.identity import standings
from renewal.identity.approvals import ActRefused
from renewal.models import Certificate, Claimant, Enrollment
from renewal.rules.standing import ACCEPTED, Standing
from renewal.x509.certificates import CertificateFacts

MOST_EXTRA_NAMES = 20


@dataclass(frozen=True)
class Entry:
    """An orchestrator as somebody enters it. None leaves what there is."""

    name: str
    id: UUID | None = None
    certificate: CertificateFacts | None = None
    beside: Sequence[CertificateFacts] = ()
    """What it may come back with besides: looked at here, and bound by who enters it."""
    service_account: User | None = None
    account_if_new: User | None = None
    """The service account of a record that is made now; one that exists keeps its own."""
    extra_names: Sequence[str] | None = None
    demonstration: bool | None = None
    may_override: bool = False
    """Who enters it may approve against the policies: with an id of its own, also beside a record
    that waits for the approval of its return."""


def enter(entry: Entry, *, actor: Actor, now: datetime) -> tuple[Orchestrator, bool]:
    """Create or complete the Approved record; return it and whether anything changed.

    Nothing is taken from another orchestrator, and a certificate that the record has already is
    never exchanged: Reset is the way to that. Raises ActRefused.
    """
    check_names(entry)
    if entry.certificate is not None:
        check_certificate(entry.certificate)
    with transaction.atomic():
        orchestrator = _found(entry)
        if entry.id is None or not entry.may_override:
            _refuse_returning(entry, is_new=orchestrator is None)
        before = state_of(orchestrator) if orchestrator is not None else {}
        if orchestrator is None:
            account = entry.service_account or entry.account_if_new
            account = account or User.objects.get(username=SHARED_SERVICE_ACCOUNT)
            orchestrator = Orchestrator(
                id=entry.id or uuid4(),
                service_account=account,
                status=Status.APPROVED,
                created_at=now,
            )
            rename(orchestrator, entry.name)
        if entry.service_account is not None:
            orchestrator.service_account = entry.service_account
        if entry.extra_names is not None:
            orchestrator.extra_names = list(dict.fromkeys(n.strip() for n in entry.extra_names))
        if entry.demonstration is not None:
            orchestrator.demonstration = entry.demonstration
        if not before or state_of(orchestrator) != before:
            orchestrator.save()
        if entry.certificate is not None:
            _bind(orchestrator, entry.certificate, now=now)
        after = state_of(orchestrator)
        if before == after:
            return orchestrator, False
        record(
            actor,
            Category.ORCHESTRATOR,
            "changed_by_hand" if before else "entered",
            object_type="orchestrator",
            object_id=orchestrator.pk,
            object_name=orchestrator.client_machine,
            orchestrator_id=orchestrator.pk,
            before=before,
            after=after,
        )
    return orchestrator, True


def check_names(entry: Entry) -> None:
    """Refuse names and accounts that no record may have. Raises ActRefused."""
    names = [entry.name, *(entry.extra_names or ())]
    if len(names) > MOST_EXTRA_NAMES + 1 or any(
        not name.strip() or len(name) > 253 for name in names
    ):
        raise ActRefused(
            "name_invalid",
            f"A name has 1 to 253 characters; there are at most {MOST_EXTRA_NAMES} extra names.",
        )
    try:
        for name in names:
            checked_text(name, "A name")
    except MessageError as error:
        raise ActRefused("name_invalid", f"{error}.") from None
    if entry.service_account is not None and not entry.service_account.is_service_account:
        raise ActRefused(
            "not_a_service_account", f"{entry.service_account.username!r} is a person's account."
        )


def check_certificate(facts: CertificateFacts) -> None:
    """Refuse a certificate that no orchestrator may have. Raises ActRefused."""
    if facts.is_ca or not facts.has_client_auth:
        raise ActRefused(
            "certificate_unsuitable",
            "An orchestrator's certificate has the extended key usage clientAuth and is no CA's.",
        )


def _found(entry: Entry) -> Orchestrator | None:
    """Return the record that is meant, locked; None if it is to be made. Raises ActRefused."""
    rows = Orchestrator.objects.select_for_update(of=("self",)).select_related("service_account")
    key = canonical(entry.name)[:255]
    named = rows.filter(status=Status.APPROVED, name_key=key).first()
    if entry.id is None:
        return named
    found = rows.filter(pk=entry.id).first()
    if named is not None and (found is None or found.pk != named.pk):
        raise ActRefused(
            "name_taken",
            f"Another approved orchestrator, {named.pk}, has the name {entry.name!r}.",
        )
    if found is None:
        return None
    if found.status != Status.APPROVED:
        raise ActRefused(
            "not_approved",
            f"The orchestrator {found.pk} exists and is {found.get_status_display()}: approve it.",
        )
    if found.name_key != key:
        raise ActRefused(
            "name_differs", f"The orchestrator {found.pk} is called {found.client_machine!r}."
        )
    return found


def returning() -> QuerySet[Orchestrator]:
    """Return the records whose return is to be decided, by the policies of a return."""
    rows = Orchestrator.objects.exclude(status=Status.APPROVED)
    return rows.filter(Q(status=Status.DISAPPROVED) | Q(reset_at__isnull=False))


def came_with(certificates: Q) -> Q:
    """Return the records that somebody came forward for with one of these certificates."""
    rows = Certificate.objects.filter(certificates, standing=Standing.SEEN)
    return Q(pk__in=rows.filter(orchestrator__isnull=False).values("orchestrator")) | Q(
        pk__in=Claimant.objects.filter(certificate__in=rows).values("orchestrator")
    )


def _refuse_returning(entry: Entry, *, is_new: bool) -> None:
    """Let no record in beside one of this name, or with a certificate or key of one, that was Reset
    or disapproved: whoever comes back is approved by its policies.
    """
    meant = Q(pk__in=[])
    if is_new:
        meant |= Q(name_key=canonical(entry.name)[:255]) | Q(claim_key=claim_key(entry.name))
    for facts in (entry.certificate, *entry.beside):
        if facts is not None:
            meant |= came_with(
                Q(fingerprint_sha256=facts.fingerprint_sha256) | Q(spki_sha256=facts.spki_sha256)
            )
    found = returning().filter(meant).first()
    if found is not None:
        raise ActRefused(
            "not_approved",
            f"The orchestrator {found.pk} of this name or certificate is "
            f"{found.get_status_display()}: approve it. Who may override the policies may enter "
            "another one with an id of its own.",
        )


def _bind(orchestrator: Orchestrator, facts: CertificateFacts, *, now: datetime) -> None:
    """Make a certificate the current one of a record that has none."""
    row = Certificate.objects.filter(fingerprint_sha256=facts.fingerprint_sha256).first()
    if row is not None and row.orchestrator_id == orchestrator.pk and row.standing in ACCEPTED:
        return
    row = owned(orchestrator, facts, now=now)
    if standings.accepted_of(orchestrator):
        raise ActRefused(
            "has_certificate",
            f"{orchestrator.client_machine!r} has another certificate. Reset it, let it register "
            "with the new one and approve its return.",
        )
    standings.bind(orchestrator, row, now=now)


def owned(
    orchestrator: Orchestrator,
    facts: CertificateFacts,
    *,
    beside: Certificate | None = None,
    now: datetime,
) -> Certificate:
    """Return a certificate's row as the record's own; its standing is still to be set.

    ``beside``: one that is taken with it and may have its key. Raises ActRefused if certificate or
    key are or were another one's, or used up.
    """
    row = Certificate.objects.filter(fingerprint_sha256=facts.fingerprint_sha256).first()
    _check_is_free(orchestrator, facts, row, beside)
    if row is None:
        row = certificates.create(
            facts,
            standing=Standing.SEEN,
            now=now,
            orchestrator=orchestrator,
            authority=certificates.issuing_authority(facts),
        )
    row.orchestrator = orchestrator
    row.generation = orchestrator.generation
    row.counted_from = row.not_before
    row.save(update_fields=["orchestrator", "generation", "counted_from"])
    return row


def _check_is_free(
    orchestrator: Orchestrator,
    facts: CertificateFacts,
    row: Certificate | None,
    beside: Certificate | None,
) -> None:
    """Refuse a certificate or a key that is or was another one's, or is revoked (I4)."""
    if row is not None and row.revoked_at is not None:
        raise ActRefused("certificate_revoked", "This certificate is revoked.")
    holders = Certificate.objects.filter(
        Q(spki_sha256=facts.spki_sha256) | Q(fingerprint_sha256=facts.fingerprint_sha256),
        orchestrator__isnull=False,
    ).exclude(standing=Standing.SEEN)
    if beside is not None:
        holders = holders.exclude(pk=beside.pk)
    asked = Enrollment.objects.filter(
        spki_sha256=facts.spki_sha256, orchestrator__isnull=False
    ).exclude(orchestrator=orchestrator)
    if holders.exclude(orchestrator=orchestrator).exists() or asked.exists():
        raise ActRefused(
            "certificate_of_another", "This certificate or its key belongs to another orchestrator."
        )
    if holders.filter(orchestrator=orchestrator).exists():
        raise ActRefused(
            "certificate_used",
            "This orchestrator had this certificate or its key before; it is not taken again.",
        )
    if row is not None and row.standing == Standing.REJECTED:
        raise ActRefused("certificate_used", "This certificate was a wrong answer of its CA.")


def state_of(orchestrator: Orchestrator) -> dict[str, object]:
    """Return what the audit log tells of an entered record."""
    return {
        "status": Status(orchestrator.status).label,
        "name": orchestrator.client_machine,
        "thumbprint": orchestrator.thumbprint,
        "service_account": orchestrator.service_account.username,
        "extra_names": list(orchestrator.extra_names),
        "demonstration": orchestrator.demonstration,
    }
