"""From a row of `CertificateAuthority` to the object that speaks with the CA.

Owns the types that the deployment's settings name (never the database), the encryption of
secrets at rest, and one cached object per process, row and version: a signer is loaded once. What
a CA can do is `renewal/ca`'s.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import traceback
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string

from portal.access.models import User
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal.ca.base import CABackend, CAError, CAMisconfigured
from renewal.models import CertificateAuthority

log = logging.getLogger(__name__)


class NameTaken(ValueError):
    """There is a CA of this name already, perhaps since just now."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a certificate authority {name!r} already.")


class ChangedSince(ValueError):
    """Somebody else has changed it since it was read."""

    def __init__(self) -> None:
        super().__init__(
            "Somebody has changed it since you opened it. Look at it again, then decide."
        )


BUILT_IN: Mapping[str, str] = {"local": "renewal.ca.local.LocalCA"}


def types() -> dict[str, str]:
    """Return alias and dotted path of every CA type of this deployment (S54)."""
    return {**BUILT_IN, **settings.CONFIG.ca_types}


def type_class(alias: str) -> Any:
    """Return the class of a CA type. Raises CAMisconfigured."""
    try:
        return import_string(types()[alias])
    except KeyError:
        raise CAMisconfigured(
            f"CA type {alias!r} is not known; known are {', '.join(sorted(types()))}"
        ) from None
    except ImportError as error:
        raise CAMisconfigured(f"CA type {alias!r} cannot be loaded: {error}") from error


def backend(authority: CertificateAuthority) -> CABackend:
    """Return the object for a row; loaded once per process and version."""
    return _backend(
        authority.pk,
        authority.version,
        authority.type,
        json.dumps(authority.options, sort_keys=True),
        authority.encrypted_secrets,
    )


@lru_cache(maxsize=64)
def _backend(pk: int, version: int, alias: str, options: str, encrypted_secrets: str) -> CABackend:
    merged = {**json.loads(options), **open_secrets(encrypted_secrets)}
    built: CABackend = type_class(alias)(merged)
    return built


def unsaved(
    alias: str, options: Mapping[str, Any], known: CertificateAuthority | None
) -> CABackend:
    """Return the object for a CA as it would be saved: what ``options`` leave out is the known
    row's. Raises CAMisconfigured.
    """
    cls = type_class(alias)
    kept = {**known.options, **open_secrets(known.encrypted_secrets)} if known else {}
    wanted = {**kept, **options}
    _validate(alias, cls, wanted)
    if known is not None:
        _check_secrets_stay(cls, known, wanted, options)
    built: CABackend = cls(wanted)
    return built


def _validate(alias: str, cls: type[CABackend], options: Mapping[str, Any]) -> None:
    """Have a type judge options. Raises CAMisconfigured, whatever the type's code raises."""
    try:
        cls.validate_options(options)
    except CAError:
        raise
    except Exception as error:
        # Not its message, also not in the log: options, and secrets among them, may stand in it.
        name, trace = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
        log.error("validate_options of CA type %r failed with %s:\n%s", alias, name, trace)
        raise CAMisconfigured(
            f"the code of CA type {alias!r} failed to judge its options ({name}); the portal's "
            "log says where"
        ) from None


def _check_secrets_stay(
    cls: type[CABackend],
    known: CertificateAuthority,
    wanted: Mapping[str, Any],
    given: Collection[str],
) -> None:
    """Refuse that a stored secret, which nobody may see, is sent where somebody says now."""
    kept = sorted((stored_secrets(known) & cls.secret_options) - set(given))
    moved = [
        option.name
        for option in cls.options_schema
        if option.gets_secrets
        and (wanted.get(option.name) or None) != (known.options.get(option.name) or None)
    ]
    if kept and moved:
        raise CAMisconfigured(
            f"option {kept[0]!r} must be given again: {moved[0]!r} says where it is sent to, "
            "and is another one now"
        )


def answers_at_once(authority: CertificateAuthority) -> bool:
    """Say whether the CA is served in batches by the drain task. False if its type is unknown."""
    try:
        return bool(type_class(authority.type).answers_at_once)
    except CAMisconfigured:
        return False


