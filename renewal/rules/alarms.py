"""When somebody has to look after the portal's own certificates, lists, keys, log, CAs. PURE.

Owns when each of them is due, when it is late, and what an alarm says: who has to act, and what to
do. What is renewed, and by whom, is `renewal/own_certificates.py`'s and `renewal/crl.py`'s; the
rows behind the arguments are `renewal/alarms.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

LOOKED_AFTER_EVERY = timedelta(minutes=10)
"""How often the worker looks after the portal's own certificates and keys."""
SILENT_AFTER = timedelta(minutes=5)
"""No worker has begun what was due so long ago: none runs, or nothing tells it to."""
UNSEALED_AFTER = timedelta(minutes=1)
"""A row of the audit log is sealed within a second; until then its change would leave no trace."""
TOLD_OF_A_FORGED_ROW_FOR = timedelta(days=7)
"""A row that the portal did not write is told so long; every verification tells it for ever."""
TOLD_OF_A_HANDLER_FOR = timedelta(hours=1)
"""A registration handler without a place for a call is told so long after the last such call."""
GIVEN_UP_AFTER = timedelta(days=30)
"""A server certificate that ended so long ago serves nobody: TLS ends elsewhere by now."""

_ADMINISTRATOR = "whoever runs the portal's host"
_CONFIGURES = "whoever manages CAs and settings"
_ALMOST_NOBODY = "nothing can be renewed, except in groups that choose others."
_LATEST_RENEWAL = timedelta(days=1)


class Kind(StrEnum):
    """What an alarm is about; stable, for metrics and probes."""

    SERVER_CERTIFICATE = "server_certificate"
    ISSUING_CERTIFICATE = "issuing_certificate"
    REVOCATION_LIST = "revocation_list"
    CA_KEY = "ca_key"
    BACKGROUND_WORK = "background_work"
    AUDIT_SEAL = "audit_seal"
    AUDIT_FORGED = "audit_forged"
    REGISTRATION_HANDLER = "registration_handler"
    ENROLLMENT_NOT_CONFIGURED = "enrollment_not_configured"


@dataclass(frozen=True)
class Alarm:
    """One thing that somebody has to see to. ``is_critical``: it stops work now or soon."""

    kind: Kind
    what: str
    reason: str
    owner: str
    remedy: str
    is_critical: bool
    authority: int | None = None
    """The CA on whose page it is mended, by number."""
    setting: str = ""
    """The application setting with which it is mended."""


@dataclass(frozen=True)
class Signer:
    """What the worker last saw of the keys of a CA that lies on this portal's host."""

    name: str
    looked_at: datetime | None = None
    works: bool = True
    problem: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None


def renewed_from(not_before: datetime, not_after: datetime) -> datetime:
    """Return from when on a certificate of the portal's own is renewed: a third before its end."""
    return not_after - (not_after - not_before) / 3


def of_server(not_before: datetime, not_after: datetime, *, now: datetime) -> Alarm | None:
    """Judge the certificate with which the portal's TLS server presents itself."""
    if now > not_after + GIVEN_UP_AFTER:
        return None
    return _not_renewed(
        Kind.SERVER_CERTIFICATE,
        "The TLS server's certificate",
        "Read the worker's log for why, and run manage.py server_certificate.",
        not_before,
        not_after,
        now,
    )


def of_workers(due: datetime, *, now: datetime) -> Alarm | None:
    """Judge whether workers run: ``due`` is when one should have begun its regular work."""
    if now <= due + SILENT_AFTER:
        return None
    return Alarm(
        Kind.BACKGROUND_WORK,
        "The workers",
        f"None has begun what was due at {_moment(due)}: nothing is enrolled, renewed or revoked.",
        _ADMINISTRATOR,
        "See that worker, beat and broker run.",
        True,
    )


def of_sealer(unsealed_since: datetime | None, *, now: datetime) -> Alarm | None:
    """Judge whether the audit log is sealed: since when rows have waited, None if none does."""
    if unsealed_since is None or now <= unsealed_since + UNSEALED_AFTER:
        return None
    return Alarm(
        Kind.AUDIT_SEAL,
        "The audit log",
        f"Its rows have not been sealed since {_moment(unsealed_since)}: "
        "until they are, a change of them in the database leaves no trace.",
        _ADMINISTRATOR,
        "See that worker and beat run, and read the worker's log for what the sealer says.",
        False,
    )


def of_forged(row: int, sealed_at: datetime | None, *, now: datetime) -> Alarm | None:
    """Judge a row of the audit log that the portal did not write: its number, and when it was
    sealed; None where nothing tells when.
    """
    if sealed_at is not None and now > sealed_at + TOLD_OF_A_FORGED_ROW_FOR:
        return None
    return Alarm(
        Kind.AUDIT_FORGED,
        "The audit log",
        f"The portal did not write row {row}: somebody put it in, copied or changed it in the "
        "database, or one of the portal's processes has another PORTAL_SECRET_KEY.",
        _ADMINISTRATOR,
        "Copy the database and the checkpoints as they are, and run manage.py verify_audit.",
        False,
    )


