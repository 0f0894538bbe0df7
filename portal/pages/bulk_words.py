"""The words of bulk jobs: states as icon, word and tone; reasons as sentences."""

from __future__ import annotations

from renewal.rules.bulk_lifecycle import BulkState, ItemState
from renewal.selectors.states import Label

JOB_LABELS: dict[BulkState, Label] = {
    BulkState.WAITING: Label("Waiting", "hourglass", "waiting", "No worker has taken it yet."),
    BulkState.RUNNING: Label("Running", "progress-check", "waiting", "A worker is at it."),
    BulkState.DONE: Label("Done", "circle-check", "healthy", "Every item was looked at."),
    BulkState.CANCELED: Label(
        "Canceled", "ban", "neutral", "It was stopped; what was still waiting stays untouched."
    ),
}
ITEM_LABELS: dict[ItemState, Label] = {
    ItemState.WAITING: Label("Waiting", "hourglass", "waiting", "Nothing was done yet."),
    ItemState.CHANGED: Label("Done", "circle-check", "healthy", "The act was done."),
    ItemState.UNCHANGED: Label("Unchanged", "check", "neutral", "It was so already."),
    ItemState.SKIPPED: Label(
        "Skipped", "alert-triangle", "warning", "Not possible, or not permitted any more."
    ),
    ItemState.FAILED: Label(
        "Failed", "circle-x", "failed", "Something unexpected happened; nothing was changed."
    ),
}
