"""Making, changing and removing templates: what a certificate of a kind may be.

Owns which values a template may have and the audit row of a change. What they mean is
`renewal/x509`'s; who may change templates is checked by the faces.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from portal.access.models import User
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences import store
from renewal.ca.base import CLIENT_AUTH
from renewal.configuration import TEMPLATE_SETTING
from renewal.models import Enrollment, GroupIssuance, Template
from renewal.models.authorities import NamesPolicy
from renewal.x509.keys import KEY_TYPES
from renewal.x509.patterns import PatternInvalid, check_pattern

LEAST_VALIDITY_SECONDS = 60
MOST_VALIDITY_SECONDS = 20 * 366 * 86400
MOST_BACKDATE_SECONDS = 86400

EKU_NAMES = {
    "clientAuth": CLIENT_AUTH,
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
}
"""Extended key usages by name (RFC 5280 §4.2.1.12); others are given as dotted OIDs."""

NAME_TAKEN = "name_taken"
"""Reason of a refusal: there is a template of this name already."""
CHANGED_SINCE = "changed_since"
"""Reason of a refusal: somebody else has changed it since it was read."""

_ANY_EKU = "2.5.29.37.0"
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,18})){2,20}", re.ASCII)
_RSA = re.compile(r"RSA-([0-9]{4})", re.ASCII)


class TemplateRefused(ValueError):
    """A template cannot be like this; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Contents:
    """What a template says; the defaults are those of the shipped one.

    The pattern allows the sample subject of Keyfactor's documentation, which is the same for all
    orchestrators.
    """

    key_types: tuple[str, ...] = KEY_TYPES
    validity_seconds: int = 365 * 86400
    backdate_seconds: int = 60
    extended_key_usages: tuple[str, ...] = (CLIENT_AUTH,)
    names_policy: str = str(NamesPolicy.MATCH)
    name_patterns: tuple[str, ...] = ("subject:CN=Client Certificate Authentication",)


def contents_of(template: Template) -> Contents:
    """Return what a template says."""
    return Contents(
        key_types=tuple(template.key_types),
        validity_seconds=template.validity_seconds,
        backdate_seconds=template.backdate_seconds,
        extended_key_usages=tuple(template.extended_key_usages),
        names_policy=str(template.names_policy),
        name_patterns=tuple(template.name_patterns),
    )


def save_template(
    name: str,
    contents: Contents,
    *,
    actor: Actor,
    now: datetime,
    allowed_requesters: Sequence[User] | None = None,
    is_new: bool = False,
    expected: str | None = None,
) -> tuple[Template, bool]:
    """Create or change a template; return it and whether anything changed. Raises TemplateRefused.

    Requests that are under way keep what they were made with. ``allowed_requesters``: None leaves
    them, nobody means everybody. ``is_new``: create only; of two that create at once the database
    lets one through. ``expected``: change only what still has this `revision`.
    """
    taken = TemplateRefused(NAME_TAKEN, f"There is a template {name!r} already.")
    contents = _checked(name, contents)
    with transaction.atomic():
        row = Template.objects.select_for_update().filter(name=name).first()
        if row is not None and is_new:
            raise taken
        _check_revision(row, expected)
        before = _state(row) if row is not None else {}
        if row is None:
            row = Template(name=name, created_at=now)
        for field, value in asdict(contents).items():
            setattr(row, field, list(value) if isinstance(value, tuple) else value)
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            # Somebody else inserted it since it was looked for.
            raise taken from None
        if allowed_requesters is not None:
            row.allowed_requesters.set(allowed_requesters)
        after = _state(row)
        if before == after:
            return row, False
        record(
            actor,
            Category.AUTHORITY,
            "template_changed" if before else "template_added",
            object_type="template",
            object_id=row.pk,
            object_name=name,
            before=before,
            after=after,
        )
    return row, True


def needed_by(row: Template) -> list[str]:
    """Return what keeps a template from being removed, in words."""
    needing = []
    if Enrollment.objects.filter(template=row).exists():
        needing.append("requests, whose history names it")
    if GroupIssuance.objects.filter(template=row).exists():
        needing.append("groups")
    if store.load().text(TEMPLATE_SETTING) == row.name:
        needing.append("the setting Template For Submitted CSRs")
    return needing


