"""The sections of the document: how each is read from the rows, and written through its service.

Owns one small table. A section is a mapping from names to contents in plain JSON; secrets and
numbers of rows never stand in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, TypeAlias

from django.contrib.auth.models import Group

from orchestrators import groups, labels
from orchestrators.models import OrchestratorGroup
from orchestrators.registration import editing
from orchestrators.registration.contents import Contents as RuleContents
from portal.access.catalogue import CATALOGUE, ROLES, Permission, entry_for
from portal.access.models import User
from portal.access.reach import EVERYTHING, Reach
from portal.access.role_changes import content_of, delete_role, description_of, save_role
from portal.audit.trail import Actor
from portal.preferences import store
from portal.preferences.definitions import EDITABLE
from portal.preferences.models import Setting
from renewal import authorities, templates
from renewal.ca.base import CAMisconfigured
from renewal.group_issuance import issuance_of, set_issuance
from renewal.models import CertificateAuthority, Template

Content: TypeAlias = Any
Contents: TypeAlias = dict[str, Content]


class EntryRefused(ValueError):
    """An entry cannot be as the document says; the message is for a person."""


class UserUnknown(EntryRefused):
    """An entry names a user who is not there."""


@dataclass(frozen=True)
class Section:
    """One section. ``remove`` is None where an entry that the document lacks stays."""

    name: str
    read: Callable[[], Contents]
    write: Callable[[str, Content, Actor, datetime], None]
    remove: Callable[[str, Actor, datetime], None] | None = None


def members(content: Content, known: Mapping[str, type], path: str) -> dict[str, Any]:
    """Return the members of an entry, each of its type. Raises EntryRefused."""
    if not isinstance(content, dict):
        raise EntryRefused(f"{path} is not an object.")
    for name, value in content.items():
        if name not in known:
            raise EntryRefused(f"{path} has no member {name[:60]!r}.")
        wanted = known[name]
        is_whole = wanted is int and isinstance(value, bool)
        if not isinstance(value, wanted) or is_whole:
            raise EntryRefused(f"{path}.{name} is not of type {wanted.__name__}.")
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise EntryRefused(f"{path}.{name} is not a list of texts.")
    return dict(content)


def _frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}


# --- settings ---------------------------------------------------------------------------------

_EDITABLE = {definition.name: definition for definition in EDITABLE}


def _settings() -> Contents:
    stored = dict(Setting.objects.filter(name__in=_EDITABLE).values_list("name", "value"))
    return {name: text for name, text in stored.items() if text != _EDITABLE[name].default}


def _check_setting(name: str, content: Content) -> None:
    if name not in _EDITABLE:
        raise EntryRefused(f"There is no setting {name[:60]!r}.")
    if not isinstance(content, str):
        raise EntryRefused(f"settings.{name} is not a text.")


def write_settings(wanted: Contents, actor: Actor, now: datetime) -> None:
    """Set all at once: they are judged as they will stand together. Raises SettingInvalid."""
    for name, content in wanted.items():
        _check_setting(name, content)
    store.change_together(wanted, actor=actor, now=now)


def _write_setting(name: str, content: Content, actor: Actor, now: datetime) -> None:
    write_settings({name: content}, actor, now)


def _reset_setting(name: str, actor: Actor, now: datetime) -> None:
    store.change(name, _EDITABLE[name].default, actor=actor, now=now)


# --- who may ask for certificates -------------------------------------------------------------

_REQUESTERS = "allowed_requesters"


def _requesters(row: CertificateAuthority | Template) -> list[str]:
    return sorted(user.username for user in row.allowed_requesters.all())


def _users(names: list[str] | None) -> list[User] | None:
    """Return the users of these names; None leaves who there is. Raises UserUnknown.

    All of them or nobody: fewer would shut somebody out, and none would mean everybody.
    """
    if names is None:
        return None
    found = {user.username: user for user in User.objects.filter(username__in=names)}
    for name in names:
        if name not in found:
            raise UserUnknown(f"There is no user {name[:80]!r}, who is an allowed requester.")
    return list(found.values())


# --- certificate authorities: who may ask them, nothing else ----------------------------------


def _authorities() -> Contents:
    rows = CertificateAuthority.objects.exclude(allowed_requesters=None).order_by("name")
    return {
        row.name: {_REQUESTERS: _requesters(row)}
        for row in rows.distinct().prefetch_related(_REQUESTERS)
    }


def _write_authority(name: str, content: Content, actor: Actor, now: datetime) -> None:
    given = members(content, {_REQUESTERS: list}, f"certificate_authorities.{name}")
    row = CertificateAuthority.objects.filter(name=name).first()
    if row is None:
        raise EntryRefused(f"There is no certificate authority {name[:80]!r}: make it first.")
    wanted = authorities.Wanted(
        name=name, type=row.type, options={}, allowed_requesters=_users(given.get(_REQUESTERS))
    )
    try:
        authorities.save_row(wanted, actor=actor, now=now)
    except CAMisconfigured as problem:
        raise EntryRefused(f"It does not work here: {problem}.") from None


# --- templates --------------------------------------------------------------------------------

_TEMPLATE = {
    "key_types": list,
    "validity_seconds": int,
    "backdate_seconds": int,
    "extended_key_usages": list,
    "names_policy": str,
    "name_patterns": list,
    _REQUESTERS: list,
}


def _templates() -> Contents:
    return {
        row.name: {
            name: list(value) if isinstance(value, tuple) else str(value) if name == "names_policy"
            else value
            for name, value in asdict(templates.contents_of(row)).items()
        } | {_REQUESTERS: _requesters(row)}
        for row in Template.objects.order_by("name").prefetch_related(_REQUESTERS)
    }  # fmt: skip


def _write_template(name: str, content: Content, actor: Actor, now: datetime) -> None:
    given = members(content, _TEMPLATE, f"templates.{name}")
    requesters = _users(given.pop(_REQUESTERS, None))
    contents = templates.Contents(**_frozen(given))
    templates.save_template(name, contents, allowed_requesters=requesters, actor=actor, now=now)


# --- groups -----------------------------------------------------------------------------------

_GROUP = {"description": str, "authority": str, "template": str}


def _groups() -> Contents:
    found: Contents = {}
    for group in OrchestratorGroup.objects.order_by("name_key"):
        issuance = issuance_of(group)
        found[group.name] = {
            "description": group.description,
            "authority": issuance.authority.name if issuance and issuance.authority else "",
            "template": issuance.template.name if issuance and issuance.template else "",
        }
    return found


def _write_group(name: str, content: Content, actor: Actor, now: datetime) -> None:
    given = members(content, _GROUP, f"groups.{name}")
    authority = template = None
    if wanted := given.get("authority"):
        authority = CertificateAuthority.objects.filter(name=wanted).first()
        if authority is None:
            raise EntryRefused(f"There is no certificate authority {wanted!r}.")
    if wanted := given.get("template"):
        template = Template.objects.filter(name=wanted).first()
        if template is None:
            raise EntryRefused(f"There is no template {wanted!r}.")
    description = given.get("description", "")
    group, _ = groups.save_group(name, description=description, actor=actor, now=now)
    set_issuance(group, authority, template, actor=actor)


def _remove_group(name: str, actor: Actor, now: datetime) -> None:
    groups.delete_group(groups.named(name, EVERYTHING).pk, actor=actor)


# --- roles ------------------------------------------------------------------------------------

_ROLE = {"description": str, "permissions": list, "only_groups": list, "only_labels": list}


def _roles() -> Contents:
    names = dict(OrchestratorGroup.objects.values_list("pk", "name"))
    found: Contents = {}
    for role in Group.objects.select_related("described").order_by("name"):
        content = content_of(role)
        found[role.name] = {
            "description": description_of(role),
            "permissions": sorted(entry_for(p).access_string for p in content.permissions),
            "only_groups": sorted(names[pk] for pk in content.limit.groups if pk in names),
            "only_labels": [f"{key}={value}" for key, value in sorted(content.limit.labels)],
        }
    return found


def _write_role(name: str, content: Content, actor: Actor, now: datetime) -> None:
    given = members(content, _ROLE, f"roles.{name}")
    limit = Reach(
        groups=frozenset(groups.named(g, EVERYTHING).pk for g in given.get("only_groups", ())),
        labels=frozenset(labels.parse(text) for text in given.get("only_labels", ())),
    )
    save_role(
        name,
        permissions=[_permission(text) for text in given.get("permissions", ())],
        limit=EVERYTHING if limit.is_nothing else limit,
        description=given.get("description"),
        giver=None,
        actor=actor,
    )


def _permission(text: str) -> Permission:
    for entry in CATALOGUE:
        if entry.access_string == text:
            return entry.permission
    raise EntryRefused(f"There is no permission {text[:100]!r}.")


def _remove_role(name: str, actor: Actor, now: datetime) -> None:
    if name not in ROLES:
        delete_role(Group.objects.get(name=name).pk, giver=None, actor=actor)


# --- auto-registration rules ------------------------------------------------------------------

_RULE = {
    "position": int,
    "outcome": str,
    "description": str,
    "enabled": bool,
    "name_patterns": list,
    "networks": list,
    "service_account": str,
    "role": str,
    "credential": str,
    "parameters": list,
    "assign_service_account": str,
    "assign_group": str,
    "assign_labels": list,
}


def _rules() -> Contents:
    names = dict(OrchestratorGroup.objects.values_list("pk", "name"))
    found: Contents = {}
    for position, row in enumerate(editing.ordered(), start=1):
        contents = editing.contents_of(row)
        content = {f.name: getattr(contents, f.name) for f in fields(contents)}
        found[row.name] = {
            "position": position,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in content.items()},
            "parameters": [f"{key}={value}" for key, value in contents.parameters],
            "assign_labels": [f"{key}={value}" for key, value in contents.assign_labels],
            "assign_group": names.get(contents.assign_group or 0, ""),
        }
    return found


def _write_rule(name: str, content: Content, actor: Actor, now: datetime) -> None:
    given = members(content, _RULE, f"auto_registration_rules.{name}")
    position = given.pop("position", None)
    group = given.pop("assign_group", "")
    parameters, assigned = (_pairs(given.pop(key, ())) for key in ("parameters", "assign_labels"))
    contents = RuleContents(
        **_frozen(given),
        parameters=parameters,
        assign_labels=assigned,
        assign_group=groups.named(group, EVERYTHING).pk if group else None,
    )
    known = {row.name: row.pk for row in editing.ordered()}
    row, _ = editing.save(name, contents, actor=actor, now=now, pk=known.get(name))
    if position is not None:
        editing.move(row.pk, position, expected=None, actor=actor, now=now)


def _pairs(texts: Any) -> tuple[tuple[str, str], ...]:
    split = [text.partition("=") for text in texts]
    if any(not equals for _, equals, _ in split):
        raise EntryRefused("A parameter or label is written key=value.")
    return tuple((key, value) for key, _, value in split)


def _remove_rule(name: str, actor: Actor, now: datetime) -> None:
    pk = next(row.pk for row in editing.ordered() if row.name == name)
    editing.delete(pk, expected=None, actor=actor)


# --- the table, in the order in which one needs another ---------------------------------------

SECTIONS = (
    Section("certificate_authorities", _authorities, _write_authority),
    Section("templates", _templates, _write_template),
    Section("groups", _groups, _write_group, _remove_group),
    Section("settings", _settings, _write_setting, _reset_setting),
    Section("roles", _roles, _write_role, _remove_role),
    Section("auto_registration_rules", _rules, _write_rule, _remove_rule),
)
