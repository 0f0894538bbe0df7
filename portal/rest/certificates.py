"""The endpoints under /Certificates.

Owns the way from a request to a service and back. What a revocation means is `renewal`'s; formats
are in `certificate_response.py` and `certificate_files.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar, NotRequired, TypedDict

from django.db.models import Q, QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import Reach, reach
from portal.audit.models import AuditEntry
from portal.rest import bodies, paging, shapes
from portal.rest.base import ApiView
from portal.rest.certificate_files import encoded, format_of, read_pasted
from portal.rest.certificate_listing import CERTIFICATE_HISTORY, CERTIFICATES
from portal.rest.certificate_response import (
    CertificateResponse,
    certificate_response,
    certificates,
)
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu
from portal.rest.paging import flag
from portal.rest.query_fields import condition
from portal.rest.query_language import QueryInvalid, parse
from portal.rest.refusals import actor_of
from renewal import chains, operator_revocations
from renewal.ca.base import RevocationReason
from renewal.models import Certificate, Enrollment
from renewal.operator_revocations import REASONS, CertificatesUnknown

_EXTENT = frozenset(
    {"collectionid", "includelocations", "includemetadata", "includehasprivatekey", "verbose"}
)
_CLOCKS_DIFFER = timedelta(minutes=5)
_LARGEST_ID = 2**63 - 1
_MOST_REVOKED = 1000
_MOST_NAMED = 20


class RevokeRequest(TypedDict):
    """Which certificates are revoked, and why."""

    CertificateIds: list[int]
    Reason: NotRequired[int]
    Comment: str
    EffectiveDate: NotRequired[datetime]
    CollectionId: NotRequired[int]


class RevokeAllRequest(TypedDict):
    """Which query names the certificates that are revoked, and why."""

    Query: str
    Reason: NotRequired[int]
    Comment: str
    EffectiveDate: NotRequired[datetime]
    IncludeRevoked: NotRequired[bool]
    IncludeExpired: NotRequired[bool]
    CollectionId: NotRequired[int]


class SuspendedRevocation(TypedDict):
    CertId: int
    WorkflowId: str
    Message: str


class RevokeResponse(TypedDict):
    """What was revoked; nothing ever waits for a workflow."""

    RevokedIds: list[int]
    SuspendedCerts: list[SuspendedRevocation]


class DownloadRequest(TypedDict):
    """Which certificate: by CertID, by Thumbprint, or by SerialNumber and IssuerDN."""

    CertID: NotRequired[int]
    SerialNumber: NotRequired[str]
    IssuerDN: NotRequired[str]
    Thumbprint: NotRequired[str]
    IncludeChain: NotRequired[bool]
    ChainOrder: NotRequired[str]


class DownloadResponse(TypedDict):
    Content: str


class AnalyzeRequest(TypedDict):
    Certificate: str
    Password: NotRequired[str]


class CertificateDetails(TypedDict):
    """What a certificate says that the portal need not know."""

    IssuedDN: str
    IssuerDN: str
    Thumbprint: str
    NotBefore: str
    NotAfter: str
    IsEndEntity: bool
    Metadata: dict[str, str]


class CertificateOperation(TypedDict):
    """One thing that was done with a certificate."""

    Id: int
    OperationStart: str
    OperationEnd: str
    Username: str
    Comment: str
    Action: str


class CertificateView(ApiView):
    """A view of certificates: whoever acts on one must be allowed to see it."""

    sees = (Permission.CERTIFICATES_READ,)

    def seen(self, *acts: Permission) -> QuerySet[Certificate]:
        """Return the certificates within the caller's reach."""
        return within(certificates(), *self.reaches(*acts), by="orchestrator_id")

    def reaches(self, *acts: Permission) -> list[Reach]:
        needed = (Permission.CERTIFICATES_READ, *acts)
        return [reach(self.request.user, each) for each in needed]

    def found(self, text: str) -> Certificate:
        """Return the certificate with this number. Raises ApiError."""
        row = self.seen().filter(pk=bodies.row_number(text)).first()
        if row is None:
            raise _unknown()
        return row

    def found_by_thumbprint(self, text: str) -> Certificate:
        """Return the newest certificate with this thumbprint. Raises ApiError."""
        row = self.seen().filter(thumbprint=_hex(text).upper()[:64]).order_by("-pk").first()
        if row is None:
            raise _unknown()
        return row

    def check_collection(self, number: int = 0) -> None:
        """Refuse a collection: a portal has none, and must not show more than was asked for."""
        if number or paging.number(self.given, "collectionid", 0, least=0):
            raise ApiError(
                ErrorCode.VALUE_INVALID,
                "There are no collections: leave CollectionId out, or send 0.",
            )


