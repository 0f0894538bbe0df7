"""The agent protocol's front door in one process: Django's client with an injected certificate.

Owns the clock, the CA's moods and the callers of these tests. Only three things are not the real
ones: where the client certificate comes from, what time it is, and who runs the workers (a
Register that waits lets them run, unless the CA is slow).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.http import HttpRequest
from django.test import Client

from orchestrators.models import Orchestrator
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from portal.edge.client_certificate import Presented
from portal.preferences import store
from renewal import revocations
from renewal.ca.base import CAUnavailable, Issued, IssueRequest
from renewal.ca.local import LocalCA
from renewal.enrollment import lookups, sweeping, work
from renewal.identity import approvals
from renewal.models import Certificate, CertificateAuthority
from tests.pki import name as rfc4514

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
OPERATOR = Actor(name="operator")
PREFIX = "/KeyfactorAgents"

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def csr_der(key: Key, subject: str = "CN=agent01") -> bytes:
    made = x509.CertificateSigningRequestBuilder().subject_name(rfc4514(subject))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def csr(key: Key, subject: str = "CN=agent01") -> str:
    """Return a CSR as existing agents send it: base64 of the DER, without armour."""
    return base64.b64encode(csr_der(key, subject)).decode()


def spki(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Reply:
    """A reply, read as existing agents read it."""

    http: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        return int(self.body["Result"]["Status"])

    @property
    def code(self) -> str:
        error = self.body["Result"]["Error"]
        return str(error["CodeString"]) if error else ""

    @property
    def message(self) -> str:
        error = self.body["Result"]["Error"]
        return str(error["Message"]) if error else ""

    @property
    def session(self) -> dict[str, Any]:
        return self.body["Session"] or {}

    @property
    def token(self) -> str:
        return str(self.session.get("Token") or "")

    @property
    def agent_id(self) -> str:
        return str(self.session.get("AgentId") or "")

    @property
    def certificate(self) -> bytes:
        """The certificate's DER; empty for none."""
        return base64.b64decode(self.session.get("Certificate") or "")

    @property
    def said(self) -> tuple[int, str, bool, bool]:
        """Status, code, whether there is a token, whether there is a certificate."""
        return self.status, self.code, bool(self.token), bool(self.certificate)


class TestCA:
    """The local CA with moods and a ledger."""

    __test__ = False

    def __init__(self, backend: LocalCA, row: CertificateAuthority) -> None:
        self.backend, self.row = backend, row
        self.is_slow = False
        self.is_down = False
        self.ledger: list[IssueRequest] = []
        self.before_signing: Callable[[], None] = lambda: None
        self._issue = backend.issue

    def issue(self, request: IssueRequest) -> Issued:
        if self.is_down:
            raise CAUnavailable("the CA does not answer")
        self.before_signing()
        self.ledger.append(request)
        return self._issue(request)


