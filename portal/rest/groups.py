"""The endpoints under /Groups, and groups and labels of orchestrators.

Owns the way from a request to `orchestrators/groups.py` and `orchestrators/labels.py` and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NotRequired, TypedDict
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators import groups, labels
from orchestrators.labels import GroupingRefused
from orchestrators.models import OrchestratorGroup
from orchestrators.reach import act_reaches
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import reach
from portal.rest import bodies, paging
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.agents import unknown_agent
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.paging import Listing
from portal.rest.refusals import actor_of

GROUPS: Listing[OrchestratorGroup] = Listing(
    fields={"Id": kinds.number("pk", is_large=True), "Name": kinds.name("name_key")},
    sort={"Name": sort.column("name_key", sort.TEXT, is_indexed=True), "Id": sort.BY_IDENTITY},
    default="Name",
    identity=sort.LARGE,
)
_CODES = {
    "unknown_group": ErrorCode.GROUP_UNKNOWN,
    "group_invalid": ErrorCode.VALUE_INVALID,
    "label_invalid": ErrorCode.VALUE_INVALID,
    "group_name_taken": ErrorCode.NAME_TAKEN,
    "group_not_empty": ErrorCode.IN_USE,
    "group_limits_roles": ErrorCode.IN_USE,
}


class GroupResponse(TypedDict):
    """A group of orchestrators."""

    Id: int
    Name: str
    Description: str


class GroupRequest(TypedDict):
    """A new group."""

    Name: str
    Description: NotRequired[str]


class GroupChange(TypedDict):
    """What a group becomes; what is left out stays."""

    Id: NotRequired[int]
    Name: NotRequired[str]
    Description: NotRequired[str]


class SetGroupRequest(TypedDict):
    """Whose group is set, and to which; null is none."""

    AgentIds: list[str]
    Group: str | None


class SetLabelsRequest(TypedDict):
    """Whose labels are set, and which keys are removed; labels with other keys stay."""

    AgentIds: list[str]
    Set: NotRequired[dict[str, str]]
    Remove: NotRequired[list[str]]


class ChangedAgents(TypedDict):
    """Which orchestrators changed; the others were so already."""

    Changed: list[str]
    Unchanged: list[str]


class _GroupView(ApiView):
    sees = (Permission.AGENTS_READ,)
    in_database = True

    def found(self, text: str) -> OrchestratorGroup:
        """Return a group that the caller may know of. Raises ApiError."""
        mine = reach(self.request.user, Permission.AGENTS_READ)
        row = groups.visible(mine).filter(pk=bodies.row_number(text)).first()
        if row is None:
            raise ApiError(ErrorCode.GROUP_UNKNOWN, "There is no such group.")
        return row

    def managed(self) -> None:
        """Refuse whose roles are limited: a group is what limits them. Raises PermissionDenied."""
        self.demand_everywhere(Permission.AGENTS_READ, Permission.AGENTS_MODIFY)


class GroupList(_GroupView):
    """GET and POST /Groups."""

    needs = {"GET": Permission.AGENTS_READ, "POST": Permission.AGENTS_MODIFY}
    parameters: ClassVar[frozenset[str]] = paging.PARAMETERS
    takes = {"POST": GroupRequest}
    returns = {"GET": list[GroupResponse], "POST": GroupResponse}
    summaries = {"GET": "The groups of orchestrators", "POST": "A new group"}

    def get(self, request: Request) -> Response:
        mine = reach(request.user, Permission.AGENTS_READ)
        rows, headers = self.listed(groups.visible(mine), GROUPS)
        return Response([_shown(row) for row in rows], headers=headers)

    def post(self, request: Request) -> Response:
        self.managed()
        body = bodies.members(request.data, known=("Name",), optional=("Description",))
        made, _ = _saved(request, body)
        return Response(_shown(made))


class GroupDetail(_GroupView):
    """GET, PUT and DELETE /Groups/{id}."""

    needs = {
        "GET": Permission.AGENTS_READ,
        "PUT": Permission.AGENTS_MODIFY,
        "DELETE": Permission.AGENTS_MODIFY,
    }
    takes = {"PUT": GroupChange}
    returns = {"GET": GroupResponse, "PUT": GroupResponse}
    summaries = {
        "GET": "One group",
        "PUT": "Renames or describes a group",
        "DELETE": "Removes an empty group that no role is limited to",
    }
    versioned = frozenset({"GET", "PUT", "DELETE"})

    def version(self, group_id: str) -> object:
        pk = self.found(group_id).pk
        return _shown(OrchestratorGroup.objects.select_for_update().get(pk=pk))

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """The one that a path names; a removed one is told by its audit row."""
        number = bodies.row_number(kwargs["group_id"])
        return [("group", str(number))]

    def get(self, request: Request, group_id: str) -> Response:
        return Response(_shown(self.found(group_id)))

    def put(self, request: Request, group_id: str) -> Response:
        self.managed()
        body = bodies.members(request.data, known=(), optional=("Id", "Name", "Description"))
        group = self.found(group_id)
        if body.get("Id") not in (None, group.pk):
            raise ApiError(ErrorCode.VALUE_INVALID, "Id is another than in the path.")
        saved, _ = _saved(request, {"Name": group.name, **_given(body)}, pk=group.pk)
        return Response(_shown(saved))

    def delete(self, request: Request, group_id: str) -> Response:
        self.managed()
        self.no_body()
        group = self.found(group_id)
        try:
            groups.delete_group(group.pk, actor=actor_of(request))
        except GroupingRefused as refused:
            raise _error(refused) from None
        return Response(status=204)


class _AssignView(ApiView):
    needs = {"POST": Permission.AGENTS_MODIFY}
    sees = (Permission.AGENTS_READ,)
    returns = {"POST": ChangedAgents}
    in_database = True

    def concerned(self, request: Request, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Those of the list."""
        by_lowered = {str(name).lower(): value for name, value in request.data.items()}
        return [("orchestrator", str(pk)) for pk in bodies.agent_ids(by_lowered["agentids"])]

    def assigned(
        self,
        ids: list[UUID],
        assign: Callable[[User], tuple[set[UUID], set[UUID]]],
    ) -> Response:
        """Assign to all of the list or, where one is not found or refused, to none.

        Raises ApiError.
        """
        author = self.request.user
        assert isinstance(author, User)
        try:
            with transaction.atomic():
                found, changed = assign(author)
                if found != set(ids):
                    raise ApiError(
                        ErrorCode.ORCHESTRATOR_UNKNOWN,
                        f"Nothing was changed. {min(set(ids) - found)}: {unknown_agent().detail}",
                        status=400,
                    )
        except GroupingRefused as refused:
            # A name in a body is no path: 400 even where there is no such group.
            raise ApiError(_error(refused).error_code, str(refused), status=400) from None
        told: ChangedAgents = {
            "Changed": [str(pk) for pk in ids if pk in changed],
            "Unchanged": [str(pk) for pk in ids if pk not in changed],
        }
        return Response(told)


