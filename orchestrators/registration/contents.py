"""What a rule of auto-registration may be: its contents, their bounds, and what they may name.

Owns the refusals of a rule as somebody wants it. How a rule changes is `editing.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import Group

from orchestrators import labels
from orchestrators.models import BootstrapCredential, OrchestratorGroup
from orchestrators.protocol.requests import MessageError, checked_text
from orchestrators.registration.rules import Outcome, parse_network
from portal.access.models import User
from portal.access.reach import Reach, grants_of

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


def checked(name: str, contents: Contents) -> tuple[str, Contents]:
    """Return a rule's name and contents in the one form that is stored. Raises RuleRefused."""
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
    clean = replace(
        contents,
        description=_text(
            contents.description, "description", most=_MOST_CHARACTERS["description"]
        ),
        name_patterns=patterns,
        networks=tuple(_network(n) for n in _few(contents.networks, "networks")),
        parameters=tuple(parameters),
    )
    _check_known(clean)
    return name, replace(clean, assign_labels=_labels(contents.assign_labels))


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


def check_gives_author_nothing(contents: Contents, author: User | None) -> None:
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
