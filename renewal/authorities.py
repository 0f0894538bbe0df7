"""Making certificate authorities of this portal: a local one with its folder, and who may ask.

Owns how a local CA comes to be so that a crash at any step is mended by doing it again. Rows,
options and secrets of any type are `issuers.py`'s, and what it means to trust a CA is
`authority_trust.py`'s; who may do this is checked by the faces.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from portal.access.models import User
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences import store
from renewal import crl, issuers
from renewal.ca.base import CAError, PublishesCRL
from renewal.ca.local import LocalCA
from renewal.configuration import CA_SETTING
from renewal.issuers import NameTaken
from renewal.models import (
    Certificate,
    CertificateAuthority,
    Enrollment,
    GroupIssuance,
    RevocationList,
)
from renewal.x509.keys import DEFAULT_KEY_TYPE

log = logging.getLogger(__name__)

MOST_HOLD_SECONDS = 300
LOCAL = "local"
OF_THE_HOST = frozenset({"directory", "passphrase"})
"""Options of a local CA that name files of this host: they are set where the host is run."""


class AuthorityRefused(ValueError):
    """A certificate authority cannot be like this; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Wanted:
    """A certificate authority as somebody wants it. None leaves what there is."""

    name: str
    type: str
    options: Mapping[str, Any]
    """Secrets among them are encrypted; what is left out stays."""
    hold_seconds: int | None = None
    is_enabled: bool | None = None
    allowed_requesters: Sequence[User] | None = None
    """Who may ask it; nobody means everybody."""
    is_new: bool = False
    """Refuse it if there is one of this name."""
    expected: str | None = None
    """Refuse it unless the one that there is still has this `issuers.revision`."""


def check_name(name: str) -> None:
    """Refuse a name that cannot stand in the address of a CRL."""
    if not name.strip() or len(name) > 100 or not name.isprintable() or "/" in name:
        raise AuthorityRefused(
            "name_invalid", "A CA's name has 1 to 100 printable characters and no slash."
        )


def save(wanted: Wanted, *, actor: Actor, now: datetime) -> tuple[CertificateAuthority, bool]:
    """Create or change a CA whose keys are elsewhere or exist already; say whether it changed.

    Raises AuthorityRefused, CAMisconfigured, ChangedSince, NameTaken.
    """
    row, changed = save_row(wanted, actor=actor, now=now)
    return row, publish_first(row, now=now) or changed


def save_row(wanted: Wanted, *, actor: Actor, now: datetime) -> tuple[CertificateAuthority, bool]:
    """Do what `save` does to the database, and have nothing signed."""
    check_name(wanted.name)
    row = CertificateAuthority.objects.filter(name=wanted.name).first()
    if row is not None and not wanted.is_new and row.type != wanted.type:
        raise AuthorityRefused(
            "type_differs", f"{wanted.name!r} is of type {row.type}; a type never changes."
        )
    return issuers.save_authority(
        name=wanted.name,
        alias=wanted.type,
        options={**(row.options if row else {}), **wanted.options},
        hold_seconds=_or(wanted.hold_seconds, row.hold_seconds if row else 25),
        enabled=_or(wanted.is_enabled, row.enabled if row else True),
        allowed_requesters=wanted.allowed_requesters,
        is_new=row is None or wanted.is_new,
        expected=wanted.expected,
        actor=actor,
        now=now,
    )


def create_local(
    wanted: Wanted, *, key_type: str = DEFAULT_KEY_TYPE, actor: Actor, now: datetime
) -> tuple[CertificateAuthority, bool]:
    """Make a local CA with keys of its own, or change the one of this name.

    The row with the passphrase and who may ask is committed first and enabled last: after a crash
    in between, the next call finds the passphrase and finishes. Of two at once, one makes the keys.
    Raises AuthorityRefused, CAMisconfigured, ChangedSince, NameTaken.
    """
    check_name(wanted.name)
    row = CertificateAuthority.objects.filter(name=wanted.name).first()
    if row is not None and (wanted.is_new or not is_unfinished(row)):
        return save(wanted, actor=actor, now=now)
    options = _local_options(wanted, row)
    directory, passphrase = Path(options["directory"]), options["passphrase"]
    hold_seconds = _or(wanted.hold_seconds, row.hold_seconds if row else 25)
    issuers.save_authority(
        name=wanted.name,
        alias="local",
        options=options,
        hold_seconds=hold_seconds,
        enabled=False,
        allowed_requesters=wanted.allowed_requesters,
        is_new=row is None,
        expected=wanted.expected,
        actor=actor,
        now=now,
    )
    is_made = row is not None and directory.exists()
    if not is_made:
        LocalCA.create(
            directory, name=wanted.name, passphrase=passphrase, key_type=key_type, now=now
        )
    row, changed = issuers.save_authority(
        name=wanted.name,
        alias="local",
        options={k: v for k, v in options.items() if k != "passphrase"},
        hold_seconds=hold_seconds,
        enabled=_or(wanted.is_enabled, True),
        actor=actor,
        now=now,
    )
    published = publish_first(row, now=now)
    return row, published or changed or not is_made