def of_handler(path: str, without_place_at: datetime, *, now: datetime) -> Alarm | None:
    """Judge a registration handler: when it was last not asked, as its earlier calls hang."""
    if now > without_place_at + TOLD_OF_A_HANDLER_FOR:
        return None
    return Alarm(
        Kind.REGISTRATION_HANDLER,
        f"The registration handler {path}",
        f"Its earlier calls have not come back; at {_moment(without_place_at)} it was not asked: "
        "what it decides waits for an operator; where it chooses CA and template, nobody enrolls.",
        "whoever wrote the handler",
        "Let its calls end within their time; restarting the web processes ends those that hang.",
        True,
    )


def of_disabled(name: str, number: int, *, by_settings: bool, by_groups: bool) -> Alarm:
    """Judge a CA that is disabled, and chosen by the settings for submitted CSRs or by groups."""
    if by_settings:
        chosen = "submitted CSRs and by groups" if by_groups else "submitted CSRs"
        reason = f"It is disabled, and chosen for {chosen}: {_ALMOST_NOBODY}"
    else:
        reason = "It is disabled, and groups choose it: their orchestrators cannot renew."
    return Alarm(
        Kind.ENROLLMENT_NOT_CONFIGURED,
        f"CA {name}",
        reason,
        _CONFIGURES,
        "Enable it, or choose another that is enabled.",
        True,
        authority=number,
    )


def of_settings(why: str, setting: str) -> Alarm:
    """Judge the settings for submitted CSRs: ``why`` they choose nothing, and one that does not."""
    return Alarm(
        Kind.ENROLLMENT_NOT_CONFIGURED,
        "CA and template for submitted CSRs",
        f"{why} {_ALMOST_NOBODY.capitalize()}",
        _CONFIGURES,
        "Choose both under Settings.",
        True,
        setting=setting,
    )


def of_signer(signer: Signer, *, now: datetime) -> list[Alarm]:
    """Judge a CA's key and its issuing certificate."""
    late = None
    if signer.not_before is not None and signer.not_after is not None:
        late = _not_renewed(
            Kind.ISSUING_CERTIFICATE,
            f"The issuing certificate of CA {signer.name}",
            "Make the root's key available to the worker; if the root ends too, make a new CA.",
            signer.not_before,
            signer.not_after,
            now,
        )
    if not signer.works:
        return [
            Alarm(
                Kind.CA_KEY,
                f"CA {signer.name}",
                f"{_seen(signer)}it cannot sign: {_sentence(signer.problem)}",
                _ADMINISTRATOR,
                "Bring its folder back, from a backup if need be, readable for the worker's user.",
                True,
            ),
            *([late] if late else []),
        ]
    if signer.problem and late:
        return [replace(late, reason=f"{late.reason} {_sentence(signer.problem)}")]
    if signer.problem:
        return [
            Alarm(
                Kind.ISSUING_CERTIFICATE,
                f"CA {signer.name}",
                f"It works, but it cannot be looked after: {_sentence(signer.problem)}",
                _ADMINISTRATOR,
                "Make the root's key available to the worker; if the root ends too, make a new CA.",
                False,
            )
        ]
    return [late] if late else []


def of_revocation_list(
    name: str, this_update: datetime, next_update: datetime, *, now: datetime
) -> Alarm | None:
    """Judge the newest CRL of a CA; clients refuse everything once ``next_update`` has passed."""
    lasts = next_update - this_update
    if now < next_update - lasts / 2:
        return None
    over = now >= next_update
    return Alarm(
        Kind.REVOCATION_LIST,
        f"The revocation list of CA {name}",
        f"It {'ended' if over else 'ends'} at {_moment(next_update)} and has not been renewed: "
        + ("who checks it refuses the CA's certificates." if over else "it is due every day."),
        _ADMINISTRATOR,
        "See that worker and beat run and that the CA can sign; the list comes by itself then.",
        now >= next_update - lasts / 7,
    )


def _not_renewed(
    kind: Kind, what: str, remedy: str, not_before: datetime, not_after: datetime, now: datetime
) -> Alarm | None:
    lifetime = not_after - not_before
    due = renewed_from(not_before, not_after)
    if now < due + min(_LATEST_RENEWAL, lifetime / 24):
        return None
    over = now > not_after
    return Alarm(
        kind,
        what,
        f"It {'ended' if over else 'ends'} at {_moment(not_after)} and has not been renewed; it "
        f"was due at {_moment(due)}.",
        _ADMINISTRATOR,
        remedy,
        now >= not_after - lifetime / 12,
    )


def _seen(signer: Signer) -> str:
    return f"As of {_moment(signer.looked_at)} " if signer.looked_at else ""


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