@dataclass
class FrontDoor:
    """The portal as agents and operators meet it."""

    now: datetime
    ca: TestCA
    client: Client = field(default_factory=lambda: Client(enforce_csrf_checks=True))
    presented: bytes | None = None
    problem: Any = None

    # --- time and workers -------------------------------------------------------------------

    def tick(self, step: timedelta) -> None:
        self.now += step

    def presented_certificate(self, _request: HttpRequest) -> Presented:
        return Presented(self.presented, self.problem)

    def wait(self, _event: object, is_done: Callable[[], bool], *, hold_seconds: float) -> bool:
        if hold_seconds and not self.ca.is_slow:
            work.drain(now=self.now)
        return is_done()

    def run_workers(self) -> None:
        """What the sweeps do: lost rows, enrollments, revocations."""
        sweeping.sweep(now=self.now)
        for authority_id in lookups.to_be_asked(now=self.now):
            lookups.ask(authority_id, now=self.now)
        work.drain(now=self.now)
        for pk in revocations.sweep(now=self.now):
            revocations.run(pk, now=self.now)

    # --- calls ------------------------------------------------------------------------------

    def post(
        self,
        path: str,
        body: object,
        *,
        certificate: bytes | None = None,
        basic: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call an endpoint; ``body`` is JSON unless it is bytes."""
        sent = dict(headers or {})
        if basic is not None:
            sent["authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        self.presented = certificate
        response = self.client.post(
            PREFIX + path,
            data=body if isinstance(body, bytes) else json.dumps(body),
            content_type="application/json",
            headers=sent,
        )
        return Reply(response.status_code, json.loads(response.content), response.headers)

    def register(
        self,
        certificate: bytes | None = None,
        *,
        basic: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> Reply:
        """POST Session/Register with the members of an existing agent."""
        body = {
            "AgentPlatform": 5,
            "AgentVersion": 563031557799936,
            "TenantId": "00000000-0000-0000-0000-000000000000",
            "ClientMachine": "agent01",
            "CSR": None,
            "AgentId": "",
            "Capabilities": ["CertStores.PEM.Inventory", "Custom.FetchLogs"],
            "ClientParameters": {},
        } | members
        return self.post(
            "/Session/Register", body, certificate=certificate, basic=basic, headers=headers
        )

    def heartbeat(self, certificate: bytes | None, token: str, **members: object) -> Reply:
        body = {
            "AgentPlatform": 5,
            "TenantId": "00000000-0000-0000-0000-000000000000",
            "ClientMachine": "agent01",
            "SessionToken": token,
        } | members
        return self.post("/Session/Heartbeat", body, certificate=certificate)

    # --- certificates -----------------------------------------------------------------------

    def certificate(
        self,
        key: Key | None = None,
        *,
        subject: str = "CN=agent01",
        left: timedelta = 300 * DAY,
        lifetime: timedelta = 365 * DAY,
    ) -> bytes:
        """Return a certificate of the portal's CA that the portal has not seen."""
        not_after = self.now + left
        return self.ca._issue(
            IssueRequest(
                request_id="by hand",
                csr_der=b"",
                spki_der=spki(key or new_key()),
                subject_der=rfc4514(subject).public_bytes(),
                sans=(),
                serial_number=x509.random_serial_number(),
                not_before=not_after - lifetime,
                not_after=not_after,
                eku=("1.3.6.1.5.5.7.3.2",),
                template="by hand",
            )
        ).certificate_der

    # --- the operator -----------------------------------------------------------------------

    def record(self, name: str = "agent01") -> Orchestrator:
        """Return the newest record of that name."""
        found = Orchestrator.objects.filter(client_machine=name).order_by("-created_at").first()
        assert found is not None
        return found

    def approve(self, orchestrator: Orchestrator, **shown: Any) -> bool:
        return approvals.approve(
            orchestrator.pk,
            actor=OPERATOR,
            now=self.now,
            shown=approvals.Shown(**shown) if shown else None,
        )

    def set_flag(self, orchestrator: Orchestrator, flag: int, *, at_once: bool = False) -> None:
        approvals.request_renewal(
            orchestrator.pk,
            flag,  # type: ignore[arg-type]
            actor=OPERATOR,
            now=self.now,
            at_once=at_once,
        )

    def reset(self, orchestrator: Orchestrator, **more: Any) -> None:
        approvals.reset(orchestrator.pk, actor=OPERATOR, now=self.now, **more)

    def setting(self, name: str, value: object) -> None:
        store.change(name, str(value), actor=OPERATOR, now=self.now)


@dataclass
class Host:
    """An approved orchestrator of these tests: its certificate, id and token."""

    door: FrontDoor
    name: str
    certificate: bytes
    key: Key
    agent_id: str = ""
    token: str = ""

    def register(self, **members: object) -> Reply:
        reply = self.door.register(
            self.certificate,
            **({"ClientMachine": self.name, "AgentId": self.agent_id} | members),
        )
        if reply.token:
            self.token, self.agent_id = reply.token, reply.agent_id
        return reply

    def heartbeat(self) -> Reply:
        return self.door.heartbeat(self.certificate, self.token, ClientMachine=self.name)

    def send_csr(self, key: Key | None = None, **members: object) -> tuple[Reply, Key]:
        """Register with a CSR of a new key (or this one); nothing is installed."""
        key = key or new_key()
        return self.register(CSR=csr(key, f"CN={self.name}"), **members), key

    def renew(self) -> Reply:
        """Register with a CSR and install what comes; the reply is the one with it."""
        reply, key = self.send_csr()
        assert reply.certificate, reply.body
        self.install(reply, key)
        return reply

    def install(self, reply: Reply, key: Key) -> None:
        self.certificate, self.key = reply.certificate, key

    @property
    def record(self) -> Orchestrator:
        return Orchestrator.objects.get(pk=self.agent_id)

    @property
    def row(self) -> Certificate:
        """The portal's row of the certificate in use."""
        return row_of(self.certificate)

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)


def thumbprint(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA1()).hex().upper()


def row_of(der: bytes) -> Certificate:
    parsed = x509.load_der_x509_certificate(der)
    return Certificate.objects.get(fingerprint_sha256=parsed.fingerprint(hashes.SHA256()).hex())


def actions(orchestrator: Orchestrator) -> list[str]:
    """Return what the audit log says of a record, oldest first."""
    rows = AuditEntry.objects.filter(orchestrator_id=orchestrator.pk).order_by("pk")
    return list(rows.values_list("action", flat=True))


def refusals() -> list[str]:
    rows = AuditEntry.objects.filter(category="refusal").order_by("pk")
    return list(rows.values_list("action", flat=True))


def start() -> datetime:
    """A whole second of the real day: the database's clock is the real one."""
    return datetime.now(UTC).replace(microsecond=0)


def local_ca(folder: Path) -> LocalCA:
    return LocalCA.create(
        folder, name="Test", passphrase="not a secret", now=start() - 400 * DAY, issuing_days=7200
    )


def raises(*_args: object, **_more: object) -> None:
    raise RuntimeError("this must not happen")
