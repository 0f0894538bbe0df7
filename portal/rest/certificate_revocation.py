"""POST /Certificates/Revoke and /Certificates/RevokeAll.

Owns the way from a request to `renewal/operator_revocations.py` and back. What a revocation means
is `renewal`'s; which certificates a caller sees is `certificates.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, NotRequired, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.audit.wording import one_line
from portal.rest import shapes
from portal.rest.certificate_listing import certificate_listing
from portal.rest.certificates import CertificateView, shown
from portal.rest.codes import ErrorCode
from portal.rest.dry_run import Ask
from portal.rest.errors import ApiError
from portal.rest.query_fields import condition
from portal.rest.query_language import QueryInvalid, parse
from portal.rest.refusals import actor_of
from renewal import operator_revocations
from renewal.ca.base import RevocationReason
from renewal.models import Revocation
from renewal.operator_revocations import REASONS, CertificatesUnknown

_CLOCKS_DIFFER = timedelta(minutes=5)
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


class CertificatesRevoke(CertificateView):
    """POST /Certificates/Revoke: all of the list or none."""

    needs = {"POST": Permission.CERTIFICATES_REVOKE}
    takes = {"POST": RevokeRequest}
    in_database = True
    returns = {"POST": RevokeResponse}

    def post(self, request: Request) -> Response:
        return Response(self.revoked(*self.named(request)))

    def named(self, request: Request) -> tuple[list[int], RevokeRequest | RevokeAllRequest]:
        """Return which certificates the body names, and the body. Raises ApiError."""
        body = shapes.read(request.data, RevokeRequest)
        self.check_collection(body.get("CollectionId", 0))
        ids = body["CertificateIds"]
        if not ids:
            raise ApiError(ErrorCode.LIST_EMPTY, "CertificateIds names no certificate.")
        return ids, body

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        ids, _ = self.named(request)
        return [("certificate", str(pk)) for pk in sorted(set(ids))]

    def rehearse(
        self, act: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> list[Ask]:
        newest = Revocation.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        revoked = act(request, *args, **kwargs).data["RevokedIds"]
        rows = Revocation.objects.filter(
            pk__gt=newest, certificate__in=revoked, certificate__authority__isnull=False
        )
        asked = rows.order_by("certificate_id").values_list(
            "certificate__authority__name", "certificate_id", "certificate__serial_number"
        )
        return [
            {"Authority": name, "Call": "revoke", "About": {"Id": pk, "SerialNumber": serial}}
            for name, pk, serial in asked
        ]

    def revoked(self, ids: list[int], body: RevokeRequest | RevokeAllRequest) -> RevokeResponse:
        """Revoke certificates. Raises ApiError."""
        now = timezone.now()
        reason = _reason(body.get("Reason", 0))
        comment = one_line(body["Comment"])
        if not comment:
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
                comment=comment,
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

    def named(self, request: Request) -> tuple[list[int], RevokeRequest | RevokeAllRequest]:
        body = shapes.read(request.data, RevokeAllRequest)
        self.check_collection(body.get("CollectionId", 0))
        if not body["Query"].strip():
            raise ApiError(
                ErrorCode.VALUE_INVALID,
                "Query must name something: an empty one would revoke every certificate.",
            )
        rows = shown(
            self.seen(Permission.CERTIFICATES_REVOKE),
            revoked=body.get("IncludeRevoked", False),
            expired=body.get("IncludeExpired", False),
            now=timezone.now(),
        )
        try:
            listing = certificate_listing(self.agents(), given=self.reaches()[0])
            rows = rows.filter(condition(parse(body["Query"]), listing.fields))
        except QueryInvalid as invalid:
            raise ApiError(invalid.code, str(invalid)) from None
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[: _MOST_REVOKED + 1])
        if len(ids) > _MOST_REVOKED:
            raise ApiError(
                ErrorCode.LIST_TOO_LONG,
                f"The query names more than {_MOST_REVOKED} certificates: narrow it.",
            )
        return ids, body


def _reason(number: int) -> RevocationReason:
    if number not in REASONS:
        known = ", ".join(f"{n} ({reason.value})" for n, reason in sorted(REASONS.items()))
        raise ApiError(ErrorCode.VALUE_INVALID, f"Reason is one of {known}.")
    return REASONS[number]
