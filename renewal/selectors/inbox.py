"""The inbox of approvals: which requests wait for whom.

Owns the four lists and the count. "Waiting for me" is what this person's Approve or Disapprove
decides or counts for, and nothing else; the same conditions judge an approval
(`renewal/identity/approvals.py`), and a test keeps them equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import (
    BigIntegerField,
    Count,
    DateTimeField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce

from orchestrators.models import Status
from orchestrators.reach import within
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.preferences.models import Setting
from portal.statements import Parameter, Select
from renewal.identity.claimants import usable_now
from renewal.models import ApprovalComment, ApprovalRequest, ApprovalVote, Certificate, Claimant
from renewal.rules.approval import RequestKind, RequestState
from renewal.rules.periods import whole_second
from renewal.rules.standing import ACCEPTED
from renewal.selectors.keyset import Segment, Slice, cut

MOST_COUNTED = 99
_NEEDED = (Permission.AGENTS_READ, Permission.AGENTS_APPROVE)
_PAGE = 50


class Tab(StrEnum):
    """One list of the inbox."""

    WAITING = "waiting"
    MINE = "mine"
    ALL = "all"
    DONE = "done"


WORDS = {
    Tab.WAITING: "Waiting for me",
    Tab.MINE: "Mine",
    Tab.ALL: "All open",
    Tab.DONE: "Done",
}


@dataclass(frozen=True)
class Waiting:
    """How many requests wait; stops at a bound."""

    value: int

    def __str__(self) -> str:
        return f"{MOST_COUNTED}+" if self.value > MOST_COUNTED else str(self.value)


def visible(user: Any) -> QuerySet[ApprovalRequest]:
    """Return the requests of the orchestrators that a user sees."""
    return within(
        ApprovalRequest.objects.all(), reach(user, Permission.AGENTS_READ), by="orchestrator"
    )


def waiting_for(user: Any, *, now: datetime) -> QuerySet[ApprovalRequest]:
    """Return the requests that this person can decide now, or vote on."""
    limits = [reach(user, each) for each in _NEEDED]
    rows = within(ApprovalRequest.objects.all(), *limits, by="orchestrator")
    if any(each.groups and not each.labels for each in limits):
        # Nobody else has an open one; the index of a group's orchestrators goes on with the status.
        rows = rows.filter(orchestrator__status__in=[Status.NEW, Status.DISAPPROVED])
    return _decided_by(rows, user.pk, now, whole_second(now))


def _decided_by(
    rows: QuerySet[ApprovalRequest],
    user: int | Parameter | None,
    now: datetime | Parameter,
    moment: datetime | Parameter,
) -> QuerySet[ApprovalRequest]:
    """Narrow rows within the reach to those that a person can decide, or vote on."""
    came = Claimant.objects.filter(
        usable_now(now, moment),
        orchestrator=OuterRef("orchestrator"),
        generation=OuterRef("orchestrator__generation"),
    )
    held = Certificate.objects.filter(
        orchestrator=OuterRef("orchestrator"), standing__in=sorted(ACCEPTED)
    )
    voted = ApprovalVote.objects.filter(request=OuterRef("pk"), voter=user, voided_at=None)
    forbids = Setting.objects.filter(name="ApproverDiffersFromResetter", value="true")
    granted_since = ApprovalRequest.objects.filter(
        orchestrator=OuterRef("orchestrator"), state=RequestState.APPROVED, pk__gt=OuterRef("pk")
    )
    own_resets = ApprovalRequest.objects.filter(
        ~Exists(granted_since),
        orchestrator=OuterRef("orchestrator"),
        kind=RequestKind.AFTER_RESET,
        caused_by_user=user,
    )
    return (
        rows
        # Looked up for each request: of an EXISTS in an OR the planner reads the whole table first,
        # though the count stops after a few.
        .alias(came=Subquery(came.values("pk")[:1]), held=Subquery(held.values("pk")[:1]))
        .filter(
            Q(came__isnull=False) | Q(orchestrator__status=Status.DISAPPROVED, held__isnull=False),
            ~Exists(voted),
            state=RequestState.OPEN,
        )
        .exclude(Exists(forbids) & Q(kind=RequestKind.AFTER_RESET) & Exists(own_resets))
    )


def count_waiting_for(user: Any, *, now: datetime) -> Waiting:
    """Count what waits for a person, up to a bound and without the demonstration fleet."""
    if all(reach(user, each).everything for each in _NEEDED):
        found = _ANYWHERE.all(user=user.pk, now=now, moment=whole_second(now))
        return Waiting(len(found))
    return Waiting(_counted(waiting_for(user, now=now)).count())


def _counted(rows: QuerySet[ApprovalRequest]) -> QuerySet[ApprovalRequest]:
    return rows.filter(orchestrator__demonstration=False).order_by()[: MOST_COUNTED + 1]


# Beside every page, and longer to write down than to answer.
_ANYWHERE = Select(
    lambda: _counted(
        _decided_by(
            ApprovalRequest.objects.all(),
            Parameter("user", BigIntegerField()),
            Parameter("now", DateTimeField()),
            Parameter("moment", DateTimeField()),
        )
    ).values_list("pk"),
    int,
)


def page(tab: Tab, user: Any, *, now: datetime, cursor: str = "") -> Slice[ApprovalRequest]:
    """Return a page of a list: what is open oldest first, what is done newest first."""
    rows, order = _list(tab, user, now=now)
    return cut([Segment(_whole(rows), order)], cursor=cursor, size=_PAGE)


def of_tab(tab: Tab | None, user: Any, *, now: datetime) -> QuerySet[ApprovalRequest]:
    """Return the requests of a list in no order; without one all that a user sees."""
    return _whole(visible(user) if tab is None else _list(tab, user, now=now)[0])


def _list(
    tab: Tab, user: Any, *, now: datetime
) -> tuple[QuerySet[ApprovalRequest], tuple[str, ...]]:
    if tab is Tab.WAITING:
        rows, order = waiting_for(user, now=now), ("opened_at", "id")
    elif tab is Tab.MINE:
        mine = ApprovalVote.objects.filter(request=OuterRef("pk"), voter=user.pk)
        said = ApprovalComment.objects.filter(request=OuterRef("pk"), author=user.pk)
        caused = Q(caused_by_user=user.pk) | Q(decided_by_user=user.pk)
        rows = visible(user).filter(caused | Exists(mine) | Exists(said))
        order = ("-opened_at", "-id")
    elif tab is Tab.ALL:
        rows, order = visible(user).filter(state=RequestState.OPEN), ("opened_at", "id")
    else:
        rows = visible(user).filter(decided_at__isnull=False)
        order = ("-decided_at", "-id")
    return rows, order


def one(user: Any, pk: int) -> ApprovalRequest | None:
    """Return a request that a user sees."""
    return _whole(visible(user)).filter(pk=pk).first()


def chosen(
    user: Any, keys: Sequence[int], *, now: datetime
) -> tuple[list[ApprovalRequest], list[ApprovalRequest]]:
    """Return those of ``keys`` that wait for a user, and those he sees that do not."""
    seen = list(_whole(visible(user)).filter(pk__in=keys).order_by("opened_at", "pk"))
    waiting = set(waiting_for(user, now=now).filter(pk__in=keys).values_list("pk", flat=True))
    return [r for r in seen if r.pk in waiting], [r for r in seen if r.pk not in waiting]


def _whole(rows: QuerySet[ApprovalRequest]) -> QuerySet[ApprovalRequest]:
    # Counted for each row of a page: a join would group the whole list before it is cut.
    votes = ApprovalVote.objects.filter(request=OuterRef("pk"), voided_at=None).order_by()
    counted = votes.values("request").annotate(number=Count("pk")).values("number")
    return (
        rows.select_related(
            "orchestrator",
            "orchestrator__service_account",
            "old_certificate",
            "new_certificate",
            "new_credential",
        )
        .defer("old_certificate__der", "new_certificate__der")
        .annotate(vote_count=Coalesce(Subquery(counted), 0))
    )


def votes_of(request: ApprovalRequest) -> list[ApprovalVote]:
    """Return who approved, oldest first; void ones too."""
    return list(request.votes.order_by("voted_at", "pk")[:50])


def comments_of(request: ApprovalRequest) -> list[ApprovalComment]:
    """Return what was said, oldest first."""
    return list(request.comments.order_by("written_at", "pk")[:200])


def latest_of(orchestrator_id: UUID) -> ApprovalRequest | None:
    """Return the newest request of a record."""
    rows = ApprovalRequest.objects.filter(orchestrator=orchestrator_id)
    return rows.order_by(F("opened_at").desc(), "-pk").first()
