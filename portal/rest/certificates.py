"""The endpoints under /Certificates; those that revoke are in `certificate_revocation.py`.

Owns the way from a request to a service and back, and which certificates a caller sees. Formats are
in `certificate_response.py` and `certificate_files.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, NotRequired, TypedDict

from django.db.models import Q, QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import may_see, within
from portal.access.catalogue import Permission
from portal.access.reach import Reach, reach
from portal.audit.models import AuditEntry
from portal.rest import bodies, paging, shapes
from portal.rest.base import ApiView
from portal.rest.certificate_files import encoded, format_of, read_pasted
from portal.rest.certificate_listing import (
    CERTIFICATE_HISTORY,
    NAMELESS_HISTORY,
    certificate_listing,
)
from portal.rest.certificate_response import (
    CertificateResponse,
    certificate_response,
    certificates,
)
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu
from portal.rest.paging import flag
from renewal import chains
from renewal.models import Certificate, Enrollment
from renewal.selectors.beyond import hide_beyond, nameless

_EXTENT_FLAGS = ("includelocations", "includemetadata", "includehasprivatekey")
_EXTENT = frozenset({"collectionid", "verbose", *_EXTENT_FLAGS})
_LARGEST_ID = 2**63 - 1


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

    def agents(self) -> Reach:
        return reach(self.request.user, Permission.AGENTS_READ)

    def told(self, rows: Sequence[Certificate]) -> list[CertificateResponse]:
        """Return certificates as a caller sees them who may not see each of their orchestrators."""
        hide_beyond(rows, self.agents(), given=self.reaches()[0])
        return [certificate_response(row) for row in rows]

    def is_nobodys(self, row: Certificate) -> bool:
        """Say whether the orchestrator of a certificate is beyond the caller's reach."""
        return row.orchestrator is not None and not may_see(row.orchestrator, self.agents())

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

    def check_extent(self) -> None:
        """Refuse what does not say how much of a certificate is wanted; all of it is told."""
        self.check_collection()
        for name in _EXTENT_FLAGS:
            flag(self.given, name)
        paging.number(self.given, "verbose", 0, least=0)


class CertificateList(CertificateView):
    """GET /Certificates: certificates, filtered, sorted and paged."""

    needs = {"GET": Permission.CERTIFICATES_READ}
    parameters: ClassVar[frozenset[str]] = (
        paging.PARAMETERS | _EXTENT | {"includerevoked", "includeexpired"}
    )
    returns = {"GET": list[CertificateResponse]}

    def get(self, request: Request) -> Response:
        self.check_extent()
        rows = shown(
            self.seen(),
            revoked=flag(self.given, "includerevoked"),
            expired=flag(self.given, "includeexpired"),
            now=timezone.now(),
        )
        listing = certificate_listing(self.agents(), given=self.reaches()[0])
        page, headers = self.listed(rows, listing)
        return Response(self.told(page), headers=headers)


class CertificateDetail(CertificateView):
    """GET /Certificates/{id}: one certificate."""

    needs = {"GET": Permission.CERTIFICATES_READ}
    parameters: ClassVar[frozenset[str]] = _EXTENT
    returns = {"GET": CertificateResponse}

    def get(self, request: Request, certificate_id: str) -> Response:
        self.check_extent()
        (told,) = self.told([self.found(certificate_id)])
        return Response(told)


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
        is_nobodys = self.is_nobodys(certificate)
        listing = NAMELESS_HISTORY if is_nobodys else CERTIFICATE_HISTORY
        page, headers = self.listed(AuditEntry.objects.filter(about), listing)
        told = [_operation(entry) for entry in page]
        if is_nobodys:
            for each in told:
                each["Username"] = nameless(each["Username"])
        return Response(told, headers=headers)


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


def shown(
    rows: QuerySet[Certificate], *, revoked: bool, expired: bool, now: datetime
) -> QuerySet[Certificate]:
    """Leave the revoked and the expired ones out, unless they are wanted."""
    if not revoked:
        rows = rows.filter(revoked_at=None)
    if not expired:
        rows = rows.filter(not_after__gte=now.replace(microsecond=0))
    return rows


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