class AgentsSetGroup(_AssignView):
    """POST /Agents/SetGroup: puts orchestrators into a group or none, all of them or none."""

    takes = {"POST": SetGroupRequest}

    def post(self, request: Request) -> Response:
        body = bodies.members(request.data, known=("AgentIds",), optional=("Group",))
        if "Group" not in body:
            raise ApiError(ErrorCode.MEMBER_MISSING, "The member Group is missing.")
        ids = bodies.agent_ids(body["AgentIds"])
        name = None if body["Group"] is None else bodies.text(body["Group"], "Group")
        seen = act_reaches(request.user, Permission.AGENTS_MODIFY)[1]

        def assign(author: User) -> tuple[set[UUID], set[UUID]]:
            group = None if name is None else groups.named(name, seen)
            return groups.assign(ids, group, author=author, actor=actor_of(request))

        return self.assigned(ids, assign)


class AgentsSetLabels(_AssignView):
    """POST /Agents/SetLabels: sets and removes labels of orchestrators, of all or none."""

    takes = {"POST": SetLabelsRequest}

    def post(self, request: Request) -> Response:
        body = bodies.members(request.data, known=("AgentIds",), optional=("Set", "Remove"))
        ids = bodies.agent_ids(body["AgentIds"])
        put, remove = _labels(body.get("Set")), _keys(body.get("Remove"))
        if not put and not remove:
            raise ApiError(ErrorCode.MEMBER_MISSING, "Give Set or Remove.")
        return self.assigned(
            ids,
            lambda author: labels.set_labels(
                ids, put=put, remove=remove, author=author, actor=actor_of(request)
            ),
        )


def _labels(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError(ErrorCode.VALUE_INVALID, "Set is an object of keys and values.")
    try:
        found = dict(
            labels.checked(key, bodies.text(word, "A value of Set")) for key, word in value.items()
        )
    except GroupingRefused as refused:
        raise _error(refused) from None
    if len(found) < len(value):
        raise ApiError(ErrorCode.VALUE_INVALID, "Set names a key more than once.")
    return found


def _keys(value: object) -> list[str]:
    if value is None:
        return []
    try:
        return [labels.checked_key(key) for key in bodies.texts(value, "Remove", may_be_empty=True)]
    except GroupingRefused as refused:
        raise _error(refused) from None


def _saved(
    request: Request, body: dict[str, Any], *, pk: int | None = None
) -> tuple[OrchestratorGroup, bool]:
    given = _given(body)
    try:
        return groups.save_group(
            bodies.text(given["Name"], "Name"),
            description=bodies.text(given["Description"], "Description")
            if "Description" in given
            else None,
            pk=pk,
            is_new=pk is None,
            actor=actor_of(request),
            now=timezone.now(),
        )
    except GroupingRefused as refused:
        raise _error(refused) from None


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _error(refused: GroupingRefused) -> ApiError:
    code = _CODES.get(refused.reason, ErrorCode.ACT_REFUSED)
    return ApiError(code, str(refused))


def _shown(group: OrchestratorGroup) -> GroupResponse:
    return {"Id": group.pk, "Name": group.name, "Description": group.description}
