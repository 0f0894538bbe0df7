"""The endpoints /CertificateAuthority and /CertificateAuthority/{id}.

Owns the way from a request to `renewal/authorities.py` and back. What is asked of a CA by itself is
in `authority_calls.py`. What a CA of a type can do, and which options it has, is its type's;
secrets go in and never come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.access.models import User
from portal.rest import bodies, paging, shapes, versions
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.authority_response import (
    SEEN,
    AuthorityRequest,
    AuthorityResponse,
    authority_response,
    check_fixed,
    check_seen,
)
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.dry_run import Ask
from portal.rest.errors import ApiError
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from renewal import authorities
from renewal.authorities import AuthorityRefused, Wanted
from renewal.ca.base import CAError
from renewal.issuers import NameTaken
from renewal.models import CertificateAuthority

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


class AuthorityView(ApiView):
    """A view of authorities: whoever changes one must be allowed to see it."""

    sees = (Permission.AUTHORITIES_READ,)
    unversioned = frozenset(SEEN)


class AuthorityList(AuthorityView):
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
        return Response([authority_response(row) for row in page], headers=headers)

    versioned = frozenset({"PUT"})

    def version(self) -> object:
        body = shapes.read(self.request.data, AuthorityRequest)
        return authority_response(_named(body, CertificateAuthority.objects.select_for_update()))

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, AuthorityRequest)
        wanted = _wanted(body, None)
        create = authorities.create_local if wanted.type == authorities.LOCAL else authorities.save
        with _refusals():
            row, _ = create(wanted, actor=actor_of(request), now=timezone.now())
        return Response(authority_response(row))

    def put(self, request: Request) -> Response:
        body = shapes.read(request.data, AuthorityRequest)
        row = _named(body, CertificateAuthority.objects.all())
        wanted = _wanted(body, row)
        actor, now = actor_of(request), timezone.now()
        with _refusals():
            with transaction.atomic():
                versions.check(self, request, self.version)
                # A local CA whose making broke off is made; to change it first would hide that.
                if not (is_unfinished := authorities.is_unfinished(row)):
                    row, _ = authorities.save_row(wanted, actor=actor, now=now)
            # Nobody is asked while the row is locked.
            if is_unfinished:
                row, _ = authorities.create_local(wanted, actor=actor, now=now)
            else:
                authorities.publish_first(row, now=now)
        return Response(authority_response(row))

    def rehearse(
        self, act: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> list[Ask]:
        body = shapes.read(request.data, AuthorityRequest)
        known = None
        if request.method == "PUT":
            versions.check(self, request, self.version)
            known = _named(body, CertificateAuthority.objects.all())
        wanted = _wanted(body, known)
        with _refusals():
            row, calls = authorities.rehearse(wanted, actor=actor_of(request), now=timezone.now())
        return [{"Authority": row.name, "Call": call, "About": {}} for call in calls]


class AuthorityDetail(AuthorityView):
    """GET and DELETE /CertificateAuthority/{id}."""

    needs = {"GET": Permission.AUTHORITIES_READ, "DELETE": Permission.AUTHORITIES_MODIFY}
    in_database = True
    returns = {"GET": AuthorityResponse}
    summaries = {
        "GET": "One certificate authority",
        "DELETE": "Removes a certificate authority that nothing needs",
    }
    versioned = frozenset({"GET", "DELETE"})

    def version(self, authority_id: str) -> object:
        return authority_response(
            _found(authority_id, CertificateAuthority.objects.select_for_update())
        )

    def get(self, request: Request, authority_id: str) -> Response:
        return Response(authority_response(_found(authority_id)))

    def delete(self, request: Request, authority_id: str) -> Response:
        self.no_body()
        try:
            authorities.remove(_found(authority_id), actor=actor_of(request))
        except AuthorityRefused as refused:
            raise ApiError(ErrorCode.IN_USE, str(refused)) from None
        return Response(status=204)


def _found(text: str, rows: QuerySet[CertificateAuthority] | None = None) -> CertificateAuthority:
    known = CertificateAuthority.objects.all() if rows is None else rows
    row = known.filter(pk=bodies.row_number(text)).first()
    if row is None:
        raise ApiError(ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.")
    return row


def _named(body: AuthorityRequest, rows: QuerySet[CertificateAuthority]) -> CertificateAuthority:
    row = rows.filter(pk=body.get("Id", 0)).first()
    if row is None:
        raise unknown_authority()
    return row


def unknown_authority() -> ApiError:
    """Return the refusal of a body that names no authority."""
    return ApiError(
        ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.", status=400
    )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NameTaken as taken:
        raise ApiError(ErrorCode.NAME_TAKEN, str(taken)) from None
    except (AuthorityRefused, CAError) as refused:
        raise ApiError(ErrorCode.AUTHORITY_INVALID, str(refused)) from None


def _wanted(body: AuthorityRequest, row: CertificateAuthority | None) -> Wanted:
    """Return what a body asks for. Raises ApiError."""
    if row is None and body.get("Id"):
        raise ApiError(ErrorCode.VALUE_INVALID, "A new authority gets its Id: leave it out.")
    if row is not None and body["LogicalName"] != row.name:
        raise ApiError(
            ErrorCode.AUTHORITY_INVALID,
            "The name stands in the addresses of certificates that it issued: it stays.",
        )
    check_fixed(body)
    if row is None:
        shapes.unchanged(body, {}, SEEN)
    else:
        check_seen(body, row)
    options = body.get("Options", {})
    kind = body.get("Type", authorities.LOCAL if row is None else row.type)
    known = {} if row is None else row.options
    moved = [
        name
        for name in authorities.OF_THE_HOST & options.keys()
        if options[name] != known.get(name)
    ]
    if kind == authorities.LOCAL and moved:
        raise ApiError(
            ErrorCode.AUTHORITY_INVALID,
            "The folder and passphrase of a local CA are set on the host, by "
            "manage.py certificate_authority.",
        )
    if not 0 <= body.get("HoldSeconds", 0) <= authorities.MOST_HOLD_SECONDS:
        raise ApiError(
            ErrorCode.AUTHORITY_INVALID, f"HoldSeconds is 0 to {authorities.MOST_HOLD_SECONDS}."
        )
    return Wanted(
        body["LogicalName"],
        kind,
        options,
        body.get("HoldSeconds"),
        body.get("Enabled"),
        requesters_of(body),
        is_new=row is None,
    )


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
