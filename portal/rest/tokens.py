"""The endpoints under /Tokens: one's own API tokens.

Owns the way from a request to `portal/access/tokens.py` and back. A token makes no other one: what
was stolen would outlive its revocation.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, NotRequired, TypedDict

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import tokens
from portal.access.guard import AccountRefused
from portal.access.models import ApiToken
from portal.rest import bodies, paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.access_errors import account_error
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu, zulu_or_none
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of

_DEFAULT_DAYS = 90

TOKENS: Listing[ApiToken] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "Name": kinds.text("name"),
        "CreatedAt": kinds.moment("created_at"),
        "ExpiresAt": kinds.moment("expires_at"),
    },
    sort={"Id": sort.BY_IDENTITY, "ExpiresAt": sort.column("expires_at", sort.MOMENT)},
    default="Id",
    identity=sort.LARGE,
    default_descending=True,
)


class TokenResponse(TypedDict):
    """One API token. ``Token`` is its text, in the answer that makes it and nowhere else."""

    Id: int
    Name: str
    State: str
    CreatedAt: str
    ExpiresAt: str
    LastUsed: str | None
    LastUsedFrom: str | None
    Scopes: list[str] | None
    Networks: list[str]
    Token: NotRequired[str]


class TokenRequest(TypedDict):
    """A new token: ``Scopes`` are access strings, none given means all that its user holds;
    ``Networks`` are in CIDR notation.
    """

    Name: str
    Days: NotRequired[int]
    Scopes: NotRequired[list[str] | None]
    Networks: NotRequired[list[str] | None]


def _reached(request: Request, rows: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
    """Narrow to the caller's own; a token that has scopes reaches itself alone (T18)."""
    own = rows.filter(user=request.user.pk)
    if isinstance(request.auth, ApiToken) and request.auth.scopes is not None:
        return own.filter(pk=request.auth.pk)
    return own


class TokenList(ApiView):
    """GET and POST /Tokens."""

    needs = {"GET": None, "POST": None}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    in_database = True
    keeps_replies = False
    takes = {"POST": TokenRequest}
    returns = {"GET": list[TokenResponse], "POST": TokenResponse}
    summaries = {"GET": "One's own API tokens", "POST": "A new API token, shown this once"}

    def get(self, request: Request) -> Response:
        now = timezone.now()
        rows, headers = self.listed(_reached(request, ApiToken.objects.all()), TOKENS)
        return Response([_shown(row, now) for row in rows], headers=headers)

    def post(self, request: Request) -> Response:
        if isinstance(request.auth, ApiToken):
            raise ApiError(
                ErrorCode.TOKEN_MAKES_NO_TOKEN, "Sign in with your password to make a token."
            )
        body = bodies.members(
            request.data, known=("Name",), optional=("Days", "Scopes", "Networks")
        )
        now = timezone.now()
        days = body.get("Days") if body.get("Days") is not None else _DEFAULT_DAYS
        if type(days) is not int or not 1 <= days <= tokens.LONGEST_TOKEN_DAYS:
            raise ApiError(
                ErrorCode.VALUE_INVALID, f"Days is between 1 and {tokens.LONGEST_TOKEN_DAYS}."
            )
        scopes = body.get("Scopes")
        limits = (
            bodies.texts(scopes, "Scopes") if scopes is not None else None,
            bodies.texts(body.get("Networks") or [], "Networks", may_be_empty=True),
        )
        try:
            token, text = tokens.issue_token(
                request.user,
                bodies.text(body["Name"], "Name"),
                lasts=timedelta(days=days),
                limits=tokens.narrowing(*limits),
                giver=request.user,
                actor=actor_of(request),
                now=now,
            )
        except AccountRefused as refused:
            raise account_error(refused) from None
        if not text:
            raise ApiError(ErrorCode.NAME_TAKEN, "You have a live token of this name already.")
        return Response({**_shown(token, now), "Token": text})


class TokenDetail(ApiView):
    """GET and DELETE /Tokens/{id}."""

    needs = {"GET": None, "DELETE": None}
    in_database = True
    returns = {"GET": TokenResponse}
    summaries = {
        "GET": "One of one's own API tokens",
        "DELETE": "Revokes an API token, from the next call on",
    }
    versioned = frozenset({"GET", "DELETE"})
    unversioned = frozenset({"LastUsed", "LastUsedFrom"})

    def version(self, token_id: str) -> object:
        return _shown(self.found(token_id, ApiToken.objects.select_for_update()), timezone.now())

    def get(self, request: Request, token_id: str) -> Response:
        return Response(_shown(self.found(token_id, ApiToken.objects.all()), timezone.now()))

    def delete(self, request: Request, token_id: str) -> Response:
        self.no_body()
        row = self.found(token_id, ApiToken.objects.all())
        tokens.revoke_token(row, actor=actor_of(request), now=timezone.now())
        return Response(status=204)

    def found(self, text: str, rows: QuerySet[ApiToken]) -> ApiToken:
        """Return the caller's token with this number. Raises ApiError."""
        row = _reached(self.request, rows).filter(pk=bodies.row_number(text)).first()
        if row is None:
            raise ApiError(ErrorCode.TOKEN_UNKNOWN, "You have no such token.")
        return row


def _shown(token: ApiToken, now: datetime) -> TokenResponse:
    state = "Usable" if token.expires_at > now else "Expired"
    return {
        "Id": token.pk,
        "Name": token.name,
        "State": "Revoked" if token.revoked_at else state,
        "CreatedAt": zulu(token.created_at),
        "ExpiresAt": zulu(token.expires_at),
        "LastUsed": zulu_or_none(token.last_used_at),
        "LastUsedFrom": token.last_used_from or None,
        "Scopes": token.access_strings,
        "Networks": token.networks,
    }