def _cipher() -> Fernet:
    digest = hashlib.sha256(settings.CONFIG.encryption_key.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def seal_secrets(secrets: Mapping[str, Any]) -> str:
    """Return secrets encrypted for the column; empty for none."""
    return _cipher().encrypt(json.dumps(dict(secrets)).encode()).decode() if secrets else ""


def open_secrets(encrypted: str) -> dict[str, Any]:
    """Return the secrets of a column. Raises CAMisconfigured if the key is another one."""
    if not encrypted:
        return {}
    try:
        opened: dict[str, Any] = json.loads(_cipher().decrypt(encrypted.encode()))
    except InvalidToken:
        raise CAMisconfigured(
            "the CA's secrets cannot be decrypted with PORTAL_ENCRYPTION_KEY"
        ) from None
    return opened


def save_authority(
    *,
    name: str,
    alias: str,
    options: Mapping[str, Any],
    actor: Actor,
    now: datetime,
    hold_seconds: int = 25,
    enabled: bool = True,
    allowed_requesters: Sequence[User] | None = None,
    is_new: bool = False,
    expected: str | None = None,
) -> tuple[CertificateAuthority, bool]:
    """Create or change a CA by name; return it and whether anything changed.

    Options that the type calls secret are encrypted; leaving one out keeps the stored one.
    ``allowed_requesters``: who may ask it, None leaves them, nobody means everybody. ``is_new``:
    create only. Of two that create at once the database lets one through. ``expected``: change only
    what still has this `revision`.
    Raises CAMisconfigured, ChangedSince, NameTaken.
    """
    cls = type_class(alias)
    plain = {k: v for k, v in options.items() if k not in cls.secret_options}
    given = {k: v for k, v in options.items() if k in cls.secret_options}
    with transaction.atomic():
        row = CertificateAuthority.objects.select_for_update().filter(name=name).first()
        if row is not None and is_new:
            raise NameTaken(name)
        check_revision(row, expected)
        kept = open_secrets(row.encrypted_secrets) if row else {}
        merged = {**kept, **given}
        _validate(alias, cls, {**plain, **merged})
        if row is not None:
            _check_secrets_stay(cls, row, plain, given)
        before = _shown(row) if row else {}
        if row is None:
            row = CertificateAuthority(name=name, version=0, created_at=now)
        changed = (
            row.pk is None
            or (row.type, row.options, row.hold_seconds, row.enabled)
            != (alias, plain, hold_seconds, enabled)
            or merged != kept
        )
        if changed:
            if not row.enabled:
                # Nobody has looked after it meanwhile: what was seen last tells nothing now.
                row.signer_checked_at, row.signer_works, row.signer_problem = None, None, ""
                row.issuing_not_before = row.issuing_not_after = None
            row.type, row.options = alias, plain
            row.hold_seconds, row.enabled = hold_seconds, enabled
            row.encrypted_secrets = seal_secrets(merged)
            row.version += 1
            row.failures_in_a_row, row.resume_at, row.last_error = 0, None, ""
            row.tested_at, row.test_passed, row.test_message = None, None, ""
            try:
                with transaction.atomic():
                    row.save()
            except IntegrityError:
                # Somebody else inserted it since it was looked for.
                raise NameTaken(name) from None
        # Who may ask is no matter of the signer: no worker loads it anew for that.
        if allowed_requesters is not None:
            asking = sorted(user.username for user in allowed_requesters)
            if asking != _requesters(row):
                row.allowed_requesters.set(allowed_requesters)
                changed = True
        if not changed:
            return row, False
        record(
            actor,
            Category.AUTHORITY,
            "authority_changed" if before else "authority_added",
            object_type="authority",
            object_id=row.pk,
            object_name=name,
            before=before,
            after=_shown(row),
        )
    return row, True


def revision(row: CertificateAuthority) -> str:
    """Return what tells one state of a CA from another: whatever somebody sets of it, and nothing
    that was seen of it.
    """
    text = json.dumps([_shown(row), row.encrypted_secrets], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_revision(row: CertificateAuthority | None, expected: str | None) -> None:
    """Raise ChangedSince for a row, read under its lock, that is not what is ``expected``."""
    if expected is not None and (row is None or revision(row) != expected):
        raise ChangedSince


def stored_secrets(row: CertificateAuthority) -> frozenset[str]:
    """Return the names of the secrets that are stored, whatever they are."""
    try:
        return frozenset(
            name for name, value in open_secrets(row.encrypted_secrets).items() if value
        )
    except CAMisconfigured:
        return frozenset()


def shown_options(row: CertificateAuthority) -> dict[str, Any]:
    """Return a CA's options without its secrets, also those that its type calls so by now."""
    try:
        secret = frozenset(type_class(row.type).secret_options)
    except CAMisconfigured:
        # Which of them are secrets is not known while the type is not.
        return {}
    return {name: value for name, value in row.options.items() if name not in secret}


def _shown(row: CertificateAuthority) -> dict[str, Any]:
    """Return what may be seen of a row: never a secret."""
    return {
        "type": row.type,
        "options": row.options,
        "hold_seconds": row.hold_seconds,
        "enabled": row.enabled,
        "allowed_requesters": _requesters(row),
    }


def _requesters(row: CertificateAuthority) -> list[str]:
    return sorted(row.allowed_requesters.values_list("username", flat=True))
