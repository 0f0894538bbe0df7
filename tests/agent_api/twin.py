"""The twin: one world that is the model and the real portal at once, call by call.

Owns the translation between the model's numbers and real certificates, keys and tokens, and the
comparison of each answer. Whatever differs is a bug of the services, or of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509

from orchestrators.models import Orchestrator
from renewal.ca.base import IssueRequest
from renewal.identity import approvals
from renewal.models import Claimant
from tests.agent_api.front_door import (
    OPERATOR,
    FrontDoor,
    Key,
    csr,
    new_key,
    row_of,
    spki,
)
from tests.pki import name as rfc4514
from tests.rules.model.portal import Portal
from tests.rules.model.rows import Certificate, Mood, Reply


@dataclass
class Twin:
    """Plays each act twice and compares."""

    model: Portal
    door: FrontDoor
    keys: dict[int, Key] = field(default_factory=dict)
    ders: dict[int, bytes] = field(default_factory=dict)
    tokens: dict[int, str] = field(default_factory=dict)

    # --- calls ------------------------------------------------------------------------------

    def register(self, presented: Certificate, csr_key: int | None = None) -> Reply:
        expected = self.model.register(presented, csr_key)
        text = None if csr_key is None else csr(self.key(csr_key))
        real = self.door.register(self.der(presented), AgentId=self.agent_id, CSR=text)
        assert real.http == 200
        assert real.said == (
            expected.status,
            expected.code or "",
            expected.token is not None,
            expected.certificate is not None,
        ), f"row {expected.row} of the model: {real.body}"
        if expected.token is not None:
            self.tokens[expected.token] = real.token
        if expected.certificate is not None:
            known = self.ders.setdefault(expected.certificate.number, real.certificate)
            assert known == real.certificate, "another certificate than the model's"
        self.compare()
        return expected

    def heartbeat(self, presented: Certificate, token: int | None) -> bool:
        expected = self.model.heartbeat(presented, token)
        sent = self.tokens.get(token, "") if token is not None else ""
        real = self.door.heartbeat(self.der(presented), sent)
        assert (real.http, real.status) == (200, 1)
        assert real.body["SessionValid"] is expected
        self.compare()
        return expected

    def compare(self) -> None:
        """What the two records show must be the same."""
        record = self.record
        if record is None:
            assert self.model.status is None
            return
        assert self.model.status is not None
        assert record.status == self.model.status.value
        assert (record.flag, record.flag_counter) == (self.model.flag, self.model.flag_counter)
        assert record.had_session == self.model.had_session
        for certificate in self.model.certificates:
            der = self.ders.get(certificate.number)
            if der is not None:
                row = row_of(der)
                assert row.standing == certificate.standing, certificate
                assert (row.revoked_at is not None) == certificate.revoked, certificate

    # --- time, CA, workers ------------------------------------------------------------------

    def tick(self, step: timedelta) -> None:
        self.model.now += step
        self.door.tick(step)

    def sweep(self) -> None:
        self.model.sweep()
        self.door.run_workers()
        self.compare()

    def set_mood(self, mood: Mood) -> None:
        self.model.mood = mood
        self.door.ca.is_slow = mood is Mood.SLOW
        self.door.ca.is_down = mood is Mood.DOWN

    # --- the operator -----------------------------------------------------------------------

    def set_revoke_old(self, on: bool) -> None:
        self.model.revoke_old = on
        self.door.setting("RevokeOldClientAuthCertificate", "true" if on else "false")

    def set_flag(self, flag: int, *, at_once: bool) -> None:
        self.model.set_flag(flag, at_once=at_once)
        if self.record is not None:
            self.door.set_flag(self.record, flag, at_once=at_once)

    def approve(self) -> bool:
        chosen = self.model.approvable()
        expected = self.model.approve()
        record = self.record
        if record is None:
            assert not expected
            return False
        shown: dict[str, int] = {}
        if chosen is not None and chosen.number in self.ders:
            claimant = Claimant.objects.filter(
                orchestrator=record,
                generation=record.generation,
                certificate=row_of(self.ders[chosen.number]),
            ).first()
            if claimant is not None:
                shown = {"claimant": claimant.pk}
        try:
            self.door.approve(record, **shown)
        except approvals.ActRefused:
            assert not expected
        self.compare()
        return expected

    def disapprove(self) -> None:
        self.model.disapprove()
        if self.record is not None:
            approvals.disapprove(self.record.pk, actor=OPERATOR, now=self.door.now)
        self.compare()

    def reset(self) -> None:
        self.model.reset()
        if self.record is not None:
            self.door.reset(self.record)
        self.compare()

    # --- numbers and the things they stand for ----------------------------------------------

    @property
    def record(self) -> Orchestrator | None:
        return Orchestrator.objects.first()

    @property
    def agent_id(self) -> str:
        """What the host has in its configuration since its first session."""
        record = self.record
        return str(record.pk) if record is not None and self.tokens else ""

    def key(self, number: int) -> Key:
        return self.keys.setdefault(number, new_key())

    def der(self, certificate: Certificate) -> bytes:
        """Return the certificate that stands for the model's; a foreign one is made now."""
        if certificate.number not in self.ders:
            assert certificate.number < 1000, "the portal has not issued it"
            self.ders[certificate.number] = self.door.ca._issue(
                IssueRequest(
                    request_id="by hand",
                    csr_der=b"",
                    spki_der=spki(self.key(certificate.key)),
                    subject_der=rfc4514("CN=agent01").public_bytes(),
                    sans=(),
                    serial_number=x509.random_serial_number(),
                    not_before=certificate.not_before,
                    not_after=certificate.not_after,
                    eku=("1.3.6.1.5.5.7.3.2",),
                    template="by hand",
                )
            ).certificate_der
        return self.ders[certificate.number]
