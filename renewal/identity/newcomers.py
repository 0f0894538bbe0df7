"""Rows of an import that nothing here knows, made together: a handful of statements for many.

Owns what a row becomes that meets no record, certificate or request, neither here nor before it in
the list. Any other row is judged by itself (`importing.py`). Runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from django.db.models import Q

from orchestrators import groups, labels
from orchestrators.fleet_file import Listed
from orchestrators.models import Orchestrator, Reenrollment, Status
from orchestrators.names import canonical, claim_key
from orchestrators.records import rename
from portal.access.models import User
from portal.access.reach import EVERYTHING
from portal.audit.models import Category
from portal.audit.trail import Actor, record_each
from renewal import certificates
from renewal.identity import approval_requests, standings
from renewal.identity.entry import state_of
from renewal.models import ApprovalRequest, Certificate, Enrollment
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts

Key = tuple[str, object]
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Coming:
    """A row of the list, with what it was read to mean."""

    row: Listed
    facts: CertificateFacts | None
    account: User
    """The service account of a record that is made of it: the one it names, or the shared one."""
    others: Mapping[Standing, CertificateFacts] = field(default_factory=dict)
    """Those beside ``facts`` in the middle of a renewal."""


def strangers(rows: Sequence[Coming]) -> list[Coming]:
    """Return the rows to be made together (four queries): they meet nothing that is here, and none
    before them.
    """
    taken = _taken(rows)
    found = []
    for each in rows:
        keys = set(keys_of(each))
        # In the middle of a renewal it has more than one certificate: it is made by itself.
        if not keys & taken and not each.others:
            found.append(each)
        taken |= keys
    return found


def keys_of(each: Coming) -> Iterator[Key]:
    """Yield what a row may share with a record, certificate, request or other row."""
    yield "name", canonical(each.row.client_machine)[:_LONGEST_NAME]
    yield "claim", claim_key(each.row.client_machine)
    if each.row.agent_id is not None:
        yield "id", each.row.agent_id
    if each.facts is None:
        yield "thumbprint", each.row.thumbprint
        return
    for facts in (each.facts, *each.others.values()):
        yield "thumbprint", facts.thumbprint_sha1
        yield "key", facts.spki_sha256


def _taken(rows: Sequence[Coming]) -> set[Key]:
    """Return which of the rows' keys are here."""
    wanted: dict[str, list[object]] = {}
    for kind, value in (key for each in rows for key in keys_of(each)):
        wanted.setdefault(kind, []).append(value)
    thumbprints, keys = wanted.get("thumbprint", []), wanted.get("key", [])
    taken: set[Key] = set()
    named = Orchestrator.objects.filter(
        Q(pk__in=wanted.get("id", []))
        | Q(name_key__in=wanted.get("name", []))
        | Q(claim_key__in=wanted.get("claim", []))
    )
    for pk, name, claim in named.values_list("pk", "name_key", "claim_key"):
        taken |= {("id", pk), ("name", name), ("claim", claim)}
    announced = Orchestrator.objects.filter(announced_thumbprint__in=thumbprints)
    held = Certificate.objects.filter(Q(thumbprint__in=thumbprints) | Q(spki_sha256__in=keys))
    for thumbprint, key in held.values_list("thumbprint", "spki_sha256"):
        taken |= {("thumbprint", thumbprint), ("key", key)}
    asked = Enrollment.objects.filter(spki_sha256__in=keys)
    taken |= {
        ("thumbprint", each) for each in announced.values_list("announced_thumbprint", flat=True)
    }
    return taken | {("key", each) for each in asked.values_list("spki_sha256", flat=True)}


