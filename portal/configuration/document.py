"""Exporting the configuration, and applying a document: what would change, and changing it.

Owns the document's outline and the one way of applying it. A plan is an application that is rolled
back, so that it cannot promise anything else. All of a document is applied or nothing of it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from orchestrators import fleet_file
from orchestrators.labels import GroupingRefused
from orchestrators.models import Orchestrator, Reenrollment, Status
from orchestrators.registration.contents import RuleRefused
from portal.access.guard import AccountRefused
from portal.audit.trail import Actor
from portal.configuration.sections import (
    SECTIONS,
    EntryRefused,
    Section,
    UserUnknown,
    write_settings,
)
from portal.preferences.typed import SettingInvalid
from renewal.identity import importing
from renewal.models import Certificate
from renewal.rules.standing import ACCEPTED, IN_USE, Standing
from renewal.templates import TemplateRefused

VERSION = 1
_VERSION_KEY = "portal_configuration"
_AGENTS = "agents"
_REFUSALS = (
    AccountRefused,
    EntryRefused,
    GroupingRefused,
    RuleRefused,
    SettingInvalid,
    TemplateRefused,
)


class DocumentRefused(ValueError):
    """The document cannot be applied; nothing of it was. The message names the place.

    ``code`` is stable: ``unknown_user`` if it names a user who is not there.
    """

    def __init__(self, message: str, code: str = "document_refused") -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Change:
    """One entry that differs."""

    section: str
    name: str
    action: str
    """``add``, ``change`` or ``remove``."""
    before: Any = None
    after: Any = None


class _RolledBack(Exception):
    pass


def export(*, with_fleet: bool = False) -> dict[str, Any]:
    """Return the document of what there is now. No secret stands in it."""
    document: dict[str, Any] = {_VERSION_KEY: VERSION}
    document |= {section.name: section.read() for section in SECTIONS}
    if with_fleet:
        document[_AGENTS] = list(_agents())
    return document


def plan(document: object, *, actor: Actor, now: datetime, prune: bool = False) -> list[Change]:
    """Return what applying the document would change. Raises DocumentRefused."""
    changes: list[Change] = []
    try:
        with transaction.atomic():
            changes = apply(document, actor=actor, now=now, prune=prune)
            raise _RolledBack
    except _RolledBack:
        return changes


@transaction.atomic
def apply(document: object, *, actor: Actor, now: datetime, prune: bool = False) -> list[Change]:
    """Make the portal as the document says; return what changed. Raises DocumentRefused.

    A section that the document lacks stays as it is. With ``prune``, what a section of the document
    lacks is removed; templates and shipped roles stay.
    """
    wanted = _checked(document)
    sections = [section for section in SECTIONS if section.name in wanted]
    before = {section.name: section.read() for section in sections}
    for section in sections:
        _write(section, before[section.name], wanted[section.name], actor=actor, now=now)
    if prune:
        # What needs another goes before it.
        for section in reversed(sections):
            for name in before[section.name].keys() - wanted[section.name].keys():
                if section.remove is not None:
                    with _place(section, name):
                        section.remove(name, actor, now)
    changes = [
        change
        for section in sections
        for change in _differences(section.name, before[section.name], section.read())
    ]
    if _AGENTS in wanted:
        changes += _taken_in(wanted[_AGENTS], actor=actor, now=now)
    return changes


def _checked(document: object) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise DocumentRefused("The document is not a JSON object.")
    version = document.get(_VERSION_KEY)
    # True equals 1 and is no version.
    if type(version) is not int or version != VERSION:
        raise DocumentRefused(f"The document does not say {_VERSION_KEY}: {VERSION}.")
    known = {_VERSION_KEY, _AGENTS, *(section.name for section in SECTIONS)}
    if unknown := [name for name in document if name not in known]:
        raise DocumentRefused(f"The document has a section {unknown[0][:60]!r} that is not known.")
    for section in SECTIONS:
        entries = document.get(section.name, {})
        if not isinstance(entries, dict):
            raise DocumentRefused(f"{section.name} is not an object.")
        if empty := [name for name, content in entries.items() if content is None]:
            raise DocumentRefused(
                f"{section.name}, {empty[0][:80]!r}: it is null. Leave it out; --prune removes it."
            )
        if not all(map(_is_storable, _texts(entries))):
            raise DocumentRefused(f"{section.name} has a character that no text has.")
    return document


def _texts(value: object) -> Iterator[str]:
    """Yield every text of a JSON value, names of members too, however deep."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            left += each


