"""The endpoints under /Audit: the audit log, read, downloaded and checked row by row.

Owns the numbers that existing clients know for what the portal writes. Rows are written by
services; what a seal proves is `portal/audit`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypedDict
from xml.etree import ElementTree

from django.conf import settings
from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.audit.export import csv_line
from portal.audit.models import AuditEntry, AuditSeal, Category
from portal.audit.verification import entry_holds
from portal.rest import bodies, paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.moments import zulu
from portal.rest.paging import Listing
from portal.rest.query_fields import EQUAL, NOTHING, Field
from portal.rest.query_language import Operator

_CATEGORIES: dict[str, tuple[int, str]] = {
    Category.CERTIFICATE: (2001, "Certificate"),
    Category.ENROLLMENT: (2001, "Certificate Request"),
    Category.SETTING: (2007, "Application Setting"),
    Category.ORCHESTRATOR: (9001, "Agent"),
    Category.AUTHORITY: (9002, "Certificate Authority"),
    Category.ACCESS: (9003, "Security"),
    Category.REFUSAL: (9004, "Authorization Failure"),
}
"""Number and text of each category; Keyfactor's numbers where they are known, else from 9001."""

_OPERATIONS = (
    ("disapproved", 20),
    ("approved", 4),
    ("reset", 19),
    ("revoked", 6),
    ("failed", 23),
    ("rejected", 25),
    ("refused", 5),
    ("missing", 5),
    ("deleted", 3),
    ("removed", 3),
    ("dropped", 3),
    ("requested", 18),
    ("exported", 7),
    ("added", 1),
    ("created", 1),
    ("issued", 1),
    ("registered", 1),
    ("completed", 24),
)
"""The number of an operation by a word of the action; any other is 2, Updated."""
_UPDATED = 2
_MOST_THINGS = 50
_MOST_NAMED = 5000
_INFORMATION, _WARNING, _FAILURE = 0, 1, 2


def _category(operator: Operator, value: str | None) -> Q:
    if value is None:
        return NOTHING
    wanted = value.casefold()
    held = [
        category
        for category, (number, text) in _CATEGORIES.items()
        if wanted in (str(number), text.casefold())
        or (operator is Operator.CONTAINS and wanted in text.casefold())
    ]
    return Q(category__in=held)


AUDIT: Listing[AuditEntry] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "Timestamp": kinds.moment("at"),
        "User": kinds.text("actor_name"),
        "Category": Field(EQUAL | {Operator.CONTAINS, Operator.NOT_CONTAINS}, _category),
        "Action": kinds.text("action"),
        "EntityType": kinds.text("object_type"),
        "AuditIdentifier": kinds.text("object_name"),
        "ImmutableIdentifier": kinds.text("object_id"),
        "OrchestratorId": kinds.guid("orchestrator_id"),
        "RequestId": kinds.text("request_id"),
    },
    sort={
        "Id": sort.BY_IDENTITY,
        "Timestamp": sort.column("at", sort.MOMENT, is_indexed=True),
        "User": sort.column("actor_name", sort.TEXT, is_indexed=True),
    },
    default="Id",
    identity=sort.LARGE,
    default_descending=True,
)


class AuditResponse(TypedDict):
    """One row of the audit log. Signature is the link of its seal, empty until it is sealed."""

    Id: int
    Timestamp: str
    Message: str
    Signature: str
    Category: int
    CategoryText: str
    Operation: int
    Level: int
    User: str
    EntityType: str
    AuditIdentifier: str
    ImmutableIdentifier: str
    Action: str
    Before: dict[str, Any]
    After: dict[str, Any]
    SourceAddress: str
    RequestId: str
    OrchestratorId: str | None


_COLUMNS = tuple(AuditResponse.__annotations__)


class _AuditView(ApiView):
    """A view of the rows within the caller's reach."""

    def seen(self) -> QuerySet[AuditEntry]:
        limit = reach(self.request.user, Permission.AUDITING_READ)
        return within(AuditEntry.objects.all(), limit, by="orchestrator_id")

    def found(self, text: str) -> AuditEntry:
        """Return the row with this number. Raises ApiError."""
        row = self.seen().filter(pk=bodies.row_number(text)).first()
        if row is None:
            raise ApiError(ErrorCode.AUDIT_ENTRY_UNKNOWN, "There is no such row of the audit log.")
        return row


