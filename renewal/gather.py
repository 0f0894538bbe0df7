"""Gathering the facts of a Register from rows; deciding is `rules/decision.py`'s.

Owns the queries. The agent endpoint and the explainer on the orchestrator's page both gather
here, so that what the page foretells is what happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import CharField

from orchestrators import credentials, records
from orchestrators.models import BootstrapCredential, Orchestrator
from orchestrators.protocol.requests import RegisterRequest
from portal.preferences.store import Preferences
from portal.statements import Instances, Parameter
from renewal.configuration import periods
from renewal.models import Certificate
from renewal.rules.decision import (
    Caller,
    CertificateFacts,
    CsrFacts,
    Facts,
    RecordFacts,
    Status,
)
from renewal.rules.periods import is_valid
from renewal.rules.standing import UNPROVEN, Standing
from renewal.x509.certificates import CertificateFacts as Parsed


@dataclass
class Gathered:
    """Facts with the rows they came from."""

    facts: Facts
    orchestrator: Orchestrator | None = None
    certificate: Certificate | None = None
    parsed: Parsed | None = None
    credential: BootstrapCredential | None = None


def for_certificate(
    parsed: Parsed, body: RegisterRequest, preferences: Preferences, *, now: datetime
) -> Gathered:
    """Gather for a caller whose certificate chains to a trusted issuer.

    Runs in the transaction of the reply, with the orchestrator's row locked.
    """
    row = _locked(parsed.fingerprint_sha256)
    if row is None:
        row = Certificate.objects.filter(fingerprint_sha256=parsed.fingerprint_sha256).first()
        usable = (row is None or row.revoked_at is None) and is_valid(
            not_before=parsed.not_before, not_after=parsed.not_after, now=now
        )
        bootstrap = credentials.find_certificate(parsed.fingerprint_sha256) if usable else None
        if bootstrap is not None:
            gathered = for_credential(bootstrap, body, preferences, now=now)
            gathered.parsed = parsed
            return gathered
    own = row.orchestrator if row is not None and row.orchestrator_id is not None else None
    known = row is not None and own is not None
    if row is not None and row.standing == Standing.SEEN:
        own, known = _record_of_seen(row, own, body)
    orchestrator = own if known else _locked_if_new(records.named_by(body))
    return Gathered(
        facts=Facts(
            now=now,
            caller=Caller.CERTIFICATE,
            periods=periods(preferences),
            certificate=certificate_facts(row, parsed, known=known),
            record=record_facts(orchestrator) if orchestrator else None,
            names_other_record=bool(known and own and records.names_another(body, own)),
            has_name=bool(body.client_machine),
            csr=CsrFacts() if body.csr else None,
        ),
        orchestrator=orchestrator,
        certificate=row,
        parsed=parsed,
    )


def for_credential(
    credential: BootstrapCredential,
    body: RegisterRequest,
    preferences: Preferences,
    *,
    now: datetime,
) -> Gathered:
    """Gather for a caller without a certificate of its own, with a bootstrap credential."""
    orchestrator = _named_and_locked(body)
    if credential.one_time:
        try:
            with transaction.atomic():
                credential = _locked_credential(credential, orchestrator)
        except _BoundMeanwhile:
            # By a call for this name, perhaps: the savepoint let the lock go, so that the record
            # is locked before the credential as everywhere.
            orchestrator = _named_and_locked(body)
            credential = BootstrapCredential.objects.get(pk=credential.pk)
    claim = (
        credentials.claim_of(orchestrator, credential, body.client_machine)
        if orchestrator is not None
        else None
    )
    record = None
    if orchestrator is not None:
        record = record_facts(
            orchestrator,
            has_open_claim=claim is not None and claim.is_open(now),
            is_claim_over=claim is not None and not claim.is_open(now),
        )
    return Gathered(
        facts=Facts(
            now=now,
            caller=Caller.BOOTSTRAP,
            periods=periods(preferences),
            record=record,
            has_name=bool(body.client_machine),
            csr=CsrFacts() if body.csr else None,
            credential_refused=credentials.refused_for(credential, orchestrator, now=now),
        ),
        orchestrator=orchestrator,
        credential=credential,
    )


class _BoundMeanwhile(Exception):
    """Another call bound the one-time credential while this one waited for its row."""


def _named_and_locked(body: RegisterRequest) -> Orchestrator | None:
    named = records.named_by(body) if body.client_machine else None
    return records.locked(named.pk) if named is not None else None


def _locked_credential(
    credential: BootstrapCredential, orchestrator: Orchestrator | None
) -> BootstrapCredential:
    """Lock a one-time credential, so that it binds to one record: the next call sees which."""
    locked = (
        BootstrapCredential.objects.select_for_update(of=("self",))
        .select_related("service_account")
        .get(pk=credential.pk)
    )
    if orchestrator is None and locked.bound_to_id is not None:
        raise _BoundMeanwhile
    return locked


def certificate_facts(
    row: Certificate | None, parsed: Parsed | None, *, known: bool = True
) -> CertificateFacts:
    """Return the decision's view of a certificate: its row where there is one."""
    if row is None:
        if parsed is None:
            raise ValueError("neither a row nor a parsed certificate")
        return CertificateFacts(
            not_before=parsed.not_before,
            not_after=parsed.not_after,
            counted_from=parsed.not_before,
        )
    return CertificateFacts(
        not_before=row.not_before,
        not_after=row.not_after,
        counted_from=row.counted_from,
        revoked=row.revoked_at is not None,
        standing=Standing(row.standing) if known else None,
        intent_flag_counter=row.intent_flag_counter,
    )


def record_facts(
    orchestrator: Orchestrator, *, has_open_claim: bool = False, is_claim_over: bool = False
) -> RecordFacts:
    """Return the decision's view of a record."""
    return RecordFacts(
        status=Status(orchestrator.status),
        flag=orchestrator.flag,
        flag_counter=orchestrator.flag_counter,
        had_session=orchestrator.had_session,
        has_open_claim=has_open_claim,
        is_claim_over=is_claim_over,
        was_reset=orchestrator.reset_at is not None,
    )


def _locked_if_new(orchestrator: Orchestrator | None) -> Orchestrator | None:
    """Lock a record that a stranger may refresh, and look again: it may be approved by now.

    Nobody's else is locked: a stranger does not get to hold an approved record's row.
    """
    if orchestrator is None or orchestrator.status != Status.NEW.value:
        return orchestrator
    return records.locked(orchestrator.pk)


_LOCKED = Instances(
    lambda: (
        Certificate.objects.select_for_update(of=("orchestrator",))
        .select_related("orchestrator__service_account")
        .filter(
            fingerprint_sha256=Parameter("fingerprint", CharField()), orchestrator__isnull=False
        )
    )
)


def _locked(fingerprint: str) -> Certificate | None:
    """Return the certificate with its orchestrator's row locked; None if it has none."""
    return _LOCKED.one(fingerprint=fingerprint)


def _record_of_seen(
    row: Certificate, own: Orchestrator | None, body: RegisterRequest
) -> tuple[Orchestrator | None, bool]:
    """A certificate that was merely seen binds nobody: the body's record decides, unless the
    body names nobody else.
    """
    named = records.named_by(body)
    if named is not None and (own is None or named.pk != own.pk):
        return named, False
    return own, own is not None


def is_first_use(parsed: Parsed | None) -> bool:
    """Say whether a certificate was issued by this portal and no session has proven it yet."""
    return (
        parsed is not None
        and Certificate.objects.filter(
            fingerprint_sha256=parsed.fingerprint_sha256, standing__in=sorted(UNPROVEN)
        ).exists()
    )
