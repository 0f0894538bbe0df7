"""The endpoints under /Templates.

Owns the way from a request to `renewal/templates.py` and back, which says what a template may be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, NotRequired, TypedDict

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.rest import bodies, paging, shapes
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.authorities import requesters_of
from portal.rest.authority_response import CSR_ONLY
from portal.rest.base import ApiView
from portal.rest.certificate_response import ExtendedKeyUsage
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from portal.rest.template_policy import (
    POLICY_LACKING,
    PolicyRequest,
    TemplatePolicy,
    key_types,
    policy_of,
)
from renewal import templates
from renewal.models import Template
from renewal.templates import Contents, TemplateRefused

_NAME = kinds.text("name")
_BY_NAME = sort.column("name", sort.TEXT, is_indexed=True)

TEMPLATES: Listing[Template] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "CommonName": _NAME,
        "TemplateName": _NAME,
        "DisplayName": _NAME,
        "NamesPolicy": kinds.text("names_policy"),
    },
    sort={
        "Id": sort.BY_IDENTITY,
        "CommonName": _BY_NAME,
        "TemplateName": _BY_NAME,
        "DisplayName": _BY_NAME,
    },
    default="Id",
    identity=sort.LARGE,
)


class TemplateResponse(TypedDict):
    """One template."""

    Id: int
    CommonName: str
    TemplateName: str
    DisplayName: str
    FriendlyName: str
    Oid: str
    KeySize: str
    KeyType: str
    Curve: str | None
    ForestRoot: str
    ConfigurationTenant: str
    AllowedEnrollmentTypes: int
    RequiresApproval: bool
    RFCEnforcement: bool
    KeyUsage: int
    KeyRetentionDays: int
    KeyArchival: bool
    EnrollmentFields: list[dict[str, Any]]
    MetadataFields: list[dict[str, Any]]
    ExtendedKeyUsages: list[ExtendedKeyUsage]
    UseAllowedRequesters: bool
    AllowedRequesters: list[str]
    TemplateRegexes: list[dict[str, Any]]
    TemplateDefaults: list[dict[str, Any]]
    TemplatePolicy: TemplatePolicy
    KeyTypes: list[str]
    ValiditySeconds: int
    BackdateSeconds: int
    NamesPolicy: str
    NamePatterns: list[str]


class TemplateRequest(TypedDict):
    """A template as it shall be; what is left out stays as it is, or is the shipped one's."""

    Id: NotRequired[int]
    TemplateName: NotRequired[str]
    KeyTypes: NotRequired[list[str]]
    ValiditySeconds: NotRequired[int]
    BackdateSeconds: NotRequired[int]
    ExtendedKeyUsages: NotRequired[list[ExtendedKeyUsage | str]]
    NamesPolicy: NotRequired[str]
    NamePatterns: NotRequired[list[str]]
    TemplatePolicy: NotRequired[PolicyRequest]
    UseAllowedRequesters: NotRequired[bool]
    AllowedRequesters: NotRequired[list[str]]


class TemplateUpdate(TemplateRequest):
    """A template as it shall be. Members that are only read may be sent back as they are."""

    CommonName: NotRequired[str]
    DisplayName: NotRequired[str]
    FriendlyName: NotRequired[str]
    Oid: NotRequired[str]
    KeySize: NotRequired[str]
    KeyType: NotRequired[str]
    Curve: NotRequired[str | None]
    ForestRoot: NotRequired[str]
    ConfigurationTenant: NotRequired[str]
    AllowedEnrollmentTypes: NotRequired[int]
    RequiresApproval: NotRequired[bool]
    RFCEnforcement: NotRequired[bool]
    KeyUsage: NotRequired[int]
    KeyRetentionDays: NotRequired[int]
    KeyArchival: NotRequired[bool]
    EnrollmentFields: NotRequired[list[dict[str, Any]]]
    MetadataFields: NotRequired[list[dict[str, Any]]]
    TemplateRegexes: NotRequired[list[dict[str, Any]]]
    TemplateDefaults: NotRequired[list[dict[str, Any]]]
    KeyRetention: NotRequired[Any]
    AllowOneClickRenewals: NotRequired[Any]
    CertificateCleanupEnabled: NotRequired[Any]
    DeleteWithArchivedKey: NotRequired[Any]
    TimeAfterExpiration: NotRequired[Any]
    TimeAfterExpirationUnits: NotRequired[Any]


