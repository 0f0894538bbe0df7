"""POST /Agents/Import: taking in orchestrators that another system knows.

Owns the form of request and reply. What a row may say is `orchestrators/fleet_file.py`'s, what it
leads to is `renewal/identity/importing.py`'s.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, NotRequired, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators import fleet_file
from orchestrators.fleet_file import Listed, Unreadable
from portal.access.catalogue import Permission
from portal.preferences import store
from portal.rest import bodies
from portal.rest.agents import AgentView
from portal.rest.codes import ErrorCode
from portal.rest.dry_run import Change
from portal.rest.errors import ApiError
from portal.rest.parsers import BoundedCSVParser, BoundedJSONParser, CSVText
from portal.rest.refusals import actor_of
from portal.rest.shapes import read
from renewal.identity.importing import Outcome as Became
from renewal.identity.importing import Result, take_in
from renewal.identity.policies import policies
from renewal.rules.acts import Outcome as Foreseen
from renewal.rules.approval import FIRST_QUESTION


class ImportRequest(TypedDict):
    """Orchestrators as ``GET /Agents`` answers them."""

    Agents: list[dict[str, Any]]
    DryRun: NotRequired[bool]


class ImportResult(TypedDict):
    """What became of one of them."""

    Row: int
    ClientMachine: str
    AgentId: str | None
    Outcome: str
    Reason: str | None
    Message: str | None


class AgentsImport(AgentView):
    """POST /Agents/Import: each row counts for itself.

    The body is what ``GET /Agents`` of the other system answers, a bare array or in ``Agents``, or
    CSV with the same names in its first line (``Content-Type: text/csv``).
    """

    needs = {"POST": Permission.AGENTS_APPROVE}
    everywhere = True
    in_database = True
    parser_classes = (BoundedJSONParser, BoundedCSVParser)
    takes = {"POST": ImportRequest | list[dict[str, Any]]}
    takes_csv = True
    returns = {"POST": list[ImportResult]}

    def post(self, request: Request) -> Response:
        return Response(self._taken_in(request, dry_run=False))

    def foretell(self, request: Request) -> list[Change]:
        return [_change(row) for row in self._taken_in(request, dry_run=True)]

    def _taken_in(self, request: Request, *, dry_run: bool) -> list[ImportResult]:
        # What is taken in belongs to no group yet, so that no limit can name it.
        self.demand_everywhere(*self.needed("POST"))
        rows, is_dry = _rows(request.data)
        policy = policies(store.load())
        if policy.needed(FIRST_QUESTION) > 1 or policy.roles(FIRST_QUESTION):
            # One person would approve alone what takes several, or somebody of a role.
            self.demand_everywhere(Permission.APPROVALS_OVERRIDE)
        if any(isinstance(row, Listed) and (row.group or row.labels) for row in rows):
            self.demand_everywhere(Permission.AGENTS_MODIFY)
        if any(isinstance(row, Listed) and row.flag for row in rows):
            self.demand_everywhere(Permission.AGENTS_RENEW)
        results = take_in(
            rows,
            actor=actor_of(request),
            author=request.user,
            now=timezone.now(),
            dry_run=dry_run or is_dry,
        )
        return [_shown(number, result) for number, result in enumerate(results, 1)]


def _rows(body: object) -> tuple[list[Listed | Unreadable], bool]:
    """Return the rows of a body, and whether it asks for a dry run itself. Raises ApiError."""
    is_dry = False
    try:
        if isinstance(body, CSVText):
            rows = fleet_file.csv_rows(body)
        else:
            entries: list[Any]
            if isinstance(body, list):
                entries = body
            else:
                asked = read(body, ImportRequest)
                entries, is_dry = asked["Agents"], asked.get("DryRun", False)
            rows = fleet_file.rows_of(entries)
        found = list(islice(rows, bodies.MOST_IDS + 1))
    except fleet_file.FleetFileInvalid as problem:
        raise ApiError(ErrorCode.BODY_WRONG_SHAPE, str(problem)) from None
    if not found:
        raise ApiError(ErrorCode.LIST_EMPTY, "The list names no orchestrator.")
    if len(found) > bodies.MOST_IDS:
        raise ApiError(ErrorCode.LIST_TOO_LONG, f"A list has at most {bodies.MOST_IDS} rows.")
    return found, is_dry


_OUTCOMES = {
    Became.ENTERED.value: Foreseen.CHANGE,
    Became.ANNOUNCED.value: Foreseen.CHANGE,
    Became.UNCHANGED.value: Foreseen.UNCHANGED,
}
"""What becomes of a row in the words of every dry run; any other is skipped."""


def _change(row: ImportResult) -> Change:
    """Return a row as a dry run tells it: ``After`` is what the call itself would answer."""
    return {
        "Kind": "orchestrator",
        "Id": row["AgentId"] or "",
        "Outcome": str(_OUTCOMES.get(row["Outcome"], Foreseen.SKIP)),
        "Reason": row["Reason"],
        "Action": row["Outcome"],
        "Before": {},
        "After": {**row},
    }


def _shown(number: int, result: Result) -> ImportResult:
    return {
        "Row": number,
        "ClientMachine": result.name,
        "AgentId": str(result.agent_id) if result.agent_id else None,
        "Outcome": result.outcome.value,
        "Reason": result.reason or None,
        "Message": result.message or None,
    }
