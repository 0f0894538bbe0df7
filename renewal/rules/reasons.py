"""Why a certificate is answered as it is: each rule with what it looked at. PURE.

Owns the rules behind a Register without a CSR in words, their order, and the setting behind each.
Decides nothing: `decision.py` does, from the same facts and with the same functions; a test walks
through all combinations and holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from renewal.rules.decision import CertificateFacts, Facts, RecordFacts, Status
from renewal.rules.movement import flag_after_proof
from renewal.rules.periods import Level, is_valid, whole_second, window
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing


class Bearing(StrEnum):
    """What a rule does to the answer."""

    FINE = "fine"
    ASKS = "asks"
    """The session is granted, with the request to renew."""
    BLOCKS = "blocks"
    """No session."""


@dataclass(frozen=True)
class Reason:
    """One rule, what it found, and the setting (its ShortName) that it goes by."""

    rule: str
    bearing: Bearing
    finding: str
    setting: str = ""
    turns_at: datetime | None = None
    """When the answer to this rule changes by itself."""


_STANDINGS = {
    Standing.NAMED: "The one that the approval named; its first session binds it.",
    Standing.CURRENT: "The current one.",
    Standing.LEGACY: "The one before: a newer one was issued and has not been used.",
    Standing.ISSUED: "The newest one, delivered and not used in a session yet.",
    Standing.OVERTAKEN: "Delivered and not used; a newer one was issued since.",
    Standing.SEEN: "Shown by somebody who was not approved with it.",
    Standing.SUPERSEDED: "Replaced: a newer one has been used.",
    Standing.DISCARDED: "Given up without having been used.",
    Standing.ARCHIVED: "From before a Reset.",
    Standing.REJECTED: "The CA's answer did not match the request.",
}
_ASKED = {Level.WARNING: "requested", Level.EXPIRY: "requires"}


def weigh(facts: Facts) -> tuple[Reason, ...]:
    """Return the rules for a record and one certificate of its own, in the decision's order.

    Any that BLOCKS: no session without a newer certificate. Else any that ASKS: A0100007.
    """
    if facts.record is None or facts.certificate is None:
        return ()
    record, certificate = facts.record, facts.certificate
    # The first use of a delivered certificate fulfils the request that it was made for.
    if certificate.standing in UNPROVEN:
        record = replace(
            record,
            flag=flag_after_proof(
                flag=record.flag,
                flag_counter=record.flag_counter,
                intent_flag_counter=certificate.intent_flag_counter,
            ),
        )
    return (
        _approval(record),
        _standing(certificate),
        _revocation(certificate),
        _validity(certificate, facts.now),
        _request(record, certificate, facts.record),
        _warning_period(facts, certificate),
        _expiry_period(facts, record, certificate),
    )


def _approval(record: RecordFacts) -> Reason:
    if record.status is Status.APPROVED:
        return Reason("Approval", Bearing.FINE, "An operator or a rule approved it.")
    if record.status is Status.DISAPPROVED:
        return Reason("Approval", Bearing.BLOCKS, "It was disapproved.")
    again = "It was Reset: its return" if record.was_reset else "It"
    return Reason("Approval", Bearing.BLOCKS, f"{again} waits for an operator.")


def _standing(certificate: CertificateFacts) -> Reason:
    standing = certificate.standing
    if standing is None or standing not in _STANDINGS:
        return Reason("Standing", Bearing.BLOCKS, "Not a certificate of this orchestrator.")
    bearing = Bearing.FINE if standing in ACCEPTED else Bearing.BLOCKS
    if standing is Standing.LEGACY:
        bearing = Bearing.ASKS
    return Reason("Standing", bearing, _STANDINGS[standing])


def _revocation(certificate: CertificateFacts) -> Reason:
    if certificate.revoked:
        return Reason("Revocation", Bearing.BLOCKS, "It is revoked.")
    return Reason("Revocation", Bearing.FINE, "It is not revoked.")


def _validity(certificate: CertificateFacts, now: datetime) -> Reason:
    valid = is_valid(not_before=certificate.not_before, not_after=certificate.not_after, now=now)
    if valid:
        return Reason("Validity", Bearing.FINE, "It is valid.", turns_at=certificate.not_after)
    if whole_second(now) > certificate.not_after:
        return Reason("Validity", Bearing.BLOCKS, "It has expired and cannot renew itself.")
    return Reason(
        "Validity", Bearing.BLOCKS, "It is not valid yet.", turns_at=certificate.not_before
    )


def _request(record: RecordFacts, certificate: CertificateFacts, stored: RecordFacts) -> Reason:
    rule = "Renewal request"
    if record.flag == Level.NONE:
        if stored.flag:
            return Reason(rule, Bearing.FINE, "Its first session fulfils the operator's request.")
        return Reason(rule, Bearing.FINE, "No operator asks for a new certificate.")
    finding = f"An operator {_ASKED[Level(record.flag)]} a new certificate."
    return Reason(rule, _bearing(Level(record.flag), record, certificate), finding)


def _warning_period(facts: Facts, certificate: CertificateFacts) -> Reason:
    begins = facts.periods.warning_from(certificate.counted_from, certificate.not_after)
    is_in = _window(facts, certificate) is not Level.NONE
    return Reason(
        "Warning period",
        Bearing.ASKS if is_in else Bearing.FINE,
        "It has begun." if is_in else "It has not begun.",
        "ClientCertificateWarningDays",
        begins,
    )


def _expiry_period(facts: Facts, record: RecordFacts, certificate: CertificateFacts) -> Reason:
    begins = facts.periods.expiry_from(certificate.counted_from, certificate.not_after)
    is_in = _window(facts, certificate) is Level.EXPIRY
    return Reason(
        "Expiry period",
        _bearing(Level.EXPIRY, record, certificate) if is_in else Bearing.FINE,
        "It has begun." if is_in else "It has not begun.",
        "ClientCertificateExpiryDays",
        begins,
    )


def _window(facts: Facts, certificate: CertificateFacts) -> Level:
    return window(
        facts.periods,
        counted_from=certificate.counted_from,
        not_after=certificate.not_after,
        now=facts.now,
    )


def _bearing(level: Level, record: RecordFacts, certificate: CertificateFacts) -> Bearing:
    # A record's very first session is never refused for its own certificate's short life.
    is_first = certificate.standing in UNPROVEN and not record.had_session
    return Bearing.BLOCKS if level is Level.EXPIRY and not is_first else Bearing.ASKS