_LACKING = (
    "KeyRetention",
    "AllowOneClickRenewals",
    "CertificateCleanupEnabled",
    "DeleteWithArchivedKey",
    "TimeAfterExpiration",
    "TimeAfterExpirationUnits",
)
"""What existing clients send and this portal lacks. ``KeyRetention`` stands in no reply: for some
of them it is a number, for others a text, and each fails at the other.
"""
_NO_RETENTION = ("None", "0")
_ONLY_READ = tuple(
    name
    for name in TemplateUpdate.__annotations__
    if name not in TemplateRequest.__annotations__ and name not in _LACKING
)
_POLICY_ONLY_READ = ("TemplateId", "AllowKeyReuse", "AllowWildcards", "RFCEnforcement")
_DIGITAL_SIGNATURE = 0x80
"""KeyUsage of every certificate of an orchestrator (RFC 5280 §4.2.1.3)."""


class TemplateList(ApiView):
    """GET, POST and PUT /Templates: all of them, a new one, a change of one."""

    needs = {
        "GET": Permission.AUTHORITIES_READ,
        "POST": Permission.AUTHORITIES_MODIFY,
        "PUT": Permission.AUTHORITIES_MODIFY,
    }
    sees = (Permission.AUTHORITIES_READ,)
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    in_database = True
    takes = {"POST": TemplateRequest, "PUT": TemplateUpdate}
    returns = {"GET": list[TemplateResponse], "POST": TemplateResponse, "PUT": TemplateResponse}
    summaries = {
        "GET": "Templates, filtered, sorted and paged",
        "POST": "Makes a template",
        "PUT": "Changes a template",
    }
    versioned = frozenset({"PUT"})

    def version(self) -> object:
        body = shapes.read(self.request.data, TemplateUpdate)
        return _shown(_named(body, Template.objects.select_for_update()))

    def get(self, request: Request) -> Response:
        rows = Template.objects.prefetch_related("allowed_requesters")
        page, headers = self.listed(rows, TEMPLATES)
        return Response([_shown(row) for row in page], headers=headers)

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, TemplateRequest)
        name = body.get("TemplateName", "")
        if body.get("Id") or not name:
            raise ApiError(
                ErrorCode.VALUE_INVALID, "A new template has a TemplateName and gets its Id."
            )
        return Response(_shown(self.saved(name, Contents(), body, is_new=True)))

    def put(self, request: Request) -> Response:
        body = shapes.read(request.data, TemplateUpdate)
        row = _named(body, Template.objects.all())
        if body.get("TemplateName", row.name) != row.name:
            raise ApiError(ErrorCode.TEMPLATE_INVALID, "A template keeps its name.")
        known = _shown(row)
        shapes.unchanged(body, known, _ONLY_READ)
        if body.get("KeyRetention") not in _NO_RETENTION:
            shapes.says_nothing(body, ("KeyRetention",))
        shapes.says_nothing(body, (name for name in _LACKING if name != "KeyRetention"))
        policy = body.get("TemplatePolicy", {})
        shapes.unchanged(policy, known["TemplatePolicy"], _POLICY_ONLY_READ)
        shapes.says_nothing(policy, POLICY_LACKING)
        return Response(_shown(self.saved(row.name, templates.contents_of(row), body)))

    def saved(
        self, name: str, contents: Contents, body: TemplateRequest, *, is_new: bool = False
    ) -> Template:
        """Create or change a template. Raises ApiError."""
        try:
            row, _ = templates.save_template(
                name,
                _changed(contents, body),
                actor=actor_of(self.request),
                now=timezone.now(),
                allowed_requesters=requesters_of(body),
                is_new=is_new,
            )
        except TemplateRefused as refused:
            is_taken = refused.reason == templates.NAME_TAKEN
            code = ErrorCode.NAME_TAKEN if is_taken else ErrorCode.TEMPLATE_INVALID
            raise ApiError(code, str(refused)) from None
        return row


