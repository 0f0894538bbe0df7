"""Changing the rules of auto-registration: add, change, move, delete, and count their hits.

Owns each change whole: rows and audit row in one transaction, by
compare-and-swap on what the page showed. Who may do this is checked by the faces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from orchestrators.registration.contents import (
    Contents,
    RuleRefused,
    check_gives_author_nothing,
    checked,
)
from orchestrators.registration.models import AutoRegistrationRule
from portal.access.models import User
from portal.audit.models import Category
from portal.audit.trail import Actor, record

MOST_RULES = 200


def contents_of(row: AutoRegistrationRule) -> Contents:
    """Return what a row says."""
    return Contents(**{f.name: _frozen(getattr(row, f.name)) for f in fields(Contents)})


def revision(rows: Iterable[AutoRegistrationRule]) -> str:
    """Return the state of the list: changes with any rule and with their order."""
    text = ",".join(f"{row.pk}.{row.version}" for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ordered() -> list[AutoRegistrationRule]:
    """Return all rules in the order in which they are asked."""
    return list(AutoRegistrationRule.objects.order_by("position", "pk"))


def locked() -> list[AutoRegistrationRule]:
    """Return all rules, in order and locked: two changes of the list follow one another."""
    return list(AutoRegistrationRule.objects.select_for_update().order_by("position", "pk"))


def save(
    name: str,
    contents: Contents,
    *,
    actor: Actor,
    now: datetime,
    pk: int | None = None,
    version: int | None = None,
    author: User | None = None,
) -> tuple[AutoRegistrationRule, bool]:
    """Add a rule at the end, or change the one with ``pk``; say whether that changed anything.

    ``version``: the one that was shown. ``author`` (None: whoever runs the host) gives nothing that
    one of his own roles is limited to. Raises RuleRefused.
    """
    name, contents = checked(name, contents)
    check_gives_author_nothing(contents, author)
    with transaction.atomic():
        rows = locked()
        row = next((r for r in rows if r.pk == pk), None)
        if pk is not None and row is None:
            raise RuleRefused("unknown_rule", "The rule does not exist any more.")
        if row is not None and version is not None and row.version != version:
            raise RuleRefused(
                "rule_changed", "Somebody else changed the rule meanwhile: look at it again."
            )
        if any(r.name == name and r.pk != pk for r in rows):
            raise RuleRefused("name_taken", "Another rule has this name.", field="name")
        if row is None and len(rows) >= MOST_RULES:
            raise RuleRefused("too_many_rules", f"There are {MOST_RULES} rules already.")
        before = shown(row) if row is not None else {}
        if row is None:
            row = AutoRegistrationRule(
                position=rows[-1].position + 1 if rows else 1, version=0, created_at=now
            )
        row.name = name
        for field, value in asdict(contents).items():
            setattr(row, field, dict(value) if field == "assign_labels" else _thawed(value))
        if before == shown(row):
            return row, False
        row.version += 1
        row.changed_at = now
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            raise RuleRefused("name_taken", "Another rule has this name.", field="name") from None
        _audit(row, "rule_changed" if before else "rule_added", actor, before, shown(row))
    return row, True


def save_at(
    name: str, contents: Contents, *, position: int | None, pk: int, **rest: Any
) -> AutoRegistrationRule:
    """Change a rule and its place (from 1; None: where it is) together. Raises RuleRefused."""
    with transaction.atomic():
        row, _ = save(name, contents, pk=pk, **rest)
        if position is not None:
            move(pk, position, expected=None, actor=rest["actor"], now=rest["now"])
    return row


def switch(
    pk: int, *, enabled: bool, actor: Actor, now: datetime, author: User | None = None
) -> bool:
    """Switch a rule on or off; say whether that changed anything. Raises RuleRefused."""
    with transaction.atomic():
        row = next((r for r in locked() if r.pk == pk), None)
        if row is None:
            raise RuleRefused("unknown_rule", "The rule does not exist any more.")
        wanted = replace(contents_of(row), enabled=enabled)
        return save(row.name, wanted, actor=actor, now=now, pk=pk, author=author)[1]


def move(pk: int, position: int, *, expected: str | None, actor: Actor, now: datetime) -> bool:
    """Make a rule the ``position``-th (from 1); say whether that changed anything.

    ``expected``: the revision of the list that was shown. Raises RuleRefused.
    """
    with transaction.atomic():
        rows = locked()
        if expected is not None and revision(rows) != expected:
            raise RuleRefused(
                "rules_changed", "Somebody else changed the rules meanwhile: look at them again."
            )
        row = next((r for r in rows if r.pk == pk), None)
        if row is None:
            raise RuleRefused("unknown_rule", "The rule does not exist any more.")
        old = rows.index(row)
        new = min(max(position, 1), len(rows)) - 1
        if old == new:
            return False
        rows.insert(new, rows.pop(old))
        for number, moved in enumerate(rows, start=1):
            if moved.position != number or moved.pk == pk:
                # The version of the moved one rises, so that the list is another one.
                moved.version += 1 if moved.pk == pk else 0
                moved.position = number
                moved.save(update_fields=["position", "version"])
        _audit(row, "rule_moved", actor, {"position": old + 1}, {"position": new + 1})
    return True


def delete(pk: int, *, expected: str | None, actor: Actor) -> bool:
    """Delete a rule; False if there is none. Raises RuleRefused if the list was changed."""
    with transaction.atomic():
        rows = locked()
        row = next((r for r in rows if r.pk == pk), None)
        if row is None:
            return False
        if expected is not None and revision(rows) != expected:
            raise RuleRefused(
                "rules_changed", "Somebody else changed the rules meanwhile: look at them again."
            )
        _audit(row, "rule_deleted", actor, shown(row), {})
        row.delete()
    return True


def count_hit(pk: int, *, now: datetime) -> None:
    """Count that a rule decided a registration: one statement of its own, after the reply's."""
    AutoRegistrationRule.objects.filter(pk=pk).update(hits=F("hits") + 1, last_hit_at=now)


def shown(row: AutoRegistrationRule) -> dict[str, Any]:
    """Return a rule as audit log and commands show it."""
    said = {k: _thawed(v) for k, v in asdict(contents_of(row)).items()}
    return {"name": row.name, **said, "assign_labels": dict(row.assign_labels)}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    if isinstance(value, list):
        return tuple(_frozen(entry) for entry in value)
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_thawed(entry) for entry in value]
    return value


def _audit(
    row: AutoRegistrationRule,
    action: str,
    actor: Actor,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    record(
        actor,
        Category.SETTING,
        action,
        object_type="auto_registration_rule",
        object_id=row.pk,
        object_name=row.name,
        before=before,
        after=after,
    )
