"""What a Register is decided on, and what a decision is. PURE.

Owns the words of the decision: the facts that the caller gathers (`now` among them), and reply,
reason and effects. Decides nothing; `decision.py` does, and hands these names on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from orchestrators.registration.rules import Outcome as Ruling
from renewal.rules.periods import Level, Periods
from renewal.rules.standing import Standing

DEFAULT_PERIODS = Periods()


class Caller(StrEnum):
    """What the caller proved. A client certificate always decides over a credential."""

    CERTIFICATE = "certificate"
    BOOTSTRAP = "bootstrap"
    NOBODY = "nobody"


class Status(Enum):
    """Status of an orchestrator's record."""

    NEW = 1
    APPROVED = 2
    DISAPPROVED = 3


class Effect(StrEnum):
    """What the caller of `decide` has to do, in this order."""

    REFRESH_NEW = "refresh_new"
    """Create or refresh the New record and note who came forward."""
    APPROVE = "approve"
    """A rule or handler allows this first registration: approve it, then decide again."""
    DISAPPROVE = "disapprove"
    """A rule or handler denies this first registration."""
    BIND = "bind"
    """The certificate that the approval named becomes current."""
    PROMOTE = "promote"
    """The presented certificate is proven: see `movement.on_promotion`."""
    ENROLL = "enroll"
    """Enrol the CSR, then decide again with the outcome."""
    TOUCH = "touch"
    """Note last contact and the thumbprint used."""
    AUDIT = "audit"
    """The refusal is worth an audit row."""
    REFUSE_CSR = "refuse_csr"
    """A CSR came to nothing before any CA was asked: audit it, and count it as failed."""
    OPEN_SESSION = "open_session"


@dataclass(frozen=True)
class CertificateFacts:
    """The presented certificate; its chain is trusted, its key proven by TLS."""

    not_before: datetime
    not_after: datetime
    counted_from: datetime
    revoked: bool = False
    standing: Standing | None = None
    """None: this portal has never seen it, or only with an orchestrator that is deleted."""
    intent_flag_counter: int | None = None


@dataclass(frozen=True)
class RecordFacts:
    """The record that the certificate belongs to, or else the one that the body names."""

    status: Status
    flag: int = 0
    flag_counter: int = 0
    had_session: bool = True
    has_open_claim: bool = False
    is_claim_over: bool = False
    """The caller's claim was not used in its time."""
    was_reset: bool = False
    """It was approved once: what comes now is a return."""


@dataclass(frozen=True)
class RegistrationFacts:
    """What handlers and rules say of a first registration, and what speaks against acting on it."""

    ruling: Ruling = Ruling.DEFER
    source: str = ""
    """The rule or handler, in words."""
    obstacle: str = ""
    """Why an operator has to look at it all the same; empty: nothing speaks against approval."""
    is_contested: bool = False
    """Somebody else came forward for the same New record."""


@dataclass(frozen=True)
class CsrFacts:
    """The CSR of this request; ``refused`` is the CSR door's code."""

    refused: Code | None = None
    detail: str = ""


class Outcome(StrEnum):
    """What became of the enrollment of this request."""

    NOT_TRIED = "not_tried"
    DELIVERED = "delivered"
    WAITING = "waiting"
    """The CA is slow, down or limited."""
    REFUSED = "refused"


@dataclass(frozen=True)
class EnrollmentFacts:
    """Outcome of the enrollment, or why it may not be tried now."""

    outcome: Outcome = Outcome.NOT_TRIED
    code: Code | None = None
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything a Register is decided on."""

    now: datetime
    caller: Caller
    periods: Periods = DEFAULT_PERIODS
    certificate: CertificateFacts | None = None
    record: RecordFacts | None = None
    names_other_record: bool = False
    """The body names another existing record than the one the certificate belongs to."""
    has_name: bool = True
    csr: CsrFacts | None = None
    missing_permission: str = ""
    issued_recently: bool = False
    """A certificate was issued within the interval of unasked renewals."""
    credential_refused: bool = False
    """The bootstrap credential is spent, expired, revoked or bound to another record."""
    enrollment: EnrollmentFacts = EnrollmentFacts()
    registration: RegistrationFacts = RegistrationFacts()


@dataclass(frozen=True)
class Decision:
    """The reply, why, and what to do. ``row`` is the row of the decision table."""

    row: str
    status: ResultStatus
    reason: str
    code: Code | None = None
    detail: str = ""
    grants_session: bool = False
    gives_certificate: bool = False
    reveals_agent_id: bool = False
    effects: tuple[Effect, ...] = ()
    http_status: int = 200
    level: Level = Level.NONE
    flag: int = 0
    """The flag that counts for this reply, after clearing."""
