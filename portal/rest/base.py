"""What all views of the API share: header rules, permissions by method, one kind of reply.

Owns the order in which a request is judged: headers, sign-in, permission, parameters, body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.db import DatabaseError
from django.db.models import Model, QuerySet
from django.template.response import SimpleTemplateResponse
from rest_framework.exceptions import AuthenticationFailed, MethodNotAllowed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.access.authentication import SignInLocked
from portal.access.catalogue import Permission, entry_for
from portal.access.permissions import PermissionMissing, holds
from portal.access.reach import reach
from portal.rest import bodies, chunked, limits, paging, time_limit, versions, writing
from portal.rest.codes import CODES, ErrorCode
from portal.rest.dry_run import Ask, Change
from portal.rest.errors import ApiError
from portal.rest.listed_acts import ListedAct
from portal.rest.negotiation import JSONNegotiation
from portal.rest.paging import NEXT_CURSOR_HEADER, PARAMETERS, Listing, read_parameters
from portal.rest.refusals import (
    note_act_refused,
    note_permission_missing,
    note_sign_in_failed,
    note_target_unknown,
)

REQUESTED_WITH = ("apiclient", "xmlhttprequest")
DRY_RUN = frozenset({"dry_run"})
NOTED = frozenset(
    {
        ErrorCode.APPROVAL_FORBIDDEN,
        ErrorCode.BEYOND_OWN_PERMISSIONS,
        ErrorCode.DELETION_FORBIDDEN,
    }
)
"""Refusals of one act by a policy: they stand in the audit log as a missing permission does."""
API_VERSIONS = ("", "1", "1.0")

M = TypeVar("M", bound=Model)


class _Lacking(PermissionDenied):
    """The caller lacks ``permission``, or holds it for some orchestrators only."""

    def __init__(self, permission: Permission, message: str) -> None:
        super().__init__(message)
        self.permission = permission


class ApiView(APIView):
    """A view of the management API.

    A subclass names in ``needs`` the permission for each method (None: any signed-in caller), in
    ``everywhere`` whether a role that is limited to some orchestrators does not do, in ``sees``
    what each of them needs besides (who acts on an orchestrator must see it), and in
    ``parameters`` the query parameters that it reads; others are refused, and so are those of a
    list in a write, and those of ``parameters_of`` in any method but their own. Where what a caller
    sends decides on the permission, ``instead`` names those that let it in as well; the view then
    asks for the right one. ``takes`` and ``returns`` are the types of the bodies by method
    (TypedDicts and lists of them; ``takes_csv``: or the same as CSV); a method that is not in
    ``returns`` answers 204. ``reads_headers`` are request headers of its own, ``summaries`` the
    documentation's titles where the docstring's first line does not do.

    ``in_database`` says that a write touches the database alone: then it takes ``dry_run``, and
    with an Idempotency-Key it is one transaction with its reply. Any other write takes ``dry_run``
    if it has a `rehearse` of its own. ``has_order`` says that `listed_act` tells what it does to
    which orchestrators: then it can be foreseen and become a job. ``keeps_replies`` is False where
    a reply has a secret in it. ``versioned`` are the methods that answer with an ETag or take
    If-Match, ``unversioned`` the members of the reply that are no part of its version.
    """

    needs: ClassVar[Mapping[str, Permission | None]] = {}
    everywhere: ClassVar[bool] = False
    sees: ClassVar[tuple[Permission, ...]] = ()
    parameters: ClassVar[frozenset[str]] = frozenset()
    parameters_of: ClassVar[Mapping[str, str]] = {}
    instead: ClassVar[tuple[Permission, ...]] = ()
    takes: ClassVar[Mapping[str, Any]] = {}
    takes_csv: ClassVar[bool] = False
    returns: ClassVar[Mapping[str, Any]] = {}
    reads_headers: ClassVar[tuple[str, ...]] = ()
    summaries: ClassVar[Mapping[str, str]] = {}
    in_database: ClassVar[bool] = False
    has_order: ClassVar[bool] = False
    keeps_replies: ClassVar[bool] = True
    versioned: ClassVar[frozenset[str]] = frozenset()
    unversioned: ClassVar[frozenset[str]] = frozenset()
    content_negotiation_class = JSONNegotiation
    http_method_names = ["get", "post", "put", "delete", "head"]

    @classmethod
    def needed(cls, method: str) -> tuple[Permission, ...]:
        """Return the permissions for a method; HEAD needs what GET needs."""
        own = cls.needs.get("GET" if method == "HEAD" else method)
        return () if own is None else tuple(dict.fromkeys((*cls.sees, own)))

    @classmethod
    def lacks(cls, user: Any, method: str) -> Permission | None:
        """Return a permission that a caller lacks for a method, None if nothing is missing."""
        own = cls.needs.get("GET" if method == "HEAD" else method)
        for needed in cls.needed(method):
            others = cls.instead if needed is own and method not in SAFE_METHODS else ()
            if not any(holds(user, each) for each in (needed, *others)):
                return needed
        return None

    @classmethod
    def serves(cls, user: Any, method: str) -> bool:
        """Say whether a caller may use a method at all."""
        if cls.lacks(user, method) is not None:
            return False
        return not cls.everywhere or all(reach(user, p).everything for p in cls.needed(method))

    def demand(self, permission: Permission) -> None:
        """Raise PermissionDenied unless the caller holds a permission."""
        if not holds(self.request.user, permission):
            raise _Lacking(permission, str(PermissionMissing(permission)))

    def demand_everywhere(self, *needed: Permission) -> None:
        """Raise PermissionDenied unless each permission is held without a limit.

        For what belongs to no orchestrator, so that no limit can name it.
        """
        for permission in needed:
            self.demand(permission)
            if not reach(self.request.user, permission).everything:
                raise _Lacking(
                    permission,
                    f"Your roles grant {entry_for(permission).access_string} for some "
                    "orchestrators only; this needs it for all.",
                )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.spent: list[limits.Spent] = limits.spend_address(request)
        _check_headers(request)
        super().initial(request, *args, **kwargs)
        if ("GET" if request.method == "HEAD" else request.method) not in self.needs:
            # A handler without a permission beside it would serve whoever is signed in.
            raise MethodNotAllowed(str(request.method))
        self.given = read_parameters(request.query_params, self.taken_parameters())
        name = str(request.method).lower()
        if request.method not in SAFE_METHODS:
            chunked.gather(request)
            setattr(self, name, partial(writing.perform, self, getattr(self, name)))
        elif "GET" in self.versioned:
            setattr(self, name, partial(versions.tagged, self, getattr(self, name)))

    def taken_parameters(self) -> frozenset[str]:
        """Return the query parameters of this call."""
        return self.parameters_for(str(self.request.method))

    @classmethod
    def parameters_for(cls, method: str) -> frozenset[str]:
        """Return the query parameters that a method takes; HEAD takes those of GET."""
        read_as = "GET" if method == "HEAD" else method
        own = {p for p in cls.parameters if cls.parameters_of.get(p, read_as) == read_as}
        if method in SAFE_METHODS:
            return frozenset(own)
        return frozenset(own - PARAMETERS) | (DRY_RUN if cls.takes_dry_run() else frozenset())

    @classmethod
    def takes_dry_run(cls) -> bool:
        """Say whether the writes can be asked for as a dry run."""
        return cls.in_database or cls.rehearse is not ApiView.rehearse

    def rehearse(
        self, act: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> list[Ask]:
        """Do what a write does to the database, in a transaction that is taken back, and return
        what it would ask of certificate authorities. Raises ApiError.
        """
        act(request, *args, **kwargs)
        return []

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Return the kind and id of what a write is about: a dry run says of each that it stays
        as it is, if no audit row of `rehearse` is about it.
        """
        return []

    def foretell(self, request: Request) -> list[Change] | None:
        """Return what a dry run tells, where the audit rows of `rehearse` would not say all of it.

        Raises ApiError.
        """
        return None

    def listed_act(self, request: Request) -> ListedAct:
        """Return what a write does to which orchestrators. Raises ApiError."""
        raise NotImplementedError

    def behind(self, *args: Any, **kwargs: Any) -> object:
        """Return what belongs to the version and is not shown; None: nothing."""
        return None

    def version(self, *args: Any, **kwargs: Any) -> object:
        """Return what GET shows of what a write changes, locked for this transaction.

        Raises ApiError.
        """
        raise NotImplementedError

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        self.spent += limits.spend_caller(request)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, limits.TooManyRequests):
            self.spent = [exc.spent]
        # Here, and not where it is raised: what a refused call did is rolled back, this is not.
        try:
            if isinstance(exc, AuthenticationFailed | SignInLocked):
                note_sign_in_failed(self.request, locked=isinstance(exc, SignInLocked))
            elif isinstance(exc, _Lacking):
                note_permission_missing(self.request, exc.permission)
            elif isinstance(exc, ApiError) and exc.error_code in NOTED:
                note_act_refused(self.request, exc.error_code, str(exc.detail))
            elif isinstance(exc, ApiError) and self._names_nothing(exc):
                note_target_unknown(self.request, exc.error_code, str(exc.detail))
        except DatabaseError as down:
            exc = down
        response: Response = super().handle_exception(exc)
        return response

    def _names_nothing(self, exc: ApiError) -> bool:
        """Say whether a write is refused because what it names does not exist for the caller."""
        return self.request.method not in SAFE_METHODS and CODES[exc.error_code].status == 404

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response["Cache-Control"] = "no-store"
        for name, value in limits.headers(getattr(self, "spent", [])).items():
            response[name] = value
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        if request.method == "HEAD":
            final.add_post_render_callback(_without_body)
        return final

    def listed(
        self, rows: QuerySet[M], listing: Listing[M], *, is_filtered: bool = False
    ) -> tuple[list[M], dict[str, str]]:
        """Return the page that was asked for, and the headers that lead to the next one.

        ``is_filtered``: the rows are what the query means already. Raises ApiError.
        """
        wanted = paging.page_request(self.given, listing)
        if not is_filtered:
            rows = paging.matching(rows, wanted, listing)
        with time_limit.unless_light(rows, wanted, listing):
            found, cursor = paging.page_of(rows, wanted, listing)
        if cursor is None:
            return found, {}
        link = paging.next_link(self.request.path, self.request.query_params, cursor)
        return found, {NEXT_CURSOR_HEADER: cursor, "Link": link}

    def no_body(self) -> None:
        """Refuse a body, unless it is one that says nothing."""
        bodies.nothing(self.request.data)


def _without_body(response: SimpleTemplateResponse) -> None:
    """Keep what GET says of its body and leave the body out (RFC 9110 §9.3.2)."""
    response["Content-Length"] = str(len(response.content))
    response.content = b""


def _check_headers(request: Request) -> None:
    """Raise ApiError for headers that no client of this API sends."""
    # A page of another site cannot send this header without asking first.
    if request.META.get("HTTP_X_KEYFACTOR_REQUESTED_WITH", "").lower() not in REQUESTED_WITH:
        raise ApiError(
            ErrorCode.REQUESTED_WITH_MISSING,
            "Send the header x-keyfactor-requested-with: APIClient (or XMLHttpRequest).",
        )
    if request.META.get("HTTP_X_KEYFACTOR_API_VERSION", "") not in API_VERSIONS:
        raise ApiError(
            ErrorCode.API_VERSION_UNKNOWN, "x-keyfactor-api-version is 1, 1.0 or left out."
        )
    chunked.check(request)
