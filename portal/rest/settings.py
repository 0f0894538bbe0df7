"""The endpoints under /AppSetting: the application settings, one or many at a time.

Owns the way from a request to `portal/preferences` and back, which judges the values and writes
the audit rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission, for_a_setting
from portal.preferences import store
from portal.preferences.definitions import EDITABLE
from portal.preferences.models import Setting
from portal.preferences.typed import Definition, SettingInvalid
from portal.rest import shapes
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.refusals import actor_of


class _Described(TypedDict):
    Id: int
    DisplayName: str
    ShortName: str
    Description: str
    ValueType: str


class SettingResponse(_Described):
    """One application setting; ``Value`` is always text."""

    Value: str


class _SentBack(TypedDict):
    DisplayName: NotRequired[str]
    ShortName: NotRequired[str]
    Description: NotRequired[str]
    ValueType: NotRequired[str]


class SettingChange(_SentBack):
    """A new value of the setting with this Id; null is the empty value. The other members are only
    read and may be sent back as they are.
    """

    Id: int
    Value: str | None


class SettingValue(_SentBack):
    """A new value; null is the empty one. The other members are only read and may be sent back as
    they are.
    """

    Id: NotRequired[int]
    Value: str | None


_ONLY_READ = ("Id", *_SentBack.__annotations__)


_BY_ID = {definition.id: definition for definition in EDITABLE}
_BY_NAME = {definition.name.lower(): definition for definition in EDITABLE}


class _SettingView(ApiView):
    """A view of settings: whoever changes one must be allowed to see it."""

    sees = (Permission.SETTINGS_READ,)
    instead = (Permission.RENEWAL_PERIODS_MODIFY,)
    in_database = True

    def change(self, changes: Mapping[Definition, str]) -> None:
        """Set all or none; what is sent as it is needs no permission of its own.

        Raises ApiError, PermissionDenied.
        """
        with transaction.atomic():
            store.lock()
            known = {shown["ShortName"]: shown["Value"] for shown in _shown(*changes)}
            differing = {d: text for d, text in changes.items() if text != known[d.name]}
            for permission in sorted({for_a_setting(periods=d.periods) for d in differing}):
                self.demand(permission)
            try:
                store.change_together(
                    {definition.name: text for definition, text in differing.items()},
                    actor=actor_of(self.request),
                    now=timezone.now(),
                )
            except SettingInvalid as problem:
                raise ApiError(ErrorCode.VALUE_INVALID, f"Nothing was changed. {problem}") from None


class SettingList(_SettingView):
    """GET and PUT /AppSetting: all settings, and changing several at once."""

    needs = {"GET": Permission.SETTINGS_READ, "PUT": Permission.SETTINGS_MODIFY}
    takes = {"PUT": list[SettingChange]}
    returns = {"GET": list[SettingResponse], "PUT": list[SettingResponse]}
    summaries = {"GET": "All application settings", "PUT": "Changes several settings, or none"}
    versioned = frozenset({"GET", "PUT"})

    def version(self) -> object:
        store.lock()
        return _shown(*EDITABLE)

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        entries = shapes.read_list(request.data, SettingChange)
        return [("setting", _BY_ID[entry["Id"]].name) for entry in entries]

    def get(self, request: Request) -> Response:
        return Response(_shown(*EDITABLE))

    def put(self, request: Request) -> Response:
        changes: dict[Definition, str] = {}
        for entry in shapes.read_list(request.data, SettingChange):
            definition = _BY_ID.get(entry["Id"])
            if definition is None:
                raise ApiError(
                    ErrorCode.SETTING_UNKNOWN, "Nothing was changed. An Id is unknown.", status=400
                )
            if definition in changes:
                raise ApiError(ErrorCode.VALUE_INVALID, f"The Id {definition.id} is given twice.")
            shapes.unchanged(entry, _described(definition), _ONLY_READ)
            changes[definition] = entry["Value"] or ""
        self.change(changes)
        return Response(_shown(*changes))


class SettingDetail(_SettingView):
    """GET /AppSetting/{id}."""

    needs = {"GET": Permission.SETTINGS_READ}
    returns = {"GET": SettingResponse}
    summaries = {"GET": "One application setting, by Id or ShortName"}
    versioned = frozenset({"GET"})

    def get(self, request: Request, setting_id: str) -> Response:
        return Response(_shown(_found(setting_id))[0])


class SettingSet(_SettingView):
    """PUT /AppSetting/{id}/Set."""

    needs = {"PUT": Permission.SETTINGS_MODIFY}
    takes = {"PUT": SettingValue}
    returns = {"PUT": SettingResponse}
    summaries = {"PUT": "Changes one application setting"}
    versioned = frozenset({"PUT"})

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [("setting", _found(kwargs["setting_id"]).name)]

    def version(self, setting_id: str) -> object:
        definition = _found(setting_id)
        store.lock()
        return _shown(definition)[0]

    def put(self, request: Request, setting_id: str) -> Response:
        definition = _found(setting_id)
        body = shapes.read(request.data, SettingValue)
        shapes.unchanged(body, _described(definition), _ONLY_READ)
        self.change({definition: body["Value"] or ""})
        return Response(_shown(definition)[0])


def _found(text: str) -> Definition:
    """Return the setting with this Id (digits) or ShortName (any case). Raises ApiError."""
    if text.isascii() and text.isdecimal():
        found = _BY_ID.get(int(text[:10]))
    else:
        found = _BY_NAME.get(text.lower())
    if found is None:
        raise ApiError(ErrorCode.SETTING_UNKNOWN, "There is no such setting.")
    return found


def _shown(*definitions: Definition) -> list[SettingResponse]:
    """Return settings as replies show them, with one query."""
    names = [definition.name for definition in definitions]
    stored = dict(Setting.objects.filter(name__in=names).values_list("name", "value"))
    return [
        {
            **_described(definition),
            "Value": stored.get(definition.name, definition.default),
        }
        for definition in definitions
    ]


def _described(definition: Definition) -> _Described:
    return {
        "Id": definition.id,
        "DisplayName": definition.label,
        "ShortName": definition.name,
        "Description": definition.effect,
        "ValueType": definition.kind.value,
    }