def rehearse(
    wanted: Wanted, *, actor: Actor, now: datetime
) -> tuple[CertificateAuthority, list[str]]:
    """Do what `save` and `create_local` do to the database, for a transaction that is taken back;
    return what the CA would be asked besides: ``make_keys``, ``publish_crl``.

    Raises AuthorityRefused, CAError, NameTaken.
    """
    check_name(wanted.name)
    row = CertificateAuthority.objects.filter(name=wanted.name).first()
    calls = []
    if wanted.type == "local" and (row is None or (not wanted.is_new and is_unfinished(row))):
        options = _local_options(wanted, row)
        calls = [] if row is not None and Path(options["directory"]).exists() else ["make_keys"]
        wanted = replace(wanted, options=options, is_enabled=_or(wanted.is_enabled, True))
    row, _ = save_row(wanted, actor=actor, now=now)
    if _lacks_crl(row) and isinstance(issuers.backend(row), PublishesCRL):
        calls.append("publish_crl")
    return row, calls


def crl_url(name: str) -> str:
    """Return the address at which this portal serves a CA's CRL."""
    return f"{settings.CONFIG.public_url}/crl/{quote(name, safe='')}.crl"


def issuer_url(name: str) -> str:
    """Return the address at which this portal serves a CA's issuing certificate."""
    return f"{settings.CONFIG.public_url}/crl/{quote(name, safe='')}.cer"


def needed_by(row: CertificateAuthority) -> list[str]:
    """Return what keeps a CA from being removed, in words."""
    rows_by_name = {
        "certificates": Certificate.objects.filter(authority=row),
        "requests": Enrollment.objects.filter(authority=row),
        "groups": GroupIssuance.objects.filter(authority=row),
    }
    needing = [what for what, rows in rows_by_name.items() if rows.exists()]
    if store.load().text(CA_SETTING) == row.name:
        needing.append("the setting Certificate Authority For Submitted CSRs")
    return needing


def remove(row: CertificateAuthority, *, actor: Actor, expected: str | None = None) -> None:
    """Remove a CA that nothing needs; the files of a local one stay.

    ``expected``: only if it still has this `issuers.revision`. Raises AuthorityRefused,
    ChangedSince.
    """
    with transaction.atomic():
        locked = CertificateAuthority.objects.select_for_update().filter(pk=row.pk).first()
        if locked is None:
            raise AuthorityRefused("gone", f"{row.name} is gone already.")
        issuers.check_revision(locked, expected)
        if needing := needed_by(row):
            raise AuthorityRefused(
                "in_use", f"{row.name} has {' and '.join(needing)}: disable it instead."
            )
        record(
            actor,
            Category.AUTHORITY,
            "authority_removed",
            object_type="authority",
            object_id=row.pk,
            object_name=row.name,
            before={"type": row.type, "enabled": row.enabled},
        )
        row.delete()


def _local_options(wanted: Wanted, row: CertificateAuthority | None) -> dict[str, Any]:
    """Return the options of a local CA that is made, its folder and passphrase among them.

    Raises AuthorityRefused, CAMisconfigured, NameTaken.
    """
    directory = settings.CONFIG.data_dir / "ca" / _slug(wanted.name)
    if row is None and directory.exists():
        if CertificateAuthority.objects.filter(name=wanted.name).exists():
            # Whoever made it since has committed the row before the folder.
            raise NameTaken(wanted.name)
        raise AuthorityRefused(
            "folder_exists",
            f"{directory} holds a CA already. To use it, give its folder as option directory and "
            "its passphrase instead of creating one.",
        )
    options: dict[str, Any] = {
        "crl_url": crl_url(wanted.name),
        "issuer_url": issuer_url(wanted.name),
        **(row.options if row else {}),
        **wanted.options,
    }
    options["directory"] = str(directory)
    options["passphrase"] = options.get("passphrase") or (
        issuers.open_secrets(row.encrypted_secrets)["passphrase"]
        if row is not None
        else secrets.token_urlsafe(32)
    )
    LocalCA.validate_options(options)
    return options


def publish_first(row: CertificateAuthority, *, now: datetime) -> bool:
    """Have the first CRL of a CA signed and served, if it is due; say whether it was.

    The CA is saved by then: if it does not sign now, the sweep that renews lists asks it again.
    """
    try:
        return _lacks_crl(row) and crl.publish(row.pk, now=now) is not None
    except (CAError, OSError):
        log.exception("the first CRL of %s could not be signed", row.name)
        return False


def _lacks_crl(row: CertificateAuthority) -> bool:
    return row.enabled and not RevocationList.objects.filter(authority=row).exists()


def is_unfinished(row: CertificateAuthority) -> bool:
    """Say whether the making of a local CA broke off before it was enabled.

    It may have been changed since, by a call that tried to finish it and failed too: then it has
    no keys still.
    """
    if row.type != LOCAL or row.enabled:
        return False
    if row.version > 1 and Path(row.options.get("directory", "")).exists():
        return False
    return not Certificate.objects.filter(authority=row).exists()


def _slug(name: str) -> str:
    slug = slugify(name)[:60]
    if not slug:
        raise AuthorityRefused("name_invalid", "A local CA's name has a Latin letter or a digit.")
    return slug


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
