"""Changing the rules of auto-registration: add, change, move, delete, and count their hits.

Owns what a rule may be, and each change whole: rows and audit row in one transaction, by
compare-and-swap on what the page showed. Who may do this is checked by the faces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.db.models import F

from orchestrators import labels
from orchestrators.models import BootstrapCredential, OrchestratorGroup
from orchestrators.protocol.requests import MessageError, checked_text
from orchestrators.registration.models import AutoRegistrationRule
from orchestrators.registration.rules import Outcome, parse_network
from portal.access.models import User
from portal.access.reach import Reach, grants_of
from portal.audit.models import Category
from portal.audit.trail import Actor, record

MOST_RULES = 200
MOST_VALUES = 50
"""Of one condition."""
_MOST_CHARACTERS = {"name": 100, "description": 500}
_TEXT = 150
_PATTERN = 255


class RuleRefused(ValueError):
    """A rule cannot be like this, or not now; ``reason`` is stable, ``field`` names the input."""

    def __init__(self, reason: str, message: str, *, field: str = "") -> None:
        self.reason = reason
        self.field = field
        super().__init__(message)


@dataclass(frozen=True)
class Contents:
    """A rule as somebody wants it."""

    outcome: str = Outcome.DEFER.value
    description: str = ""
    enabled: bool = True
    name_patterns: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    service_account: str = ""
    role: str = ""
    credential: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    assign_service_account: str = ""
    assign_group: int | None = None
    assign_labels: tuple[tuple[str, str], ...] = ()


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
    name, contents = _checked(name, contents)
    _check_gives_author_nothing(contents, author)
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


# --- what a rule may be ---------------------------------------------------------------------


def _checked(name: str, contents: Contents) -> tuple[str, Contents]:
    name = _text(name, "name", most=_MOST_CHARACTERS["name"])
    if not name:
        raise RuleRefused("name_missing", "A rule needs a name.", field="name")
    if contents.outcome not in set(Outcome):
        raise RuleRefused(
            "outcome_unknown", "The outcome is allow, deny or defer.", field="outcome"
        )
    patterns = tuple(
        _text(p, "name_patterns", most=_PATTERN)
        for p in _few(contents.name_patterns, "name_patterns")
    )
    if "" in patterns:
        raise RuleRefused("pattern_empty", "A pattern is not empty.", field="name_patterns")
    parameters = []
    for key, pattern in _few(contents.parameters, "parameters"):
        key = _text(key, "parameters", most=_PATTERN)
        if not key:
            raise RuleRefused(
                "parameter_invalid", "A parameter is written key=pattern.", field="parameters"
            )
        parameters.append((key, _text(pattern, "parameters", most=_PATTERN)))
    checked = replace(
        contents,
        description=_text(
            contents.description, "description", most=_MOST_CHARACTERS["description"]
        ),
        name_patterns=patterns,
        networks=tuple(_network(n) for n in _few(contents.networks, "networks")),
        parameters=tuple(parameters),
    )
    _check_known(checked)
    return name, replace(checked, assign_labels=_labels(contents.assign_labels))


def _labels(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    try:
        checked = dict(labels.parse(f"{key}={value}") for key, value in pairs)
    except labels.GroupingRefused as refused:
        raise RuleRefused(refused.reason, str(refused), field="assign_labels") from None
    if len(checked) > labels.MOST_LABELS:
        raise RuleRefused(
            "too_many_labels", f"At most {labels.MOST_LABELS} labels.", field="assign_labels"
        )
    return tuple(sorted(checked.items()))


def _check_known(contents: Contents) -> None:
    """Refuse names of accounts, roles and credentials that do not exist: a slip of the pen."""
    accounts = User.objects.filter(is_service_account=True)
    for field in ("service_account", "assign_service_account"):
        name = getattr(contents, field)
        if name and not accounts.filter(username=name).exists():
            raise RuleRefused(
                "unknown_service_account", f"There is no service account “{name}”.", field=field
            )
    if contents.role and not Group.objects.filter(name=contents.role).exists():
        raise RuleRefused("unknown_role", f"There is no role “{contents.role}”.", field="role")
    group = contents.assign_group
    if group is not None and not OrchestratorGroup.objects.filter(pk=group).exists():
        raise RuleRefused("unknown_group", "There is no such group.", field="assign_group")
    name = contents.credential
    if name and not BootstrapCredential.objects.filter(name=name).exists():
        raise RuleRefused(
            "unknown_credential", f"There is no bootstrap credential “{name}”.", field="credential"
        )


def _check_gives_author_nothing(contents: Contents, author: User | None) -> None:
    """Refuse a gift of a group or label that would bring new orchestrators within the reach of
    something that the author holds for some orchestrators only.
    """
    held = grants_of(author).values() if author is not None else ()
    given = Reach(
        groups=frozenset() if contents.assign_group is None else frozenset({contents.assign_group}),
        labels=frozenset(contents.assign_labels),
    )
    if any(
        not each.everything and (each.groups & given.groups or each.labels & given.labels)
        for each in held
    ):
        raise RuleRefused(
            "would_widen_reach",
            "One of your roles is limited to this group or label; with this rule new orchestrators "
            "would come within it: somebody else has to make it.",
            field="assign_group" if given.groups else "assign_labels",
        )


def _network(text: str) -> str:
    try:
        return str(parse_network(text))
    except ValueError:
        raise RuleRefused(
            "network_invalid",
            f"“{text[:60]}” is not an address or a network such as 10.0.0.0/8.",
            field="networks",
        ) from None


def _few(values: Sequence[Any], field: str) -> Sequence[Any]:
    if len(values) > MOST_VALUES:
        raise RuleRefused("too_many_values", f"At most {MOST_VALUES} values.", field=field)
    return values


def _text(text: str, field: str, *, most: int) -> str:
    text = text.strip()
    if len(text) > most:
        raise RuleRefused("text_too_long", f"At most {most} characters.", field=field)
    try:
        return checked_text(text, field)
    except MessageError:
        raise RuleRefused(
            "text_invalid", "It contains a control or direction character.", field=field
        ) from None


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
