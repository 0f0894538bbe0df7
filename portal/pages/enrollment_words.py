"""The words of enrollments: states as icon, word and tone, and what became of one in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from renewal.models import Enrollment
from renewal.open_matters import Matter, matter_of
from renewal.rules.lifecycle import FAILED_ENROLLMENT, EnrollmentState
from renewal.rules.retry import TIME_LIMITS
from renewal.selectors.enrollments import Stage
from renewal.selectors.states import Label

_S = EnrollmentState
LABELS: dict[EnrollmentState, Label] = {
    _S.WAITING: Label(
        "Waiting", "hourglass", "waiting", "The request is kept; no CA has it at present."
    ),
    _S.SUBMITTED: Label("At its CA", "send", "waiting", "A worker asks the CA at this moment."),
    _S.PENDING: Label(
        "Pending at its CA", "user-check", "waiting", "The CA took the request and answers later."
    ),
    _S.UNKNOWN: Label(
        "Outcome unknown",
        "alert-triangle",
        "warning",
        "The CA was asked and no answer came. It is looked for there, and not sent again blindly.",
    ),
    _S.ISSUED: Label("Issued", "circle-check", "healthy", "The certificate was delivered."),
    _S.REFUSED: Label("Refused", "circle-x", "failed", "The CA refused the request for good."),
    _S.REJECTED: Label(
        "Rejected",
        "circle-x",
        "failed",
        "The CA's answer did not match the request. It was not delivered.",
    ),
    _S.EXPIRED: Label("Given up", "clock-x", "failed", "No CA answered within the time limit."),
    _S.DISCARDED: Label(
        "Discarded",
        "ban",
        "neutral",
        "Overtaken by a Reset, a Disapprove or a newer request, or given up by an operator.",
    ),
}
STAGES: dict[Stage, str] = {
    Stage.OPEN: "open: all that has not ended",
    Stage.WAITING: "waiting",
    Stage.UNDER_WAY: "with a CA",
    Stage.SUBMITTED: "at its CA now",
    Stage.PENDING: "pending at its CA",
    Stage.UNKNOWN: "outcome unknown",
    Stage.FAILED: "failed: refused, rejected or given up",
    Stage.REFUSED: "refused",
    Stage.REJECTED: "rejected",
    Stage.EXPIRED: "given up",
    Stage.DISCARDED: "discarded",
    Stage.ISSUED: "issued",
}
NO_CAUSE = "No CA said anything"


@dataclass(frozen=True)
class Line:
    """One enrollment as a list and its page show it."""

    row: Enrollment
    label: Label
    matter: Matter | None
    gives_up_at: datetime | None
    """When it ends by itself if nothing comes of it."""

    @property
    def sentence(self) -> str:
        """What is, or what became of it."""
        if self.matter is not None:
            return self.matter.reason
        if self.row.state == _S.ISSUED:
            late = " It came too late for the Register that waited." if self.row.late else ""
            return f"The certificate was delivered.{late}"
        return self.row.last_error or (NO_CAUSE if has_failed(self.row) else self.label.meaning)


def has_failed(row: Enrollment) -> bool:
    """Say whether it ended without a certificate, and nothing newer took its place."""
    return row.state in FAILED_ENROLLMENT


def line_of(row: Enrollment, *, now: datetime) -> Line:
    """Return an enrollment, read with its CA, in words."""
    state = EnrollmentState(row.state)
    limit = TIME_LIMITS.get(state)
    return Line(
        row,
        LABELS[state],
        matter_of(row, now=now),
        row.created_at + limit if limit is not None else None,
    )
