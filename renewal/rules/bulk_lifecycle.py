"""The life cycle of a bulk job, as a table, and the states of its items. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from renewal.rules.lifecycle import InvalidTransition


class BulkState(StrEnum):
    """Where a bulk job is."""

    WAITING = "waiting"
    """Committed; no worker has taken it yet."""
    RUNNING = "running"
    DONE = "done"
    """Every item has been looked at; some may have failed."""
    CANCELED = "canceled"
    """Stopped: items that were still waiting stay untouched."""


class BulkEvent(StrEnum):
    """What moves a bulk job."""

    START = "start"
    FINISH = "finish"
    CANCEL = "cancel"
    RETRY = "retry"


class ItemState(StrEnum):
    """What became of one orchestrator of a job."""

    WAITING = "waiting"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    """Not possible now, or not within the actor's permissions; the reason says which."""
    FAILED = "failed"
    """Something unexpected happened; nothing was changed."""


_S, _E = BulkState, BulkEvent
BULK: Mapping[tuple[BulkState, BulkEvent], BulkState] = {
    (_S.WAITING, _E.START): _S.RUNNING,
    (_S.WAITING, _E.CANCEL): _S.CANCELED,
    (_S.RUNNING, _E.FINISH): _S.DONE,
    (_S.RUNNING, _E.CANCEL): _S.CANCELED,
    (_S.DONE, _E.RETRY): _S.WAITING,
    (_S.CANCELED, _E.RETRY): _S.WAITING,
}
OPEN_BULK = frozenset({source for source, event in BULK if event is _E.CANCEL})
"""A worker has something to do."""
RETRIED = frozenset({ItemState.SKIPPED, ItemState.FAILED})
"""Items that a retry takes up again, beside those that a cancel left waiting."""


def next_bulk(state: BulkState, event: BulkEvent) -> BulkState:
    """Return the state after ``event``. Raises InvalidTransition."""
    try:
        return BULK[state, event]
    except KeyError:
        raise InvalidTransition(state, event) from None
