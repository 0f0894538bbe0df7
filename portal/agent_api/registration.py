"""Session/Register: gather, decide, act, and wait for a certificate in between.

Owns the order of transactions. Nothing is decided here: `renewal/rules/decision.py` decides. The
record's row is locked while its state changes and never while a CA is asked.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from orchestrators import credentials, jobs, records, sessions
from orchestrators.models import BootstrapCredential, Orchestrator
from orchestrators.protocol.codes import Code
from orchestrators.protocol.messages import (
    RegisterRequest,
    ResultStatus,
    SessionGrant,
    message_text,
    problem,
    register_reply,
    success,
)
from orchestrators.registration import chain, editing
from orchestrators.registration.chain import HandlerVerdict
from portal.agent_api.outside import Outside
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from portal.preferences.store import Preferences
from renewal import gather
from renewal.enrollment import door, intents, waiting
from renewal.gather import Gathered
from renewal.identity import claimants, first_registration, standings
from renewal.identity.first_registration import Said
from renewal.models import Certificate, Enrollment
from renewal.rules.decision import (
    CsrFacts,
    Decision,
    Effect,
    EnrollmentFacts,
    Facts,
    Outcome,
    decide,
)
from renewal.rules.lifecycle import EnrollmentState
from renewal.rules.periods import session_length
from renewal.rules.standing import UNPROVEN, Standing
from renewal.x509.certificates import CertificateFacts

_SAME_REFUSAL_AGAIN = timedelta(minutes=10)
"""A refusal that repeats within this time is one audit event."""

_READS_ANEW = frozenset({Effect.REFRESH_NEW, Effect.BIND, Effect.PROMOTE, Effect.ENROLL})
"""What is done once must be decided on rows as they are under the record's lock."""


