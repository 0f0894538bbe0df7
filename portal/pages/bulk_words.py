"""The words of bulk jobs: states as icon, word and tone; reasons as sentences."""

from __future__ import annotations

from renewal.bulk.since import Old, Since
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import BulkState, ItemState
from renewal.selectors.deaf import Deaf
from renewal.selectors.states import Label

_OF_ALL: dict[Act, str] = {
    Act.APPROVE: "Approve",
    Act.DISAPPROVE: "Disapprove",
    Act.REQUEST: "Request renewal of",
    Act.REQUIRE: "Require renewal of",
    Act.CLEAR: "Clear the renewal request of",
    Act.RESET: "Reset",
    Act.LOGS: "Fetch the log of",
}


def all_of(act: Act, total: int) -> str:
    """Return an act on so many: ``Request renewal of 500 orchestrators``."""
    return f"{_OF_ALL[act]} {total:,} orchestrator{'' if total == 1 else 's'}"


UNCHANGED_BECAUSE: dict[Act, str] = {
    Act.APPROVE: "They are approved already, or others must follow your approval.",
    Act.DISAPPROVE: "They are disapproved already.",
    Act.CLEAR: "Nothing was asked of them.",
    Act.LOGS: "Their logs were asked for already.",
}
"""Why an act changes nothing; the others are done anew."""
GETS_NO_SESSION: dict[Deaf, tuple[str, str]] = {
    Deaf.EXPIRED: (
        "is expired: it is locked out until it is Reset.",
        "are expired: they are locked out until they are Reset.",
    ),
    Deaf.RETURNING: (
        "is expired and has a new certificate: it gets a session once it uses that one.",
        "are expired and have a new certificate: they get a session once they use that one.",
    ),
    Deaf.WAITING: (
        "waits for approval: it gets no session before.",
        "wait for approval: they get no session before.",
    ),
    Deaf.DISAPPROVED: (
        "is disapproved: it gets no session.",
        "are disapproved: they get no session.",
    ),
}
"""Who may be asked and has no session to do it in: of one, and of many."""
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
LEFT = Label("Left", "ban", "neutral", "The job was canceled before it: nothing was done.")
"""Of an item that still waits although its job has ended."""
ASKED_LABELS = ITEM_LABELS | {
    ItemState.CHANGED: Label("Asked", "circle-check", "neutral", "It was asked to renew."),
    ItemState.UNCHANGED: Label("Unchanged", "check", "neutral", "It was asked already."),
}
"""Of a job that asks for renewals: asked is not renewed."""
LOG_LABELS = ITEM_LABELS | {
    ItemState.CHANGED: Label(
        "Asked", "circle-check", "neutral", "Its log comes with its next session, to its page."
    ),
    ItemState.UNCHANGED: Label("Unchanged", "check", "neutral", "It was asked already."),
}
"""Of a job that asks for logs."""
SINCE_LABELS: dict[Since, Label] = {
    Since.RENEWED: Label(
        "Renewed", "circle-check", "healthy", "A session has used the new certificate."
    ),
    Since.DELIVERED: Label(
        "Issued, not used",
        "progress-check",
        "waiting",
        "It has a new certificate, which no session has used yet.",
    ),
    Since.WITH_CA: Label(
        "With the CA",
        "progress-check",
        "waiting",
        "Its CSR, the request for a new certificate, was received; the CA has not answered yet.",
    ),
    Since.CALLED: Label(
        "Called, not renewed",
        "alert-triangle",
        "warning",
        "It has called since and has no new certificate: its page says why.",
    ),
    Since.SILENT: Label(
        "Not called yet", "hourglass", "waiting", "It is told when it calls the next time."
    ),
    Since.WITHDRAWN: Label(
        "No longer asked", "ban", "neutral", "The request was cleared, or a Reset took it away."
    ),
}
OLD_LABELS: dict[Old, Label] = {
    Old.REVOKED: Label(
        "Old one revoked", "circle-check", "healthy", "The CA has revoked the old certificate."
    ),
    Old.ASKED: Label(
        "Being revoked",
        "hourglass",
        "waiting",
        "The CA is asked to revoke the old certificate; this portal refuses it already.",
    ),
    Old.OVERDUE: Label(
        "Revocation overdue",
        "alert-triangle",
        "failed",
        "The CA did not revoke the old certificate in time: the orchestrator's page says why. This"
        " portal refuses it already.",
    ),
    Old.KEPT: Label(
        "Not revoked",
        "ban",
        "neutral",
        "The CA was not asked: the setting was off, there was no old certificate, or another CA"
        " issued it; or it expired before.",
    ),
}
"""What became of the certificate that a renewal replaced."""