class CertificateList(CertificateView):
    """GET /Certificates: certificates, filtered, sorted and paged."""

    needs = {"GET": Permission.CERTIFICATES_READ}
    parameters: ClassVar[frozenset[str]] = (
        paging.PARAMETERS | _EXTENT | {"includerevoked", "includeexpired"}
    )
    returns = {"GET": list[CertificateResponse]}

    def get(self, request: Request) -> Response:
        self.check_collection()
        rows = _shown(
            self.seen(),
            revoked=flag(self.given, "includerevoked"),
            expired=flag(self.given, "includeexpired"),
            now=timezone.now(),
        )
        page, headers = self.listed(rows, CERTIFICATES)
        return Response([certificate_response(row) for row in page], headers=headers)


class CertificateDetail(CertificateView):
    """GET /Certificates/{id}."""

    needs = {"GET": Permission.CERTIFICATES_READ}
    parameters: ClassVar[frozenset[str]] = _EXTENT
    returns = {"GET": CertificateResponse}

    def get(self, request: Request, certificate_id: str) -> Response:
        self.check_collection()
        return Response(certificate_response(self.found(certificate_id)))


class CertificateHistory(CertificateView):
    """GET /Certificates/{id}/History: what the audit log says of it and of its enrollment."""

    needs = {"GET": Permission.CERTIFICATES_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS | {"collectionid"}
    returns = {"GET": list[CertificateOperation]}

    def get(self, request: Request, certificate_id: str) -> Response:
        self.check_collection()
        certificate = self.found(certificate_id)
        about = Q(object_type="certificate", object_id=str(certificate.pk))
        enrollment: Enrollment | None = getattr(certificate, "enrollment", None)
        if enrollment is not None:
            about |= Q(object_type="enrollment", object_id=str(enrollment.pk))
        page, headers = self.listed(AuditEntry.objects.filter(about), CERTIFICATE_HISTORY)
        return Response([_operation(entry) for entry in page], headers=headers)


class CertificatesRevoke(CertificateView):
    """POST /Certificates/Revoke: all of the list or none."""

    needs = {"POST": Permission.CERTIFICATES_REVOKE}
    takes = {"POST": RevokeRequest}
    in_database = True
    returns = {"POST": RevokeResponse}

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, RevokeRequest)
        self.check_collection(body.get("CollectionId", 0))
        ids = body["CertificateIds"]
        if not ids:
            raise ApiError(ErrorCode.LIST_EMPTY, "CertificateIds names no certificate.")
        return Response(self.revoked(ids, body))

    def revoked(self, ids: list[int], body: RevokeRequest | RevokeAllRequest) -> RevokeResponse:
        """Revoke certificates. Raises ApiError."""
        now = timezone.now()
        reason = _reason(body.get("Reason", 0))
        if not body["Comment"].strip():
            raise ApiError(ErrorCode.VALUE_INVALID, "Comment says why: it must not be empty.")
        if body.get("EffectiveDate", now) > now + _CLOCKS_DIFFER:
            raise ApiError(
                ErrorCode.VALUE_INVALID,
                "A revocation holds at once: EffectiveDate does not lie in the future.",
            )
        try:
            done = operator_revocations.revoke(
                ids,
                reason,
                comment=body["Comment"].strip(),
                reaches=self.reaches(Permission.CERTIFICATES_REVOKE),
                actor=actor_of(self.request),
                now=now,
            )
        except CertificatesUnknown as unknown:
            raise ApiError(
                ErrorCode.CERTIFICATE_UNKNOWN,
                f"Nothing was changed. {unknown}",
                status=400,
                failed=[
                    {"CertId": str(pk), "Reason": str(unknown)} for pk in unknown.ids[:_MOST_NAMED]
                ],
            ) from None
        return {"RevokedIds": done, "SuspendedCerts": []}


