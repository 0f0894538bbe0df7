"""The endpoints under /CertificateAuthority that ask a CA something: whether it answers, and a CRL.

Owns the way from a request to `renewal/readiness.py` and `renewal/crl.py` and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NotRequired, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.rest import shapes
from portal.rest.authorities import AuthorityView, unknown_authority
from portal.rest.authority_response import AuthorityTestRequest, check_saved
from portal.rest.codes import ErrorCode
from portal.rest.dry_run import Ask
from portal.rest.errors import ApiError
from portal.rest.refusals import actor_of
from renewal import crl, readiness
from renewal.ca.base import CAError
from renewal.models import CertificateAuthority


class AuthorityTestResponse(TypedDict):
    Success: bool
    Message: str


class PublishRequest(TypedDict):
    CertificateAuthorityLogicalName: str
    CertificateAuthorityHostName: NotRequired[str]


class AuthorityTest(AuthorityView):
    """POST /CertificateAuthority/Test: ask it whether it would answer."""

    needs = {"POST": Permission.AUTHORITIES_MODIFY}
    takes = {"POST": AuthorityTestRequest}
    returns = {"POST": AuthorityTestResponse}

    def post(self, request: Request) -> Response:
        health = readiness.test_call(_tested(request), actor=actor_of(request), now=timezone.now())
        answer: AuthorityTestResponse = {"Success": health.is_ok, "Message": health.message}
        return Response(answer)

    def rehearse(
        self, act: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> list[Ask]:
        return [{"Authority": _tested(request).name, "Call": "health", "About": {}}]


class AuthorityPublish(AuthorityView):
    """POST /CertificateAuthority/PublishCRL: sign and serve a new revocation list."""

    needs = {"POST": Permission.AUTHORITIES_MODIFY}
    takes = {"POST": PublishRequest}

    def post(self, request: Request) -> Response:
        row = _publisher(request)
        try:
            published = crl.publish(row.pk, actor=actor_of(request), now=timezone.now())
        except (CAError, OSError) as problem:
            raise _unsigned(problem) from None
        if published is None:
            raise _publishes_itself()
        return Response(status=204)

    def rehearse(
        self, act: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> list[Ask]:
        row = _publisher(request)
        try:
            foreseen = crl.foreseen(row, now=timezone.now())
        except (CAError, OSError) as problem:
            raise _unsigned(problem) from None
        if foreseen is None:
            raise _publishes_itself()
        number, entries = foreseen
        about = {"Number": number, "Entries": entries}
        return [{"Authority": row.name, "Call": "publish_crl", "About": about}]


def _tested(request: Request) -> CertificateAuthority:
    body = shapes.read(request.data, AuthorityTestRequest)
    rows = CertificateAuthority.objects.all()
    if number := body.get("Id"):
        rows = rows.filter(pk=number)
    else:
        rows = rows.filter(name=body.get("LogicalName", ""))
    row = rows.first()
    if row is None:
        raise unknown_authority()
    check_saved(body, row)
    return row


def _publisher(request: Request) -> CertificateAuthority:
    name = shapes.read(request.data, PublishRequest)["CertificateAuthorityLogicalName"]
    row = CertificateAuthority.objects.filter(name=name).first()
    if row is None:
        raise unknown_authority()
    return row


def _unsigned(problem: Exception) -> ApiError:
    return ApiError(ErrorCode.AUTHORITY_INVALID, f"It did not sign: {problem}")


def _publishes_itself() -> ApiError:
    return ApiError(ErrorCode.AUTHORITY_INVALID, "This CA publishes its list itself.")
