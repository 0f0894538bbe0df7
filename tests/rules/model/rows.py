"""The rows of the model: certificates, intents, replies, and the moods of the CA.

Owns their shape and nothing that moves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrators.protocol.codes import Code
from renewal.rules.lifecycle import EnrollmentState
from renewal.rules.standing import Standing


class Mood(StrEnum):
    """What the CA does with a request."""

    PROMPT = "prompt"
    SLOW = "slow"
    """Answers when the workers run, never while a Register waits."""
    DOWN = "down"


@dataclass
class Certificate:
    """One certificate; ``standing`` None until the portal has seen it."""

    number: int
    key: int
    not_before: datetime
    not_after: datetime
    counted_from: datetime
    standing: Standing | None = None
    generation: int = 0
    intent_flag_counter: int | None = None
    revoked: bool = False
    delivered_at: datetime | None = None
    is_proven: bool = False
    ours: bool = False
    """Issued by a CA of this portal."""


@dataclass
class Row:
    """One intent."""

    number: int
    key: int
    generation: int
    flag_counter: int
    created_at: datetime
    next_attempt_at: datetime
    state: EnrollmentState = EnrollmentState.WAITING
    attempts: int = 0
    called_at: datetime | None = None
    finished_at: datetime | None = None
    late: bool = False
    certificate: Certificate | None = None


@dataclass(frozen=True)
class Reply:
    """What an agent reads of a Register's reply."""

    status: int
    code: Code | None
    token: int | None = None
    certificate: Certificate | None = None
    row: str = ""
