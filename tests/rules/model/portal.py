"""The portal of the model: what it answers, and what its operator does.

Owns the order of transactions around the one decision. No database, no X.509: a certificate is a
few dates and the number of its key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from orchestrators.protocol.codes import Code
from renewal.rules.decision import (
    Caller,
    CertificateFacts,
    CsrFacts,
    Decision,
    Effect,
    EnrollmentFacts,
    Facts,
    Outcome,
    RecordFacts,
    Status,
    decide,
)
from renewal.rules.lifecycle import IN_FLIGHT, EnrollmentState
from renewal.rules.movement import flag_after_proof
from renewal.rules.periods import is_valid, session_length
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing
from tests.rules.model.enrollments import Enrollments
from tests.rules.model.rows import Certificate, Mood, Reply

SESSION = timedelta(minutes=1380)
HEARTBEAT = timedelta(minutes=5)
UNASKED = timedelta(hours=24)


@dataclass
class Portal(Enrollments):
    """The endpoint and the operator's page of the model."""

    # --- Register ---------------------------------------------------------------------------

    def register(self, presented: Certificate, csr_key: int | None = None) -> Reply:
        """Answer a Register; an agent's CSR is known by the number of its key."""
        self.events = []
        while True:
            facts = self._facts(presented, csr_key)
            decision = decide(facts)
            if csr_key is None or Effect.PROMOTE not in decision.effects:
                break
            self._promote(presented)
        if Effect.ENROLL not in decision.effects or csr_key is None:
            return self._act(presented, decision)
        return self._enroll(presented, facts, csr_key)

    def _facts(self, presented: Certificate, csr_key: int | None) -> Facts:
        return Facts(
            now=self.now,
            caller=Caller.CERTIFICATE,
            certificate=CertificateFacts(
                not_before=presented.not_before,
                not_after=presented.not_after,
                counted_from=presented.counted_from,
                revoked=presented.revoked,
                standing=presented.standing,
                intent_flag_counter=presented.intent_flag_counter,
            ),
            record=None
            if self.status is None
            else RecordFacts(self.status, self.flag, self.flag_counter, self.had_session),
            csr=None if csr_key is None else CsrFacts(),
        )

    def _enroll(self, presented: Certificate, facts: Facts, key: int) -> Reply:
        existing = self._unused_of(key)
        reused = existing is None and any(c.key == key for c in (*self.certificates, presented))
        facts = replace(
            facts,
            issued_recently=any(
                c.delivered_at is not None and c.delivered_at > self.now - UNASKED
                for c in self.certificates
            ),
            csr=CsrFacts(Code.KEY_REUSE) if reused else CsrFacts(),
        )
        decision = decide(facts)
        if Effect.ENROLL not in decision.effects:
            return self._act(presented, decision)
        if existing is not None:
            for row in self.rows:
                if row.certificate is existing:
                    row.late = False
            return self._deliver(presented, facts, existing)
        if Effect.BIND in decision.effects:
            self._bind(presented)
        row = self._submit(key)
        if row is not None and self.mood is not Mood.SLOW:
            self.work()
        if row is not None and row.certificate is not None and row.certificate.standing in UNPROVEN:
            row.late = False
            return self._deliver(presented, facts, row.certificate)
        if row is not None and row.state in (EnrollmentState.WAITING, *IN_FLIGHT):
            row.late = True
        waiting = replace(facts, enrollment=EnrollmentFacts(Outcome.WAITING))
        return self._act(presented, decide(waiting))

    def _deliver(self, presented: Certificate, facts: Facts, certificate: Certificate) -> Reply:
        delivered = replace(facts, enrollment=EnrollmentFacts(Outcome.DELIVERED))
        return replace(self._act(presented, decide(delivered)), certificate=certificate)

    def _act(self, presented: Certificate, decision: Decision) -> Reply:
        token = None
        for effect in decision.effects:
            if effect is Effect.REFRESH_NEW:
                self._refresh_new(presented)
            elif effect is Effect.BIND:
                self._bind(presented)
            elif effect is Effect.PROMOTE:
                self._promote(presented)
            elif effect is Effect.OPEN_SESSION:
                lasts = session_length(
                    setting=SESSION,
                    heartbeat=HEARTBEAT,
                    not_after=presented.not_after,
                    now=self.now,
                )
                self._tokens += 1
                token = self._tokens
                self.session = (token, self.now + lasts)
                self.had_session = True
        return Reply(int(decision.status), decision.code, token, row=decision.row)

    def _refresh_new(self, presented: Certificate) -> None:
        if self.status is None:
            self.status = Status.NEW
        if presented.standing is None:
            presented.standing = Standing.SEEN
            self.certificates.append(presented)
        self.seen = [c for c in self.seen if c is not presented] + [presented]

    def _bind(self, presented: Certificate) -> None:
        if presented.standing is Standing.NAMED:
            presented.standing = Standing.CURRENT

    # --- heartbeat --------------------------------------------------------------------------

    def heartbeat(self, presented: Certificate, token: int | None) -> bool:
        """Return SessionValid."""
        self.events = []
        if (
            self.status is not Status.APPROVED
            or presented.standing not in ACCEPTED
            or presented.revoked
            or not is_valid(
                not_before=presented.not_before, not_after=presented.not_after, now=self.now
            )
        ):
            return False
        live = (
            token is not None
            and self.session is not None
            and self.session[0] == token
            and self.session[1] > self.now
        )
        if live and presented.standing in (*UNPROVEN, Standing.CURRENT):
            flag = flag_after_proof(
                flag=self.flag,
                flag_counter=self.flag_counter,
                intent_flag_counter=presented.intent_flag_counter,
            )
            if flag != self.flag:
                self.flag = flag
                self.events.append("flag_cleared")
        return live

    # --- the operator -----------------------------------------------------------------------

    def approvable(self) -> Certificate | None:
        """Return whom a willing operator approves: the newest contact that still counts."""
        for certificate in reversed(self.seen):
            if not certificate.revoked and is_valid(
                not_before=certificate.not_before,
                not_after=certificate.not_after,
                now=self.now,
            ):
                return certificate
        return None

    def approve(self) -> bool:
        """Approve, if there is anything to approve; say whether the record is approved."""
        if self.status is Status.DISAPPROVED and self.held():
            self.status = Status.APPROVED
        elif self.status in (Status.NEW, Status.DISAPPROVED) and (chosen := self.approvable()):
            self.status, chosen.standing = Status.APPROVED, Standing.NAMED
            chosen.generation = self.generation
        return self.status is Status.APPROVED

    def disapprove(self) -> None:
        if self.status not in (None, Status.DISAPPROVED):
            self.status = Status.DISAPPROVED
            self.generation += 1
            self.session = None
            self._discard_waiting()

    def reset(self) -> None:
        if self.status is None:
            return
        self.status, self.flag, self.had_session = Status.NEW, 0, False
        self.generation += 1
        self.flag_counter += 1
        self.session, self.seen = None, []
        self._discard_waiting()
        for certificate in self.certificates:
            certificate.standing = Standing.ARCHIVED

    def set_flag(self, flag: int, *, at_once: bool = False) -> None:
        if self.status is None or flag == self.flag == 0:
            return
        self.flag, self.flag_counter = flag, self.flag_counter + 1
        if at_once and flag:
            self.session = None