class AuditList(_AuditView):
    """GET /Audit: the audit log, filtered, sorted and paged, the newest row first."""

    needs = {"GET": Permission.AUDITING_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    returns = {"GET": list[AuditResponse]}

    def get(self, request: Request) -> Response:
        page, headers = self.listed(self.seen(), AUDIT)
        return Response(_shown(page), headers=headers)


class AuditDownload(_AuditView):
    """GET /Audit/Download: a page of the audit log as CSV, which is the string of the reply."""

    needs = {"GET": Permission.AUDITING_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    returns = {"GET": str}

    def get(self, request: Request) -> Response:
        page, headers = self.listed(self.seen(), AUDIT)
        return Response(_table(_shown(page)), headers=headers)


class AuditRelated(_AuditView):
    """GET /Audit/RelatedEntities: all that happened to what a query's rows are about.

    A row is about its object and its orchestrator. A query whose rows are about more than 50
    things is refused.
    """

    needs = {"GET": Permission.AUDITING_READ}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    returns = {"GET": list[AuditResponse]}

    def get(self, request: Request) -> Response:
        wanted = paging.page_request(self.given, AUDIT)
        if not wanted.query.strip():
            raise ApiError(ErrorCode.PARAMETER_INVALID, "QueryString says whose rows are wanted.")
        about = paging.matching(self.seen(), wanted, AUDIT)
        page, headers = self.listed(self.seen().filter(_same(about)), AUDIT, is_filtered=True)
        return Response(_shown(page), headers=headers)


class AuditDetail(_AuditView):
    """GET /Audit/{id}: one row of the audit log."""

    needs = {"GET": Permission.AUDITING_READ}
    returns = {"GET": AuditResponse}

    def get(self, request: Request, entry_id: str) -> Response:
        return Response(_shown([self.found(entry_id)])[0])


class AuditValidate(_AuditView):
    """GET /Audit/{id}/Validate: whether a row is what was sealed."""

    needs = {"GET": Permission.AUDITING_READ}
    returns = {"GET": bool}

    def get(self, request: Request, entry_id: str) -> Response:
        holds = entry_holds(self.found(entry_id).pk, keys_in=settings.CONFIG.audit_folder)
        if holds is None:
            raise ApiError(ErrorCode.NOT_SEALED, "It is sealed within a second: ask again.")
        return Response(holds)


def _same(rows: QuerySet[AuditEntry]) -> Q:
    """Return the condition for the rows about what these are about. Raises ApiError."""
    things = rows.order_by("-pk").values_list("object_type", "object_id", "orchestrator_id")
    named = list(things[: _MOST_NAMED + 1])
    found = set(named)
    if len(found) > _MOST_THINGS or len(named) > _MOST_NAMED:
        raise ApiError(
            ErrorCode.QUERY_TOO_LARGE,
            f"The query names more than {_MOST_THINGS} things or {_MOST_NAMED} rows: narrow it.",
        )
    same = Q(orchestrator_id__in={pk for *_, pk in found if pk is not None})
    for kind in {kind for kind, *_ in found}:
        same |= Q(object_type=kind, object_id__in={pk for each, pk, _ in found if each == kind})
    return same


def _table(rows: Iterable[AuditResponse]) -> str:
    """Return rows as CSV with a line of names."""
    cells: Iterable[Mapping[str, object]] = rows
    return csv_line(_COLUMNS) + "".join(csv_line(row[name] for name in _COLUMNS) for row in cells)


def _shown(rows: Iterable[AuditEntry]) -> list[AuditResponse]:
    entries = list(rows)
    links = dict(
        AuditSeal.objects.filter(entry_id__in=[entry.pk for entry in entries]).values_list(
            "entry_id", "link"
        )
    )
    return [_one(entry, links.get(entry.pk, "")) for entry in entries]


def _one(entry: AuditEntry, link: str) -> AuditResponse:
    # Somebody may have written another one into the database.
    number, text = _CATEGORIES.get(entry.category, (0, "Unknown"))
    failed = any(word in entry.action for word in ("failed", "rejected"))
    level = _FAILURE if failed else _INFORMATION
    return {
        "Id": entry.pk,
        "Timestamp": zulu(entry.at),
        "Message": _xml(entry, text),
        "Signature": link,
        "Category": number,
        "CategoryText": text,
        "Operation": next((n for word, n in _OPERATIONS if word in entry.action), _UPDATED),
        "Level": _WARNING if entry.category == Category.REFUSAL else level,
        "User": entry.actor_name,
        "EntityType": entry.object_type,
        "AuditIdentifier": entry.object_name,
        "ImmutableIdentifier": entry.object_id,
        "Action": entry.action,
        "Before": entry.before,
        "After": entry.after,
        "SourceAddress": entry.source_address,
        "RequestId": entry.request_id,
        "OrchestratorId": str(entry.orchestrator_id) if entry.orchestrator_id else None,
    }


def _xml(entry: AuditEntry, category: str) -> str:
    """Return what happened as existing clients read it; XML has no control characters."""
    root = ElementTree.Element("AuditLog", {"Category": category, "Action": entry.action})
    for name, value in (
        ("Object", entry.object_name or entry.object_id),
        ("Message", entry.message),
    ):
        plain = "".join(ch if ch.isprintable() else " " for ch in value)
        ElementTree.SubElement(root, name).text = plain
    return ElementTree.tostring(root, encoding="unicode")
