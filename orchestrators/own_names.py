"""Operators' acts on the names of a record: names added, a differing name accepted.

Owns these changes with their audit rows. A name never authenticates; it says what a certificate
may carry (T1 in docs/promises.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import transaction

from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical
from orchestrators.protocol.requests import MessageError, checked_text
from orchestrators.records import NAME_FIELDS, rename
from portal.audit.models import Category
from portal.audit.trail import Actor, record

MOST_NAMES = 20


class NameRefused(ValueError):
    """The names cannot be set like this; the message says why."""


def set_extra_names(orchestrator_id: UUID, names: Sequence[str], *, actor: Actor) -> bool:
    """Set the names that certificates may carry beside ClientMachine; say whether it changed."""
    wanted = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if len(wanted) > MOST_NAMES or any(len(name) > 253 for name in wanted):
        raise NameRefused(f"At most {MOST_NAMES} names of at most 253 characters.")
    try:
        for name in wanted:
            checked_text(name, "A name")
    except MessageError as error:
        raise NameRefused(f"{error}.") from None
    with transaction.atomic():
        orchestrator = _locked(orchestrator_id)
        before = list(orchestrator.extra_names)
        if before == wanted:
            return False
        orchestrator.extra_names = wanted
        orchestrator.save(update_fields=["extra_names"])
        _audit(orchestrator, "names_changed", actor, {"names": before}, {"names": wanted})
    return True


def accept_seen_name(orchestrator_id: UUID, shown: str, *, actor: Actor) -> bool:
    """Make the differing name that a page showed the record's; say whether it changed."""
    with transaction.atomic():
        orchestrator = _locked(orchestrator_id)
        seen = orchestrator.client_machine_seen
        if not seen:
            if shown != orchestrator.client_machine:
                raise NameRefused("It calls itself by its own name by now: look again.")
            return False
        if seen != shown:
            raise NameRefused(f"It now calls itself {seen!r}: look again before accepting.")
        taken = (
            Orchestrator.objects.filter(status=Status.APPROVED, name_key=canonical(seen)[:255])
            .exclude(pk=orchestrator.pk)
            .exists()
        )
        if taken and orchestrator.status == Status.APPROVED:
            raise NameRefused(f"Another approved orchestrator has the name {seen!r}.")
        before = {"client_machine": orchestrator.client_machine}
        rename(orchestrator, seen)
        orchestrator.client_machine_seen = ""
        orchestrator.save(update_fields=[*NAME_FIELDS, "client_machine_seen"])
        _audit(orchestrator, "name_accepted", actor, before, {"client_machine": seen})
    return True


def _locked(orchestrator_id: UUID) -> Orchestrator:
    found = Orchestrator.objects.select_for_update().filter(pk=orchestrator_id).first()
    if found is None:
        raise NameRefused("There is no such orchestrator.")
    return found


def _audit(
    orchestrator: Orchestrator,
    action: str,
    actor: Actor,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    record(
        actor,
        Category.ORCHESTRATOR,
        action,
        object_type="orchestrator",
        object_id=orchestrator.pk,
        object_name=orchestrator.client_machine,
        orchestrator_id=orchestrator.pk,
        before=before,
        after=after,
    )