def _is_storable(text: str) -> bool:
    """Say whether a database stores a text: without NUL and halves of surrogate pairs."""
    return not any(ch == "\0" or "\ud800" <= ch <= "\udfff" for ch in text)


def _write(
    section: Section,
    before: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> None:
    if section.name == "settings":
        with _place(section, "together"):
            write_settings(dict(wanted), actor, now)
        return
    for name, content in wanted.items():
        if before.get(name) != content:
            with _place(section, name):
                section.write(name, content, actor, now)


class _place:  # noqa: N801  (reads as a word where it is used)
    """Tells a refusal with the place in the document."""

    def __init__(self, section: Section, name: str) -> None:
        self._where = f"{section.name}, {name[:80]!r}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        told = f"{self._where}: {error}"
        if isinstance(error, UserUnknown):
            raise DocumentRefused(told, "unknown_user") from None
        if isinstance(error, _REFUSALS):
            raise DocumentRefused(told) from None


def _differences(
    section: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            action = "add" if old is None else "remove" if new is None else "change"
            yield Change(section, name, action, old, new)


def _agents() -> Iterator[dict[str, Any]]:
    """Yield the approved orchestrators in the form that an import reads.

    Each with all that it may come back with. One that has no certificate would be a stranger there.
    """
    held = _held()
    rows = (
        Orchestrator.objects.filter(status=Status.APPROVED, demonstration=False)
        .select_related("service_account", "group")
        .prefetch_related("labels")
        .order_by("name_key", "pk")
    )
    for row in rows.iterator(chunk_size=1000):
        if row.pk not in held:
            continue
        yield {
            "AgentId": str(row.pk),
            "ClientMachine": row.client_machine,
            "Username": row.service_account.username,
            "AgentPlatform": row.platform,
            "Version": row.version,
            "Status": row.status,
            "Capabilities": row.capabilities,
            "AuthCertificateReenrollment": Reenrollment(row.flag).label,
            **_certificates(held[row.pk]),
            "Group": row.group.name if row.group else "",
            "Labels": {label.key: label.value for label in row.labels.all()},
        }


def _held() -> dict[UUID, dict[Standing, bytes]]:
    """Return by record the certificates that authenticate it; the one in use as the legacy one."""
    found: dict[UUID, dict[Standing, bytes]] = {}
    rows = Certificate.objects.filter(
        standing__in=sorted(ACCEPTED), orchestrator__isnull=False, revoked_at=None
    )
    for pk, standing, der in rows.values_list("orchestrator_id", "standing", "der").iterator():
        if pk is not None:
            use = Standing.LEGACY if standing in IN_USE else Standing(standing)
            found.setdefault(pk, {})[use] = bytes(der)
    return found


def _certificates(held: Mapping[Standing, bytes]) -> dict[str, str]:
    """Return the newest one, and those that may be shown instead of it; empty for none."""
    newest = next(s for s in (Standing.ISSUED, Standing.OVERTAKEN, Standing.LEGACY) if s in held)
    others = {standing: der for standing, der in held.items() if standing is not newest}
    return {
        "Certificate": base64.b64encode(held[newest]).decode(),
        "LegacyCertificate": base64.b64encode(others.get(Standing.LEGACY, b"")).decode(),
        "OvertakenCertificate": base64.b64encode(others.get(Standing.OVERTAKEN, b"")).decode(),
    }


def _taken_in(agents: object, *, actor: Actor, now: datetime) -> list[Change]:
    try:
        results = importing.take_in(fleet_file.rows_of(agents), actor=actor, now=now)
    except fleet_file.FleetFileInvalid as problem:
        raise DocumentRefused(f"{_AGENTS}: {problem}") from None
    for result in results:
        if result.outcome is importing.Outcome.REFUSED:
            raise DocumentRefused(f"{_AGENTS}, {result.place} ({result.name}): {result.message}")
    return [
        Change(_AGENTS, result.name, "add", None, {"outcome": result.outcome.value})
        for result in results
        if result.outcome in (importing.Outcome.ENTERED, importing.Outcome.ANNOUNCED)
    ]
