"""Session/Register: gather, decide, act, and wait for a certificate in between.

Owns the order of transactions. Nothing is decided here: `renewal/rules/decision.py` decides,
`acting.py` carries out. The record's row is locked while its state changes, and never while a CA
or a handler is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import transaction

from orchestrators import records
from orchestrators.models import Orchestrator
from orchestrators.protocol.codes import Code
from orchestrators.registration import chain
from orchestrators.registration.chain import HandlerVerdict
from portal.agent_api.acting import Acting, required
from portal.agent_api.replies import Step, outcome_of, reply_to
from renewal import gather
from renewal.enrollment import door, intents, waiting
from renewal.gather import Gathered
from renewal.identity import first_registration, standings
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
from renewal.rules.standing import UNPROVEN

_READS_ANEW = frozenset({Effect.REFRESH_NEW, Effect.BIND, Effect.PROMOTE, Effect.ENROLL})
"""What is done once must be decided on rows as they are under the record's lock."""


class Registration(Acting):
    """One call of Session/Register."""

    _was_tried = False
    """An approval by rule or handler is tried once in a call."""

    def answer(self) -> tuple[dict[str, Any], int]:
        """Return the reply's body and HTTP status."""
        step = self._answer()
        self.outside.finish()
        if step.decision.grants_session and step.orchestrator is not None:
            self.outside.tell(step.orchestrator)
        return reply_to(step, self.preferences), step.decision.http_status

    def _answer(self) -> Step:
        # A call that lost a race is made again from its beginning.
        self._was_tried = False
        self.outside.afterwards.clear()
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

    def _first_step(self, serial: str) -> Step:
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

    def _carry_out(self, gathered: Gathered, decision: Decision, serial: str) -> Step | None:
        """Carry out a decision; None: what was done is a transaction, now decide again."""
        if _is_first_registration(gathered, decision) and not self._was_tried:
            gathered, decision = self._judge(gathered)
        if gathered.facts.csr is not None and Effect.PROMOTE in decision.effects:
            # Promotion and enrollment are a transaction each (row 11).
            self._promote(gathered)
            return None
        if Effect.APPROVE in decision.effects:
            # So are approval and what the approved one then gets. It is tried once.
            self._was_tried = True
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

    def _gather(self) -> Gathered:
        if self.parsed is not None:
            return gather.for_certificate(self.parsed, self.body, self.preferences, now=self.now)
        if self.credential is not None:
            return gather.for_credential(self.credential, self.body, self.preferences, now=self.now)
        raise RuntimeError("a caller without certificate and credential came this far")

    def _enroll(self, gathered: Gathered, serial: str) -> Step:
        orchestrator = required(gathered.orchestrator)
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
            waits = EnrollmentFacts(Outcome.WAITING, detail=submission.limited.sentence)
            facts = replace(facts, enrollment=waits)
            return self._act(replace(gathered, facts=facts), decide(facts), bound=True)
        return Step(gathered, decision, waits_for=submission.enrollment)

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

    def _second_step(self, step: Step, row: Enrollment) -> Step:
        with transaction.atomic():
            orchestrator = records.locked(required(step.gathered.orchestrator).pk)
            row = Enrollment.objects.select_related("certificate", "authority").get(pk=row.pk)
            gathered = self._gather()
            is_fenced = orchestrator is None or orchestrator.generation != row.generation
            if is_fenced or Effect.ENROLL not in decide(gathered.facts).effects:
                # Reset, disapproved, or overtaken by a session with a newer certificate
                # meanwhile: who waited is answered as they stand now, without the CSR.
                fresh = replace(self, body=replace(self.body, csr=""))
                gathered = fresh._gather()
                return fresh._act(gathered, decide(gathered.facts))
            asked = step.gathered.facts
            facts = replace(gathered.facts, issued_recently=asked.issued_recently)
            gathered = replace(gathered, facts=facts)
            if row.certificate is not None and row.certificate.standing in UNPROVEN:
                intents.handed_over(row.certificate)
                return self._deliver(gathered, row.certificate)
            intents.give_up_waiting(row)
            facts = replace(gathered.facts, enrollment=outcome_of(row))
            return self._act(replace(gathered, facts=facts), decide(facts), bound=True)

    def _deliver(self, gathered: Gathered, certificate: Certificate) -> Step:
        facts = replace(gathered.facts, enrollment=EnrollmentFacts(Outcome.DELIVERED))
        step = self._act(replace(gathered, facts=facts), decide(facts), delivers=certificate)
        step.certificate = certificate
        return step


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