class CertificatesRevokeAll(CertificatesRevoke):
    """POST /Certificates/RevokeAll: those that a query names."""

    parameters: ClassVar[frozenset[str]] = frozenset({"collectionid"})
    takes = {"POST": RevokeAllRequest}

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, RevokeAllRequest)
        self.check_collection(body.get("CollectionId", 0))
        if not body["Query"].strip():
            raise ApiError(
                ErrorCode.VALUE_INVALID,
                "Query must name something: an empty one would revoke every certificate.",
            )
        rows = _shown(
            self.seen(Permission.CERTIFICATES_REVOKE),
            revoked=body.get("IncludeRevoked", False),
            expired=body.get("IncludeExpired", False),
            now=timezone.now(),
        )
        try:
            rows = rows.filter(condition(parse(body["Query"]), CERTIFICATES.fields))
        except QueryInvalid as invalid:
            raise ApiError(invalid.code, str(invalid)) from None
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[: _MOST_REVOKED + 1])
        if len(ids) > _MOST_REVOKED:
            raise ApiError(
                ErrorCode.LIST_TOO_LONG,
                f"The query names more than {_MOST_REVOKED} certificates: narrow it.",
            )
        return Response(self.revoked(ids, body))


class CertificatesDownload(CertificateView):
    """POST /Certificates/Download: the file, in the format of the header x-certificateformat."""

    needs = {"POST": Permission.CERTIFICATES_READ}
    parameters: ClassVar[frozenset[str]] = frozenset({"collectionid", "containerid"})
    takes = {"POST": DownloadRequest}
    reads_headers = ("x-certificateformat",)
    returns = {"POST": DownloadResponse}

    def post(self, request: Request) -> Response:
        self.check_collection()
        form = format_of(request.META.get("HTTP_X_CERTIFICATEFORMAT", ""))
        body = shapes.read(request.data, DownloadRequest)
        row = self.seen().filter(_named(body)).order_by("-pk").first()
        if row is None:
            raise _unknown()
        chain = chains.chain_of(row)
        content = encoded(
            chain if body.get("IncludeChain", False) else chain[:1],
            form,
            order=body.get("ChainOrder", ""),
        )
        return Response({"Content": base64.b64encode(content).decode("ascii")})


class CertificatesAnalyze(CertificateView):
    """POST /Certificates/Analyze: what a certificate says; it is not stored."""

    needs = {"POST": Permission.CERTIFICATES_READ}
    takes = {"POST": AnalyzeRequest}
    returns = {"POST": list[CertificateDetails]}

    def post(self, request: Request) -> Response:
        facts = read_pasted(shapes.read(request.data, AnalyzeRequest)["Certificate"])
        details: CertificateDetails = {
            "IssuedDN": facts.subject,
            "IssuerDN": facts.issuer,
            "Thumbprint": facts.thumbprint_sha1,
            "NotBefore": zulu(facts.not_before),
            "NotAfter": zulu(facts.not_after),
            "IsEndEntity": not facts.is_ca,
            "Metadata": {},
        }
        return Response([details])


def _shown(
    rows: QuerySet[Certificate], *, revoked: bool, expired: bool, now: datetime
) -> QuerySet[Certificate]:
    if not revoked:
        rows = rows.filter(revoked_at=None)
    if not expired:
        rows = rows.filter(not_after__gte=now.replace(microsecond=0))
    return rows


def _reason(number: int) -> RevocationReason:
    if number not in REASONS:
        known = ", ".join(f"{n} ({reason.value})" for n, reason in sorted(REASONS.items()))
        raise ApiError(ErrorCode.VALUE_INVALID, f"Reason is one of {known}.")
    return REASONS[number]


def _named(body: Mapping[str, object]) -> Q:
    """Return which certificate a body names. Raises ApiError."""
    if number := body.get("CertID"):
        if not isinstance(number, int) or not 0 < number <= _LARGEST_ID:
            raise _unknown()
        return Q(pk=number)
    if thumbprint := _hex(body.get("Thumbprint")):
        return Q(thumbprint=thumbprint.upper())
    serial, issuer = _hex(body.get("SerialNumber")), str(body.get("IssuerDN") or "")
    if serial and issuer:
        return Q(serial_number=serial.lower(), issuer_name__in={issuer, issuer.replace(", ", ",")})
    raise ApiError(
        ErrorCode.MEMBER_MISSING,
        "Name the certificate by CertID, by Thumbprint, or by SerialNumber and IssuerDN.",
    )


def _hex(value: object) -> str:
    return str(value or "").replace(" ", "").replace(":", "")


def _operation(entry: AuditEntry) -> CertificateOperation:
    at = zulu(entry.at)
    return {
        "Id": entry.pk,
        "OperationStart": at,
        "OperationEnd": at,
        "Username": entry.actor_name,
        "Comment": entry.message or str(entry.after.get("cause", "")),
        "Action": entry.action.replace("_", " ").capitalize(),
    }


def _unknown() -> ApiError:
    return ApiError(ErrorCode.CERTIFICATE_UNKNOWN, "There is no such certificate.")
