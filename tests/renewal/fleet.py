"""A small fleet that came to be by the services themselves: entered, renewed, proven, reset.

Owns no expectation. Every row is written by the code that writes it in production, with a local CA
in a scratch folder; a test of invariants changes one of them afterwards.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.utils import timezone

from orchestrators.models import Orchestrator, Reenrollment
from portal.audit.trail import Actor
from portal.preferences import store
from renewal import authorities, authority_trust, operator_requests, revocations, templates
from renewal.configuration import CA_SETTING, TEMPLATE_SETTING
from renewal.enrollment import door, intents, work
from renewal.identity import approvals, claimants, entry, standings, trust
from renewal.models import Certificate, Enrollment, Revocation
from renewal.x509.certificates import read_certificate

ACTOR = Actor("test")
HOUR = timedelta(hours=1)


def scratch(settings: Any, folder: Path) -> None:
    """Give the portal a data folder of the test's own."""
    settings.CONFIG = dataclasses.replace(settings.CONFIG, data_dir=folder)
    trust.forget()


def csr(name: str) -> str:
    """Return a CSR with a new key, PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return signed.public_bytes(Encoding.PEM).decode()


class Fleet:
    """The portal's set-up and the acts of a fleet's life."""

    def __init__(self) -> None:
        self.now = timezone.now() - timedelta(days=2)
        self.authority, _ = authorities.create_local(
            authorities.Wanted("local", "local", {}), actor=ACTOR, now=self.now
        )
        authority_trust.trust_authority(self.authority, actor=ACTOR, now=self.now)
        self.template, _ = templates.save_template(
            "Orchestrator", templates.Contents(), actor=ACTOR, now=self.now
        )
        for name, value in ((CA_SETTING, "local"), (TEMPLATE_SETTING, "Orchestrator")):
            store.change(name, value, actor=ACTOR, now=self.now)

    def later(self, by: timedelta = HOUR) -> datetime:
        self.now += by
        return self.now

    def given(self, name: str) -> Certificate:
        """Return a certificate that an operator had made."""
        order = operator_requests.Order(csr(name), self.authority, self.template)
        row, _ = operator_requests.enroll(order, actor=ACTOR, now=self.later())
        assert row.certificate
        return row.certificate

    def entered(self, name: str) -> Orchestrator:
        facts = read_certificate(bytes(self.given(name).der))
        made, _ = entry.enter(entry.Entry(name, certificate=facts), actor=ACTOR, now=self.now)
        return made

    def asked(self, orchestrator: Orchestrator) -> Enrollment:
        """Commit an intent of an orchestrator; no CA has been asked."""
        orchestrator.refresh_from_db()
        preferences = store.load()
        admitted = door.admit(
            csr(orchestrator.client_machine), orchestrator, presented=None, preferences=preferences
        )
        submission = intents.submit(
            orchestrator,
            admitted,
            serial_number=intents.new_serial(),
            preferences=preferences,
            actor=ACTOR,
            now=self.later(),
        )
        assert submission.enrollment, submission.limited
        return submission.enrollment

    def renewed(self, orchestrator: Orchestrator) -> Certificate:
        """Deliver a new certificate."""
        row = self.asked(orchestrator)
        work.enroll_one(row.pk, now=self.now)
        row.refresh_from_db()
        orchestrator.refresh_from_db()
        assert row.certificate, row.last_error
        return row.certificate

    def proven(self, orchestrator: Orchestrator, certificate: Certificate) -> None:
        """Let the first session with a certificate happen, with the old one revoked."""
        orchestrator.refresh_from_db()
        standings.promote(orchestrator, certificate, revoke_old=True, actor=ACTOR, now=self.later())
        self.revoked()

    def revoked(self) -> None:
        """Carry out the revocations that are recorded."""
        for row in Revocation.objects.filter(state="waiting"):
            revocations.run(row.pk, now=self.now)

    def flagged(self, orchestrator: Orchestrator) -> None:
        approvals.request_renewal(
            orchestrator.pk, Reenrollment.REQUESTED, actor=ACTOR, now=self.later()
        )

    def reset(self, orchestrator: Orchestrator) -> None:
        approvals.reset(orchestrator.pk, actor=ACTOR, now=self.later())

    def disapproved(self, orchestrator: Orchestrator) -> None:
        approvals.disapprove(orchestrator.pk, actor=ACTOR, now=self.later())

    def approved(self, orchestrator: Orchestrator) -> None:
        approvals.approve(orchestrator.pk, actor=ACTOR, now=self.later())

    def seen(self, orchestrator: Orchestrator, certificate: Certificate) -> None:
        """Let somebody come forward for a New record."""
        orchestrator.refresh_from_db()
        claimants.note(
            orchestrator,
            claimants.Seen(certificate=certificate),
            client_machine=orchestrator.client_machine,
            address="192.0.2.1",
            now=self.later(),
        )
