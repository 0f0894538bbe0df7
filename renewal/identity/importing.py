"""Taking in a fleet that another system knows, so that nobody is a stranger on the first day.

Owns what each row of a list leads to. With its certificate a row becomes an Approved record at once
(`entry.py`). With a thumbprint alone it becomes a New record that waits for it: whoever comes
forward with a trusted certificate of that thumbprint is approved in that moment
(`first_registration.py`), and nobody else is. Nothing is taken from a record that exists. A dry run
does the same and is rolled back, so that it cannot say anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from orchestrators import groups, labels
from orchestrators.fleet_file import Listed, Unreadable
from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical, claim_key
from orchestrators.records import rename
from portal.access.models import User
from portal.access.reach import EVERYTHING
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal.identity import approval_requests
from renewal.identity.acting import ActRefused
from renewal.identity.entry import Entry, check_names, enter
from renewal.models import Certificate
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate


class Outcome(StrEnum):
    """What became of a row."""

    ENTERED = "entered"
    """Approved, with its certificate."""
    ANNOUNCED = "announced"
    """New; approved when its certificate is shown."""
    UNCHANGED = "unchanged"
    LEFT_OUT = "left out"
    """Not approved where it comes from."""
    REFUSED = "refused"


@dataclass(frozen=True)
class Result:
    """What became of one row, and why."""

    place: str
    name: str
    outcome: Outcome
    agent_id: UUID | None = None
    reason: str = ""
    """Stable code of a refusal."""
    message: str = ""


class _RolledBack(Exception):
    pass


def take_in(
    rows: Iterable[Listed | Unreadable],
    *,
    actor: Actor,
    now: datetime,
    dry_run: bool = False,
    author: User | None = None,
) -> list[Result]:
    """Take in rows, each in a transaction of its own; a dry run leaves nothing behind.

    ``author`` (None: whoever runs the host) gives no group and label that one of his own roles is
    limited to.
    """
    if not dry_run:
        return [_one(row, author, actor=actor, now=now) for row in rows]
    results: list[Result] = []
    try:
        with transaction.atomic():
            # Rows of one file may contradict each other: each sees what the ones before it did.
            read = list(rows)
            results = [_one(row, author, actor=actor, now=now) for row in read]
            results = _without_made_up_ids(results, read, now)
            raise _RolledBack
    except _RolledBack:
        return results


def _without_made_up_ids(
    results: list[Result], rows: list[Listed | Unreadable], now: datetime
) -> list[Result]:
    """Return results without the ids of records that are made now: no row of the list gave them."""
    given = {row.agent_id for row in rows if isinstance(row, Listed)}
    found = {result.agent_id for result in results if result.agent_id} - given
    made = set(
        Orchestrator.objects.filter(pk__in=found, created_at=now).values_list("pk", flat=True)
    )
    return [replace(each, agent_id=None) if each.agent_id in made else each for each in results]


def _one(row: Listed | Unreadable, author: User | None, *, actor: Actor, now: datetime) -> Result:
    if isinstance(row, Unreadable):
        return Result(row.place, row.name, Outcome.REFUSED, None, "row_unreadable", row.message)
    if row.status != Status.APPROVED:
        label = Status(row.status).label
        return Result(
            row.place, row.client_machine, Outcome.LEFT_OUT, row.agent_id, "", f"It is {label}."
        )
    try:
        with transaction.atomic():
            orchestrator, outcome = _taken_in(row, author, actor=actor, now=now)
    except ActRefused as refused:
        reason, message = refused.reason, str(refused)
    except labels.GroupingRefused as refused:
        reason, message = refused.reason, str(refused)
    except IntegrityError:
        # Another import, or the orchestrator itself, was faster.
        reason, message = "changed", "It changed meanwhile: try again."
    else:
        return Result(row.place, row.client_machine, outcome, orchestrator.pk)
    return Result(row.place, row.client_machine, Outcome.REFUSED, row.agent_id, reason, message)


def _taken_in(
    row: Listed, author: User | None, *, actor: Actor, now: datetime
) -> tuple[Orchestrator, Outcome]:
    facts = _certificate_of(row)
    account = User.objects.filter(username=row.username, is_service_account=True).first()
    entry = Entry(
        name=row.client_machine, id=row.agent_id, certificate=facts, service_account=account
    )
    check_names(entry)
    if facts is not None:
        is_new = not _records_of(row).exists()
        orchestrator, changed = enter(entry, actor=actor, now=now)
        outcome = Outcome.ENTERED if changed else Outcome.UNCHANGED
    else:
        orchestrator, is_new = _announced(row, account, actor=actor, now=now)
        outcome = Outcome.ANNOUNCED if is_new else Outcome.UNCHANGED
    if is_new:
        _describe(orchestrator, row, author, actor=actor)
    return orchestrator, outcome


def _certificate_of(row: Listed) -> CertificateFacts | None:
    if not row.certificate:
        if not row.thumbprint:
            raise ActRefused(
                "nothing_to_know_it_by", "The row has neither a Thumbprint nor a Certificate."
            )
        return None
    try:
        facts = read_certificate(row.certificate)
    except CertificateUnreadable as error:
        raise ActRefused("certificate_unreadable", f"Its certificate: {error}.") from None
    if row.thumbprint and row.thumbprint != facts.thumbprint_sha1:
        raise ActRefused(
            "thumbprint_differs", "The row's Thumbprint is not that of its Certificate."
        )
    return facts


def _records_of(row: Listed) -> QuerySet[Orchestrator]:
    key = canonical(row.client_machine)
    named = Q(status=Status.APPROVED, name_key=key) | Q(
        status__in=[Status.NEW, Status.DISAPPROVED], claim_key=claim_key(row.client_machine)
    )
    wanted = named if row.agent_id is None else named | Q(pk=row.agent_id)
    return (
        Orchestrator.objects.select_for_update(of=("self",)).filter(wanted).order_by("created_at")
    )


def _announced(
    row: Listed, account: User | None, *, actor: Actor, now: datetime
) -> tuple[Orchestrator, bool]:
    """Return the record that waits for the row's thumbprint, and whether it was made."""
    existing = list(_records_of(row)[:10])
    for found in existing:
        if row.thumbprint in (found.thumbprint, found.announced_thumbprint):
            return found, False
    if existing:
        other = existing[0]
        raise ActRefused(
            "exists",
            f"The orchestrator {other.pk}, {other.client_machine!r}, exists and is "
            f"{other.get_status_display()}; nothing is taken from it.",
        )
    held = Certificate.objects.filter(thumbprint=row.thumbprint, orchestrator__isnull=False)
    if held.exclude(standing=Standing.SEEN).exists():
        raise ActRefused(
            "certificate_of_another", "The certificate of this thumbprint is another one's."
        )
    if Orchestrator.objects.filter(announced_thumbprint=row.thumbprint).exists():
        raise ActRefused("announced_twice", "This thumbprint was announced for another one.")
    made = Orchestrator(
        id=row.agent_id or uuid4(),
        service_account=account or User.objects.get(username=SHARED_SERVICE_ACCOUNT),
        status=Status.NEW,
        announced_thumbprint=row.thumbprint,
        announced_by=actor.name[:200],
        created_at=now,
    )
    rename(made, row.client_machine)
    made.save(force_insert=True)
    cause = approval_requests.cause_of(
        actor, f"Imported: approved when it shows the certificate {row.thumbprint}."
    )
    approval_requests.ensure_open(made, cause, now=now)
    record(
        actor,
        Category.ORCHESTRATOR,
        "announced",
        object_type="orchestrator",
        object_id=made.pk,
        object_name=made.client_machine,
        orchestrator_id=made.pk,
        after={"status": "New", "announced_thumbprint": row.thumbprint},
    )
    return made, True


def _describe(
    orchestrator: Orchestrator, row: Listed, author: User | None, *, actor: Actor
) -> None:
    """Give a record that was just made what else the row says. Raises GroupingRefused."""
    Orchestrator.objects.filter(pk=orchestrator.pk).update(
        platform=row.platform, version=row.version, capabilities=list(row.capabilities)
    )
    if row.group:
        group = groups.named(row.group, EVERYTHING)
        groups.assign([orchestrator.pk], group, author=author, actor=actor)
    if row.labels:
        pairs = dict(labels.parse(f"{key}={value}") for key, value in row.labels.items())
        labels.set_labels([orchestrator.pk], put=pairs, author=author, actor=actor)