def make(
    rows: Sequence[Coming], *, author: User | None, actor: Actor, now: datetime
) -> dict[str, Orchestrator]:
    """Make the records of strangers and return them by the place of their row.

    Raises GroupingRefused, IntegrityError: then the rows are to be judged one by one.
    """
    records = {each.row.place: _record(each, actor, now) for each in rows}
    issuers = certificates.issuers_here() if any(each.facts for each in rows) else []
    bound: list[Certificate] = []
    for each in rows:
        if each.facts is None:
            continue
        certificate = certificates.build(
            each.facts,
            standing=Standing.SEEN,
            now=now,
            orchestrator=records[each.row.place],
            authority=certificates.issuing_authority(each.facts, issuers),
        )
        standings.set_bound(records[each.row.place], certificate, now=now)
        bound.append(certificate)
    Orchestrator.objects.bulk_create(records.values())
    certificates.create_all(bound)
    announced = [records[each.row.place] for each in rows if each.facts is None]
    ApprovalRequest.objects.bulk_create(
        approval_requests.first_of(record, cause(record, actor), now=now) for record in announced
    )
    record_each(
        actor,
        Category.ORCHESTRATOR,
        "announced",
        [(o.pk, o.client_machine, {}, told_of_announced(o)) for o in announced],
    )
    entered = [records[each.row.place] for each in rows if each.facts is not None]
    record_each(
        actor,
        Category.ORCHESTRATOR,
        "entered",
        [(o.pk, o.client_machine, {}, state_of(o)) for o in entered],
    )
    furnish([(records[each.row.place], each.row) for each in rows], author=author, actor=actor)
    return records


def _record(each: Coming, actor: Actor, now: datetime) -> Orchestrator:
    record = Orchestrator(
        id=each.row.agent_id or uuid4(),
        service_account=each.account,
        status=Status.NEW if each.facts is None else Status.APPROVED,
        created_at=now,
    )
    if each.facts is None:
        record.announced_thumbprint = each.row.thumbprint
        record.announced_by = actor.name[:200]
    rename(record, each.row.client_machine)
    describe(record, each.row)
    return record


def cause(record: Orchestrator, actor: Actor) -> approval_requests.Cause:
    """Return why a record that was announced waits for approval."""
    return approval_requests.cause_of(
        actor, f"Imported: approved when it shows the certificate {record.announced_thumbprint}."
    )


def told_of_announced(record: Orchestrator) -> Mapping[str, object]:
    """Return what the audit log tells of a record that was announced."""
    return {"status": "New", "announced_thumbprint": record.announced_thumbprint}


DESCRIBED = ["platform", "version", "capabilities", "flag", "flag_counter"]


def describe(record: Orchestrator, row: Listed) -> None:
    """Let a record that is made now say what the row says of it; nothing is stored."""
    record.platform, record.version = row.platform, row.version
    record.capabilities = list(row.capabilities)
    if row.flag:
        record.flag, record.flag_counter = row.flag, record.flag_counter + 1


def furnish(
    made: Sequence[tuple[Orchestrator, Listed]], *, author: User | None, actor: Actor
) -> None:
    """Put records that were made into their groups, label them, and note their flags.

    Raises GroupingRefused.
    """
    flagged: dict[int, list[Orchestrator]] = {}
    grouped: dict[str, list[Orchestrator]] = {}
    labeled: dict[tuple[tuple[str, str], ...], list[Orchestrator]] = {}
    for record, row in made:
        if row.flag:
            flagged.setdefault(row.flag, []).append(record)
        if row.group:
            grouped.setdefault(row.group, []).append(record)
        if row.labels:
            labeled.setdefault(tuple(sorted(row.labels.items())), []).append(record)
    for flag, records in flagged.items():
        record_each(
            actor,
            Category.ORCHESTRATOR,
            "renewal_requested",
            [
                (
                    o.pk,
                    o.client_machine,
                    {"flag": int(Reenrollment.NONE)},
                    {"flag": flag, "at_once": False},
                )
                for o in records
            ],
            message="It was set where the orchestrator comes from.",
        )
    for name, records in grouped.items():
        group = groups.named(name, EVERYTHING)
        groups.assign([o.pk for o in records], group, author=author, actor=actor)
    for pairs, records in labeled.items():
        put = dict(labels.parse(f"{key}={value}") for key, value in pairs)
        labels.set_labels([o.pk for o in records], put=put, author=author, actor=actor)
