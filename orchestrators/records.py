"""Records of orchestrators: found by what a body names, created, refreshed, touched.

Owns a record's contact data. Never authenticates: a name finds a New record, a claim or a
conflict, nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, UUIDField

from orchestrators.confusables import skeleton
from orchestrators.contact_day import day_of
from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical, claim_key
from orchestrators.protocol.requests import RegisterRequest
from portal.access.models import User
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.statements import Parameter, Update

NAME_FIELDS = ["client_machine", "name_key", "claim_key", "name_skeleton"]
_CONTACT_FIELDS = ["last_seen", "seen_on", "last_address", "last_thumbprint_used"]
_BODY_FIELDS = ["platform", "version", "capabilities", "client_parameters"]
_TOUCHED = (*_CONTACT_FIELDS, "last_error_code", "last_error_message", "last_error_at")
_OWN_WORDS = (*_BODY_FIELDS, "client_machine_seen")


def _writing(*fields: str) -> Update:
    """Return the UPDATE of these columns of one record."""
    columns = {
        field.attname: Parameter(field.attname, field)
        for field in Orchestrator._meta.concrete_fields
        if field.attname in fields
    }
    return Update(lambda: Orchestrator.objects.filter(pk=Parameter("pk", UUIDField())), **columns)


_TOUCH, _TOUCH_WITH_BODY = _writing(*_TOUCHED), _writing(*_TOUCHED, *_OWN_WORDS)


@dataclass(frozen=True)
class Contact:
    """Who called, from where, with which certificate."""

    address: str
    thumbprint: str = ""


class TooManyNewRecords(Exception):
    """The bound on New records is reached; nothing was created."""


def parse_agent_id(text: str) -> UUID | None:
    """Return the GUID of a body, or None if it is empty or none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def locked(orchestrator_id: UUID) -> Orchestrator | None:
    """Return the record with its row locked; None if it is deleted."""
    return (
        Orchestrator.objects.select_for_update(of=("self",))
        .select_related("service_account")
        .filter(pk=orchestrator_id)
        .first()
    )


def named_by(body: RegisterRequest) -> Orchestrator | None:
    """Return the record that a body names: by AgentId, else by ClientMachine.

    By name: the Approved one of exactly that name, or the one whose open claim has it; else a New,
    else a Disapproved one, found without a start stamp. An empty name finds none.
    """
    records = Orchestrator.objects.select_related("service_account")
    agent_id = parse_agent_id(body.agent_id)
    if agent_id is not None and (found := records.filter(pk=agent_id).first()):
        return found
    key = claim_key(body.client_machine)
    if not key:
        return None
    candidates = list(
        records.filter(
            Q(status=Status.APPROVED, name_key=canonical(body.client_machine))
            | Q(status=Status.APPROVED, claims__closed_at=None, claims__claim_key=key)
            | Q(status__in=[Status.NEW, Status.DISAPPROVED], claim_key=key)
        ).distinct()[:20]
    )
    order = {Status.APPROVED: 0, Status.NEW: 1, Status.DISAPPROVED: 2}
    return min(candidates, key=lambda o: (order[Status(o.status)], o.created_at), default=None)


def names_another(body: RegisterRequest, own: Orchestrator) -> bool:
    """Say whether a body names another existing record than ``own`` (row 2a).

    An unknown AgentId names nobody. Costs a query only where something differs.
    """
    agent_id = parse_agent_id(body.agent_id)
    others = Orchestrator.objects.exclude(pk=own.pk)
    if agent_id is not None and agent_id != own.pk and others.filter(pk=agent_id).exists():
        return True
    name = canonical(body.client_machine)
    if not name or name == own.name_key or claim_key(body.client_machine) == own.claim_key:
        return False
    return others.filter(name_key=name).exists()


