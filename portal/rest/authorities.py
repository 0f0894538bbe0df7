"""The endpoints under /CertificateAuthority.

Owns the way from a request to `renewal/authorities.py` and back. What a CA of a type can do, and
which options it has, is its type's; secrets go in and never come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NotRequired, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.access.models import User
from portal.rest import bodies, paging, shapes
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu_or_none
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from renewal import authorities, crl, issuers, readiness
from renewal.authorities import AuthorityRefused, Wanted
from renewal.ca.base import CAError
from renewal.issuers import NameTaken
from renewal.models import CertificateAuthority

CSR_ONLY = 2
"""AllowedEnrollmentTypes: keys are never made here, so a certificate takes a CSR."""
_LOCAL = "local"
_OF_THE_HOST = frozenset({"directory", "passphrase"})
"""Options of a local CA that name files of this host: they are set where the host is run."""
_HTTPS_TYPE = 1

AUTHORITIES: Listing[CertificateAuthority] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "LogicalName": kinds.text("name"),
        "Type": kinds.text("type"),
    },
    sort={
        "Id": sort.BY_IDENTITY,
        "LogicalName": sort.column("name", sort.TEXT, is_indexed=True),
        "Type": sort.column("type", sort.TEXT),
    },
    default="Id",
    identity=sort.LARGE,
)


class AuthorityResponse(TypedDict):
    """One certificate authority; options without their secrets."""

    Id: int
    LogicalName: str
    HostName: str
    ConfigurationTenant: str
    Remote: bool
    Agent: str | None
    Standalone: bool
    AllowedEnrollmentTypes: int
    KeyRetention: int
    SubscriberTerms: bool
    UseAllowedRequesters: bool
    AllowedRequesters: list[str]
    FullScan: dict[str, Any] | None
    IncrementalScan: dict[str, Any] | None
    CAType: int
    EnforceUniqueDN: bool
    LastScan: str | None
    Type: str
    Options: dict[str, Any]
    Enabled: bool
    HoldSeconds: int
    LastError: str | None
    TestedAt: str | None
    TestPassed: bool | None


class AuthorityRequest(TypedDict):
    """A certificate authority as it shall be; what is left out stays as it is."""

    Id: NotRequired[int]
    LogicalName: str
    Type: NotRequired[str]
    Options: NotRequired[dict[str, Any]]
    Enabled: NotRequired[bool]
    HoldSeconds: NotRequired[int]
    UseAllowedRequesters: NotRequired[bool]
    AllowedRequesters: NotRequired[list[str]]
    HostName: NotRequired[str]
    ConfigurationTenant: NotRequired[str]


class AuthorityTestRequest(TypedDict):
    """Which authority is tried: by Id or by LogicalName."""

    Id: NotRequired[int]
    LogicalName: NotRequired[str]
    HostName: NotRequired[str]
    ConfigurationTenant: NotRequired[str]


class AuthorityTestResponse(TypedDict):
    Success: bool
    Message: str


class PublishRequest(TypedDict):
    CertificateAuthorityLogicalName: str
    CertificateAuthorityHostName: NotRequired[str]


class _AuthorityView(ApiView):
    """A view of authorities: whoever changes one must be allowed to see it."""

    sees = (Permission.AUTHORITIES_READ,)


class AuthorityList(_AuthorityView):
    """GET, POST and PUT /CertificateAuthority: all of them, a new one, a change of one."""

    needs = {
        "GET": Permission.AUTHORITIES_READ,
        "POST": Permission.AUTHORITIES_MODIFY,
        "PUT": Permission.AUTHORITIES_MODIFY,
    }
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    takes = {"POST": AuthorityRequest, "PUT": AuthorityRequest}
    returns = {
        "GET": list[AuthorityResponse],
        "POST": AuthorityResponse,
        "PUT": AuthorityResponse,
    }
    summaries = {
        "GET": "Certificate authorities, filtered, sorted and paged",
        "POST": "Makes a certificate authority",
        "PUT": "Changes a certificate authority",
    }

    def get(self, request: Request) -> Response:
        rows = CertificateAuthority.objects.prefetch_related("allowed_requesters")
        page, headers = self.listed(rows, AUTHORITIES)
        return Response([_shown(row) for row in page], headers=headers)

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, AuthorityRequest)
        if body.get("Id"):
            raise ApiError(ErrorCode.VALUE_INVALID, "A new authority gets its Id: leave it out.")
        return Response(_shown(self.saved(body, body.get("Type", _LOCAL))))

    def put(self, request: Request) -> Response:
        body = shapes.read(request.data, AuthorityRequest)
        row = CertificateAuthority.objects.filter(pk=body.get("Id", 0)).first()
        if row is None:
            raise ApiError(
                ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.", status=400
            )
        if body["LogicalName"] != row.name:
            raise ApiError(
                ErrorCode.AUTHORITY_INVALID,
                "The name stands in the addresses of certificates that it issued: it stays.",
            )
        return Response(_shown(self.saved(body, body.get("Type", row.type), row)))

    def saved(
        self, body: AuthorityRequest, kind: str, row: CertificateAuthority | None = None
    ) -> CertificateAuthority:
        """Create an authority, or change ``row``. Raises ApiError."""
        options = body.get("Options", {})
        known = {} if row is None else row.options
        moved = [name for name in _OF_THE_HOST & options.keys() if options[name] != known.get(name)]
        if kind == _LOCAL and moved:
            raise ApiError(
                ErrorCode.AUTHORITY_INVALID,
                "The folder and passphrase of a local CA are set on the host, by "
                "manage.py certificate_authority.",
            )
        requesters = requesters_of(body)
        wanted = Wanted(
            body["LogicalName"],
            kind,
            options,
            body.get("HoldSeconds"),
            body.get("Enabled"),
            is_new=row is None,
        )
        save = authorities.create_local if kind == _LOCAL else authorities.save
        actor, now = actor_of(self.request), timezone.now()
        if not 0 <= body.get("HoldSeconds", 0) <= authorities.MOST_HOLD_SECONDS:
            raise ApiError(
                ErrorCode.AUTHORITY_INVALID,
                f"HoldSeconds is 0 to {authorities.MOST_HOLD_SECONDS}.",
            )
        try:
            row, _ = save(wanted, actor=actor, now=now)
        except NameTaken as taken:
            raise ApiError(ErrorCode.NAME_TAKEN, str(taken)) from None
        except (AuthorityRefused, CAError) as refused:
            raise ApiError(ErrorCode.AUTHORITY_INVALID, str(refused)) from None
        if requesters is not None:
            authorities.set_requesters(row, requesters, actor=actor)
        return row


class AuthorityDetail(_AuthorityView):
    """GET and DELETE /CertificateAuthority/{id}."""

    needs = {"GET": Permission.AUTHORITIES_READ, "DELETE": Permission.AUTHORITIES_MODIFY}
    in_database = True
    returns = {"GET": AuthorityResponse}
    summaries = {
        "GET": "One certificate authority",
        "DELETE": "Removes a certificate authority that nothing needs",
    }

    def get(self, request: Request, authority_id: str) -> Response:
        return Response(_shown(_found(authority_id)))

    def delete(self, request: Request, authority_id: str) -> Response:
        self.no_body()
        try:
            authorities.remove(_found(authority_id), actor=actor_of(request))
        except AuthorityRefused as refused:
            raise ApiError(ErrorCode.IN_USE, str(refused)) from None
        return Response(status=204)


class AuthorityTest(_AuthorityView):
    """POST /CertificateAuthority/Test: ask it whether it would answer."""

    needs = {"POST": Permission.AUTHORITIES_MODIFY}
    takes = {"POST": AuthorityTestRequest}
    returns = {"POST": AuthorityTestResponse}

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, AuthorityTestRequest)
        rows = CertificateAuthority.objects.all()
        if number := body.get("Id"):
            rows = rows.filter(pk=number)
        else:
            rows = rows.filter(name=body.get("LogicalName", ""))
        row = rows.first()
        if row is None:
            raise ApiError(
                ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.", status=400
            )
        health = readiness.test_call(row, actor=actor_of(request), now=timezone.now())
        answer: AuthorityTestResponse = {"Success": health.is_ok, "Message": health.message}
        return Response(answer)


class AuthorityPublish(_AuthorityView):
    """POST /CertificateAuthority/PublishCRL: sign and serve a new revocation list."""

    needs = {"POST": Permission.AUTHORITIES_MODIFY}
    takes = {"POST": PublishRequest}

    def post(self, request: Request) -> Response:
        name = shapes.read(request.data, PublishRequest)["CertificateAuthorityLogicalName"]
        row = CertificateAuthority.objects.filter(name=name).first()
        if row is None:
            raise ApiError(
                ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.", status=400
            )
        try:
            published = crl.publish(row.pk, actor=actor_of(request), now=timezone.now())
        except (CAError, OSError) as problem:
            raise ApiError(ErrorCode.AUTHORITY_INVALID, f"It did not sign: {problem}") from None
        if published is None:
            raise ApiError(ErrorCode.AUTHORITY_INVALID, "This CA publishes its list itself.")
        return Response(status=204)


def _found(text: str) -> CertificateAuthority:
    row = CertificateAuthority.objects.filter(pk=bodies.row_number(text)).first()
    if row is None:
        raise ApiError(ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.")
    return row


def requesters_of(body: Mapping[str, Any]) -> list[User] | None:
    """Return who alone may ask, of an authority or a template: nobody means everybody, None that
    it stays as it is. Raises ApiError.
    """
    if body.get("UseAllowedRequesters") is False:
        return []
    if "AllowedRequesters" not in body:
        return None
    names: list[str] = body["AllowedRequesters"]
    users = list(User.objects.filter(username__in=names))
    if unknown := sorted(set(names) - {user.username for user in users}):
        raise ApiError(
            ErrorCode.VALUE_INVALID, f"AllowedRequesters names nobody: {unknown[0][:80]!a}."
        )
    return users


def _shown(row: CertificateAuthority) -> AuthorityResponse:
    requesters = sorted(user.username for user in row.allowed_requesters.all())
    return {
        "Id": row.pk,
        "LogicalName": row.name,
        "HostName": "",
        "ConfigurationTenant": "",
        "Remote": False,
        "Agent": None,
        "Standalone": False,
        "AllowedEnrollmentTypes": CSR_ONLY,
        "KeyRetention": 0,
        "SubscriberTerms": False,
        "UseAllowedRequesters": bool(requesters),
        "AllowedRequesters": requesters,
        "FullScan": None,
        "IncrementalScan": None,
        "CAType": _HTTPS_TYPE,
        "EnforceUniqueDN": False,
        "LastScan": None,
        "Type": row.type,
        "Options": issuers.shown_options(row),
        "Enabled": row.enabled,
        "HoldSeconds": row.hold_seconds,
        "LastError": row.last_error or None,
        "TestedAt": zulu_or_none(row.tested_at),
        "TestPassed": row.test_passed,
    }
