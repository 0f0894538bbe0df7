"""What the orchestrator does with a reply: the rules, without clock, files or network.

PURE. The agent decides nothing about dates; the portal's code says what to do. A code that this
version does not know means: carry on and log it, so that old agents survive new portals.
``session.py`` carries out what is decided here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from http import HTTPStatus

from orchestrators.agent.wire import HeartbeatReply, RegisterReply, Result
from orchestrators.protocol.codes import NEW_KEY_CODES, RENEWAL_CODES, Code

_NOT_READY_CODES = RENEWAL_CODES | {Code.ENROLLMENT_WAITING, Code.BUSY}
_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 900.0


class Phase(Enum):
    """Which registration of a pass a reply answers."""

    BARE = "bare"
    CSR = "csr"
    CONFIRM = "confirm"


class Outcome(IntEnum):
    """What a pass amounts to; the value is the exit status of ``--once``."""

    OK = 0
    FAILED = 1
    CONFIGURATION = 2
    RENEWAL_REFUSED = 3
    EXPIRED = 4
    NO_SESSION = 5
    WAITING_FOR_APPROVAL = 6
    NOT_READY = 7
    UNREACHABLE = 8
    CERTIFICATE_UNUSABLE = 9
    EXTENSION = 10
    HOME_IN_USE = 11


@dataclass(frozen=True)
class Action:
    """What one reply to Register asks for.

    ``ask_extension`` is the value that is passed to ``get_csr_info``; None means not to ask.
    """

    take_session: bool
    install: bool = False
    drop_pending: bool = False
    ask_extension: bool | None = None


class Beat(Enum):
    """What one reply to Heartbeat asks for."""

    CONTINUE = "continue"
    REGISTER = "register"


def after_register(reply: RegisterReply, phase: Phase) -> Action:
    """Decide on a reply to Register.

    A certificate counts only together with a token, and only if a CSR was sent. After a renewal
    the confirming registration starts no second one: a pass renews at most once.
    """
    granted = bool(reply.token)
    ask: bool | None = None
    if phase is Phase.BARE:
        if reply.result.code in RENEWAL_CODES:
            ask = True
        elif granted:
            ask = False
    return Action(
        take_session=granted,
        install=phase is Phase.CSR and granted and bool(reply.certificate),
        drop_pending=phase is Phase.CSR and reply.result.code in NEW_KEY_CODES,
        ask_extension=ask,
    )


def after_heartbeat(reply: HeartbeatReply) -> Beat:
    """Decide on a reply to Heartbeat: a session that is not valid means to register at once.

    A warning or error says nothing about the session, except that it is unknown.
    """
    if reply.result.code is Code.SESSION_INVALID:
        return Beat.REGISTER
    if reply.result.is_ok and not reply.session_valid:
        return Beat.REGISTER
    return Beat.CONTINUE


def is_refusal(http_status: int) -> bool:
    """Return whether the portal does not know the caller; other failures pass by themselves."""
    return http_status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def pass_outcome(*, result: Result, session: bool, asked: bool, installed: bool) -> Outcome:
    """Sum a pass up.

    ``result`` is the last reply's, ``session`` whether this pass was granted one, ``asked``
    whether a certificate was due (a renewal ordered by the portal, or the first enrollment).
    """
    if session and (installed or not asked):
        return Outcome.OK
    if result.code is Code.CERTIFICATE_EXPIRED:
        return Outcome.EXPIRED
    if result.code is Code.NOT_APPROVED:
        return Outcome.WAITING_FOR_APPROVAL
    if not asked or installed:
        return Outcome.NO_SESSION
    if result.code in _NOT_READY_CODES or not result.code_text:
        return Outcome.NOT_READY
    return Outcome.RENEWAL_REFUSED


def retry_delay(failures: int, name: str) -> float:
    """Return the seconds before try ``failures`` + 1: doubled each time, up to 15 minutes.

    Spread by a quarter either way, by the orchestrator's name: a fleet does not come in step.
    """
    base = min(_FIRST_DELAY_SECONDS * 2.0 ** min(failures, 16), _LONGEST_DELAY_SECONDS)
    digest = hashlib.sha256(f"{name}/{failures}".encode()).digest()
    return base * (0.75 + 0.5 * int.from_bytes(digest[:4]) / 2**32)
