"""The contract between the portal and a certificate authority of any type.

PURE. Owns the requests, the results, the errors and the Protocols; knows no CA. A CA type is a
class that a deployment names by dotted path: it takes its options as one mapping, and must offer
what ``CABackend`` says and nothing more. What only some CAs can do is a one-method Protocol each,
asked for with ``isinstance``, never by catching ``NotImplementedError``.

Results are values: ``Pending`` is not an exception. Errors are three: ``CAUnavailable`` (nothing
was issued, try later), ``CARejected`` (do not try again), ``CAMisconfigured`` (tell the operator).
**Any other exception, and every time-out after bytes were sent, means that the outcome is
unknown**: the portal never repeats such a call blindly (S54 in docs/promises.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar, Protocol, runtime_checkable

from renewal.x509.names import San

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
"""id-kp-clientAuth, RFC 5280 §4.2.1.12."""


class RevocationReason(Enum):
    """CRLReason of RFC 5280 §5.3.1: ``value`` is its name, ``number`` its number (7 is unused)."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    REMOVE_FROM_CRL = "removeFromCRL"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"

    @property
    def number(self) -> int:
        return _REASON_NUMBERS[self]


_REASON_NUMBERS = dict(zip(RevocationReason, (0, 1, 2, 3, 4, 5, 6, 8, 9, 10), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRequest:
    """One certificate that the portal wants, complete: a CA type adds no policy of its own.

    ``request_id`` is derived from the intent and is the same in every attempt. ``serial_number``
    and ``not_before`` are fixed in the intent, so that a CA that signs deterministically gives the
    same certificate to the same request; a CA that chooses its own may ignore both.
    ``csr_der`` is for CAs that take only PKCS#10; its names have passed the names policy.
    """

    request_id: str
    csr_der: bytes
    spki_der: bytes
    subject_der: bytes
    sans: tuple[San, ...]
    serial_number: int
    not_before: datetime
    not_after: datetime
    eku: tuple[str, ...] = (CLIENT_AUTH,)
    template: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and the intermediates that lead from it to a trust anchor (without it)."""

    certificate_der: bytes
    chain_der: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """The CA has taken the request and will answer later under ``reference``."""

    reference: str
    retry_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeRequest:
    certificate_der: bytes
    serial_number: int
    reason: RevocationReason
    revoked_at: datetime


class RevokeResult(Enum):
    """Both are success: a revocation that is repeated after a crash must end quietly."""

    DONE = "done"
    ALREADY_REVOKED = "already revoked"


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One line of a CRL."""

    serial_number: int
    revoked_at: datetime
    reason: RevocationReason = RevocationReason.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Health:
    """What a CA says of itself; ``valid_until`` is the end of its issuing certificate."""

    is_ok: bool
    message: str
    valid_until: datetime | None = None


class CAError(Exception):
    """A CA's answer other than a result."""


class CAUnavailable(CAError):
    """Certainly nothing was issued or revoked; the same call may be made again later."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CARejected(CAError):
    """The CA refuses this request, and would refuse it again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CAMisconfigured(CAError):
    """Only an operator can help; ``reason`` names the option or the file in question."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a CA type, as forms, commands and ``validate_options`` see it."""

    name: str
    description: str
    kind: type[str] | type[int] | type[bool] = str
    is_required: bool = False
    is_secret: bool = False
    default: str | int | bool | None = None
    choices: tuple[str, ...] = field(default=())
    gets_secrets: bool = False
    """It says where secrets are sent to, as a URL does: whoever changes it gives them anew."""


def secret_names(schema: Iterable[Option]) -> frozenset[str]:
    """Return the names that every face masks and that are encrypted at rest."""
    return frozenset(option.name for option in schema if option.is_secret)


def check_options(schema: Sequence[Option], options: Mapping[str, object]) -> None:
    """Raise ``CAMisconfigured`` naming the first option that is unknown, missing or wrong."""
    known = {option.name: option for option in schema}
    for name in options:
        if name not in known:
            raise CAMisconfigured(f"option {name!r} is not known; known are {', '.join(known)}")
    for option in schema:
        value = options.get(option.name)
        if value is None or value == "":
            if option.is_required:
                raise CAMisconfigured(f"option {option.name!r} is missing: {option.description}")
            continue
        # bool is an int in Python; a flag is not a number here.
        if type(value) is not option.kind:
            raise CAMisconfigured(f"option {option.name!r} must be of type {option.kind.__name__}")
        if option.choices and value not in option.choices:
            raise CAMisconfigured(
                f"option {option.name!r} must be one of {', '.join(option.choices)}"
            )


@runtime_checkable
class CABackend(Protocol):
    """What every CA type offers. It is made as ``CAType(options)``, and makes no call for that.

    ``answers_at_once``: True if ``issue`` takes no longer than a local signature, so that the
    portal may serve requests in batches.
    """

    answers_at_once: ClassVar[bool]
    options_schema: ClassVar[tuple[Option, ...]]
    secret_options: ClassVar[frozenset[str]]

    @classmethod
    def validate_options(cls, options: Mapping[str, object]) -> None:
        """Raise ``CAMisconfigured`` naming the option; make no call."""
        ...

    def issue(self, request: IssueRequest) -> Issued | Pending: ...

    def revoke(self, request: RevokeRequest) -> RevokeResult: ...

    def trust_anchors(self) -> tuple[bytes, ...]:
        """Return the roots (DER) to which this CA's certificates chain."""
        ...


@runtime_checkable
class FindsIssued(Protocol):
    """Can tell what became of a request whose outcome is unknown."""

    def find(self, request: IssueRequest) -> Issued | None: ...


@runtime_checkable
class RepeatsIdentically(Protocol):
    """Gives the same certificate for the same request, so a lost call may simply be repeated."""

    repeats_identically: ClassVar[bool]


@runtime_checkable
class PollsPending(Protocol):
    """Can be asked for the answer that it postponed."""

    def poll(self, reference: str) -> Issued | Pending: ...


@runtime_checkable
class ReportsHealth(Protocol):
    """Can say whether it would answer; never raises for a CA that is down."""

    def health(self, now: datetime) -> Health: ...


@runtime_checkable
class PublishesCRL(Protocol):
    """Can sign a CRL over entries that the portal keeps."""

    def publish_crl(
        self,
        entries: Iterable[RevokedEntry],
        *,
        number: int,
        this_update: datetime,
        next_update: datetime,
    ) -> bytes: ...