@dataclass
class Registration:
    """One call of Session/Register."""

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
        self._was_approved_for = False

    def answer(self) -> tuple[dict[str, Any], int]:
        """Return the reply's body and HTTP status."""
        step = self._answer()
        self.outside.finish()
        if step.decision.grants_session and step.orchestrator is not None:
            self.outside.tell(step.orchestrator)
        return self._reply(step), step.decision.http_status

    def _answer(self) -> _Step:
        serial = intents.new_serial()
        if not self.body.csr:
            return self._first_step(serial)
        # The waiter is registered before the row is visible: a running drain may be faster.
        with waiting.HUB.expecting(serial) as event:
            step = self._first_step(serial)
            if step.waits_for is None:
                return step
            row = step.waits_for
            waiting.wait(event, lambda: _has_result(row), hold_seconds=self._hold(row))
            return self._second_step(step, row)

    def _hold(self, row: Enrollment) -> float:
        """Return how long to wait for a CA, less what handlers took: a proxy waits for both."""
        if intents.is_broken(row.authority, now=self.now):
            return 0.0
        left = row.authority.hold_seconds - self.outside.seconds_spent
        return max(waiting.GRACE_SECONDS, left)

    # --- first transaction(s): up to the intent ------------------------------------------------

    def _first_step(self, serial: str) -> _Step:
        while True:
            with transaction.atomic():
                gathered = self._gather()
                decision = decide(gathered.facts)
                if _READS_ANEW.intersection(decision.effects):
                    # What was joined to a row that had to be waited for is older than its lock.
                    gathered = self._gather()
                    decision = decide(gathered.facts)
                question = self._question(gathered, decision)
                if question is None:
                    step = self._carry_out(gathered, decision, serial)
                    if step is not None:
                        return step
            if question is not None:
                # Handlers are strangers' code: no transaction and no lock is open meanwhile.
                question()

    def _question(self, gathered: Gathered, decision: Decision) -> Callable[[], None] | None:
        """Return what handlers have to be asked before this decision can be carried out."""
        orchestrator = gathered.orchestrator
        if _is_first_registration(gathered, decision) and self.outside.must_ask_to_decide():
            return lambda: self.outside.ask_to_decide(orchestrator)
        if (
            Effect.ENROLL in decision.effects
            and Effect.PROMOTE not in decision.effects
            and orchestrator is not None
            and self.outside.must_ask_to_enroll(orchestrator)
        ):
            return lambda: self.outside.ask_to_enroll(orchestrator)
        return None

    def _carry_out(self, gathered: Gathered, decision: Decision, serial: str) -> _Step | None:
        """Carry out a decision; None: what was done is a transaction, now decide again."""
        if _is_first_registration(gathered, decision) and not self._was_approved_for:
            gathered, decision = self._judge(gathered)
        if gathered.facts.csr is not None and Effect.PROMOTE in decision.effects:
            # Promotion and enrollment are a transaction each (row 11).
            self._promote(gathered)
            return None
        if Effect.APPROVE in decision.effects:
            # So are approval and what the approved one then gets. It is tried once.
            self._was_approved_for = True
            self._act(gathered, decision)
            return None
        if Effect.ENROLL not in decision.effects:
            return self._act(gathered, decision)
        return self._enroll(gathered, serial)

    def _judge(self, gathered: Gathered) -> tuple[Gathered, Decision]:
        """Decide again with what handlers and rules say of a first registration."""
        verdict = self.outside.verdict or HandlerVerdict()
        self._said = first_registration.said_of(
            self._caller(gathered), gathered.orchestrator, verdict
        )
        facts = replace(gathered.facts, registration=self._said.facts)
        return replace(gathered, facts=facts), decide(facts)

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

    def _gather(self) -> Gathered:
        if self.parsed is not None:
            return gather.for_certificate(self.parsed, self.body, self.preferences, now=self.now)
        if self.credential is not None:
            return gather.for_credential(self.credential, self.body, self.preferences, now=self.now)
        raise RuntimeError("a caller without certificate and credential came this far")

    def _enroll(self, gathered: Gathered, serial: str) -> _Step:
        orchestrator = _required(gathered.orchestrator)
        if gathered.credential is not None and self.body.client_machine:
            # The name of the request that is served becomes the record's.
            records.rename(orchestrator, self.body.client_machine)
        facts, admitted = self._pass_door(gathered, orchestrator)
        decision = decide(facts)
        gathered = replace(gathered, facts=facts)
        if Effect.ENROLL not in decision.effects or admitted is None:
            return self._act(gathered, decision)
        if gathered.credential is not None:
            orchestrator.save(update_fields=records.NAME_FIELDS)
        if admitted.existing is not None:
            intents.handed_over(admitted.existing)
            return self._deliver(gathered, admitted.existing)
        if Effect.BIND in decision.effects and gathered.certificate is not None:
            standings.bind(orchestrator, gathered.certificate, now=self.now)
        submission = intents.submit(
            orchestrator,
            admitted,
            serial_number=serial,
            preferences=self.preferences,
            actor=self._actor(orchestrator),
            now=self.now,
        )
        if submission.limited is not None:
            until = submission.limited.until
            when = f"; ask again after {until:%Y-%m-%d %H:%M} UTC" if until else ""
            waits = EnrollmentFacts(Outcome.WAITING, detail=f"{submission.limited.reason}{when}.")
            facts = replace(facts, enrollment=waits)
            return self._act(replace(gathered, facts=facts), decide(facts), bound=True)
        return _Step(gathered, decision, waits_for=submission.enrollment)

    def _pass_door(
        self, gathered: Gathered, orchestrator: Orchestrator
    ) -> tuple[Facts, door.Admitted | None]:
        facts = replace(
            gathered.facts,
            issued_recently=door.issued_recently(
                orchestrator, preferences=self.preferences, now=self.now
            ),
        )
        if (failed := self.outside.failure) is not None:
            refused_by_handler = CsrFacts(Code.HANDLER_FAILED, f"{failed}")
            return replace(facts, csr=refused_by_handler), None
        try:
            admitted = door.admit(
                self.body.csr,
                orchestrator,
                presented=self.parsed if gathered.credential is None else None,
                preferences=self.preferences,
                named=self.outside.choice,
            )
        except door.NotAdmitted as refused:
            if refused.is_permission:
                return replace(facts, missing_permission=refused.detail), None
            if refused.code is Code.HANDLER_CHOICE and self.outside.choice is not None:
                handler, problem = self.outside.choice.handler, refused.detail
                self.outside.afterwards.append(
                    lambda: chain.note_failure(handler, problem, now=self.now)
                )
            return (
                replace(facts, csr=CsrFacts(refused=refused.code, detail=refused.detail)),
                None,
            )
        return facts, admitted

    # --- second transaction: after the wait ----------------------------------------------------

    def _second_step(self, step: _Step, row: Enrollment) -> _Step:
        with transaction.atomic():
            orchestrator = records.locked(_required(step.gathered.orchestrator).pk)
            row = Enrollment.objects.select_related("certificate", "authority").get(pk=row.pk)
            if orchestrator is None or orchestrator.generation != row.generation:
                # Reset or disapproved meanwhile: decide afresh, without the CSR.
                fresh = replace(self, body=replace(self.body, csr=""))
                gathered = fresh._gather()
                return fresh._act(gathered, decide(gathered.facts))
            gathered = replace(step.gathered, orchestrator=orchestrator)
            if row.certificate is not None and row.certificate.standing in UNPROVEN:
                intents.handed_over(row.certificate)
                return self._deliver(gathered, row.certificate)
            intents.give_up_waiting(row)
            facts = replace(gathered.facts, enrollment=_outcome(row))
            return self._act(replace(gathered, facts=facts), decide(facts), bound=True)

    def _deliver(self, gathered: Gathered, certificate: Certificate) -> _Step:
        facts = replace(gathered.facts, enrollment=EnrollmentFacts(Outcome.DELIVERED))
        step = self._act(replace(gathered, facts=facts), decide(facts), delivers=certificate)
        step.certificate = certificate
        return step

    # --- acting --------------------------------------------------------------------------------

    def _act(
        self,
        gathered: Gathered,
        decision: Decision,
        *,
        bound: bool = False,
        delivers: Certificate | None = None,
    ) -> _Step:
        """Carry out a decision's effects in the transaction that is open."""
        step = _Step(gathered, decision)
        orchestrator = gathered.orchestrator
        for effect in decision.effects:
            if effect is Effect.REFRESH_NEW:
                orchestrator = self._refresh_new(gathered)
                if orchestrator is None:
                    step.decision = replace(decision, code=Code.BUSY, detail="")
                    return step
            elif effect is Effect.APPROVE:
                self._approve(gathered, _required(orchestrator))
            elif effect is Effect.DISAPPROVE:
                first_registration.disapprove(
                    _required(orchestrator), self._caller(gathered), self._said, now=self.now
                )
                self._count_hit()
            elif effect is Effect.BIND and gathered.certificate is not None:
                if not bound and gathered.certificate.standing == Standing.NAMED:
                    standings.bind(_required(orchestrator), gathered.certificate, now=self.now)
            elif effect is Effect.PROMOTE:
                self._promote(gathered)
            elif effect is Effect.TOUCH:
                self._touch(_required(orchestrator), decision)
            elif effect is Effect.AUDIT:
                self._audit_refusal(gathered, decision)
            elif effect is Effect.OPEN_SESSION:
                self._open_session(step, _required(orchestrator), delivers)
        return step

    def _promote(self, gathered: Gathered) -> None:
        orchestrator = _required(gathered.orchestrator)
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
        orchestrator = gathered.orchestrator
        is_created = orchestrator is None
        contact = records.Contact(self.address, self._thumbprint())
        if orchestrator is None:
            account = gathered.credential.service_account if gathered.credential else None
            try:
                orchestrator = records.create_new(
                    self.body,
                    contact,
                    service_account=account,
                    limit_per_hour=self.preferences.number("NewOrchestratorsPerHour"),
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
        self, step: _Step, orchestrator: Orchestrator, delivers: Certificate | None
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
            self._actor(None),
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
            },
            message=decision.reason,
        )

    # --- the reply -----------------------------------------------------------------------------

    def _reply(self, step: _Step) -> dict[str, Any]:
        decision = step.decision
        if decision.code is not None:
            result = problem(decision.status, decision.code, decision.detail)
        elif decision.status is ResultStatus.SUCCESS:
            result = success()
        else:
            result = problem(ResultStatus.ERROR, Code.DECISION_FAILED)
        grant = None
        if step.token and step.orchestrator is not None:
            grant = SessionGrant(
                token=step.token,
                agent_id=str(step.orchestrator.pk),
                heartbeat_minutes=self.preferences.heartbeat_minutes,
                client_machine=step.orchestrator.client_machine,
                certificate=(
                    base64.b64encode(bytes(step.certificate.der)).decode()
                    if step.certificate is not None
                    else None
                ),
                client_parameters=step.orchestrator.client_parameters,
                jobs=step.jobs,
            )
        return register_reply(result, grant)

    def _thumbprint(self) -> str:
        return self.parsed.thumbprint_sha1 if self.parsed else ""

    def _actor(self, orchestrator: Orchestrator | None) -> Actor:
        name = orchestrator.client_machine if orchestrator else self.body.client_machine
        return Actor(
            name=f"orchestrator {name or self._thumbprint()}",
            source_address=self.address,
            request_id=self.request_id,
        )


