"""The endpoints under /ApprovalRequests: the inbox of approvals.

Owns the way from a request to `renewal/selectors/inbox.py` and `renewal/identity`, and what the
list can be filtered by. A decision is on the orchestrator: Approve and Disapprove below /Agents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.preferences import store
from portal.rest import bodies, paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.approval_response import (
    ApprovalCommentResponse,
    ApprovalRequestResponse,
    WholeApprovalRequest,
    comment_response,
    request_response,
    whole_response,
)
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode, act_code
from portal.rest.errors import ApiError
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of
from renewal.identity import approval_comments, questions
from renewal.identity.approvals import ActRefused
from renewal.identity.policies import policies
from renewal.identity.risks import assess
from renewal.models import ApprovalRequest
from renewal.rules.approval import Question, RequestKind, RequestState
from renewal.selectors import inbox
from renewal.selectors.inbox import Tab

APPROVAL_REQUESTS: Listing[ApprovalRequest] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "AgentId": kinds.guid("orchestrator"),
        "ClientMachine": kinds.name("orchestrator__name_key"),
        "Kind": kinds.text("kind"),
        "State": kinds.text("state"),
        "CausedBy": kinds.text("caused_by"),
        "DecidedBy": kinds.text("decided_by"),
        "Opened": kinds.moment("opened_at"),
        "Decided": kinds.moment("decided_at"),
    },
    sort={"Id": sort.BY_IDENTITY},
    default="Id",
    identity=sort.LARGE,
    default_descending=True,
)


class CommentRequest(TypedDict):
    """What is said to an open request."""

    Text: str


class _RequestView(ApiView):
    # Whoever waits calls again every few minutes; the hints are about the others.
    unversioned = frozenset({"Candidates", "Hints"})

    def version(self, request_id: str) -> object:
        pk = self.found(request_id).pk
        ApprovalRequest.objects.select_for_update(of=("self",)).get(pk=pk)
        return self.whole(self.found(request_id))

    def found(self, text: str) -> ApprovalRequest:
        """Return a request that the caller may see. Raises ApiError."""
        pk = bodies.row_number(text)
        row = inbox.one(self.request.user, pk) if pk is not None else None
        if row is None:
            raise ApiError(ErrorCode.REQUEST_UNKNOWN, "There is no such request for approval.")
        return row

    def whole(self, row: ApprovalRequest) -> WholeApprovalRequest:
        """Return a request with all that its page shows."""
        seen = reach(self.request.user, Permission.AGENTS_READ)
        is_open = row.state == RequestState.OPEN
        return whole_response(
            row,
            policies(store.load()),
            _asked([row])[row.pk],
            assess([row], seen=seen, now=timezone.now())[0] if is_open else None,
            inbox.votes_of(row),
            inbox.comments_of(row),
        )


def _asked(rows: Sequence[ApprovalRequest]) -> Mapping[int, Question]:
    """Return what each request asks: an open one as its record stands now."""
    is_open = {row.pk: row.state == RequestState.OPEN for row in rows}
    now_asked = questions.of_each([row.orchestrator for row in rows if is_open[row.pk]])
    return {
        row.pk: now_asked[row.orchestrator_id]
        if is_open[row.pk]
        else Question(RequestKind(row.kind))
        for row in rows
    }


class ApprovalRequestList(_RequestView):
    """GET /ApprovalRequests: the requests for approval, or those of one list of the inbox."""

    needs = {"GET": Permission.AGENTS_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS | {"tab"}
    returns = {"GET": list[ApprovalRequestResponse]}

    def get(self, request: Request) -> Response:
        rows = inbox.of_tab(self._tab(), request.user, now=timezone.now())
        found, headers = self.listed(rows, APPROVAL_REQUESTS)
        rules, asked = policies(store.load()), _asked(found)
        shown = [
            request_response(row, row.vote_count, rules, asked[row.pk])  # type: ignore[attr-defined]
            for row in found
        ]
        return Response(shown, headers=headers)

    def _tab(self) -> Tab | None:
        if "tab" not in self.given:
            return None
        try:
            return Tab(self.given["tab"].lower())
        except ValueError:
            raise ApiError(
                ErrorCode.PARAMETER_INVALID,
                f"{self.given.name('tab')} is one of {', '.join(Tab)}.",
            ) from None


class ApprovalRequestDetail(_RequestView):
    """GET /ApprovalRequests/{id}: one request with hints, approvals and comments."""

    needs = {"GET": Permission.AGENTS_READ}
    returns = {"GET": WholeApprovalRequest}
    versioned = frozenset({"GET"})

    def get(self, request: Request, request_id: str) -> Response:
        return Response(self.whole(self.found(request_id)))


class ApprovalRequestComments(_RequestView):
    """POST /ApprovalRequests/{id}/Comments: says something to an open request."""

    sees = (Permission.AGENTS_READ,)
    needs = {"POST": Permission.AGENTS_APPROVE}
    instead = (Permission.AGENTS_RESET,)
    takes = {"POST": CommentRequest}
    returns = {"POST": ApprovalCommentResponse}
    versioned = frozenset({"POST"})
    in_database = True

    def post(self, request: Request, request_id: str) -> Response:
        text = bodies.text(bodies.members(request.data, known=("Text",))["Text"], "Text")
        row = self.found(request_id)
        if not approval_comments.may_comment(request.user, row):
            raise ApiError(ErrorCode.REQUEST_UNKNOWN, "There is no such request for approval.")
        try:
            said = approval_comments.comment(row, text, actor=actor_of(request), now=timezone.now())
        except ActRefused as refused:
            raise ApiError(act_code(refused.reason), str(refused)) from None
        return Response(comment_response(said))
