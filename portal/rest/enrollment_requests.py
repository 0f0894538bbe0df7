"""The endpoints under /Enrollment/Requests: every CSR on its way to a certificate, and what an
operator does about one.

Owns the way from a request to `renewal/enrollment/operator_acts.py` and back, and what the list can
be filtered by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

from django.db.models import Q, QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import act_reaches, within
from portal.access.catalogue import Permission
from portal.access.reach import Reach, reach
from portal.rest import bodies, paging, shapes
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.approvals import ReasonRequest
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode, act_code
from portal.rest.errors import ApiError
from portal.rest.moments import zulu, zulu_or_none
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from renewal.enrollment import operator_acts
from renewal.identity.acting import ActRefused
from renewal.models import CertificateAuthority, Enrollment
from renewal.open_matters import matter_of
from renewal.rules.lifecycle import FAILED_ENROLLMENT, OPEN_ENROLLMENT, EnrollmentState


def _states() -> Mapping[str, Q]:
    return {
        **{state.value: Q(state=state) for state in EnrollmentState},
        "open": Q(state__in=sorted(OPEN_ENROLLMENT)),
        "failed": Q(state__in=sorted(FAILED_ENROLLMENT)),
    }


ENROLLMENT_REQUESTS: Listing[Enrollment] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "State": kinds.one_of(_states, tuple(_states())),
        "AgentId": kinds.guid("orchestrator_id"),
        "ClientMachine": kinds.name("orchestrator__name_key"),
        "CertificateAuthority": kinds.text("authority__name"),
        "Template": kinds.text("template__name"),
        "Error": kinds.text("last_error"),
        "Requested": kinds.moment("created_at"),
        "Finished": kinds.moment("finished_at"),
    },
    sort={"Id": sort.BY_IDENTITY},
    default="Id",
    identity=sort.LARGE,
    default_descending=True,
)


class EnrollmentResponse(TypedDict):
    """One CSR on its way to a certificate.

    ``State`` is waiting, submitted, pending or unknown; or it has ended: issued, refused, rejected,
    expired or discarded. Of an open one ``TurnOf`` says who is to act, ``Reason`` why, and
    ``NextAttempt`` when it is tried again. ``AgentId`` is null for an operator's own request.
    """

    Id: int
    State: str
    AgentId: str | None
    ClientMachine: str | None
    CertificateAuthority: str
    Template: str
    RequestedBy: str
    Requested: str
    Attempts: int
    TurnOf: str | None
    Reason: str | None
    NextAttempt: str | None
    Finished: str | None
    Thumbprint: str | None


class RetryAllRequest(TypedDict):
    """The CA, by name, whose queue is tried now."""

    CertificateAuthority: str


class RetryAllResponse(TypedDict):
    """How many waited for a later moment, and are due now."""

    Retried: int


class _EnrollmentRequestView(ApiView):
    needs = {"GET": Permission.AGENTS_READ}
    # Whose turn it is changes with the time and with the CA.
    unversioned = frozenset({"TurnOf", "Reason", "NextAttempt"})

    def version(self, enrollment_id: str) -> object:
        pk = _found(self.visible(), enrollment_id).pk
        Enrollment.objects.select_for_update(of=("self",)).get(pk=pk)
        return _response(_found(self.visible(), enrollment_id))

    def within(self, *reaches: Reach) -> QuerySet[Enrollment]:
        """Return the enrollments within these reaches, as replies show them."""
        rows = Enrollment.objects.select_related(
            "orchestrator", "authority", "template", "certificate"
        ).defer("csr_der", "subject_der", "certificate__der")
        return within(rows, *reaches, by="orchestrator")

    def visible(self) -> QuerySet[Enrollment]:
        """Return the enrollments that the caller may see."""
        return self.within(reach(self.request.user, Permission.AGENTS_READ))

    def actable(self) -> QuerySet[Enrollment]:
        """Return those that the caller may act on."""
        return self.within(*act_reaches(self.request.user, Permission.AGENTS_RENEW))


class EnrollmentRequestList(_EnrollmentRequestView):
    """GET /Enrollment/Requests: the enrollments of the caller's orchestrators, the newest first."""

    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    returns = {"GET": list[EnrollmentResponse]}

    def get(self, request: Request) -> Response:
        rows, headers = self.listed(self.visible(), ENROLLMENT_REQUESTS)
        return Response([_response(row) for row in rows], headers=headers)