@dataclass
class _Step:
    """What one transaction came to."""

    gathered: Gathered
    decision: Decision
    waits_for: Enrollment | None = None
    certificate: Certificate | None = None
    orchestrator: Orchestrator | None = None
    token: str = ""
    jobs: tuple[Any, ...] = ()


def _is_first_registration(gathered: Gathered, decision: Decision) -> bool:
    """Say whether handlers and rules have a say: the record is New and no return."""
    if Effect.REFRESH_NEW not in decision.effects:
        return False
    return gathered.orchestrator is None or gathered.orchestrator.reset_at is None


def _has_result(row: Enrollment) -> bool:
    """Say whether there is news to tell: a certificate, a refusal, or a CA that failed."""
    state, error = Enrollment.objects.values_list("state", "last_error").get(pk=row.pk)
    if state == EnrollmentState.WAITING:
        return bool(error) and error != row.last_error
    return bool(state != EnrollmentState.SUBMITTED)


def _outcome(row: Enrollment) -> EnrollmentFacts:
    state = EnrollmentState(row.state)
    if state is EnrollmentState.REFUSED:
        return EnrollmentFacts(Outcome.REFUSED, Code.ENROLLMENT_REFUSED, row.last_error)
    if state is EnrollmentState.REJECTED:
        return EnrollmentFacts(
            Outcome.REFUSED, Code.ENROLLMENT_REFUSED, "The CA's answer was not usable."
        )
    if state is EnrollmentState.DISCARDED:
        return EnrollmentFacts(Outcome.WAITING, detail="A newer request took its place.")
    name = row.authority.name
    if row.last_error:
        again = f" It is tried again after {row.next_attempt_at:%Y-%m-%d %H:%M} UTC."
        return EnrollmentFacts(
            Outcome.WAITING, detail=f"The CA {name} did not issue: {row.last_error}.{again}"
        )
    return EnrollmentFacts(
        Outcome.WAITING, detail=f"The CA {name} has not answered yet; ask again with the same CSR."
    )


def _required(orchestrator: Orchestrator | None) -> Orchestrator:
    if orchestrator is None:
        raise RuntimeError("an effect on a record without a record")
    return orchestrator


def _required_not_after(certificate: Certificate | None) -> datetime:
    if certificate is None:
        raise RuntimeError("a session without any certificate")
    return certificate.not_after
