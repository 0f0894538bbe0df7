"""What one Register changes, in the transaction that is open: the effects of a decision.

Owns the carrying out of each effect, in the order in which the decision names them. Transactions,
their order and the waiting are `registration.py`'s; nothing is decided here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orchestrators import credentials, jobs, records, sessions
from orchestrators.models import BootstrapCredential, Orchestrator
from orchestrators.protocol.answers import message_text
from orchestrators.protocol.codes import Code
from orchestrators.protocol.requests import RegisterRequest
from orchestrators.registration import editing
from portal.agent_api.outside import Outside
from portal.agent_api.replies import Step
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from portal.preferences.store import Preferences
from renewal.gather import Gathered
from renewal.identity import claimants, first_registration, standings
from renewal.identity.first_registration import Said
from renewal.models import Certificate
from renewal.rules.decision import (
    Decision,
    Effect,
)
from renewal.rules.limits import newcomers_of_one_source
from renewal.rules.periods import session_length
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts

_SAME_REFUSAL_AGAIN = timedelta(minutes=10)
"""A refusal that repeats within this time is one audit event."""


@dataclass
class Acting:
    """One call of Session/Register, as far as rows are changed for it."""

    body: RegisterRequest
    address: str
    request_id: str
    preferences: Preferences
    now: datetime
    parsed: CertificateFacts | None = None
    credential: BootstrapCredential | None = None

    def __post_init__(self) -> None:
        self.outside = Outside(
            self.body, self.address, self.preferences, self.now, self.parsed, self.credential
        )
        self._said = Said()

    def _act(
        self,
        gathered: Gathered,
        decision: Decision,
        *,
        bound: bool = False,
        delivers: Certificate | None = None,
    ) -> Step:
        """Carry out a decision's effects in the transaction that is open."""
        step = Step(gathered, decision)
        orchestrator = gathered.orchestrator
        for effect in decision.effects:
            if effect is Effect.REFRESH_NEW:
                orchestrator = self._refresh_new(gathered)
                if orchestrator is None:
                    step.decision = replace(
                        decision, code=Code.BUSY, detail="", reason="Too many New records."
                    )
                    self._audit_refusal(gathered, step.decision)
                    return step
            elif effect is Effect.APPROVE:
                self._approve(gathered, required(orchestrator))
            elif effect is Effect.DISAPPROVE:
                first_registration.disapprove(
                    required(orchestrator), self._caller(gathered), self._said, now=self.now
                )
                self._count_hit()
            elif effect is Effect.BIND and gathered.certificate is not None:
                if not bound and gathered.certificate.standing == Standing.NAMED:
                    standings.bind(required(orchestrator), gathered.certificate, now=self.now)
            elif effect is Effect.PROMOTE:
                self._promote(gathered)
            elif effect is Effect.TOUCH:
                self._touch(required(orchestrator), decision)
            elif effect is Effect.AUDIT:
                self._audit_refusal(gathered, decision)
            elif effect is Effect.REFUSE_CSR:
                records.note_refused_csr(required(orchestrator), now=self.now)
                self._audit_refusal(gathered, decision)
            elif effect is Effect.OPEN_SESSION:
                self._open_session(step, required(orchestrator), delivers)
        return step

    def _promote(self, gathered: Gathered) -> None:
        orchestrator = required(gathered.orchestrator)
        if gathered.certificate is None:
            raise RuntimeError("a promotion without a certificate")
        standings.promote(
            orchestrator,
            gathered.certificate,
            revoke_old=self.preferences.flag("RevokeOldClientAuthCertificate"),
            actor=self._actor(orchestrator),
            now=self.now,
        )
        standings.close_claims(orchestrator, now=self.now)
        credentials.spend(orchestrator, now=self.now)

    def _approve(self, gathered: Gathered, orchestrator: Orchestrator) -> None:
        if first_registration.approve(
            orchestrator, self._caller(gathered), self._said, now=self.now
        ):
            self._count_hit()

    def _count_hit(self) -> None:
        if self._said.rule_id is not None:
            pk = self._said.rule_id
            self.outside.afterwards.append(lambda: editing.count_hit(pk, now=self.now))

    def _refresh_new(self, gathered: Gathered) -> Orchestrator | None:
        """Create or refresh the New record; None if a bound forbids another one."""
        orchestrator = gathered.orchestrator
        is_created = orchestrator is None
        contact = records.Contact(self.address, self._thumbprint())
        if orchestrator is None:
            account = gathered.credential.service_account if gathered.credential else None
            limit = self.preferences.number("NewOrchestratorsPerHour")
            if claimants.newcomers_of(
                gathered.credential, self.address, now=self.now
            ) >= newcomers_of_one_source(limit):
                return None
            try:
                orchestrator = records.create_new(
                    self.body,
                    contact,
                    service_account=account,
                    limit_per_hour=limit,
                    actor=self._actor(None),
                    now=self.now,
                )
            except records.TooManyNewRecords:
                return None
        else:
            records.refresh_new(orchestrator, self.body, contact, now=self.now)
        if gathered.credential is not None:
            credentials.note_use(gathered.credential, orchestrator, now=self.now)
        claimants.note(
            orchestrator,
            self._seen(gathered),
            client_machine=self.body.client_machine,
            address=self.address,
            now=self.now,
        )
        if is_created:
            self._note_first(orchestrator, gathered)
        return orchestrator

    def _note_first(self, orchestrator: Orchestrator, gathered: Gathered) -> None:
        """A rule that leaves a record to an operator is hit once, when the record is made."""
        first_registration.note_withheld(orchestrator, self._caller(gathered), self._said)
        if self._said.is_left_to_an_operator:
            self._count_hit()

    def _touch(self, orchestrator: Orchestrator, decision: Decision) -> None:
        code = decision.code
        records.touch(
            orchestrator,
            records.Contact(self.address, self._thumbprint()),
            body=self.body if decision.grants_session else None,
            error_code=code.value if code else "",
            error_message=message_text(code, decision.detail) if code else "",
            now=self.now,
        )

    def _open_session(
        self, step: Step, orchestrator: Orchestrator, delivers: Certificate | None
    ) -> None:
        presented = self.parsed if step.gathered.credential is None else None
        not_after = presented.not_after if presented else _required_not_after(delivers)
        step.token = sessions.open_session(
            orchestrator,
            lasts=session_length(
                setting=self.preferences.session_length,
                heartbeat=self.preferences.heartbeat_interval,
                not_after=not_after,
                now=self.now,
            ),
            heartbeat_minutes=self.preferences.heartbeat_minutes,
            thumbprint=self._thumbprint(),
            address=self.address,
            now=self.now,
        )
        step.orchestrator = orchestrator
        step.jobs = jobs.tickets(orchestrator)
        if presented is not None and not orchestrator.had_session:
            orchestrator.had_session = True
            orchestrator.save(update_fields=["had_session"])

    def _audit_refusal(self, gathered: Gathered, decision: Decision) -> None:
        code = decision.code or Code.DECISION_FAILED
        orchestrator = gathered.orchestrator
        object_id = str(orchestrator.pk) if orchestrator else self._thumbprint() or self.address
        action = f"refused_{code.value}"
        if AuditEntry.objects.filter(
            object_type="refusal",
            object_id=object_id[:64],
            action=action,
            at__gt=self.now - _SAME_REFUSAL_AGAIN,
        ).exists():
            return
        record(
            self._refused_actor(gathered),
            Category.REFUSAL,
            action,
            object_type="refusal",
            object_id=object_id,
            object_name=orchestrator.client_machine if orchestrator else self.body.client_machine,
            orchestrator_id=orchestrator.pk if orchestrator else None,
            after={
                "presented": self._thumbprint(),
                "named": self.body.client_machine,
                "agent_id": self.body.agent_id,
                "row": decision.row,
                **({"csr_sha256": sha256_of(self.body.csr)} if self.body.csr else {}),
                **({"detail": decision.detail[:500]} if decision.detail else {}),
            },
            message=decision.reason,
        )

    def _caller(self, gathered: Gathered) -> first_registration.Caller:
        return first_registration.Caller(
            self.body, self._seen(gathered), self.address, self.request_id
        )

    def _seen(self, gathered: Gathered) -> claimants.Seen:
        return claimants.Seen(
            facts=self.parsed if gathered.credential is None else None,
            certificate=gathered.certificate,
            credential=gathered.credential,
        )

    def _thumbprint(self) -> str:
        return self.parsed.thumbprint_sha1 if self.parsed else ""

    def _refused_actor(self, gathered: Gathered) -> Actor:
        """Return who was refused: by what they proved, never by the name they gave (T2)."""
        owner = gathered.certificate.orchestrator if gathered.certificate is not None else None
        if owner is not None:
            name = f"orchestrator {owner.client_machine}"
        elif gathered.credential is not None:
            name = f"bootstrap credential {gathered.credential.name}"
        else:
            name = f"certificate {self._thumbprint()}"
        return Actor(name=name, source_address=self.address, request_id=self.request_id)

    def _actor(self, orchestrator: Orchestrator | None) -> Actor:
        name = orchestrator.client_machine if orchestrator else self.body.client_machine
        return Actor(
            name=f"orchestrator {name or self._thumbprint()}",
            source_address=self.address,
            request_id=self.request_id,
        )


def sha256_of(text: str) -> str:
    """Return what tells one CSR from another in the log, as it was sent."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def required(orchestrator: Orchestrator | None) -> Orchestrator:
    """Return the record of an effect that needs one."""
    if orchestrator is None:
        raise RuntimeError("an effect on a record without a record")
    return orchestrator


def _required_not_after(certificate: Certificate | None) -> datetime:
    if certificate is None:
        raise RuntimeError("a session without any certificate")
    return certificate.not_after
