"""Acts on the orchestrators of a list: done, foretold and made a job under one rule.

Owns what of a list is refused: an act of *all or none* does nothing where one is refused, however
the call is made; any other tells of each. What an act does to one is `renewal`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request

from orchestrators.reach import reachable
from portal.access.reach import Reach
from portal.rest.bodies import shown
from portal.rest.codes import ErrorCode, act_code
from portal.rest.errors import ApiError
from portal.rest.refusals import actor_of
from renewal.bulk import service
from renewal.bulk.selection import Foreseen, Selection
from renewal.bulk.service import BulkRefused, Order
from renewal.identity.approvals import ActRefused
from renewal.models import BulkJob
from renewal.rules.acts import SENTENCES, Act, Outcome, Verdict

_MOST_NAMED = 20
_BY_API = "Asked for over the REST API."
UNKNOWN = Verdict(Outcome.SKIP, "unknown")
_NO_SUCH = "There is no such orchestrator."


@dataclass(frozen=True)
class ListedAct:
    """One act on the orchestrators that a call names."""

    act: Act
    ids: tuple[UUID, ...]
    no_ids: tuple[str, ...] = ()
    """What the list has besides and is no GUID: like an id that nobody has."""
    is_whole: bool = True
    """All of the list or none."""
    at_once: bool = False
    """With a renewal: the present session ends."""

    @property
    def order(self) -> Order:
        """The same as pages order it; a Reset over the API has no sentence of its own."""
        reason = _BY_API if self.act is Act.RESET else ""
        return Order(self.act, Selection(ids=self.ids), reason, self.at_once)


def foreseen(listed: ListedAct, *, user: Any, now: datetime) -> list[Foreseen]:
    """Return what would become of each, in the order of the ids; nothing is locked or changed.

    Raises ApiError where the act would be refused whole.
    """
    try:
        entries = list(service.preview(listed.order, user=user, now=now).entries)
    except BulkRefused:
        entries = []
    unknown = set(listed.ids) - {entry.pk for entry in entries}
    entries += [Foreseen(pk, UNKNOWN) for pk in unknown]
    entries.sort(key=lambda entry: entry.pk)
    if listed.is_whole:
        _refuse_partly(
            {
                entry.pk: _refusal(entry.verdict.reason)
                for entry in entries
                if entry.verdict.outcome is Outcome.SKIP
            }
        )
    return entries


def submitted(listed: ListedAct, request: Request) -> BulkJob:
    """Commit a job; an approval names who is seen now. Raises ApiError with nothing changed."""
    if listed.no_ids:
        raise ApiError(ErrorCode.VALUE_INVALID, f"{shown(listed.no_ids[0])} is not a GUID.")
    now = timezone.now()
    entries = foreseen(listed, user=request.user, now=now)
    return service.submit_ticked(
        listed.order, entries, user=request.user, actor=actor_of(request), now=now
    )


@transaction.atomic
def refusals(
    ids: Iterable[UUID], reaches: Iterable[Reach], act: Callable[[UUID], object]
) -> dict[UUID, ActRefused]:
    """Act on each id within the reaches, in one transaction; return the acts that were refused.

    An id outside is refused as one that does not exist.
    Always in the same order, so that two calls over the same records never wait for each other.
    """
    refused: dict[UUID, ActRefused] = {}
    wanted = sorted(set(ids))
    known = reachable(wanted, *reaches)
    for pk in wanted:
        try:
            if pk not in known:
                raise _refusal(UNKNOWN.reason)
            act(pk)
        except ActRefused as refusal:
            refused[pk] = refusal
        except IntegrityError:
            # Somebody was faster, for instance with another record of the same name.
            refused[pk] = ActRefused("changed", "The orchestrator changed meanwhile: try again.")
    return refused


@transaction.atomic
def all_or_none(
    ids: Sequence[UUID], reaches: Iterable[Reach], act: Callable[[UUID], object]
) -> None:
    """Act on all ids or, where one act is refused, on none. Raises ApiError."""
    _refuse_partly(refusals(ids, reaches, act))


def _refusal(reason: str) -> ActRefused:
    return ActRefused(reason, SENTENCES.get(reason, _NO_SUCH))


def _refuse_partly(refused: Mapping[UUID, ActRefused]) -> None:
    """Raise ApiError if anything was refused."""
    if not refused:
        return
    (first, reason), *_ = refused.items()
    codes = {act_code(refusal.reason) for refusal in refused.values()}
    raise ApiError(
        act_code(reason.reason),
        f"Nothing was changed. {first}: {reason}",
        status=403 if codes == {ErrorCode.APPROVAL_FORBIDDEN} else 400,
        failed=[
            {"AgentId": str(pk), "Reason": str(refusal)}
            for pk, refusal in list(refused.items())[:_MOST_NAMED]
        ],
    )