def remove(row: Template, *, actor: Actor, expected: str | None = None) -> None:
    """Remove a template that nothing uses or ever used.

    ``expected``: only if it still has this `revision`. Raises TemplateRefused.
    """
    with transaction.atomic():
        # Nobody chooses it in the settings meanwhile.
        store.lock()
        locked = Template.objects.select_for_update().filter(pk=row.pk).first()
        if locked is None:
            raise TemplateRefused("gone", f"{row.name} is gone already.")
        _check_revision(locked, expected)
        if needing := needed_by(locked):
            raise TemplateRefused("in_use", f"{row.name} is needed by {' and '.join(needing)}.")
        record(
            actor,
            Category.AUTHORITY,
            "template_removed",
            object_type="template",
            object_id=row.pk,
            object_name=row.name,
            before=_state(locked),
        )
        try:
            with transaction.atomic():
                locked.delete()
        except ProtectedError:
            # Somebody used it since it was looked for.
            raise TemplateRefused("in_use", f"{row.name} is used since just now.") from None


def revision(row: Template) -> str:
    """Return what tells one state of a template from another."""
    text = json.dumps(_state(row), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _check_revision(row: Template | None, expected: str | None) -> None:
    if expected is not None and (row is None or revision(row) != expected):
        raise TemplateRefused(
            CHANGED_SINCE,
            "Somebody has changed it since you opened it. Look at it again, then decide.",
        )


def _checked(name: str, contents: Contents) -> Contents:
    """Return the contents without repetitions, names of usages as OIDs."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise TemplateRefused("name_invalid", "A template's name has 1 to 100 characters.")
    ekus = dict.fromkeys(EKU_NAMES.get(eku, eku) for eku in contents.extended_key_usages)
    key_types = dict.fromkeys(contents.key_types)
    if not key_types:
        raise TemplateRefused("key_type_invalid", "A template lists at least one key type.")
    for key_type in key_types:
        if not _is_key_type(key_type):
            raise TemplateRefused(
                "key_type_invalid",
                f"{key_type!r} is no key type; there are {', '.join(KEY_TYPES)}.",
            )
    _check_ekus(tuple(ekus))
    if not LEAST_VALIDITY_SECONDS <= contents.validity_seconds <= MOST_VALIDITY_SECONDS:
        raise TemplateRefused("validity_invalid", "A certificate lasts a minute to 20 years.")
    if not 0 <= contents.backdate_seconds <= MOST_BACKDATE_SECONDS:
        raise TemplateRefused("backdate_invalid", "A certificate is backdated by a day at most.")
    if contents.names_policy not in NamesPolicy.values:
        raise TemplateRefused(
            "names_policy_invalid", f"The names policy is one of {', '.join(NamesPolicy.values)}."
        )
    for pattern in contents.name_patterns:
        try:
            check_pattern(pattern)
        except PatternInvalid as problem:
            raise TemplateRefused(
                "name_pattern_invalid", f"The pattern {pattern!a}: {problem}."
            ) from None
    return replace(
        contents,
        key_types=tuple(key_types),
        extended_key_usages=tuple(ekus),
        name_patterns=tuple(dict.fromkeys(contents.name_patterns)),
    )


def _is_key_type(text: str) -> bool:
    if found := _RSA.fullmatch(text):
        return 2048 <= int(found[1]) <= 4096 and int(found[1]) % 8 == 0
    return text in KEY_TYPES


def _check_ekus(ekus: tuple[str, ...]) -> None:
    for oid in ekus:
        if not _OID.fullmatch(oid) or oid == _ANY_EKU:
            raise TemplateRefused(
                "eku_invalid",
                f"{oid!r} is no extended key usage: give {', '.join(EKU_NAMES)} or a dotted OID.",
            )
    if CLIENT_AUTH not in ekus:
        raise TemplateRefused(
            "eku_invalid", "clientAuth is needed: orchestrators present these certificates."
        )


def _state(row: Template) -> dict[str, object]:
    return {
        **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(contents_of(row)).items()},
        "allowed_requesters": sorted(row.allowed_requesters.values_list("username", flat=True)),
    }