def create_new(
    body: RegisterRequest,
    contact: Contact,
    *,
    service_account: User | None,
    limit_per_hour: int,
    actor: Actor,
    now: datetime,
) -> Orchestrator:
    """Create a New record for somebody unknown, under the shared service account unless one is
    given. Raises TooManyNewRecords.
    """
    # Denied ones count as well: a flood that a rule denies is a flood.
    recent = Orchestrator.objects.filter(
        status__in=[Status.NEW, Status.DISAPPROVED],
        created_at__gt=now - timedelta(hours=1),
        announced_thumbprint="",
    )[:limit_per_hour].count()
    if recent >= limit_per_hour:
        raise TooManyNewRecords
    account = service_account or User.objects.get(username=SHARED_SERVICE_ACCOUNT)
    orchestrator = Orchestrator(service_account=account, created_at=now)
    rename(orchestrator, body.client_machine)
    _refresh(orchestrator, body, contact, now)
    orchestrator.save(force_insert=True)
    record(
        actor,
        Category.ORCHESTRATOR,
        "registered",
        object_type="orchestrator",
        object_id=orchestrator.pk,
        object_name=orchestrator.client_machine,
        orchestrator_id=orchestrator.pk,
        after={"status": "New", "thumbprint": contact.thumbprint},
    )
    return orchestrator


def refresh_new(
    orchestrator: Orchestrator, body: RegisterRequest, contact: Contact, *, now: datetime
) -> None:
    """Refresh a New record with the newest body; its name follows unless it was Reset.

    Writes what it owns and nothing else: an approval may be waiting for the row.
    """
    fields = [*_CONTACT_FIELDS, *_BODY_FIELDS]
    if orchestrator.reset_at is None and body.client_machine:
        rename(orchestrator, body.client_machine)
        fields += NAME_FIELDS
    _refresh(orchestrator, body, contact, now)
    if orchestrator.last_error_code:
        # That of an earlier caller: this one is told that it waits.
        orchestrator.last_error_code = orchestrator.last_error_message = ""
        orchestrator.last_error_at = None
        fields += ["last_error_code", "last_error_message", "last_error_at"]
    orchestrator.save(update_fields=fields)


def rename(orchestrator: Orchestrator, client_machine: str) -> None:
    """Set a record's name and its canonical forms (unsaved)."""
    orchestrator.client_machine = client_machine
    orchestrator.name_key = canonical(client_machine)
    orchestrator.claim_key = claim_key(client_machine)
    orchestrator.name_skeleton = skeleton(client_machine)


def touch(
    orchestrator: Orchestrator,
    contact: Contact,
    *,
    body: RegisterRequest | None,
    error_code: str,
    error_message: str,
    now: datetime,
) -> None:
    """Note the last contact, the thumbprint used and the last error (one UPDATE).

    With a body of the orchestrator itself also platform, version, capabilities and parameters. The
    caller has the row locked: columns that stay as they are are written too.
    """
    if body is not None:
        _refresh(orchestrator, body, contact, now)
        seen = body.client_machine
        differs = bool(seen) and claim_key(seen) != orchestrator.claim_key
        orchestrator.client_machine_seen = seen if differs else ""
    else:
        _contact(orchestrator, contact, now)
    if error_code or (orchestrator.last_error_code, orchestrator.last_error_message) != ("", ""):
        orchestrator.last_error_code = error_code
        orchestrator.last_error_message = error_message[:1000]
        orchestrator.last_error_at = now if error_code else None
    fields = _TOUCHED if body is None else (*_TOUCHED, *_OWN_WORDS)
    written = _TOUCH if body is None else _TOUCH_WITH_BODY
    written.run(pk=orchestrator.pk, **{name: getattr(orchestrator, name) for name in fields})


def note_refused_csr(orchestrator: Orchestrator, *, now: datetime) -> None:
    """Note that a CSR of this record was refused before any CA was asked."""
    Orchestrator.objects.filter(pk=orchestrator.pk).update(csr_refused_at=now)


def _contact(orchestrator: Orchestrator, contact: Contact, now: datetime) -> None:
    orchestrator.last_seen, orchestrator.seen_on = now, day_of(now)
    orchestrator.last_address = contact.address[:64]
    orchestrator.last_thumbprint_used = contact.thumbprint


def _refresh(
    orchestrator: Orchestrator, body: RegisterRequest, contact: Contact, now: datetime
) -> None:
    _contact(orchestrator, contact, now)
    orchestrator.platform = body.agent_platform
    orchestrator.version = body.agent_version
    orchestrator.capabilities = list(body.capabilities)
    orchestrator.client_parameters = dict(body.client_parameters)