class TemplateDetail(ApiView):
    """GET /Templates/{id}: one template."""

    needs = {"GET": Permission.AUTHORITIES_READ}
    returns = {"GET": TemplateResponse}
    versioned = frozenset({"GET"})

    def get(self, request: Request, template_id: str) -> Response:
        row = Template.objects.filter(pk=bodies.row_number(template_id)).first()
        if row is None:
            raise ApiError(ErrorCode.TEMPLATE_UNKNOWN, "There is no such template.")
        return Response(_shown(row))


def _named(body: TemplateRequest, rows: QuerySet[Template]) -> Template:
    row = rows.filter(pk=body.get("Id", 0)).first()
    if row is None:
        raise ApiError(ErrorCode.TEMPLATE_UNKNOWN, "There is no such template.", status=400)
    return row


def _keys(contents: Contents, body: TemplateRequest) -> tuple[str, ...]:
    """Return the key types that a body asks for, in either of its two ways. Raises ApiError."""
    known = contents.key_types
    listed = tuple(body.get("KeyTypes", known))
    meant = key_types(body.get("TemplatePolicy", {}), known)
    if set(meant) == set(known):
        return listed
    if set(listed) not in (set(known), set(meant)):
        raise ApiError(
            ErrorCode.VALUE_INVALID, "KeyTypes and TemplatePolicy name different keys: send one."
        )
    return meant


def _changed(contents: Contents, body: TemplateRequest) -> Contents:
    usages = [
        usage if isinstance(usage, str) else usage["Oid"]
        for usage in body.get("ExtendedKeyUsages", contents.extended_key_usages)
    ]
    return replace(
        contents,
        key_types=_keys(contents, body),
        validity_seconds=body.get("ValiditySeconds", contents.validity_seconds),
        backdate_seconds=body.get("BackdateSeconds", contents.backdate_seconds),
        extended_key_usages=tuple(usages),
        names_policy=body.get("NamesPolicy", contents.names_policy),
        name_patterns=tuple(body.get("NamePatterns", contents.name_patterns)),
    )


class KeyWords(TypedDict):
    """A key type in the words of existing clients, who know one for a template."""

    KeySize: str
    KeyType: str
    Curve: str | None


def key_words(row: Template) -> KeyWords:
    """Return the first key type of a template."""
    algorithm, _, size = (row.key_types[0] if row.key_types else "").partition("-")
    is_ec = algorithm == "EC"
    return {
        "KeySize": size.removeprefix("P"),
        "KeyType": "ECC" if is_ec else algorithm,
        "Curve": size if is_ec else None,
    }


def _shown(row: Template) -> TemplateResponse:
    requesters = sorted(user.username for user in row.allowed_requesters.all())
    names = {oid: name for name, oid in templates.EKU_NAMES.items()}
    return {
        "Id": row.pk,
        **key_words(row),
        "CommonName": row.name,
        "TemplateName": row.name,
        "DisplayName": row.name,
        "FriendlyName": row.name,
        "Oid": "",
        "ForestRoot": "",
        "ConfigurationTenant": "",
        "AllowedEnrollmentTypes": CSR_ONLY,
        "RequiresApproval": False,
        "RFCEnforcement": False,
        "KeyUsage": _DIGITAL_SIGNATURE,
        "KeyRetentionDays": 0,
        "KeyArchival": False,
        "EnrollmentFields": [],
        "MetadataFields": [],
        "ExtendedKeyUsages": [
            {"Oid": oid, "DisplayName": names.get(oid, oid)} for oid in row.extended_key_usages
        ],
        "UseAllowedRequesters": bool(requesters),
        "AllowedRequesters": requesters,
        "TemplateRegexes": [],
        "TemplateDefaults": [],
        "TemplatePolicy": policy_of(row.key_types, row.names_policy, row.pk),
        "KeyTypes": list(row.key_types),
        "ValiditySeconds": row.validity_seconds,
        "BackdateSeconds": row.backdate_seconds,
        "NamesPolicy": row.names_policy,
        "NamePatterns": list(row.name_patterns),
    }
