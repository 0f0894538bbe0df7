"""Reading all settings in one query, and changing one with validation and an audit row.

Owns the store. What a CA's or template's name must be is told by validators that the apps above
register at start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import connection, transaction

from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences.definitions import BY_NAME, DEFINITIONS
from portal.preferences.models import Setting
from portal.preferences.typed import Definition, SettingChangedSince, SettingInvalid
from portal.statements import Select

Validator = Callable[[str], None]
_VALIDATORS: dict[str, Validator] = {}
_CHANGING = 0x53455454494E4753
"""The number of the advisory lock under which settings change: "SETTINGS" in ASCII."""


def register_validator(name: str, validator: Validator) -> None:
    """Let an app above judge values of ``name``; it raises SettingInvalid."""
    _VALIDATORS[BY_NAME[name].name] = validator


@dataclass(frozen=True)
class Preferences:
    """All settings at one moment, typed."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        return str(self.values[name])

    def flag(self, name: str) -> bool:
        return bool(self.values[name])

    def number(self, name: str) -> int:
        return int(self.values[name])

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(self.values[name])

    @property
    def heartbeat_minutes(self) -> int:
        return self.number("HeartbeatIntervalMinutes")

    @property
    def heartbeat_interval(self) -> timedelta:
        return timedelta(minutes=self.heartbeat_minutes)

    @property
    def session_length(self) -> timedelta:
        return timedelta(minutes=self.number("SessionLengthMinutes"))


_STORED = Select(
    lambda: Setting.objects.order_by("name").values_list("name", "value"),
    lambda name, value: (name, value),
)


def load() -> Preferences:
    """Return all settings, read in one query."""
    return _parsed(tuple(_STORED.all()))


@lru_cache(maxsize=4)
def _parsed(rows: tuple[tuple[str, str], ...]) -> Preferences:
    """Settings seldom change between two calls: what the same rows say is the same."""
    stored = dict(rows)
    return Preferences({d.name: d.parse(stored.get(d.name, d.default)) for d in DEFINITIONS})


def check(definition: Definition, text: str) -> None:
    """Raise SettingInvalid if ``text`` may not become the setting's value."""
    _check_alone(definition, text)
    _check_together({definition.name: text})


def _check_alone(definition: Definition, text: str) -> None:
    definition.parse(text)
    if validator := _VALIDATORS.get(definition.name):
        validator(text.strip())


def _check_together(changes: Mapping[str, str]) -> None:
    stored = dict(Setting.objects.values_list("name", "value")) | dict(changes)

    def number(name: str) -> int:
        return int(stored.get(name, BY_NAME[name].default))

    if number("ClientCertificateExpiryDays") >= number("ClientCertificateWarningDays"):
        raise SettingInvalid("The expiry period must be shorter than the warning period.")
    if number("ClientCertificateExpiryLifetimeDivisor") <= number(
        "ClientCertificateWarningLifetimeDivisor"
    ):
        raise SettingInvalid(
            "The divisor of the expiry period must be greater than that of the warning period."
        )
    if number("SessionLengthMinutes") < 2 * number("HeartbeatIntervalMinutes"):
        raise SettingInvalid("A session must last at least two heartbeat intervals.")


def change(
    name: str,
    text: str,
    *,
    actor: Actor,
    now: datetime,
    expected: str | None = None,
    message: str = "",
) -> bool:
    """Set a setting; return whether it changed. Raises SettingInvalid, KeyError (C9).

    ``message``: the reason, for the audit log.
    ``expected`` is the value that was read before: another one by now is SettingChangedSince.
    """
    with transaction.atomic():
        if expected is not None:
            lock()
            stored = Setting.objects.filter(name=name).first()
            if (stored.value if stored else BY_NAME[name].default) != expected:
                raise SettingChangedSince(
                    "Somebody else has changed it since you opened it. Look at what it is now, "
                    "then decide."
                )
        return bool(change_together({name: text}, actor=actor, now=now, message=message))


def change_together(
    changes: Mapping[str, str], *, actor: Actor, now: datetime, message: str = ""
) -> frozenset[str]:
    """Set all settings or none, judged as they will stand together; return those that changed.

    Raises SettingInvalid, KeyError.
    """
    if internal := [name for name in changes if BY_NAME[name].internal]:
        raise KeyError(internal[0])
    with transaction.atomic():
        for name, text in changes.items():
            _check_alone(BY_NAME[name], text)
        texts = {name: BY_NAME[name].canonical(text) for name, text in changes.items()}
        lock()
        _check_together(texts)
        stored = Setting.objects.filter(name__in=texts)
        before = {row.name: row.value for row in stored}
        return frozenset(
            name
            for name, text in sorted(texts.items())
            if _write(BY_NAME[name], before.get(name), text, actor=actor, now=now, message=message)
        )


def _write(
    definition: Definition,
    stored: str | None,
    text: str,
    *,
    actor: Actor,
    now: datetime,
    message: str,
) -> bool:
    name = definition.name
    before = definition.default if stored is None else stored
    if before == text:
        return False
    Setting.objects.update_or_create(
        name=name,
        defaults={"value": text, "changed_at": now, "changed_by": actor.name},
    )
    record(
        actor,
        Category.SETTING,
        "setting_changed",
        object_type="setting",
        object_id=name,
        object_name=definition.label,
        before={"value": before},
        after={"value": text},
        message=message,
    )
    return True


def lock() -> None:
    """Let nobody else change a setting while the transaction is open.

    Not by their rows: a setting that was never changed has none. In SQLite one transaction writes
    at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHANGING])


def raise_revision(name: str, *, now: datetime) -> None:
    """Raise an internal counter in the transaction that is open."""
    definition = BY_NAME[name]
    Setting.objects.get_or_create(
        name=name,
        defaults={"value": definition.default, "changed_at": now, "changed_by": "portal"},
    )
    row = Setting.objects.select_for_update().get(name=name)
    row.value = str(int(row.value) + 1)
    row.changed_at = now
    row.save(update_fields=["value", "changed_at"])
