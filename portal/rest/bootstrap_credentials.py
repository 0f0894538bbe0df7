"""The endpoints under /BootstrapCredentials: what a new orchestrator proves itself with.

Owns the way from a request to `orchestrators/credentials.py` and back. A secret is in the answer
that makes it and nowhere else.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, NotRequired, TypedDict

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators import credentials
from orchestrators.models import BootstrapCredential
from portal.access.catalogue import Permission
from portal.rest import bodies, paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu, zulu_or_none
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of

_DEFAULT_DAYS = 7
_MOST_DAYS = 90

CREDENTIALS: Listing[BootstrapCredential] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "Name": kinds.text("name"),
        "CreatedAt": kinds.moment("created_at"),
        "ExpiresAt": kinds.moment("expires_at"),
        "AgentId": kinds.guid("bound_to"),
    },
    sort={"Id": sort.BY_IDENTITY},
    default="Id",
    identity=sort.LARGE,
    default_descending=True,
)


class CredentialResponse(TypedDict):
    """One bootstrap credential; ``AgentId`` is the record that a one-time one is bound to.
    ``Secret`` is in the answer that makes it and nowhere else.
    """

    Id: int
    Name: str
    State: str
    OneTime: bool
    Username: str
    AgentId: str | None
    CreatedAt: str
    ExpiresAt: str | None
    LastUsed: str | None
    Secret: NotRequired[str]


class CredentialRequest(TypedDict):
    """A one-time credential: ``Name`` is the user of its Basic sign-in, ``Days`` how long it may
    wait for its orchestrator (7 unless told).
    """

    Name: str
    Days: NotRequired[int]


class _CredentialView(ApiView):
    sees = (Permission.AGENTS_READ,)
    in_database = True

    def reached(self) -> QuerySet[BootstrapCredential]:
        """Return the credentials. They belong to no orchestrator yet, so no limit can name one.

        Raises PermissionDenied.
        """
        self.demand_everywhere(Permission.AGENTS_READ, Permission.AGENTS_APPROVE)
        return BootstrapCredential.objects.all()

    def found(self, text: str) -> BootstrapCredential:
        """Return a credential. Raises ApiError, PermissionDenied."""
        row = self.reached().filter(pk=bodies.row_number(text)).first()
        if row is None:
            raise ApiError(ErrorCode.CREDENTIAL_UNKNOWN, "There is no such credential.")
        return row


class CredentialList(_CredentialView):
    """GET and POST /BootstrapCredentials."""

    everywhere = True
    needs = {"GET": Permission.AGENTS_APPROVE, "POST": Permission.AGENTS_APPROVE}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    keeps_replies = False
    takes = {"POST": CredentialRequest}
    returns = {"GET": list[CredentialResponse], "POST": CredentialResponse}
    summaries = {
        "GET": "The bootstrap credentials",
        "POST": "A new one-time bootstrap credential, its secret shown this once",
    }

    def get(self, request: Request) -> Response:
        now = timezone.now()
        rows, headers = self.listed(self.reached().select_related("service_account"), CREDENTIALS)
        return Response([_shown(row, now) for row in rows], headers=headers)

    def post(self, request: Request) -> Response:
        self.reached()
        body = bodies.members(request.data, known=("Name",), optional=("Days",))
        days = body.get("Days") if body.get("Days") is not None else _DEFAULT_DAYS
        if type(days) is not int or not 1 <= days <= _MOST_DAYS:
            raise ApiError(ErrorCode.VALUE_INVALID, f"Days is between 1 and {_MOST_DAYS}.")
        now = timezone.now()
        try:
            made, secret = credentials.create(
                name=bodies.text(body["Name"], "Name"),
                actor=actor_of(request),
                now=now,
                one_time=True,
                valid_for=timedelta(days=days),
            )
        except credentials.CredentialInvalid as invalid:
            raise ApiError(ErrorCode.VALUE_INVALID, str(invalid)) from None
        return Response({**_shown(made, now), "Secret": secret})


class CredentialDetail(_CredentialView):
    """GET and DELETE /BootstrapCredentials/{id}."""

    everywhere = True
    needs = {"GET": Permission.AGENTS_APPROVE, "DELETE": Permission.AGENTS_APPROVE}
    returns = {"GET": CredentialResponse}
    summaries = {
        "GET": "One bootstrap credential",
        "DELETE": "Revokes a bootstrap credential at once",
    }
    versioned = frozenset({"GET", "DELETE"})
    unversioned = frozenset({"LastUsed"})

    def version(self, credential_id: str) -> object:
        pk = self.found(credential_id).pk
        row = BootstrapCredential.objects.select_for_update(of=("self",)).get(pk=pk)
        return _shown(row, timezone.now())

    def get(self, request: Request, credential_id: str) -> Response:
        return Response(_shown(self.found(credential_id), timezone.now()))

    def delete(self, request: Request, credential_id: str) -> Response:
        self.no_body()
        row = self.found(credential_id)
        credentials.revoke(row, actor=actor_of(request), now=timezone.now())
        return Response(status=204)

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [("bootstrap_credential", str(self.found(kwargs["credential_id"]).pk))]


def _shown(row: BootstrapCredential, now: datetime) -> CredentialResponse:
    return {
        "Id": row.pk,
        "Name": row.name,
        "State": _state(row, now),
        "OneTime": row.one_time,
        "Username": row.service_account.username,
        "AgentId": str(row.bound_to_id) if row.bound_to_id else None,
        "CreatedAt": zulu(row.created_at),
        "ExpiresAt": zulu_or_none(row.expires_at),
        "LastUsed": zulu_or_none(row.last_used_at),
    }


def _state(row: BootstrapCredential, now: datetime) -> str:
    if row.revoked_at is not None:
        return "Revoked"
    if row.spent_at is not None:
        return "Spent"
    return "Expired" if row.expires_at is not None and row.expires_at <= now else "Usable"
