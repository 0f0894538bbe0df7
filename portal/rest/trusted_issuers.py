"""The endpoints under /TrustedIssuers: whose certificates may prove who an orchestrator is.

Owns the way from a request to `renewal/identity/trust.py`, which judges what may be trusted.
"""

from __future__ import annotations

from typing import Any, ClassVar, NotRequired, TypedDict

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.rest import bodies, paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from renewal.identity import trust
from renewal.models import TrustAnchor

_LONGEST_NAME = 200
_LONGEST_PEM = 64 * 1024

TRUSTED_ISSUERS: Listing[TrustAnchor] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "Name": kinds.text("name"),
        "Subject": kinds.text("subject_name"),
        "Fingerprint": kinds.hexadecimal("fingerprint_sha256"),
        "NotAfter": kinds.moment("not_after"),
    },
    sort={"Id": sort.BY_IDENTITY},
    default="Id",
    identity=sort.LARGE,
)


class TrustedIssuerResponse(TypedDict):
    """One issuer. ``Fingerprint`` is the SHA-256 of its certificate; ``Intermediate``: it helps to
    build a path and trusts nothing by itself; ``Trusted`` is false once it was removed.
    """

    Id: int
    Name: str
    Subject: str
    Fingerprint: str
    NotBefore: str
    NotAfter: str
    Intermediate: bool
    Trusted: bool


class TrustedIssuerRequest(TypedDict):
    """A CA certificate in PEM; without ``Name`` its common name is the name."""

    Certificate: str
    Name: NotRequired[str]
    Intermediate: NotRequired[bool]


class TrustedIssuerList(ApiView):
    """GET and POST /TrustedIssuers."""

    sees = (Permission.AUTHORITIES_READ,)
    needs = {"GET": Permission.AUTHORITIES_READ, "POST": Permission.TRUST_ANCHORS_MODIFY}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    takes = {"POST": TrustedIssuerRequest}
    returns = {"GET": list[TrustedIssuerResponse], "POST": TrustedIssuerResponse}
    summaries = {"GET": "The issuers that orchestrators may come from", "POST": "Trusts an issuer"}
    in_database = True
    issuer: int
    """The one that a POST was about."""

    def get(self, request: Request) -> Response:
        rows, headers = self.listed(TrustAnchor.objects.defer("der"), TRUSTED_ISSUERS)
        return Response([_shown(row) for row in rows], headers=headers)

    def post(self, request: Request) -> Response:
        body = bodies.members(
            request.data, known=("Certificate",), optional=("Name", "Intermediate")
        )
        pem = bodies.text(body["Certificate"], "Certificate")
        name = bodies.text(body.get("Name") or "", "Name").strip()
        if len(pem) > _LONGEST_PEM:
            raise ApiError(ErrorCode.VALUE_INVALID, "Certificate is longer than one can be.")
        if len(name) > _LONGEST_NAME:
            raise ApiError(ErrorCode.VALUE_INVALID, f"Name has at most {_LONGEST_NAME} characters.")
        try:
            with transaction.atomic():
                row, _ = trust.add_anchor(
                    pem,
                    name=name,
                    actor=actor_of(request),
                    now=timezone.now(),
                    is_intermediate=bodies.flag(body, "Intermediate"),
                )
                if name not in ("", row.name):
                    # The name of a known one stays, and the one sent is not dropped in silence.
                    raise trust.AnchorRefused(f"It is known as {row.name!r}: leave Name out.")
        except trust.AnchorRefused as refused:
            raise ApiError(ErrorCode.VALUE_INVALID, str(refused)) from None
        self.issuer = row.pk
        return Response(_shown(row))

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [("trust_anchor", str(self.issuer))]


class TrustedIssuerDetail(ApiView):
    """GET and DELETE /TrustedIssuers/{id}."""

    sees = (Permission.AUTHORITIES_READ,)
    needs = {"GET": Permission.AUTHORITIES_READ, "DELETE": Permission.TRUST_ANCHORS_MODIFY}
    returns = {"GET": TrustedIssuerResponse}
    summaries = {"GET": "One issuer", "DELETE": "Trusts an issuer no longer, from now on"}
    versioned = frozenset({"GET", "DELETE"})
    in_database = True

    def version(self, issuer_id: str) -> object:
        return _shown(_found(issuer_id, TrustAnchor.objects.select_for_update()))

    def get(self, request: Request, issuer_id: str) -> Response:
        return Response(_shown(_found(issuer_id, TrustAnchor.objects.all())))

    def delete(self, request: Request, issuer_id: str) -> Response:
        self.no_body()
        row = _found(issuer_id, TrustAnchor.objects.all())
        trust.remove_anchor(row, actor=actor_of(request), now=timezone.now())
        return Response(status=204)

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [("trust_anchor", str(_found(kwargs["issuer_id"], TrustAnchor.objects.all()).pk))]


def _found(text: str, rows: QuerySet[TrustAnchor]) -> TrustAnchor:
    row = rows.defer("der").filter(pk=bodies.row_number(text)).first()
    if row is None:
        raise ApiError(ErrorCode.ISSUER_UNKNOWN, "There is no such issuer.")
    return row


def _shown(row: TrustAnchor) -> TrustedIssuerResponse:
    return {
        "Id": row.pk,
        "Name": row.name,
        "Subject": row.subject_name,
        "Fingerprint": row.fingerprint_sha256,
        "NotBefore": zulu(row.not_before),
        "NotAfter": zulu(row.not_after),
        "Intermediate": row.is_intermediate,
        "Trusted": row.enabled,
    }
