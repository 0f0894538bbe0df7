"""Intents, workers and movements of the model: from a CSR to a delivered or proven certificate.

Owns what `renewal/enrollment` and `renewal/identity/standings.py` do around the rules, in memory.
Who is answered what is `portal.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from renewal.rules.decision import Status
from renewal.rules.lifecycle import IN_FLIGHT, EnrollmentEvent, EnrollmentState, next_enrollment
from renewal.rules.limits import History, limit
from renewal.rules.movement import Held, flag_after_proof, on_delivery, on_promotion
from renewal.rules.retry import ENROLLMENT_TIME_LIMIT, retry_delay
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing
from tests.rules.model.rows import Certificate, Mood, Row

GRACE = timedelta(minutes=60)
BACKDATE = timedelta(seconds=60)


@dataclass
class Enrollments:
    """One orchestrator's record with its certificates, intents and session."""

    now: datetime
    lifetime: timedelta
    mood: Mood = Mood.PROMPT
    revoke_old: bool = False
    status: Status | None = None
    """None: nobody has come forward yet."""
    flag: int = 0
    flag_counter: int = 0
    generation: int = 0
    had_session: bool = False
    certificates: list[Certificate] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    seen: list[Certificate] = field(default_factory=list)
    """Who came forward in this generation, the newest contact last."""
    session: tuple[int, datetime] | None = None
    failures: int = 0
    resume_at: datetime | None = None
    events: list[str] = field(default_factory=list)
    """What the audit log would say of the last call."""
    _tokens: int = 0

    # --- movement ---------------------------------------------------------------------------

    def held(self) -> dict[int, Certificate]:
        return {c.number: c for c in self.certificates if c.standing in ACCEPTED}

    def _pairs(self) -> list[Held]:
        return [Held(n, c.standing) for n, c in self.held().items() if c.standing is not None]

    def _promote(self, presented: Certificate) -> None:
        held = self.held()
        movement = on_promotion(self._pairs(), presented.number)
        flag = flag_after_proof(
            flag=self.flag,
            flag_counter=self.flag_counter,
            intent_flag_counter=presented.intent_flag_counter,
        )
        if flag != self.flag:
            self.flag = flag
            self.events.append("flag_cleared")
        for number, standing in movement.moves:
            held[number].standing = standing
        presented.is_proven = True
        self.events.append("certificate_proven")
        if movement.legacy_cleared:
            self.events.append("legacy_thumbprint_cleared")
        for number in movement.given_up:
            self._revoke(held[number])
        if movement.replaced is not None and self.revoke_old:
            self._revoke(held[movement.replaced])

    def _revoke(self, certificate: Certificate) -> None:
        if certificate.ours and not certificate.revoked:
            certificate.revoked = True
            self.events.append("revocation_requested")

    def _store(self, row: Row) -> None:
        certificate = Certificate(
            number=1000 + row.number,
            key=row.key,
            not_before=row.created_at - BACKDATE,
            not_after=row.created_at + self.lifetime,
            counted_from=self.now,
            standing=Standing.DISCARDED,
            generation=row.generation,
            intent_flag_counter=row.flag_counter,
            ours=True,
        )
        self.certificates.append(certificate)
        row.certificate, row.finished_at = certificate, self.now
        newer = any(r.number > row.number and r.state is EnrollmentState.ISSUED for r in self.rows)
        if self.generation != row.generation or self.status is not Status.APPROVED or newer:
            row.state = next_enrollment(row.state, EnrollmentEvent.DISCARD)
            self._revoke(certificate)
            return
        row.state = next_enrollment(row.state, EnrollmentEvent.ISSUE)
        held = self.held()
        movement = on_delivery(self._pairs())
        for number, standing in movement.moves:
            held[number].standing = standing
        certificate.standing, certificate.delivered_at = Standing.ISSUED, self.now
        for number in movement.given_up:
            self._revoke(held[number])

    # --- intents and workers ----------------------------------------------------------------

    def _unused_of(self, key: int) -> Certificate | None:
        for certificate in self.certificates:
            if (
                certificate.key == key
                and certificate.standing in UNPROVEN
                and not certificate.revoked
                and certificate.generation == self.generation
            ):
                return certificate
        return None

    def _submit(self, key: int) -> Row | None:
        """Return the intent to wait for; None if the CA may not be asked now."""
        waiting = [r for r in self.rows if r.state is EnrollmentState.WAITING]
        for row in waiting:
            if row.generation == self.generation and row.key == key:
                return row
            row.state = next_enrollment(row.state, EnrollmentEvent.DISCARD)
            row.finished_at = self.now
        if limit(self.history(), now=self.now, unused_grace=GRACE) is not None:
            return None
        row = Row(
            number=len(self.rows) + 1,
            key=key,
            generation=self.generation,
            flag_counter=self.flag_counter,
            created_at=self.now,
            next_attempt_at=self.now,
        )
        self.rows.append(row)
        return row

    def history(self) -> History:
        asked = [
            r
            for r in reversed(self.rows)
            if r.generation == self.generation and r.called_at is not None
        ][:12]
        late: list[Row] = []
        for row in asked:
            if row.certificate is None or row.certificate.is_proven or not row.late:
                break
            late.append(row)
        unproven = [c.delivered_at for c in self.certificates if c.standing in UNPROVEN]
        return History(
            in_flight=any(r.state in IN_FLIGHT for r in asked),
            calls=tuple(sorted(r.called_at for r in asked if r.called_at is not None)),
            unproven_deliveries=tuple(sorted(d for d in unproven if d is not None)),
            late_in_a_row=len(late),
            last_late_at=late[0].finished_at if late else None,
        )

    def work(self) -> None:
        """Let the workers run: what is due is asked for, what is too old given up."""
        for row in self.rows:
            if row.state is not EnrollmentState.WAITING:
                continue
            if row.next_attempt_at > self.now or (self.resume_at and self.resume_at > self.now):
                continue
            row.state = next_enrollment(row.state, EnrollmentEvent.CLAIM)
            row.attempts, row.called_at = row.attempts + 1, self.now
            if self.mood is Mood.DOWN:
                row.state = next_enrollment(row.state, EnrollmentEvent.DEFER)
                row.next_attempt_at = self.now + retry_delay(row.attempts, f"{row.number}")
                self.failures += 1
                if self.failures >= 3:
                    self.resume_at = self.now + timedelta(minutes=1)
                continue
            self.failures, self.resume_at = 0, None
            self._store(row)

    def sweep(self) -> None:
        """Give up what is too old, then work."""
        for row in self.rows:
            too_old = row.created_at < self.now - ENROLLMENT_TIME_LIMIT
            if row.state is EnrollmentState.WAITING and too_old:
                row.state = next_enrollment(row.state, EnrollmentEvent.EXPIRE)
                row.finished_at = self.now
        self.work()

    def _discard_waiting(self) -> None:
        for row in self.rows:
            if row.state is EnrollmentState.WAITING:
                row.state = next_enrollment(row.state, EnrollmentEvent.DISCARD)
                row.finished_at = self.now