class EnrollmentRequestDetail(_EnrollmentRequestView):
    """GET /Enrollment/Requests/{id}: where one enrollment is, and whose turn it is."""

    returns = {"GET": EnrollmentResponse}
    versioned = frozenset({"GET"})

    def get(self, request: Request, enrollment_id: str) -> Response:
        return Response(_response(_found(self.visible(), enrollment_id)))


class _EnrollmentAct(_EnrollmentRequestView):
    needs = {"POST": Permission.AGENTS_RENEW}
    sees = (Permission.AGENTS_READ,)
    in_database = True
    takes = {"POST": ReasonRequest}
    returns = {"POST": EnrollmentResponse}
    versioned = frozenset({"POST"})

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """The enrollment that a path names."""
        return [("enrollment", str(_found(self.actable(), kwargs["enrollment_id"]).pk))]

    def acted(self, act: Any, enrollment_id: str) -> Response:
        """Do an act on the enrollment that a path names, and return it as it is then."""
        body = bodies.members(self.request.data or {}, known=(), optional=("Reason",))
        reason = bodies.reason(body)
        row = _found(self.actable(), enrollment_id)
        try:
            act(row.pk, actor=actor_of(self.request), now=timezone.now(), message=reason)
        except ActRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        return Response(_response(_found(self.actable(), enrollment_id)))


class EnrollmentRequestRetry(_EnrollmentAct):
    """POST /Enrollment/Requests/{id}/Retry: has an open one tried now, not at its next time."""

    def post(self, request: Request, enrollment_id: str) -> Response:
        return self.acted(operator_acts.retry_now, enrollment_id)


class EnrollmentRequestGiveUp(_EnrollmentAct):
    """POST /Enrollment/Requests/{id}/GiveUp: discards one that no CA has.

    The orchestrator's next CSR makes a new request, with the CA and template chosen then.
    """

    def post(self, request: Request, enrollment_id: str) -> Response:
        return self.acted(operator_acts.give_up, enrollment_id)


class EnrollmentRequestsRetryAll(_EnrollmentRequestView):
    """POST /Enrollment/Requests/RetryAll: has all that wait for a CA tried now."""

    needs = {"POST": Permission.AGENTS_RENEW}
    sees = (Permission.AGENTS_READ,)
    in_database = True
    takes = {"POST": RetryAllRequest}
    returns = {"POST": RetryAllResponse}

    def post(self, request: Request) -> Response:
        authority = _authority(request)
        try:
            number = operator_acts.retry_queue(
                self.actable(), authority, actor=actor_of(request), now=timezone.now()
            )
        except ActRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        answer: RetryAllResponse = {"Retried": number}
        return Response(answer)

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """The CA that the body names."""
        return [("authority", str(_authority(request).pk))]


def _authority(request: Request) -> CertificateAuthority:
    name = shapes.read(request.data, RetryAllRequest)["CertificateAuthority"]
    authority = CertificateAuthority.objects.filter(name=name).first()
    if authority is None:
        raise ApiError(
            ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.", status=400
        )
    return authority


def _found(rows: QuerySet[Enrollment], text: str) -> Enrollment:
    """Return the one of these that a path names. Raises ApiError."""
    row = rows.filter(pk=bodies.row_number(text)).first()
    if row is None:
        raise ApiError(ErrorCode.ENROLLMENT_UNKNOWN, "There is no such enrollment.")
    return row


def _response(row: Enrollment) -> EnrollmentResponse:
    matter = matter_of(row, now=timezone.now())
    return {
        "Id": row.pk,
        "State": str(EnrollmentState(row.state)),
        "AgentId": str(row.orchestrator_id) if row.orchestrator_id else None,
        "ClientMachine": row.orchestrator.client_machine if row.orchestrator else None,
        "CertificateAuthority": row.authority.name,
        "Template": row.template.name,
        "RequestedBy": row.requested_by,
        "Requested": zulu(row.created_at),
        "Attempts": row.attempts,
        "TurnOf": matter.owner if matter else None,
        "Reason": (matter.reason if matter else row.last_error) or None,
        "NextAttempt": zulu_or_none(matter.next_try if matter else None),
        "Finished": zulu_or_none(row.finished_at),
        "Thumbprint": row.certificate.thumbprint if row.certificate else None,
    }
