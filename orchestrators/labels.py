"""Labels of orchestrators: ``key=value``, one value for each key.

Owns what a label may be, how many an orchestrator bears, and setting them for one or many with an
audit row each. What a label is used for (filters, limits of roles) is others'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from orchestrators.models import Orchestrator, OrchestratorLabel
from orchestrators.reach import acting_reaches, held_within, reachable, within
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import Reach
from portal.audit.models import Category
from portal.audit.trail import Actor, record

MOST_LABELS = 32
MOST_CHARACTERS = 63
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?\Z")


class GroupingRefused(ValueError):
    """A group or label cannot be like this; ``reason`` is stable, the message for a person."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def parse(text: str) -> tuple[str, str]:
    """Return key and value of ``key=value``. Raises GroupingRefused."""
    key, equals, value = text.strip().partition("=")
    if not equals:
        raise GroupingRefused(
            "label_invalid", f"{text.strip()[:80]!r} is no label. A label is key=value."
        )
    return checked(key, value)


def checked(key: str, value: str) -> tuple[str, str]:
    """Return a label's key and value in the form that is stored. Raises GroupingRefused."""
    key, value = checked_key(key), value.strip()
    if not value or len(value) > MOST_CHARACTERS or not value.isprintable():
        raise GroupingRefused(
            "label_invalid",
            f"The value of {key} has 1 to {MOST_CHARACTERS} printable characters.",
        )
    return key, value


def checked_key(text: str) -> str:
    """Return a label's key in the form that is stored. Raises GroupingRefused."""
    key = text.strip().lower()
    if not _KEY.match(key):
        raise GroupingRefused(
            "label_invalid",
            f"{text.strip()[:80]!r} is no key of a label: a key has 1 to {MOST_CHARACTERS} of a to "
            "z, 0 to 9, dot, dash, underscore and slash.",
        )
    return key


def labels_of(orchestrator: Orchestrator) -> dict[str, str]:
    """Return the labels of a record by key."""
    return dict(orchestrator.labels.order_by("key").values_list("key", "value"))


def bearers(wanted: str) -> QuerySet[OrchestratorLabel, Any]:
    """Return the ids of the records with a label, ``key=value`` or ``key`` with any value."""
    key, equals, value = wanted.partition("=")
    rows = OrchestratorLabel.objects.filter(key=key.strip().lower())
    if equals:
        rows = rows.filter(value=value.strip())
    return rows.values("orchestrator_id")


@transaction.atomic
def set_labels(
    ids: Iterable[UUID],
    *,
    put: Mapping[str, str],
    remove: Iterable[str] = (),
    author: User | None = None,
    actor: Actor,
) -> tuple[set[UUID], set[UUID]]:
    """Put labels on records and remove keys; return the records found and those that changed.

    A record outside the reach of ``author`` (None: whoever runs the host) is not found. Nothing is
    done if one of them would have too many, would leave that reach, or would come within the reach
    of something else that the author holds. Raises GroupingRefused.
    """
    limits = acting_reaches(author, Permission.AGENTS_MODIFY)
    gone = set(remove) - set(put)
    records = list(locked(ids, *limits))
    held = held_within((o.pk for o in records), author)
    labels = _by_record(records)
    changed: set[UUID] = set()
    for orchestrator in records:
        before = labels[orchestrator.pk]
        after = {k: v for k, v in before.items() if k not in gone} | dict(put)
        if after == before:
            continue
        if len(after) > MOST_LABELS:
            raise GroupingRefused(
                "too_many_labels",
                f"{orchestrator.client_machine or orchestrator.pk} would have {len(after)} "
                f"labels; at most {MOST_LABELS} are kept.",
            )
        _store(orchestrator, before, after)
        changed.add(orchestrator.pk)
        record(
            actor,
            Category.ORCHESTRATOR,
            "labels_changed",
            object_type="orchestrator",
            object_id=orchestrator.pk,
            object_name=orchestrator.client_machine,
            orchestrator_id=orchestrator.pk,
            before={"labels": _told(before)},
            after={"labels": _told(after)},
        )
    check_reach(changed, limits, held)
    return {o.pk for o in records}, changed


def locked(ids: Iterable[UUID], *reaches: Reach) -> QuerySet[Orchestrator]:
    """Return the records within the reaches, locked in one order."""
    rows = Orchestrator.objects.select_for_update(of=("self",)).filter(pk__in=list(ids))
    return within(rows, *reaches).order_by("pk")


def check_reach(
    ids: Iterable[UUID], limits: Sequence[Reach], held: Mapping[Reach, set[UUID]]
) -> None:
    """Refuse a change after which its author would reach a record no longer, or one more.

    ``held``: what `held_within` told before the change. Raises GroupingRefused.
    """
    wanted = set(ids)
    if not wanted:
        return
    if not all(each.everything for each in limits) and reachable(wanted, *limits) != wanted:
        raise GroupingRefused(
            "would_leave_reach",
            "Your roles are limited to some groups and labels; with this change an orchestrator "
            "would leave them.",
        )
    for limit, before in held.items():
        if reachable(wanted, limit) - before:
            raise GroupingRefused(
                "would_widen_reach",
                "One of your roles is limited to some groups and labels; with this change an "
                "orchestrator would come within it: somebody else has to do that.",
            )


def _by_record(records: Iterable[Orchestrator]) -> dict[UUID, dict[str, str]]:
    found: dict[UUID, dict[str, str]] = {o.pk: {} for o in records}
    rows = OrchestratorLabel.objects.filter(orchestrator__in=found)
    for pk, key, value in rows.values_list("orchestrator_id", "key", "value"):
        found[pk][key] = value
    return found


def _store(orchestrator: Orchestrator, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    stale = [key for key, value in before.items() if after.get(key) != value]
    if stale:
        orchestrator.labels.filter(key__in=stale).delete()
    OrchestratorLabel.objects.bulk_create(
        OrchestratorLabel(orchestrator=orchestrator, key=key, value=value)
        for key, value in after.items()
        if before.get(key) != value
    )


def _told(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(labels.items())]
